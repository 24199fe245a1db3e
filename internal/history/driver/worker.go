package driver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/history"
)

// maxOwn bounds the elements that a worker remembers for removing.
const maxOwn = 1024

// worker does one operation after another at one datacenter.
type worker struct {
	opts   *Options
	client *client.Client
	name   string
	rand   *rand.Rand
	left   int // operations to do; -1 is no limit
	n      int // values made so far
	own    []owned
	totals Totals
}

// owned is an element that the worker added and nobody else removes.
type owned struct{ key, element string }

func newWorkers(o *Options) []*worker {
	var all []*worker
	for i, c := range o.Clients {
		for j := range o.Workers {
			all = append(all, &worker{
				opts: o, client: c, name: fmt.Sprintf("%s/%s/%d", o.Name, c.DC(), j), left: -1,
				rand: rand.New(rand.NewPCG(o.Seed, uint64(i*maxWorkers+j))),
			})
		}
	}
	if o.Ops > 0 {
		for i, w := range all {
			w.left = o.Ops / len(all)
			if i < o.Ops%len(all) {
				w.left++
			}
		}
	}
	return all
}

// run does operations until begin ends; each is bounded by ctx and the timeout
// of the client. It returns an error only if it cannot record.
func (w *worker) run(begin, ctx context.Context) error {
	for ; w.left != 0 && begin.Err() == nil; w.left-- {
		if err := w.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step does one operation and records it.
func (w *worker) step(ctx context.Context) error {
	rec, op := w.choose()
	rec.Client, rec.DC, rec.Bucket, rec.Key = w.name, w.client.DC(), w.opts.Bucket, op.Key
	opts := []client.CallOption{client.WithBucket(w.opts.Bucket)}
	if w.opts.Timeout > 0 {
		opts = append(opts, client.WithTimeout(w.opts.Timeout))
	}
	rec.Start = w.opts.Recorder.Now()
	r, err := w.client.Update(ctx, op, opts...)
	rec.End = w.opts.Recorder.Now()
	rec.Outcome = history.Outcome(client.OutcomeOf(err).String())
	w.note(rec, r, err)
	return w.opts.Recorder.Record(rec)
}

// choose draws the next operation.
func (w *worker) choose() (*history.Record, client.Op) {
	o, m := w.opts, w.opts.Mix
	i := w.rand.IntN(o.Keys)
	switch n := w.rand.IntN(m.Incr + m.SAdd + m.SRem + m.Put); {
	case n < m.Incr:
		by := w.rand.Int64N(109) - 9
		if by == 0 {
			by = 100
		}
		return &history.Record{Op: history.Incr, N: by}, client.IncrOp(o.key(counter, i), by)
	case n < m.Incr+m.Put:
		v := w.unique()
		return &history.Record{Op: history.Put, Arg: []string{v}}, client.PutOp(o.key(register, i), []byte(v))
	case n < m.Incr+m.Put+m.SRem && len(w.own) > 0:
		j := w.rand.IntN(len(w.own))
		e := w.own[j]
		w.own[j] = w.own[len(w.own)-1]
		w.own = w.own[:len(w.own)-1]
		return &history.Record{Op: history.SRem, Arg: []string{e.element}}, client.SRemOp(e.key, e.element)
	}
	elements := []string{w.unique()}
	if w.rand.IntN(4) == 0 {
		elements = append(elements, w.unique())
	}
	key := o.key(set, i)
	for _, e := range elements {
		if len(w.own) < maxOwn {
			w.own = append(w.own, owned{key, e})
		}
	}
	return &history.Record{Op: history.SAdd, Arg: elements}, client.SAddOp(key, elements...)
}

// unique is a value that no other operation of the run writes.
func (w *worker) unique() string {
	w.n++
	return fmt.Sprintf("%s/%d", w.name, w.n)
}

// note counts the outcome and fills in what the cluster answered.
func (w *worker) note(rec *history.Record, r *client.Result, err error) {
	switch rec.Outcome {
	case history.OK:
		w.totals.Acked++
		rec.Node, rec.Tries, rec.ResultN = r.Answer.Node, r.Tries, int64(r.Changed)
		if rec.Op == history.Incr {
			rec.ResultN = r.Integer
		}
		if r.Dot != (client.Dot{}) {
			rec.Dot = &history.Dot{Actor: r.Dot.Actor, Seq: r.Dot.Seq}
		}
		return
	case history.Failed:
		w.totals.Failed++
	case history.Unknown:
		w.totals.Unknown++
	}
	w.totals.LastError = err
	rec.Error = strings.ToValidUTF8(err.Error(), "?")
	if e, ok := errors.AsType[*client.Error](err); ok {
		rec.Node = e.Addr
		if trace := e.Trace(); trace != "" {
			rec.Error += "; attempts: " + strings.ToValidUTF8(trace, "?")
		}
	}
}
