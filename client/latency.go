package client

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// class is a kind of attempt that takes about the same time each time.
type class uint8

const (
	otherClass class = iota // of which that cannot be said
	readClass
	writeClass
	lookClass // writes for which the node looks at other owners first, and so takes several times as long
	batchClass
	classes
)

const (
	latencyWindow = 128 // samples of which shares are told
	latencyFresh  = 16  // samples between two times they are computed; below the first, nothing is told

	hedgeFloor   = 2 * time.Millisecond   // the shortest that a hedge waits
	hedgeMost    = 250 * time.Millisecond // ... and the longest, however slow a node is used to be
	hedgeUnknown = 20 * time.Millisecond  // ... and for a node that was asked too seldom to tell

	patienceShare   = 2                      // the part of the time left that an attempt gets is one of these
	patienceLeast   = 250 * time.Millisecond // of an attempt that may be made again elsewhere
	patienceBatch   = time.Second            // ... of a batch
	patienceUnknown = time.Second            // ... at a node that was asked too seldom to tell
	patienceTimes   = 4                      // ... of what 99 of 100 answers take
	beginTimes      = 2                      // ... within which a write is to be begun
	beginMargin     = 8                      // and before patience ends by one of these parts of it
	patienceDoubled = 5                      // times at the most
)

// latency is how long answers of one node to one class of attempts took. Safe
// for concurrent use; the zero value is ready.
type latency struct {
	p95, p99 atomic.Int64 // nanoseconds; 0 while there are too few samples

	mu   sync.Mutex
	ring [latencyWindow]time.Duration
	n    int
}

func (l *latency) note(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.n%latencyWindow] = d
	if l.n++; l.n%latencyFresh != 0 {
		return
	}
	sorted := l.ring
	s := sorted[:min(l.n, latencyWindow)]
	slices.Sort(s)
	l.p95.Store(int64(s[len(s)*95/100]))
	l.p99.Store(int64(s[len(s)*99/100]))
}

// hedgeAfter is how long a read may take at a node before another is asked too.
func (n *node) hedgeAfter() time.Duration {
	p95 := time.Duration(n.took[readClass].p95.Load())
	if p95 == 0 {
		return hedgeUnknown
	}
	return min(max(p95, hedgeFloor), hedgeMost)
}

// patience is how long an attempt that may be made again elsewhere waits for a
// node: several times as long as all but one of 100 answers to attempts of its
// class take, and twice that after nobody answered in that time, and so on. That
// counts for all calls to the node and, as earlier, for all attempts of the call,
// since what takes long at one node may take as long at the next. So where
// everything has become slow, as on a busy machine, it ends by waiting long enough;
// of the time left for the call half at the most. 0: as long as it may.
//
// Source: Paxson et al., RFC 6298, 2011, for the doubling.
func (n *node) patience(c class, left time.Duration, earlier int32) time.Duration {
	if c == otherClass {
		return left / patienceShare
	}
	p99 := time.Duration(n.took[c].p99.Load())
	least := patienceLeast
	switch {
	case c == batchClass && p99 == 0:
		return 0 // batches are of any size
	case c == batchClass:
		least = patienceBatch
	case p99 == 0:
		p99 = patienceUnknown / patienceTimes
	}
	return min(max(patienceTimes*p99, least)<<n.doubled(c, earlier), left/patienceShare)
}

// beginWithin is how long after its sending a node may begin a write to which it
// is given patience: long enough for all but very few, and short, for when the
// connection breaks this client waits that long before it asks another node. At
// least a millisecond.
func (n *node) beginWithin(c class, patience time.Duration, earlier int32) time.Duration {
	p99 := time.Duration(n.took[c].p99.Load())
	within := max(beginTimes*p99, patienceLeast) << n.doubled(c, earlier)
	return max(min(within, patience-patience/beginMargin), time.Millisecond)
}

// doubled is how often patience is doubled.
func (n *node) doubled(c class, earlier int32) int32 {
	return min(max(n.late[c].times.Load(), earlier), patienceDoubled)
}

// lateness is how often in a row nobody was answered within patience, in one class
// of attempts: what is answered soon tells nothing of what takes longer. Safe for
// concurrent use; the zero value is ready.
type lateness struct {
	times atomic.Int32
	at    atomic.Int64 // when the last of them was, in nanoseconds since 1970
}

// note notes that an attempt ended because its patience did. Those that were made
// at the same time count as one.
func (l *lateness) note(patience time.Duration) {
	now := time.Now().UnixNano()
	last := l.at.Load()
	if now-last > int64(patience) && l.at.CompareAndSwap(last, now) {
		l.times.Add(1)
	}
}

// end notes an answer in time.
func (l *lateness) end() {
	if l.times.Load() != 0 {
		l.times.Store(0)
	}
}
