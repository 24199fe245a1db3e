package wan

import (
	"context"
	"errors"
	"io"
	"time"
)

// forever makes a waiter wait until it is woken.
const forever time.Duration = -1

// flow is one direction of a connection: a reader that queues what src sends,
// and a writer that hands it to dst when it is due. Network.mu guards it; src and
// dst are set before the goroutine that uses them starts to.
//
// Invariant: once hole or deaf is set, the queue is empty for ever, so a stream
// that has lost bytes never continues behind the gap.
type flow struct {
	conn  *conn
	link  *link
	back  *flow // the other direction
	src   socket
	dst   socket
	queue queue

	reading  bool // the reader has been started
	ended    bool // src has said its last word
	finished bool // dst has been told that the stream ended
	hole     bool // something was lost in a cut
	deaf     bool // dst takes no more; the other direction has been told

	room waiter // wakes the reader
	news waiter // wakes the writer
}

func (f *flow) init(c *conn, l *link, back *flow) {
	f.conn, f.link, f.back = c, l, back
	f.queue.pool = &c.net.blocks
	f.room, f.news = newWaiter(), newWaiter()
}

// startReading starts the reader, once.
func (f *flow) startReading() {
	if !f.reading && !f.conn.dead {
		f.reading = true
		f.conn.net.wg.Go(f.read)
	}
}

// read queues what src sends until it ends or the connection does.
func (f *flow) read() {
	for {
		buf := f.space()
		if buf == nil {
			return
		}
		size, err := f.src.Read(buf)
		if !f.take(size, err) {
			return
		}
	}
}

// space waits until the flow may read, and returns where to. It returns nil when
// the connection has ended.
func (f *flow) space() []byte {
	mu := &f.conn.net.mu
	for {
		mu.Lock()
		if f.conn.dead {
			mu.Unlock()
			return nil
		}
		wait := f.holdBack()
		if wait == 0 {
			buf := f.queue.space(f.link.chunk())
			mu.Unlock()
			return buf
		}
		mu.Unlock()
		f.room.wait(wait)
	}
}

// holdBack returns how long the reader must wait: 0, a time, or forever.
func (f *flow) holdBack() time.Duration {
	switch {
	case f.lossy() || f.deaf:
		return 0
	case f.queue.full(f.conn.net.opts.BufferBytes):
		return forever
	}
	return f.link.backlog(time.Now())
}

// lossy reports whether what enters the flow now is lost.
func (f *flow) lossy() bool { return f.hole || f.link.state == Cut }

// take queues size bytes that were read into space, and the end of the stream if
// err is not nil. It reports whether there may be more.
func (f *flow) take(size int, err error) bool {
	f.conn.net.mu.Lock()
	defer f.conn.net.mu.Unlock()
	if f.conn.dead {
		return false
	}
	if size > 0 {
		f.push(segment{kind: segData, size: size})
	}
	if err == nil {
		return true
	}
	f.ended = true
	if errors.Is(err, io.EOF) {
		f.push(segment{kind: segFin})
	} else {
		f.push(segment{kind: segReset})
	}
	f.conn.abandon() // lose does not come by if the flow is deaf
	return false
}

// push puts a segment on the link: it is lost, or queued with its arrival time.
func (f *flow) push(s segment) {
	switch {
	case f.deaf:
		return
	case f.lossy():
		f.link.dropped += int64(s.size)
		f.lose()
		return
	}
	s.due = f.link.schedule(time.Now(), s.size, f.conn.net.opts.Rand)
	wasEmpty := f.queue.empty()
	f.queue.push(s)
	if wasEmpty {
		f.news.wake()
	}
}

// lose records that something was lost, with all that is in flight.
func (f *flow) lose() {
	f.hole = true
	f.link.dropped += int64(f.queue.bytes - f.queue.writing)
	f.queue.drop()
	f.conn.drain()
	f.conn.abandon()
}

// linkChanged brings the flow in line with a link that was just changed.
func (f *flow) linkChanged(now time.Time) {
	if f.link.state == Cut && !f.queue.empty() {
		f.lose()
	}
	// A byte that waits for an old, slower profile would outlive it for long.
	f.queue.hasten(f.link.latest(now))
	f.room.wake()
	f.news.wake()
}

// write hands over what is due until the connection ends.
func (f *flow) write(ctx context.Context) {
	for {
		kind, data := f.next()
		switch kind {
		case segData:
			_, err := f.dst.Write(data)
			f.wrote(err)
		case segSyn:
			f.conn.dial(ctx)
		case segNone:
			return
		case segSynAck, segAck, segFin, segReset:
			f.arrive(kind)
		}
	}
}

// next waits until a segment is due on a link that is up, and takes it. From
// here on it has arrived: the link has carried it, and no cut can lose it. It
// returns segNone when the connection has ended.
func (f *flow) next() (segmentKind, []byte) {
	mu := &f.conn.net.mu
	for {
		mu.Lock()
		if f.conn.dead {
			mu.Unlock()
			return segNone, nil
		}
		wait := forever
		if f.link.state == Up && !f.queue.empty() {
			head := f.queue.head()
			wait = max(time.Until(head.due), 0)
			if wait == 0 {
				data := f.queue.take()
				f.link.bytes += int64(len(data))
				mu.Unlock()
				return head.kind, data
			}
		}
		mu.Unlock()
		f.news.wait(wait)
	}
}

// wrote records that dst accepted what was taken, or that it accepts no more
// ever if err is not nil.
func (f *flow) wrote(err error) {
	f.conn.net.mu.Lock()
	defer f.conn.net.mu.Unlock()
	wasFull := f.queue.full(f.conn.net.opts.BufferBytes)
	f.queue.written()
	if err != nil && !f.conn.dead {
		f.deaf = true
		f.queue.drop()
		f.back.push(segment{kind: segReset})
	}
	if wasFull {
		f.room.wake()
	}
}

// arrive does what a segment without data does at its far end.
func (f *flow) arrive(kind segmentKind) {
	f.conn.net.mu.Lock()
	defer f.conn.net.mu.Unlock()
	if f.conn.dead {
		return
	}
	switch kind {
	case segSynAck:
		f.back.startReading()
		f.back.push(segment{kind: segAck})
	case segAck:
		f.back.startReading()
	case segFin:
		f.finished = true
		// If dst is gone already, its own direction says so.
		_ = f.dst.CloseWrite()
		if f.back.finished {
			f.conn.end(false)
		}
	case segReset:
		f.conn.end(true)
	case segNone, segData, segSyn:
		panic("wan: a segment arrived that write does not pass on")
	}
}

// waiter lets one goroutine wait for a time, or for others to wake it. A wake
// that comes first is kept, so waits may end early but are never missed.
type waiter struct {
	woken chan struct{}
	timer *time.Timer
}

func newWaiter() waiter { return waiter{woken: make(chan struct{}, 1)} }

// wake may be called by anybody, at any time.
func (w *waiter) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

// wait returns when woken, or after d unless d is forever. One goroutine only.
func (w *waiter) wait(d time.Duration) {
	if d == forever {
		<-w.woken
		return
	}
	if w.timer == nil {
		w.timer = time.NewTimer(d)
	} else {
		w.timer.Reset(d)
	}
	select {
	case <-w.woken:
		w.timer.Stop()
	case <-w.timer.C:
	}
}
