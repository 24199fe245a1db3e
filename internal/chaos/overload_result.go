package chaos

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Overload is how a datacenter bore to be asked for too much.
type Overload struct {
	Elements  int            // that a request adds
	Value     int            // bytes of each
	Times     int            // of what the nodes can do was to be asked
	Can       float64        // requests a second that the nodes carry out
	Took      time.Duration  // for which they were asked for more
	Asked     int            // requests meanwhile
	Acked     int            // of them
	Unknown   int            // of them: no answer in time
	Refused   map[string]int // of them, by reason
	Exhausted int            // of those refused: with RESOURCE_EXHAUSTED
	Memory    [][]int64      // resident bytes of every node, from the start to the end
	Back      time.Duration  // from the end until a request succeeded
	Kept      int            // acknowledged in all
	Lost      int            // of them
}

// memorySlack is how much the memory of a node may differ between the middle and
// the end of an overload.
const memorySlack = 64 << 20

// grows reports whether a node had more memory in the last quarter of the time
// than ever in the second.
func (o *Overload) grows() bool {
	if len(o.Memory) < 4 {
		return false
	}
	most := func(looks [][]int64, node int) (n int64) {
		for _, l := range looks {
			n = max(n, l[node])
		}
		return n
	}
	quarter := len(o.Memory) / 4
	for node := range o.Memory[0] {
		middle, end := most(o.Memory[quarter:2*quarter], node), most(o.Memory[len(o.Memory)-quarter:], node)
		if end > middle+middle/4+memorySlack {
			return true
		}
	}
	return false
}

// times is how many times what the nodes can do was asked of them.
func (o *Overload) times() float64 { return float64(o.Asked) / o.Took.Seconds() / max(o.Can, 1) }

// asked reports whether as much was asked as was to be: else the run says nothing.
func (o *Overload) asked() bool { return o.times() > 0.95*float64(o.Times) }

// OK reports that enough was asked, some were refused as they should be, nothing
// was lost, and memory did not grow.
func (o *Overload) OK() bool { return o.asked() && o.Exhausted > 0 && o.Lost == 0 && !o.grows() }

// String is the figures, a line each.
func (o *Overload) String() string {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "the nodes can do\t%.0f requests a second, each adds %d elements of %d B to a set\n", o.Can, o.Elements, o.Value)
	fmt.Fprintf(table, "asked for\t%.0f a second, %.1f times as many, for %v\n", float64(o.Asked)/o.Took.Seconds(), o.times(), o.Took.Round(time.Millisecond))
	fmt.Fprintf(table, "acknowledged\t%d, %.0f a second\n", o.Acked, float64(o.Acked)/o.Took.Seconds())
	for _, reason := range slices.Sorted(maps.Keys(o.Refused)) {
		fmt.Fprintf(table, "refused\t%d: %s\n", o.Refused[reason], reason)
	}
	fmt.Fprintf(table, "unknown\t%d, without an answer in time\n", o.Unknown)
	for i, at := range []string{"start", "middle", "end"} {
		look := o.Memory[i*(len(o.Memory)-1)/2]
		fmt.Fprintf(table, "memory at the %s\t", at)
		for _, n := range look {
			fmt.Fprintf(table, "%d MiB ", n>>20)
		}
		fmt.Fprintln(table)
	}
	if !o.asked() {
		fmt.Fprintf(table, "wrong\tthe clients could not ask for %d times as many: let a request have more elements\n", o.Times)
	}
	if o.grows() {
		fmt.Fprintln(table, "wrong\tmemory grows")
	}
	if o.Exhausted == 0 {
		fmt.Fprintln(table, "wrong\tnobody was refused with RESOURCE_EXHAUSTED")
	}
	fmt.Fprintf(table, "afterwards\ta request succeeded after %v; of %d acknowledged %d are lost\n", o.Back.Round(time.Millisecond), o.Kept, o.Lost)
	_ = table.Flush() // to memory
	return b.String()
}
