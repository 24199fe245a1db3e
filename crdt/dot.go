package crdt

import (
	"cmp"
	"fmt"
)

// Actor identifies one incarnation of one replica. An actor is never reused,
// so a dot names one event for ever.
type Actor uint64

// String prints the actor as 16 hexadecimal digits.
func (a Actor) String() string { return fmt.Sprintf("%016x", uint64(a)) }

// Dot names one event: the Seq-th event minted by Actor. Seq counts from 1.
type Dot struct {
	Actor Actor
	Seq   uint64
}

// Compare orders dots by actor, then by sequence number.
func (d Dot) Compare(e Dot) int {
	if c := cmp.Compare(d.Actor, e.Actor); c != 0 {
		return c
	}
	return cmp.Compare(d.Seq, e.Seq)
}

// String prints the dot as actor:seq.
func (d Dot) String() string { return fmt.Sprintf("%s:%d", d.Actor, d.Seq) }

// Stamp is hybrid logical time in microseconds since 1970.
// Source: Kulkarni, Demirbas, Madappa, Avva, Leone, "Logical Physical Clocks
// and Consistent Snapshots in Globally Distributed Databases" (OPODIS 2014).
type Stamp uint64

// NextStamp returns the stamp for a new event: the wall's time, or one more
// than what was issued or seen before when the wall is behind that.
func NextStamp(wall, issued, seen Stamp) Stamp {
	return max(wall, issued+1, seen+1)
}
