package rpc

import (
	"testing"
	"time"

	"github.com/godwitdb/godwit/internal/frame"
)

func TestTransitTellsWhatWasLate(t *testing.T) {
	const ms = time.Millisecond
	zero := time.Now()
	tr := newTransit(zero)
	// The client's zero is 30 ms after this end's, and the way takes 20 ms.
	for _, c := range []struct {
		sent    uint64 // by the client
		arrived time.Duration
		late    time.Duration
	}{
		{1, 51 * ms, 50 * ms},                // as long as a round trip is not taken for less
		{0, 60 * ms, 0},                      // it does not tell
		{100, 150 * ms, 50 * ms},             // the same again
		{200, 1250 * ms, 1050 * ms},          // a second late
		{1200, 1250 * ms, 50 * ms},           // what follows is not
		{3_600_000, 3_600_050 * ms, 0},       // an hour on, clocks may have gone 720 ms apart
		{3_600_100, 3_602_150 * ms, 2 * 1e9}, // but what is late shows against what was not
	} {
		now := zero.Add(c.arrived)
		late := now.Sub(tr.sent(&frame.Message{Sent: c.sent}, now))
		if late < c.late-2*ms || late > c.late+2*ms {
			t.Errorf("sent at %d, arrived after %v: %v late, want %v", c.sent, c.arrived, late, c.late)
		}
	}
	if at := tr.sent(&frame.Message{Sent: 1 << 63}, zero); at.Before(zero) { // nonsense is no harm
		t.Errorf("a message from the future was sent at %v, want no earlier than %v", at, zero)
	}
}
