package replication

import (
	"context"

	"golang.org/x/time/rate"
)

// throttle waits until a link may carry so many more bytes to this node. What
// Options.RateLimit allows a datacenter is shared by its live nodes.
func (x *Replicator) throttle(ctx context.Context, dc string, bytes int) error {
	if x.opts.RateLimit == nil {
		return nil
	}
	allowed := x.opts.RateLimit(dc)
	if allowed <= 0 {
		return nil
	}
	share := max(int(allowed)/max(len(x.view.Load().live), 1), 1)
	l := x.limiter(dc)
	if l.Burst() != share {
		l.SetLimit(rate.Limit(share))
		l.SetBurst(share)
	}
	for bytes > 0 {
		n := min(bytes, share)
		if err := l.WaitN(ctx, n); err != nil {
			return err
		}
		bytes -= n
	}
	return nil
}

// limiter is the one of a link.
func (x *Replicator) limiter(dc string) *rate.Limiter {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.limiters[dc]
	if l == nil {
		l = rate.NewLimiter(1, 1) // throttle sets both
		x.limiters[dc] = l
	}
	return l
}
