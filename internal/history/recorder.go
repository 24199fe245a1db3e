package history

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// recorderBytes is how much a Recorder holds back before it writes.
const recorderBytes = 64 << 10

// Recorder writes a history. It is safe for concurrent use. A slow writer slows
// down those who record: nothing is queued without bound, and nothing dropped.
type Recorder struct {
	wall time.Time // has the monotonic reading that Now counts from

	mu  sync.Mutex
	buf *bufio.Writer
	n   int
	err error // the first; sticky
}

// NewRecorder writes to w, which remains the caller's to close after Flush.
func NewRecorder(w io.Writer) *Recorder {
	return &Recorder{wall: time.Now(), buf: bufio.NewWriterSize(w, recorderBytes)}
}

// Now is the time for Start and End: nanoseconds since 1970 that never go back
// while the recorder lives, whatever happens to the wall clock.
func (r *Recorder) Now() int64 { return r.wall.UnixNano() + int64(time.Since(r.wall)) }

// Record appends one operation. It refuses a record that Check refuses. After a
// failed write it returns that error for ever.
func (r *Recorder) Record(rec *Record) error {
	if err := rec.Check(); err != nil {
		return fmt.Errorf("record %s of %.80q: %w", rec.Op, rec.Key, err)
	}
	line, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("record %s of %.80q: %w", rec.Op, rec.Key, err)
	}
	if len(line) >= maxLine {
		return fmt.Errorf("record %s of %.80q: %d bytes, at most %d are allowed", rec.Op, rec.Key, len(line), maxLine-1)
	}
	line = append(line, '\n')
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	if _, err := r.buf.Write(line); err != nil {
		r.err = fmt.Errorf("write history: %w", err)
		return r.err
	}
	r.n++
	return nil
}

// Len is the number of records so far.
func (r *Recorder) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// Flush hands everything recorded to the writer.
func (r *Recorder) Flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		if err := r.buf.Flush(); err != nil {
			r.err = fmt.Errorf("write history: %w", err)
		}
	}
	return r.err
}
