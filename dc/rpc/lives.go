package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
)

// ErrTwin reports that another process runs under the name of this node, and
// that a node which hears from that one refuses to hear from this one.
var ErrTwin = errors.New("two processes use the name of one node: stop one of them; a copy of a data directory is no second node, give that another name and an empty directory")

// lives knows which process stands for every node: this one for its own, and for
// another the one that has a stream open. As long as it has, no other may use the
// name; a broken or silent stream ends, so a node that was killed can come back
// at once, and one that froze can be replaced. Safe for concurrent use.
type lives struct {
	mu sync.Mutex
	of map[string]*life
}

func newLives(node string, opening uint64) lives {
	return lives{of: map[string]*life{node: {opening: opening, streams: 1}}}
}

// life is one process: its opening, and how many streams it has open.
type life struct {
	opening uint64
	streams int
}

// check refuses a process whose name is taken. Processes that do not tell their
// opening are not told apart.
func (l *lives) check(h *peerv1.Hello) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.checkLocked(h)
}

func (l *lives) checkLocked(h *peerv1.Hello) error {
	if at := l.of[h.GetNode()]; at != nil && h.GetOpening() != 0 && at.opening != h.GetOpening() {
		return fmt.Errorf("node %s runs already, and answers", clip(h.GetNode(), 80))
	}
	return nil
}

// hold takes a name for a process until release is called.
func (l *lives) hold(h *peerv1.Hello) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.checkLocked(h); err != nil || h.GetOpening() == 0 {
		return func() {}, err
	}
	at := l.of[h.GetNode()]
	if at == nil {
		at = &life{opening: h.GetOpening()}
		l.of[h.GetNode()] = at
	}
	at.streams++
	return sync.OnceFunc(func() { l.release(h.GetNode(), at) }), nil
}

func (l *lives) release(node string, at *life) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.streams--; at.streams == 0 {
		delete(l.of, node)
	}
}

// refusals is for how long each node has refused this process without a break.
// Safe for concurrent use.
type refusals struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// heard notes how an attempt to connect ended, and for how long it has ended in
// the same refusal.
func (r *refusals) heard(node string, err error, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		delete(r.since, node)
		return 0
	case !errors.Is(err, ErrTwin):
		return 0
	case r.since == nil:
		r.since = map[string]time.Time{}
	}
	if _, before := r.since[node]; !before {
		r.since[node] = now
	}
	return now.Sub(r.since[node])
}

// introducePause is between two attempts to be let in by a node that refuses.
const introducePause = 100 * time.Millisecond

// Introduce says hello to nodes at their addresses, all at once, before this
// process does anything under its name. It returns an ErrTwin if one of them
// hears from another process of that name, and goes on to for TwinAfter: a
// process that was killed may have streams that have yet to break. Nodes that
// do not answer, or refuse for another reason, are left for later.
func (p *Peers) Introduce(ctx context.Context, addrs map[string]string) error {
	var work sync.WaitGroup
	var mu sync.Mutex
	var refused error
	for node, addr := range addrs {
		work.Go(func() {
			if err := p.introduce(ctx, node, addr); errors.Is(err, ErrTwin) {
				mu.Lock()
				refused = cmp.Or(refused, fmt.Errorf("refused by %s at %s: %w", node, addr, err))
				mu.Unlock()
			}
		})
	}
	work.Wait()
	return cmp.Or(refused, ctx.Err())
}

func (p *Peers) introduce(ctx context.Context, node, addr string) error {
	for began := time.Now(); ; {
		attempt, cancel := context.WithCancelCause(ctx)
		s, err := p.connect(attempt, cancel, node, addr)
		if err == nil {
			s.close()
		}
		cancel(nil)
		if !errors.Is(err, ErrTwin) || time.Since(began) > p.opts.TwinAfter {
			return err
		}
		pause := time.NewTimer(introducePause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}
