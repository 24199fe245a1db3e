package history

import (
	"fmt"
	"sync"
)

// Ledger is all that was ever seen of dots: a dot names one event for ever, also
// after wiped disks, restored backups and restarts that were not clean. It
// remembers everything, so it is for runs that end. Safe for concurrent use.
type Ledger struct {
	mu     sync.Mutex
	seen   map[sighting]string
	report Report
}

// sighting is one side of an event.
type sighting struct {
	dot  Dot
	side string
}

// NewLedger returns a ledger in which nothing has been seen.
func NewLedger() *Ledger { return &Ledger{seen: map[sighting]string{}} }

// Saw notes that one side of a dot's event was seen to be what. Sides are the
// caller's: its key, the request that it carried out, what it put into a cell.
// What a side was first seen to be it must be for ever.
func (l *Ledger) Saw(dot Dot, key Key, side, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.saw(dot, key, "key", key.String())
	l.saw(dot, key, side, what)
}

func (l *Ledger) saw(dot Dot, key Key, side, what string) {
	at := sighting{dot, side}
	first, known := l.seen[at]
	switch {
	case !known:
		l.seen[at] = what
	case first != what:
		l.report.Reused = append(l.report.Reused, Finding{Key: key, What: fmt.Sprintf("%s of dot %v is %.200q, and was %.200q", side, dot, what, first)})
	}
}

// Len is the number of sides of dots that were seen.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seen)
}

// Report tells which dots were seen to name two events.
func (l *Ledger) Report() *Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.report
	r.Reused = append([]Finding(nil), l.report.Reused...)
	return r.sorted()
}
