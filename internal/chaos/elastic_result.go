package chaos

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// Elastic is how a datacenter bore to grow and to shrink.
type Elastic struct {
	Keys   int
	Fill   time.Duration
	Rate   int
	Lost   int // keys without the value that was acknowledged
	Failed int // requests, after retries
	Done   int // requests that succeeded
	Quiet  time.Duration
	Moves  []Move
	Return Return
}

// Move is one change of the members under load.
type Move struct {
	From, To        int // nodes
	Took            time.Duration
	Copies, Minimum uint32 // replicas that were copied, and the fewest that could be
	Bytes           int64  // taken from other nodes
	P99             time.Duration
}

// Return is how a node came back that had missed something.
type Return struct {
	Missed int
	Took   time.Duration // from when it was started until it was level
	Serves time.Duration // of that: until it served
	Events int64         // or runs of them, that it took from the others' logs
	Bytes  int64         // that it took
	Sent   int64         // bytes of the keys and values it missed
}

// OK reports that nothing was lost, and nothing failed.
func (e *Elastic) OK() bool { return e.Lost == 0 && e.Failed == 0 }

// String is the figures, a line each.
func (e *Elastic) String() string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "keys\t%d of %d B, put in %v\n", e.Keys, valueLen, e.Fill.Round(time.Millisecond))
	fmt.Fprintf(table, "load\t%d requests a second, half of them reads; p99 %v while nothing moves\n", e.Rate, e.Quiet)
	for _, m := range e.Moves {
		fmt.Fprintf(table, "%d to %d nodes\t%v; %d replicas copied, %.2f of the minimum of %d; %.1f MiB taken; p99 %v, %.1f of quiet\n",
			m.From, m.To, m.Took.Round(time.Millisecond), m.Copies, float64(m.Copies)/float64(max(m.Minimum, 1)), m.Minimum,
			float64(m.Bytes)/(1<<20), m.P99, float64(m.P99)/float64(max(e.Quiet, 1)))
	}
	fmt.Fprintf(table, "requests\t%d succeeded, %d failed after retries\n", e.Done, e.Failed)
	fmt.Fprintf(table, "lost\t%d keys\n", e.Lost)
	r := e.Return
	fmt.Fprintf(table, "returning node\tmissed %d events (%.1f MiB of keys and values); served after %v, level after %v; took %d runs, %.1f MiB\n",
		r.Missed, float64(r.Sent)/(1<<20), r.Serves.Round(time.Millisecond), r.Took.Round(time.Millisecond), r.Events, float64(r.Bytes)/(1<<20))
	_ = table.Flush() // to memory
	return b.String()
}
