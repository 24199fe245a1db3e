package rpc

import (
	"time"

	"github.com/godwitdb/godwit/internal/frame"
)

// transit tells when the requests of one stream were sent, by this end's clock.
// Both ends count from a moment of their own, on clocks that only go forward; this
// end's lies before the other's, so what it tells is never later than the truth,
// and earlier by about a round trip. One goroutine uses it.
//
// A client that gives a write up and goes to another node counts on this: what was
// long on its way, because a link or a process stood still, is not carried out
// after what that client has written since.
type transit struct {
	zero  time.Time     // before the client counts
	slack time.Duration // by which the clocks may have gone apart
	at    time.Time     // when slack was computed
}

// clockDrift is how fast two clocks may go apart, as a share; quartz stays
// well below.
const clockDrift = 200e-6

func newTransit(now time.Time) transit { return transit{zero: now, at: now} }

// note tells a message that arrives now when that is and when it was sent: now, if
// it does not tell.
func (t *transit) note(m *frame.Message, now time.Time) {
	m.Came, m.At = now, t.sent(m, now)
}

func (t *transit) sent(m *frame.Message, now time.Time) time.Time {
	if m.Sent == 0 {
		return now
	}
	t.slack += time.Duration(float64(now.Sub(t.at)) * clockDrift)
	t.at = now
	took := now.Sub(t.zero) - time.Duration(min(m.Sent, 1<<43))*time.Millisecond
	t.slack = min(t.slack, took)
	return now.Add(t.slack - took)
}
