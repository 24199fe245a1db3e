package rpc

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// What is admitted is answered within about this: a fraction of what clients
	// give a request, so that a node asked for too much works for those who still wait.
	admissionWait = 500 * time.Millisecond
	// How long answers are counted before the queue is judged, and how often in a
	// row it must be found too long: a pause of a disk or of a peer is no overload.
	admissionWindow = 250 * time.Millisecond
	admissionTwice  = 2
	// Fewer than this are never refused, however slow they are.
	admissionLeast = 16
	// After so long without an answer nothing is known.
	admissionForgets = 5 * time.Second
)

// admission bounds the requests of one sort that are under way by how many of
// them this node answers: n requests at x a second take n/x (Little, "A Proof for
// the Queuing Formula: L = λW", 1961). A bound that is a number would be too many where requests are
// slow: each would be answered when its client has given up, and all the work be in vain.
// Safe for concurrent use.
type admission struct {
	most  int64 // never more
	open  atomic.Int64
	limit atomic.Int64

	mu       sync.Mutex
	began    time.Time // the window
	answered int64     // in it
	tooMany  int       // windows in a row that ended with too long a queue
}

func newAdmission(most int) *admission {
	a := &admission{most: int64(most), began: time.Now()}
	a.limit.Store(a.most)
	return a
}

// enter counts a request in, or reports that it would wait too long. Who entered leaves.
func (a *admission) enter() bool {
	if a.open.Add(1) > a.limit.Load() {
		a.open.Add(-1)
		return false
	}
	return true
}

// leave counts a request out that was answered.
func (a *admission) leave() {
	open := a.open.Add(-1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answered++
	if took := time.Since(a.began); took >= admissionWindow {
		a.judge(open, took)
		a.began, a.answered = a.began.Add(took), 0
	}
}

// judge sets the limit by what was answered in a window, at whose end so many were open.
func (a *admission) judge(open int64, took time.Duration) {
	if took > admissionForgets {
		a.limit.Store(a.most)
		a.tooMany = 0
		return
	}
	within := max(admissionLeast, int64(float64(a.answered)*admissionWait.Seconds()/took.Seconds()))
	switch limit := a.limit.Load(); {
	case open > within:
		if a.tooMany++; a.tooMany >= admissionTwice {
			a.limit.Store(min(a.most, within))
		}
		return
	case open <= within/2:
		a.limit.Store(min(a.most, 2*limit))
	}
	a.tooMany = 0
}
