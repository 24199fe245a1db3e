package crdt

// Settling finds the dots that are settled: every replica had them at some
// moment, and all that the replicas had at these moments the own replica has as
// well. Whatever comes later from any of them was minted by one that had seen
// the settled dot. The zero Settling knows of none.
//
// Clocks that replicas told, each at its moment, are looked at together. What
// they have in common is settled once the own clock covers all of them. Until
// then they are kept: newer ones would again be ahead of the own clock, and
// under steady writes nothing would ever settle.
//
// A replica that is replaced by an empty one, or added, counts from what it was
// told or joined when it came; one that is removed must have handed over all it
// had to others before their clocks are asked for.
type Settling struct {
	waits bool
	now   Told
	done  Clock
}

// Told is what all replicas of a partition, or of a part of them, told: the
// dots that all of them have, and those that any of them has. Each clock in it
// is the whole clock of its replica at one moment, durable there. What a
// replica is only known to have received will not do: what it had minted
// before may be missing.
type Told struct{ Common, Any Clock }

// Add takes in the clock of one more replica, or what is told of several.
// Begin with the first of them, not with an empty Told.
func (t *Told) Add(o *Told) {
	t.Common = Intersection(&t.Common, &o.Common)
	t.Any.Union(&o.Any)
}

// Advance looks at what was told last, which tell returns (false while a
// replica has not told anything), and returns what is settled. The caller must
// not change it, and it changes with the next call. own is the replica's clock now.
func (s *Settling) Advance(own *Clock, tell func() (Told, bool)) *Clock {
	for fresh := false; ; fresh = true {
		if s.waits {
			if !own.Covers(&s.now.Any) {
				break
			}
			s.done.Union(&s.now.Common)
			s.now, s.waits = Told{}, false
		}
		if fresh {
			break
		}
		if s.now, s.waits = tell(); !s.waits {
			break
		}
	}
	return &s.done
}

// Forget gives up what it waits for. Call it when that takes too long: what a
// replica told and lost since, alone with its disk, nobody will ever cover.
func (s *Settling) Forget() { s.waits, s.now = false, Told{} }
