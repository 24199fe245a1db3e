package crdt

import (
	"encoding/binary"
	"fmt"
	"math"
)

// RequestID is a client's name for one request: a ULID, so it carries the time
// of its birth. The zero RequestID means none.
type RequestID [16]byte

// Delta is what a run of events of one actor did to one partition: the dots it
// covers and, for each cell they touched, what was removed and what lives now.
// A single event is a Delta with Lo == Hi. The event log keeps it without
// puts (LogEntry): payloads come from the live cells when it is sent.
type Delta struct {
	Actor    Actor
	Lo, Hi   uint64
	Requests []Request // the requests among Lo..Hi that had an id, in order
	Changes  []Change  // in order of their cells, one per cell
}

// Request ties a request id to the event that carried it out.
type Request struct {
	Seq uint64
	ID  RequestID
}

// Change is what a delta does to one cell, or says of one in a snapshot.
type Change struct {
	ID      CellID
	Removes []Dot   // dots that are dead in this cell, in order
	Below   Clock   // everything at or below the path that this clock contains is dead
	Puts    []Entry // dots that live in this cell, in order
}

const (
	deltaVersion = 1

	// Bits of a change's first byte.
	sameKey    = 1 // bucket, key and kind are those of the change before
	hasRemoves = 2
	hasBelow   = 4
	hasPuts    = 8
	changeBits = sameKey | hasRemoves | hasBelow | hasPuts
)

// AppendDelta appends the canonical encoding of d to b.
func AppendDelta(b []byte, d *Delta) []byte {
	b = append(b, deltaVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(d.Actor))
	b = binary.AppendUvarint(b, d.Lo)
	b = binary.AppendUvarint(b, d.Hi-d.Lo)
	b = binary.AppendUvarint(b, uint64(len(d.Requests)))
	for _, q := range d.Requests {
		b = binary.AppendUvarint(b, q.Seq-d.Lo)
		b = append(b, q.ID[:]...)
	}
	return appendChanges(b, d.Changes)
}

func appendChanges(b []byte, cs []Change) []byte {
	b = binary.AppendUvarint(b, uint64(len(cs)))
	var last *CellID
	for i := range cs {
		b = appendChange(b, &cs[i], last)
		last = &cs[i].ID
	}
	return b
}

// appendChange leaves out what the cell before, if any, says as well.
func appendChange(b []byte, c *Change, last *CellID) []byte {
	if last != nil && c.ID.KeyID == last.KeyID && c.ID.Kind == last.Kind {
		b = append(b, c.bits()|sameKey)
	} else {
		b = append(b, c.bits())
		b = appendBytes(b, c.ID.Bucket)
		b = appendBytes(b, c.ID.Key)
		b = append(b, byte(c.ID.Kind))
	}
	b = appendBytes(b, c.ID.Path)
	if len(c.Removes) > 0 {
		b = appendDots(b, c.Removes)
	}
	if !c.Below.Empty() {
		b = AppendClock(b, &c.Below)
	}
	if len(c.Puts) > 0 {
		b = AppendCell(b, c.Puts)
	}
	return b
}

// bits says what parts a change has.
func (c *Change) bits() byte {
	var bits byte
	if len(c.Removes) > 0 {
		bits |= hasRemoves
	}
	if !c.Below.Empty() {
		bits |= hasBelow
	}
	if len(c.Puts) > 0 {
		bits |= hasPuts
	}
	return bits
}

// DecodeDelta decodes what AppendDelta made, and nothing else. Payloads alias b.
func DecodeDelta(b []byte) (*Delta, error) {
	r := reader{b: b}
	d := &Delta{}
	var events Range
	d.Actor, events = r.events()
	d.Lo, d.Hi = events.Lo, events.Hi
	d.Requests = r.requests(d)
	r.inOrder = true
	d.Changes = r.changes()
	if err := r.done("delta"); err != nil {
		return nil, err
	}
	return d, nil
}

// DeltaEvents tells which events a delta covers that AppendDelta encoded. It does
// not look at the rest of it.
func DeltaEvents(b []byte) (Actor, Range, error) {
	r := reader{b: b}
	actor, events := r.events()
	return actor, events, r.err
}

