package dc

import (
	"sync"
	"time"

	"github.com/godwitdb/godwit/storage"
)

// tails wakes the questions that wait for changes of replicas.
type tails struct {
	n *Node

	mu      sync.Mutex
	feed    *storage.Feed // while anybody waits
	waiting map[*tailWait]struct{}
	came    chan struct{} // holds a token when feed was made
}

// tailWait is one question that waits.
type tailWait struct {
	parts map[storage.ReplicaID]*tailPart
	ready chan struct{}
	dirty map[storage.ReplicaID]struct{} // guarded by tails.mu
}

func newTails(n *Node) *tails {
	return &tails{n: n, waiting: map[*tailWait]struct{}{}, came: make(chan struct{}, 1)}
}

// run hands out what the store tells, until the node closes.
func (t *tails) run() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		t.mu.Lock()
		if len(t.waiting) == 0 && t.feed != nil {
			t.feed.Close()
			t.feed = nil
		}
		feed := t.feed
		t.mu.Unlock()
		var ready <-chan struct{}
		if feed != nil {
			ready = feed.Ready()
		}
		select {
		case <-t.came:
			continue
		case <-ready:
		case <-t.n.ctx.Done():
			return
		}
		t.wake(feed.Take())
		pause.Reset(tailPause)
		select {
		case <-pause.C:
		case <-t.n.ctx.Done():
			return
		}
	}
}

func (t *tails) wake(changed []storage.ReplicaID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for w := range t.waiting {
		for _, id := range changed {
			if w.parts[id] != nil {
				w.dirty[id] = struct{}{}
			}
		}
		if len(w.dirty) == 0 {
			continue
		}
		select {
		case w.ready <- struct{}{}:
		default: // it knows
		}
	}
}

// join begins to wait for changes of parts; leave ends it.
func (t *tails) join(parts []*tailPart) *tailWait {
	w := &tailWait{parts: map[storage.ReplicaID]*tailPart{}, ready: make(chan struct{}, 1), dirty: map[storage.ReplicaID]struct{}{}}
	for _, p := range parts {
		w.parts[p.replica.ID()] = p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting[w] = struct{}{}
	if t.feed == nil {
		t.feed = t.n.store.Follow()
		select {
		case t.came <- struct{}{}:
		default:
		}
	}
	return w
}

func (t *tails) leave(w *tailWait) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, w)
}

// take returns the parts that changed, in the order of the question.
func (t *tails) take(w *tailWait, all []*tailPart) []*tailPart {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*tailPart
	for _, p := range all {
		if _, changed := w.dirty[p.replica.ID()]; changed {
			out = append(out, p)
		}
	}
	clear(w.dirty)
	return out
}
