package crdt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrEncoding reports bytes that are not the canonical encoding of anything:
// cut short, too long, out of order, padded or over a limit.
var ErrEncoding = errors.New("crdt: malformed encoding")

// Limits of what a decoder accepts.
const (
	MaxActors      = 4096     // actors of one clock
	MaxRanges      = 1024     // ranges of one actor in a clock
	MaxKeyBytes    = 1 << 10  // key
	MaxBucketBytes = 64       // bucket name
	MaxPathBytes   = 1 << 20  // encoded path of a cell
	MaxPayload     = 16 << 20 // payload of one entry

	maxSeq = math.MaxUint64 - 2 // sequence number: the ends of ranges must not wrap
)

// reader takes a canonical encoding apart. Its first error sticks, and every
// later read returns zero values, so callers check once, at the end.
type reader struct {
	b   []byte
	at  int // what comes before it has been read; moving it costs less than moving b
	err error
	mem *arena // nil where what is made is not of many small pieces

	inOrder bool // changes have to be in the order of their keys
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrEncoding, what)
	}
	r.at = len(r.b)
}

// left is how many bytes have not been read.
func (r *reader) left() int { return len(r.b) - r.at }

func (r *reader) byte(what string) byte {
	if r.left() == 0 {
		r.fail(what + " is cut short")
		return 0
	}
	v := r.b[r.at]
	r.at++
	return v
}

func (r *reader) uvarint(what string) uint64 {
	if b := r.b[r.at:]; len(b) > 0 && b[0] < 0x80 { // the usual case
		r.at++
		return uint64(b[0])
	}
	return r.longUvarint(what)
}

func (r *reader) longUvarint(what string) uint64 {
	if b := r.b[r.at:]; len(b) > 2 { // two and three bytes, of which nearly all are: at half the time
		v := uint64(b[0]&0x7f) | uint64(b[1]&0x7f)<<7
		if b[1] < 0x80 && b[1] > 0 {
			r.at += 2
			return v
		}
		if b[1] >= 0x80 && b[2] < 0x80 && b[2] > 0 {
			r.at += 3
			return v | uint64(b[2])<<14
		}
	}
	v, n := binary.Uvarint(r.b[r.at:])
	switch {
	case n <= 0:
		r.fail(what + " is cut short or too large")
		return 0
	case n > 1 && r.b[r.at+n-1] == 0: // one value, one encoding
		r.fail(what + " is a padded varint")
		return 0
	}
	r.at += n
	return v
}

// count reads a number of items, each of at least minBytes encoded bytes, so
// that no input can ask for more memory than a small multiple of its size.
func (r *reader) count(what string, minBytes, limit int) int {
	n := r.uvarint(what)
	if n > uint64(limit) || n*uint64(minBytes) > uint64(r.left()) {
		r.fail(what + " is over its limit")
		return 0
	}
	return int(n)
}

// bytes reads a length and that many bytes, which alias the input.
func (r *reader) bytes(what string, limit int) []byte {
	n := r.count(what, 1, limit)
	end := r.at + n
	v := r.b[r.at:end:end]
	r.at = end
	return v
}

func (r *reader) fixed64(what string) uint64 {
	if r.left() < 8 {
		r.fail(what + " is cut short")
		return 0
	}
	v := binary.BigEndian.Uint64(r.b[r.at:])
	r.at += 8
	return v
}

func (r *reader) done(what string) error {
	if r.err == nil && r.left() > 0 {
		r.fail(what + " is followed by something else")
	}
	return r.err
}

func appendBytes[T ~[]byte | ~string](b []byte, v T) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

func appendDot(b []byte, d Dot) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(d.Actor))
	return binary.AppendUvarint(b, d.Seq)
}

const minDotBytes = 9

func (r *reader) dot() Dot {
	d := Dot{Actor(r.fixed64("actor")), r.uvarint("sequence number")}
	if (d.Seq == 0 || d.Seq > maxSeq) && r.err == nil {
		r.fail("sequence number is out of bounds")
	}
	return d
}

func appendDots(b []byte, ds []Dot) []byte {
	b = binary.AppendUvarint(b, uint64(len(ds)))
	for _, d := range ds {
		b = appendDot(b, d)
	}
	return b
}

func (r *reader) dots(what string) []Dot {
	n := r.count(what, minDotBytes, math.MaxInt32)
	if n == 0 {
		return nil
	}
	ds := r.mem.newDots(n)
	for i := range ds {
		ds[i] = r.dot()
		if i > 0 && ds[i].Compare(ds[i-1]) <= 0 && r.err == nil {
			r.fail(what + " are not in order")
		}
	}
	return ds
}

// AppendClock appends the canonical encoding of c to b.
func AppendClock(b []byte, c *Clock) []byte {
	b = binary.AppendUvarint(b, uint64(len(c.actors)))
	for _, e := range c.actors {
		b = binary.BigEndian.AppendUint64(b, uint64(e.actor))
		b = AppendRanges(b, e.ranges)
	}
	return b
}

// AppendRanges appends the ranges of one actor: their number, then for each
// the gap before it and its length, each less what it is at the least.
func AppendRanges(b []byte, rs []Range) []byte {
	b = binary.AppendUvarint(b, uint64(len(rs)))
	next := uint64(1)
	for _, r := range rs {
		b = binary.AppendUvarint(b, r.Lo-next)
		b = binary.AppendUvarint(b, r.Hi-r.Lo)
		next = r.Hi + 2
	}
	return b
}

// DecodeClock decodes what AppendClock made, and nothing else.
func DecodeClock(b []byte) (Clock, error) {
	r := reader{b: b}
	c := r.clock()
	return c, r.done("clock")
}

// DecodeRanges decodes what AppendRanges made, and nothing else.
func DecodeRanges(b []byte) ([]Range, error) {
	r := reader{b: b}
	var mem []Range
	rs := r.ranges(&mem, 1)
	return rs, r.done("ranges")
}

func (r *reader) clock() Clock {
	n := r.count("number of actors", 11, MaxActors)
	if n == 0 {
		return Clock{}
	}
	c := Clock{actors: make([]actorRanges, n)}
	var mem []Range
	for i := range c.actors {
		e := &c.actors[i]
		e.actor = Actor(r.fixed64("actor"))
		if i > 0 && e.actor <= c.actors[i-1].actor && r.err == nil {
			r.fail("actors are not in order")
		}
		if e.ranges = r.ranges(&mem, n-i); len(e.ranges) == 0 && r.err == nil {
			r.fail("actor without ranges")
		}
	}
	if r.err != nil {
		return Clock{}
	}
	return c
}

// ranges takes its memory from mem; more actors, this one counted, may follow.
func (r *reader) ranges(mem *[]Range, more int) []Range {
	n := r.count("number of ranges", 2, MaxRanges)
	rs := carve(mem, n, more)
	next := uint64(1)
	for i := range rs {
		gap, length := r.uvarint("range"), r.uvarint("range")
		lo := next + gap
		hi := lo + length
		if lo < gap || hi < lo || hi > maxSeq {
			r.fail("range is out of bounds")
			return nil
		}
		rs[i] = Range{lo, hi}
		next = hi + 2
	}
	return rs
}