// events reads what every delta begins with.
func (r *reader) events() (Actor, Range) {
	if r.byte("version") != deltaVersion && r.err == nil {
		r.fail("unknown version of a delta")
	}
	actor, events := Actor(r.fixed64("actor")), Range{Lo: r.uvarint("sequence number")}
	events.Hi = events.Lo + r.uvarint("length of the run")
	if (events.Lo == 0 || events.Hi < events.Lo || events.Hi > maxSeq) && r.err == nil {
		r.fail("run of events is out of bounds")
	}
	return actor, events
}

func (r *reader) requests(d *Delta) []Request {
	n := r.count("number of requests", 17, math.MaxInt32)
	if n == 0 {
		return nil
	}
	qs := make([]Request, n)
	for i := range qs {
		qs[i].Seq = d.Lo + r.uvarint("request")
		if r.left() < len(RequestID{}) {
			r.fail("request id is cut short")
			return nil
		}
		r.at += copy(qs[i].ID[:], r.b[r.at:])
		if qs[i].Seq < d.Lo || qs[i].Seq > d.Hi || i > 0 && qs[i].Seq <= qs[i-1].Seq {
			r.fail("request is outside its run")
			return nil
		}
	}
	return qs
}

func (r *reader) changes() []Change {
	n := r.count("number of cells", 2, math.MaxInt32)
	if n == 0 {
		return nil
	}
	cs := make([]Change, 0, min(n, 1024)) // a Change is larger than its encoding: grow with the input
	if n > 1 {
		r.mem = &arena{}
	}
	var last *Change
	for i := range n {
		if n > 1 {
			r.mem.more = n - i
		}
		if i == cap(cs) {
			cs = append(make([]Change, 0, min(n, 2*i)), cs...)
		}
		cs = cs[:i+1]
		c := &cs[i]
		if r.change(c, last); r.err != nil {
			return nil
		}
		last = c
	}
	r.mem = nil
	return cs
}

// change reads into c, which is zero.
func (r *reader) change(c, last *Change) {
	bits := r.byte("change")
	if bits&^byte(changeBits) != 0 || bits&sameKey != 0 && last == nil {
		r.fail("unknown kind of change")
		return
	}
	if bits&sameKey != 0 {
		c.ID.KeyID, c.ID.Kind = last.ID.KeyID, last.ID.Kind
	} else {
		r.key(c, last)
	}
	c.ID.Path = r.mem.newString(r.bytes("path", MaxPathBytes))
	if bits&sameKey != 0 && c.ID.Path <= last.ID.Path && r.err == nil {
		r.fail("cells of a key are not in order")
	}
	if bits&hasRemoves != 0 {
		c.Removes = r.dots("removes")
	}
	if bits&hasBelow != 0 {
		c.Below = r.clock()
	}
	if bits&hasPuts != 0 {
		c.Puts = r.cell()
		r.checkPayloads(&c.ID, c.Puts)
	}
	if c.bits() != bits&^sameKey && r.err == nil {
		r.fail("empty part of a change")
	}
}

func (r *reader) key(c, last *Change) {
	if bucket := r.bytes("bucket", MaxBucketBytes); last != nil && string(bucket) == last.ID.Bucket {
		c.ID.Bucket = last.ID.Bucket
	} else {
		c.ID.Bucket = r.mem.newString(bucket)
	}
	c.ID.Key = r.mem.newString(r.bytes("key", MaxKeyBytes))
	c.ID.Kind = Kind(r.byte("kind"))
	if !c.ID.Kind.stored() && r.err == nil {
		r.fail(fmt.Sprintf("unknown kind %d", c.ID.Kind))
	}
	if last == nil || r.err != nil {
		return
	}
	switch order := last.ID.compareKey(&c.ID); {
	case order == 0:
		r.fail("key is repeated")
	case order > 0 && r.inOrder:
		r.fail("cells are not in order")
	}
}

func (r *reader) checkPayloads(id *CellID, c Cell) {
	leaf, ok := id.Leaf()
	if (!ok || !leaf.stored() || leaf == Expiry && id.Kind != Expiry) && r.err == nil {
		r.fail("path that leads to no cell")
	}
	for i := range c {
		if r.err != nil {
			return
		}
		if err := leaf.row().check(c[i].Payload); err != nil {
			r.err = err
		}
	}
}
