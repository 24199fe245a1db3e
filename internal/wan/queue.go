package wan

import (
	"sync"
	"time"
)

const (
	// blockBytes is the size of a buffer. An idle flow holds one.
	blockBytes = 32 << 10
	// minRoom is the least room worth a read; with less a new block is begun.
	minRoom = 2 << 10
	// maxSegments bounds what the segments of a flow cost beside their bytes.
	maxSegments = 1 << 16
	// sameTime is how far apart arrivals may be and still count as one.
	sameTime = 50 * time.Microsecond
)

type segmentKind uint8

const (
	segNone   segmentKind = iota
	segData               // bytes of the stream
	segSyn                // the client wants to connect
	segSynAck             // the server has accepted
	segAck                // the client knows
	segFin                // the stream has ended
	segReset              // the sender's socket is gone
)

// segment is a piece of a stream that arrives at one time, but never before those
// ahead of it in the queue.
type segment struct {
	kind segmentKind
	size int // bytes of segData
	due  time.Time
}

// block is a buffer: data[:begin] has been written, data[begin:end] waits, and
// data[end:] is where the reader reads to.
type block struct {
	begin, end int
	data       [blockBytes]byte
}

// queue is what is in flight in one direction of a connection, in order. One
// goroutine may read into space, and another write what it took, without the lock
// that guards the rest: the two never overlap.
//
// Invariant: the sizes of the segments and writing together are bytes, and that
// is what waits in the blocks.
type queue struct {
	pool     *sync.Pool // of *block
	blocks   []*block
	segments []segment
	first    int // segments[:first] are gone
	bytes    int // held, for the bound
	writing  int // of these, taken and not yet written
}

// empty reports whether nothing waits to be taken.
func (q *queue) empty() bool { return q.first == len(q.segments) }

// full reports whether nothing more should be read.
func (q *queue) full(limit int) bool {
	return q.bytes >= limit || len(q.segments)-q.first >= maxSegments
}

// space returns where to read the next bytes to, at most limit of them. They are
// queued by the next push of segData.
func (q *queue) space(limit int) []byte {
	if len(q.blocks) == 0 {
		q.addBlock()
	}
	tail := q.blocks[len(q.blocks)-1]
	switch {
	case tail.begin == tail.end:
		tail.begin, tail.end = 0, 0
	case blockBytes-tail.end < minRoom:
		tail = q.addBlock()
	}
	return tail.data[tail.end:min(tail.end+limit, blockBytes)]
}

func (q *queue) addBlock() *block {
	b, ok := q.pool.Get().(*block)
	if !ok {
		panic("wan: the pool of blocks holds something else")
	}
	b.begin, b.end = 0, 0
	q.blocks = append(q.blocks, b)
	return b
}

// push queues a segment; if it is data, the bytes are those read into space.
func (q *queue) push(s segment) {
	if s.kind == segData {
		q.blocks[len(q.blocks)-1].end += s.size
		q.bytes += s.size
		if !q.empty() {
			last := &q.segments[len(q.segments)-1]
			if last.kind == segData && s.due.Sub(last.due) < sameTime {
				last.size += s.size
				return
			}
		}
	}
	if q.first > len(q.segments)/2 {
		q.segments = append(q.segments[:0], q.segments[q.first:]...)
		q.first = 0
	}
	q.segments = append(q.segments, s)
}

// head returns the first segment of a queue that is not empty.
func (q *queue) head() segment { return q.segments[q.first] }

// take removes the first segment. Of data it takes as much as lies together, and
// returns it; it stays valid, and counts against the bound, until written.
func (q *queue) take() []byte {
	s := &q.segments[q.first]
	if s.kind != segData {
		q.first++
		return nil
	}
	b := q.blocks[0]
	data := b.data[b.begin:min(b.begin+s.size, b.end)]
	q.writing = len(data)
	s.size -= len(data)
	if s.size == 0 {
		q.first++
	}
	return data
}

// written lets go of what was taken. After drop there is nothing to let go of.
func (q *queue) written() {
	if q.writing == 0 {
		return
	}
	b := q.blocks[0]
	b.begin += q.writing
	q.bytes -= q.writing
	q.writing = 0
	if b.begin == b.end && len(q.blocks) > 1 {
		q.blocks = append(q.blocks[:0], q.blocks[1:]...)
		q.pool.Put(b)
	}
}

// hasten lets nothing arrive after latest.
func (q *queue) hasten(latest time.Time) {
	for i := q.first; i < len(q.segments); i++ {
		if q.segments[i].due.After(latest) {
			q.segments[i].due = latest
		}
	}
}

// drop forgets everything, for good: nothing may be pushed afterwards. Blocks are
// not reused, because a write or a read of them may be under way.
func (q *queue) drop() {
	q.blocks, q.segments, q.first, q.bytes, q.writing = nil, nil, 0, 0, 0
}
