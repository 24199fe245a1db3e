package storage

import (
	"sync"
	"time"
)

// steadiness watches whether the wall keeps step with a clock that nobody sets.
// Ids of requests are forgotten by the wall, since their births are told by it;
// one that was set an hour ahead would make all of them look old, and when it was
// set right again a retry would be carried out a second time. So nothing is
// forgotten before the wall has gone steadily for as long as ids are remembered.
// The zero value is ready. Safe for concurrent use.
type steadiness struct {
	mu           sync.Mutex
	wall, steady time.Time // at the last look
	since        time.Time // of the steady clock: the first look, or the last that found the wall set
}

// maxStray is by how much the wall may stray between two looks, with one part in
// maxSlew of the time between them, and count as not set.
const (
	maxStray = time.Second
	maxSlew  = 1000
)

// look compares the two clocks and returns for how long the wall has gone
// steadily.
func (s *steadiness) look(wall, steady time.Time) time.Duration {
	wall = wall.Round(0) // in Go it has a reading of the steady clock beside it, which would be compared
	s.mu.Lock()
	defer s.mu.Unlock()
	passed := steady.Sub(s.steady)
	if s.since.IsZero() || (wall.Sub(s.wall)-passed).Abs() > maxStray+passed/maxSlew {
		s.since = steady
	}
	s.wall, s.steady = wall, steady
	return steady.Sub(s.since)
}
