package replication

import "sync"

// turns lets a replica be compared with one datacenter at a time: it is joined with
// one other at once, and what came from one need not be taken from the next. After
// an outage that outlasted the logs a replica lacks the same events of all the
// others, so that they are about to be compared with it all at the same moment.
// The zero turns is ready to use. Safe for concurrent use.
type turns struct {
	mu      sync.Mutex
	waiting map[Replica][]*sweeping // in order; of every replica that is being compared, be it nobody
}

// take reports whether a comparison may go on now. If not, it is returned by the
// pass of one before it.
func (t *turns) take(s *sweeping) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.turn {
		return true
	}
	if t.waiting == nil {
		t.waiting = map[Replica][]*sweeping{}
	}
	queue, taken := t.waiting[s.replica]
	if taken {
		t.waiting[s.replica] = append(queue, s)
		return false
	}
	t.waiting[s.replica], s.turn = nil, true
	return true
}

// pass ends the turn of a comparison, if it has come, and returns the one whose
// turn it is now, nil if nobody waits.
func (t *turns) pass(s *sweeping) (next *sweeping) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !s.turn {
		return nil
	}
	s.turn = false
	queue := t.waiting[s.replica]
	if len(queue) == 0 {
		delete(t.waiting, s.replica)
		return nil
	}
	next, t.waiting[s.replica] = queue[0], queue[1:]
	next.turn = true
	return next
}
