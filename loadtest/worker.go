package loadtest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/history"
)

// maxOwn bounds the elements that a worker remembers for removing.
const maxOwn = 1024

// worker does one operation after another at one datacenter.
type worker struct {
	run  *run
	site *site
	name string
	rand *rand.Rand
	made int // values so far
	own  []owned

	session     *client.Session
	sessionName string
	sessionKey  string
	sessionLeft int
	users       int
	wrote       bool // the user has written
}

// owned is an element that the worker added.
type owned struct{ key, element string }

func newWorker(r *run, s *site, i int) *worker {
	return &worker{
		run: r, site: s, name: fmt.Sprintf("%s/%d", s.dc, i),
		rand: rand.New(rand.NewPCG(r.opts.Seed, uint64(s.index)<<32|uint64(i))),
	}
}

// loop does operations until there are no more to begin.
func (w *worker) loop() {
	for {
		due, ok := w.site.pace.next(w.run.stop)
		if !ok {
			return
		}
		w.once(due)
	}
}

// once does one operation that was due at a time.
func (w *worker) once(due time.Time) {
	began := time.Now()
	i := w.run.mix.choose(w.rand)
	op := &w.run.opts.Workload.Operations[i]
	act := w.run.mix.actions[i]
	c := &call{op: op, site: w.site, key: w.run.key(act.kind, w.index(op)), opts: w.run.mix.opts[i]}
	if op.Op == "session-read" {
		c.site = w.run.sites[(w.site.index+1)%len(w.run.sites)]
	}
	err := act.do(w, c)
	c.site.meters[i].add(due, began, time.Now(), err, w.run)
}

// index chooses the number of a key.
func (w *worker) index(op *Operation) uint64 {
	if op.Op == "insert" {
		return w.run.inserted.Add(1) - 1
	}
	if w.run.opts.Workload.Distribution != Latest {
		return w.run.chooser.next(w.rand)
	}
	growing := *w.run.chooser
	growing.n = w.run.inserted.Load()
	growing.zipf = newZipf(growing.n, w.run.opts.Workload.Theta)
	return growing.next(w.rand)
}

// unique is a value that no other operation of the run writes.
func (w *worker) unique() string {
	w.made++
	return fmt.Sprintf("%s/%s/%d", w.run.opts.Name, w.name, w.made)
}

func (w *worker) size(op *Operation) int {
	s := op.ValueSize
	return s.Min + w.rand.IntN(s.Max-s.Min+1)
}

// update carries out a write and records it, unless rec is nil.
func (w *worker) update(c *call, rec *history.Record, op client.Op) error {
	start := w.run.now()
	r, err := c.site.client.Update(w.run.calls, op, c.opts...)
	if rec != nil {
		rec.Start = start
		w.record(c, rec, r, err)
	}
	return err
}

// record completes a record and keeps it, if the run is to be checked.
func (w *worker) record(c *call, rec *history.Record, r *client.Result, err error) {
	if w.run.book == nil {
		return
	}
	rec.End = w.run.now()
	rec.Client, rec.DC, rec.Bucket = w.name, c.site.dc, w.run.opts.Bucket
	rec.Outcome = history.Outcome(client.OutcomeOf(err).String())
	if w.session != nil {
		rec.Session = w.sessionName
	}
	if err != nil {
		rec.Error = strings.ToValidUTF8(err.Error(), "?")
	}
	if r != nil {
		rec.Node, rec.Tries = r.Answer.Node, r.Tries
		switch rec.Op { //nolint:exhaustive // the others have no number that checkers use
		case history.Incr:
			rec.ResultN = r.Integer
		case history.SRem:
			rec.ResultN = int64(r.Changed)
		}
		if r.Dot != (client.Dot{}) {
			rec.Dot = &history.Dot{Actor: r.Dot.Actor, Seq: r.Dot.Seq}
		}
	}
	if err := w.run.book.record(rec); err != nil {
		w.run.fail(err)
	}
}

// padding is what values are filled up with: letters drawn at random, so that
// compression finds little.
const paddingBytes = 64 << 10

func padding(r *rand.Rand) []byte {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	b := make([]byte, paddingBytes)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return b
}

// padded is a value of so many bytes that begins with its id; never less than that.
func (r *run) padded(id string, size int, random *rand.Rand) []byte {
	out := make([]byte, 0, max(size, len(id)))
	out = append(out, id...)
	if len(out) < size {
		out = append(out, ' ')
	}
	for len(out) < size {
		from := random.IntN(paddingBytes)
		out = append(out, r.padding[from:min(paddingBytes, from+size-len(out))]...)
	}
	return out
}

// idOf is the id that a value begins with.
func idOf(value []byte) string {
	id, _, _ := bytes.Cut(value, []byte(" "))
	return strings.ToValidUTF8(string(id), "?")
}
