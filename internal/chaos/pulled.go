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
	out, found := make([]float64, len(names)), 0
	err := p.eachMetric(ctx, func(name string, value float64) {
		if i := slices.Index(names, name); i >= 0 {
			out[i], found = value, found+1
		}
	})
	if err == nil && found != len(names) {
		err = fmt.Errorf("%d of %d metrics of %s", found, len(names), p.id)
	}
	return out, err
}

// sum adds up what a process tells of a metric under all its labels.
func (p *process) sum(ctx context.Context, of string) (sum float64, err error) {
	found := false
	err = p.eachMetric(ctx, func(name string, value float64) {
		if strings.HasPrefix(name, of+"{") {
			sum, found = sum+value, true
		}
	})
	if err == nil && !found {
		err = fmt.Errorf("%s has no metric %s", p.id, of)
	}
	return sum, err
}

// eachMetric calls f with all that a process tells; the name has its labels.
func (p *process) eachMetric(ctx context.Context, f func(name string, value float64)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http+"/metrics", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it is only read
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("metrics of %s: %s", p.id, resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, text, ok := strings.Cut(lines.Text(), " ")
		if i := strings.LastIndexByte(lines.Text(), ' '); strings.Contains(name, "{") && i > 0 { // labels may hold spaces
			name, text = lines.Text()[:i], lines.Text()[i+1:]
		}
		if !ok || name == "#" {
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("metric %s of %s: %w", name, p.id, err)
		}
		f(name, value)
	}
	return lines.Err()
}
