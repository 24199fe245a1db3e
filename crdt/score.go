package crdt

import (
	"encoding/binary"
	"fmt"
	"math"
)

// The first byte of an entry of a zset says what it is.
const (
	baseTag  byte = 0
	bumpsTag byte = 1
)

// scored is an entry of a zset: a base or, with runs, what an actor has added.
type scored struct {
	tag   byte
	stamp Stamp   // of a base
	score float64 // of a base
	now   sum     // of a run
	reset sum     // of a run: how much of it was taken back
}

// sum is how far the increments of a run had come. They are one chain: of two
// sums of a run, the one of more operations holds the other.
type sum struct {
	ops uint64
	sum float64
}

func (s sum) max(o sum) sum {
	if s.ops > o.ops || s.ops == o.ops && s.sum > o.sum {
		return s
	}
	return o
}

// counts reports whether the entry is a run with an increment that was not taken back.
func (s scored) counts() bool { return s.tag == bumpsTag && s.now.ops > s.reset.ops }

// finite keeps a sum in range: concurrent increments may take it out.
func finite(f float64) float64 { return max(-math.MaxFloat64, min(f, math.MaxFloat64)) }

// plus counts one more increment.
func (s sum) plus(f float64) (sum, error) {
	s.ops++
	s.sum += f
	if math.IsInf(s.sum, 0) || s.ops == 0 {
		return s, fmt.Errorf("%w: add %v to a sum that is used up; set the score to begin again", ErrOverflow, f)
	}
	return s, nil
}

func appendFloat(b []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(b, math.Float64bits(f))
}

func (s sum) append(b []byte) []byte { return appendFloat(binary.AppendUvarint(b, s.ops), s.sum) }

// encode leaves the reset sum out where there is none.
func (s scored) encode() []byte {
	b := []byte{s.tag}
	if s.tag == baseTag {
		return appendFloat(binary.AppendUvarint(b, uint64(s.stamp)), s.score)
	}
	if b = s.now.append(b); s.reset.ops > 0 {
		b = s.reset.append(b)
	}
	return b
}

// float reads a number that is finite and not the negative zero.
func (r *reader) float(what string) float64 {
	f := math.Float64frombits(r.fixed64(what))
	if r.err == nil && (math.IsNaN(f) || math.IsInf(f, 0) || f == 0 && math.Signbit(f)) {
		r.fail(what + " is not a canonical number")
		return 0
	}
	return f
}

func decodeScored(payload []byte) (scored, error) {
	r := reader{b: payload}
	s := scored{tag: r.byte("score")}
	operations := func() sum {
		n := sum{r.uvarint("number of increments"), r.float("sum")}
		if n.ops == 0 && r.err == nil {
			r.fail("sum of no increments")
		}
		return n
	}
	switch s.tag {
	case baseTag:
		s.stamp, s.score = Stamp(r.uvarint("stamp")), r.float("score")
	case bumpsTag:
		if s.now = operations(); r.left() > 0 {
			s.reset = operations()
		}
		if s.reset.ops > s.now.ops && r.err == nil {
			r.fail("more was taken back than there was")
		}
	default:
		r.fail("neither a score nor increments")
	}
	return s, r.done("entry of a zset")
}

func checkScored(payload []byte) error {
	_, err := decodeScored(payload)
	return err
}

// mustScored decodes a payload that was checked when it came in.
func mustScored(payload []byte) scored {
	s, err := decodeScored(payload)
	if err != nil {
		panic(fmt.Sprintf("crdt: unchecked entry of a zset: %v", err))
	}
	return s
}

// joinBumps merges two views of one run. A base never changes; should a
// stranger send two of one dot, the greater encoding is kept everywhere.
func joinBumps(mine, theirs []byte) []byte {
	a, b := mustScored(mine), mustScored(theirs)
	if a.tag != bumpsTag || b.tag != bumpsTag {
		if string(mine) > string(theirs) {
			return mine
		}
		return theirs
	}
	a.now, a.reset = a.now.max(b.now), a.reset.max(b.reset)
	return a.encode()
}

// carryBumps moves what a run counts, see carryRun. A base moves as a whole.
func carryBumps(payload []byte) (left, carried []byte) {
	s := mustScored(payload)
	if s.tag == baseTag {
		return nil, nil
	}
	moved := scored{tag: bumpsTag, now: sum{s.now.ops - s.reset.ops, finite(s.now.sum - s.reset.sum)}}
	s.reset = s.now
	return s.encode(), moved.encode()
}

// releaseBumps takes back what the runs of a member hold now, see releaseRuns.
func releaseBumps(c Cell, actor Actor) (ends []Dot, puts []Entry) {
	for _, e := range c {
		s := mustScored(e.Payload)
		switch {
		case s.tag == baseTag:
		case e.Dot.Actor == actor:
			ends = append(ends, e.Dot)
		case s.counts():
			s.reset = s.now
			puts = append(puts, Entry{e.Dot, s.encode()})
		}
	}
	return ends, puts
}

// ScoreOf returns the score of the member that a cell of a zset holds, and
// whether it holds one. It is finite: what lies outside float64 is its nearest
// finite number.
func ScoreOf(c Cell) (score float64, ok bool) {
	score, ok, _ = scoreOf(c)
	return score, ok
}

// scoreOf adds the runs in the order of their dots: sums of floating point
// depend on the order. Over is true where a sum lay outside float64.
func scoreOf(c Cell) (score float64, ok, over bool) {
	var last Stamp
	for _, e := range c { // dots ascend: of equal stamps the greater dot wins
		if s := mustScored(e.Payload); s.tag == baseTag && (!ok || s.stamp >= last) {
			last, score, ok = s.stamp, s.score, true
		}
	}
	for _, e := range c {
		s := mustScored(e.Payload)
		if !s.counts() {
			continue
		}
		raw := score + finite(s.now.sum-s.reset.sum)
		score, ok = finite(raw), true
		over = over || score != raw
	}
	return score, ok, over
}

// SortableScore encodes a score so that bytes compare as scores do. Both zeros
// are one score.
func SortableScore(score float64) [8]byte {
	bits := math.Float64bits(score + 0) // -0 + 0 is 0
	if bits>>63 == 1 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], bits)
	return b
}
