package chaos

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
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
	m, err := p.metrics(ctx, "godwit_pulled_bytes_total", "godwit_pulled_events_total")
	if err != nil {
		return n, err
	}
	return pulled{bytes: int64(m[0]), events: int64(m[1])}, nil
}

// metrics asks a process for some of its metrics, which have no labels.
func (p *process) metrics(ctx context.Context, names ...string) ([]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it is only read
	out, found := make([]float64, len(names)), 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		i := slices.Index(names, name)
		if i < 0 {
			continue
		}
		if out[i], err = strconv.ParseFloat(value, 64); err != nil {
			return nil, err
		}
		found++
	}
	if found != len(names) {
		return nil, fmt.Errorf("%s: %d of %d metrics", resp.Status, found, len(names))
	}
	return out, nil
}
