package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

// target is a datacenter and addresses of its nodes.
type target struct {
	dc    string
	addrs []string
}

// parseAddrs reads "use1=host:port,euw1=host:port"; a name given again adds an
// address.
func parseAddrs(s string) ([]target, error) {
	var all []target
	for part := range strings.SplitSeq(s, ",") {
		dc, addr, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || dc == "" || addr == "" {
			return nil, fmt.Errorf("--addrs: %.80q is not dc=host:port", part)
		}
		found := false
		for i := range all {
			if all[i].dc == dc {
				all[i].addrs, found = append(all[i].addrs, addr), true
			}
		}
		if !found {
			all = append(all, target{dc: dc, addrs: []string{addr}})
		}
	}
	return all, nil
}

// readDemo reads the file in which a running demo tells its addresses.
func readDemo(name string) ([]target, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("no demo has left its addresses in %s: start `godwit demo`, or use --addrs or --demo", name)
	}
	if err != nil {
		return nil, fmt.Errorf("read addresses of the demo: %w", err)
	}
	var demo struct {
		DCs []struct {
			Name string   `json:"name"`
			GRPC []string `json:"grpc"`
		} `json:"dcs"`
	}
	if err := json.Unmarshal(b, &demo); err != nil {
		return nil, fmt.Errorf("read addresses of the demo in %s: %w", name, err)
	}
	var all []target
	for _, dc := range demo.DCs {
		if dc.Name == "" || len(dc.GRPC) == 0 {
			return nil, fmt.Errorf("read addresses of the demo in %s: a datacenter without name or addresses", name)
		}
		all = append(all, target{dc: dc.Name, addrs: dc.GRPC})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("read addresses of the demo in %s: no datacenters", name)
	}
	return all, nil
}
