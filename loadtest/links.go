package loadtest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// linkTable remembers how long links take. Safe for concurrent use.
type linkTable struct {
	cluster Cluster // may be nil

	mu    sync.Mutex
	first []Link // as they were at the start
	now   []Link
}

func newLinkTable(ctx context.Context, c Cluster) (*linkTable, error) {
	t := &linkTable{cluster: c}
	if c == nil {
		return t, nil
	}
	links, err := c.Links(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the links: %w", err)
	}
	t.first, t.now = links, links
	return t, nil
}

// refresh asks again, after a fault. What is not answered stays.
func (t *linkTable) refresh(ctx context.Context) {
	links, err := t.cluster.Links(ctx)
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now = links
}

// all are the links as they were at the start.
func (t *linkTable) all() []Link {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.first)
}

// oneWay is how long a link takes now, if that is known.
func (t *linkTable) oneWay(from, to string) (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.now {
		if l.From == from && l.To == to {
			return l.Latency, true
		}
	}
	return 0, false
}
