package chaos

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// pulled is what a node has taken from others since it was started.
type pulled struct{ bytes, events int64 }

// pulled asks every node for its metrics.
func (c *cluster) pulled(ctx context.Context) (map[string]pulled, error) {
	out := map[string]pulled{}
	for id, p := range c.procs {
		n, err := p.pulled(ctx)
		if err != nil {
			return nil, fmt.Errorf("metrics of %s: %w", id, err)
		}
		out[id] = n
	}
	return out, nil
}

func (p *process) pulled(ctx context.Context) (n pulled, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http+"/metrics", nil)
	if err != nil {
		return n, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return n, err
	}
	defer func() { _ = resp.Body.Close() }() // it is only read
	found := 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		into := map[string]*int64{"godwit_pulled_bytes_total": &n.bytes, "godwit_pulled_events_total": &n.events}[name]
		if into == nil {
			continue
		}
		f, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return n, err
		}
		*into, found = int64(f), found+1
	}
	if found != 2 {
		return n, fmt.Errorf("%s: %d of 2 counters", resp.Status, found)
	}
	return n, nil
}
