package wan

import (
	"sync"
	"testing"
	"time"
)

func newQueue() *queue {
	return &queue{pool: &sync.Pool{New: func() any { return new(block) }}}
}

// fill queues text as if it had been read.
func (q *queue) fill(text string, due time.Time) {
	q.push(segment{kind: segData, size: copy(q.space(blockBytes), text), due: due})
}

func TestQueueIsFullAtEitherBound(t *testing.T) {
	start := time.Unix(0, 0)
	q := newQueue()
	q.fill("1234", start)
	if !q.full(4) || q.full(5) {
		t.Error("4 bytes must fill a queue of 4 and not one of 5")
	}

	q = newQueue()
	for i := range 65_536 {
		if q.full(1 << 30) {
			t.Fatalf("full after %d segments, want 65536", i)
		}
		q.fill("x", start.Add(time.Duration(i)*time.Millisecond))
	}
	if !q.full(1 << 30) {
		t.Error("65536 segments do not fill a queue")
	}
}

func TestQueueMergesWhatArrivesTogether(t *testing.T) {
	start := time.Unix(0, 0)
	q := newQueue()
	q.fill("ab", start)
	q.fill("cd", start.Add(49*time.Microsecond))
	q.fill("ef", start.Add(50*time.Microsecond))
	q.push(segment{kind: segFin, due: start.Add(50 * time.Microsecond)})
	for _, want := range []string{"abcd", "ef", ""} {
		if got := string(q.take()); got != want {
			t.Errorf("took %q, want %q", got, want)
		}
		q.written()
	}
	if !q.empty() || q.bytes != 0 {
		t.Errorf("%d bytes are left", q.bytes)
	}
}

func TestQueueReusesItsBlocks(t *testing.T) {
	made := 0
	q := &queue{pool: &sync.Pool{New: func() any { made++; return new(block) }}}
	for range 1000 {
		q.fill(string(make([]byte, 10_000)), time.Unix(0, 0))
		q.take()
		q.written()
	}
	if made != 1 || len(q.blocks) != 1 {
		t.Errorf("%d blocks made and %d held for a queue that was always empty again, want 1", made, len(q.blocks))
	}
}

func TestQueueForgetsAWriteUnderWayWhenDropped(t *testing.T) {
	q := newQueue()
	q.fill("abc", time.Unix(0, 0))
	data := q.take()
	q.drop()
	copy(q.space(blockBytes), "xyz") // lost, as all that is read after a drop
	q.written()
	if string(data) != "abc" || q.bytes != 0 || !q.empty() {
		t.Errorf("the write under way saw %q, %d bytes held, want abc and none", data, q.bytes)
	}
}
