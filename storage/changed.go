package storage

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/godwitdb/godwit/crdt"
)

// feeds are those who want to know which replicas changed.
type feeds struct {
	some atomic.Bool // there is one
	mu   sync.Mutex
	all  map[*Feed]struct{}
}

// tell tells every feed that a replica has got something durable. It does not
// block, and costs next to nothing while nobody listens.
func (f *feeds) tell(id ReplicaID) {
	if !f.some.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for feed := range f.all {
		feed.note(id)
	}
}

// Feed tells which replicas have got durable events since it was asked last.
// Safe for concurrent use.
type Feed struct {
	store *Store
	ready chan struct{}

	mu      sync.Mutex
	changed map[ReplicaID]struct{}
}

// Follow makes a feed, which Close ends. A commit that is durable before the call
// is not told of.
func (s *Store) Follow() *Feed {
	f := &Feed{store: s, ready: make(chan struct{}, 1), changed: map[ReplicaID]struct{}{}}
	s.feeds.mu.Lock()
	defer s.feeds.mu.Unlock()
	if s.feeds.all == nil {
		s.feeds.all = map[*Feed]struct{}{}
	}
	s.feeds.all[f] = struct{}{}
	s.feeds.some.Store(true)
	return f
}

// Close ends the feed.
func (f *Feed) Close() {
	f.store.feeds.mu.Lock()
	defer f.store.feeds.mu.Unlock()
	delete(f.store.feeds.all, f)
	f.store.feeds.some.Store(len(f.store.feeds.all) > 0)
}

func (f *Feed) note(id ReplicaID) {
	f.mu.Lock()
	f.changed[id] = struct{}{}
	f.mu.Unlock()
	select {
	case f.ready <- struct{}{}:
	default: // it knows
	}
}

// Ready gives a token when there is something to take.
func (f *Feed) Ready() <-chan struct{} { return f.ready }

// Take returns the replicas that changed since the last call, in no order.
func (f *Feed) Take() []ReplicaID {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]ReplicaID, 0, len(f.changed))
	for id := range f.changed {
		out = append(out, id)
	}
	clear(f.changed)
	return out
}

// TouchQuery asks which keys events have touched.
type TouchQuery struct {
	Have   *crdt.Clock // events that are not asked for
	Bucket string
	Prefix string // of the keys
	Keys   int    // at the most, but for those that one event touched
	Bytes  int    // of the log that are read, about, but one entry at the least
}

// Touch is a key and the actor of the last event that was found to touch it.
type Touch struct {
	Key string
	By  crdt.Actor
}

// Touched is the answer to a TouchQuery.
type Touched struct {
	Keys    []Touch    // each once
	Clock   crdt.Clock // Have with the events that were looked at
	More    bool       // there are more events
	Trimmed bool       // the log no longer reaches back to Have; the rest of the answer says nothing
	Behind  bool       // Have holds events that are not durable here; likewise
}

// Touched tells from the log which keys of a bucket durable events have touched.
// What the keys hold is to be read after it, and made durable before it is told:
// see Barrier.
func (r *Replica) Touched(q TouchQuery) (*Touched, error) {
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	durable := r.Durable()
	if !durable.Covers(q.Have) {
		return &Touched{Behind: true}, nil
	}
	lacks := crdt.Difference(&durable, q.Have)
	t := toucher{q: &q, out: &Touched{Clock: q.Have.Clone()}, at: map[string]int{}}
	for actor, ranges := range lacks.All() {
		for _, span := range ranges {
			if t.full {
				t.out.More = true
				return t.out, nil
			}
			next, err := r.covering(actor, span, t.entry)
			if err != nil {
				return nil, fmt.Errorf("keys that changed: %w", err)
			}
			if next = min(next, span.Hi+1); next > span.Lo {
				t.out.Clock.AddRange(actor, span.Lo, next-1)
			}
			switch {
			case next > span.Hi:
			case t.full:
				t.out.More = true
				return t.out, nil
			default:
				return &Touched{Trimmed: true}, nil
			}
		}
	}
	return t.out, nil
}

type toucher struct {
	q    *TouchQuery
	out  *Touched
	at   map[string]int // index of a key in out.Keys
	read int
	full bool
}

// entry takes a log entry.
func (t *toucher) entry(d *crdt.Delta, bytes int) error {
	if t.full {
		return errEnough
	}
	for i := range d.Changes {
		key := &d.Changes[i].ID.KeyID
		if key.Bucket != t.q.Bucket || !strings.HasPrefix(key.Key, t.q.Prefix) {
			continue
		}
		if i, known := t.at[key.Key]; known {
			t.out.Keys[i].By = d.Actor
			continue
		}
		t.at[key.Key] = len(t.out.Keys)
		t.out.Keys = append(t.out.Keys, Touch{Key: key.Key, By: d.Actor})
	}
	t.read += bytes
	t.full = len(t.out.Keys) >= t.q.Keys || t.read >= t.q.Bytes
	return nil
}
