package loadtest

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/history"
)

// Limits of a history. It is kept in a file and judged in passes over it, each
// of some of the keys, so that memory does not grow with the run.
const (
	maxRecords   = 20_000_000
	passRecords  = 100_000 // about so many at a time
	shownFinding = 20
	readTimeout  = 20 * time.Second
	readers      = 8 // of the final state, in each datacenter
)

// errBookFull ends a run whose history would grow without bound.
var errBookFull = fmt.Errorf("the history has %d operations, and no more are kept: check a shorter run", maxRecords)

// book is the history of a run. Safe for concurrent use.
type book struct {
	recorder *history.Recorder
	file     *os.File
	n        atomic.Int64
}

func newBook(file *os.File) *book { return &book{recorder: history.NewRecorder(file), file: file} }

func (b *book) record(rec *history.Record) error {
	if b.n.Add(1) > maxRecords {
		return errBookFull
	}
	return b.recorder.Record(rec)
}

// pass reads the records of which keep is true, and gives all that have a dot to
// dots.
func (b *book) pass(keep func(*history.Record) bool, dots func(*history.Record)) ([]*history.Record, error) {
	if _, err := b.file.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the history again: %w", err)
	}
	var out []*history.Record
	for rec, err := range history.Read(b.file) {
		if err != nil {
			return nil, err
		}
		if rec.Dot != nil {
			dots(rec)
		}
		if keep(rec) {
			out = append(out, rec)
		}
	}
	return out, nil
}

// convergence is when the datacenters became equal.
type convergence struct {
	equal bool
	after time.Duration
	err   error // why it could not be told
}

// The pause between two looks is as long as a look takes, and not less than
// convergePoll: looking must not keep the cluster from becoming equal.
const convergePoll = 20 * time.Millisecond

// converge waits until all is equal and every probe was seen. since is when it
// could begin to become so.
func (r *run) converge(since time.Time) convergence {
	var c convergence
	if r.book == nil && len(r.prober.pairs) == 0 {
		return c
	}
	ctx, cancel := context.WithTimeout(r.calls, r.opts.Settle)
	defer cancel()
	for {
		began := time.Now()
		if !c.equal && r.book != nil && r.opts.Cluster != nil {
			equal, err := r.opts.Cluster.Equal(ctx)
			c.err = err
			if equal {
				c.equal, c.after, c.err = true, time.Since(since), nil
			}
		}
		judged := c.equal || r.book == nil || r.opts.Cluster == nil
		if judged && r.prober.drained() {
			return c
		}
		timer := time.NewTimer(max(convergePoll, time.Since(began)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return c
		}
	}
}

// judge holds the history against what every datacenter holds in the end.
func (r *run) judge(c convergence) (*CheckResult, error) {
	if err := r.book.recorder.Flush(); err != nil {
		return nil, err
	}
	out := &CheckResult{Converged: c.equal, ConvergedAfterMS: durationMS(c.after)}
	if r.opts.Cluster == nil { // what keys hold is all there is to compare
		out.Converged = true
	} else if !c.equal {
		why := fmt.Sprintf("the replicas were not equal after %v", r.opts.Settle)
		if c.err != nil {
			why += ": " + c.err.Error()
		}
		out.find(why)
	}
	passes := uint64(r.book.recorder.Len()/passRecords + 1)
	seed := maphash.MakeSeed()
	for i := range passes {
		dots := newDotPass(seed, i, passes)
		records, err := r.book.pass(func(rec *history.Record) bool {
			return maphash.String(seed, rec.Key)%passes == i
		}, dots.saw)
		if err != nil {
			return nil, err
		}
		if err := r.judgePart(out, records); err != nil {
			return nil, err
		}
		reused := dots.ledger.Report().Reused
		out.Reused += len(reused)
		out.findAll("reused", reused)
	}
	out.Converged = out.Converged && out.Diverged == 0
	return out, nil
}

// judgePart judges the keys of one pass.
func (r *run) judgePart(out *CheckResult, records []*history.Record) error {
	var keys []string
	seen := map[string]bool{}
	for _, rec := range records {
		if !seen[rec.Key] {
			seen[rec.Key] = true
			keys = append(keys, rec.Key)
		}
	}
	ctx, cancel := context.WithTimeout(r.calls, finalTimeout)
	defer cancel()
	state, err := r.finalState(ctx, keys)
	if err != nil {
		return fmt.Errorf("read what is there in the end: %w", err)
	}
	for _, check := range []func([]*history.Record, history.State) *history.Report{
		history.CheckCounters, history.CheckSets, history.CheckRegisters, history.CheckEqual,
	} {
		rep := check(records, state)
		out.Lost, out.Phantom, out.Diverged = out.Lost+len(rep.Lost), out.Phantom+len(rep.Phantom), out.Diverged+len(rep.Diverged)
		out.findAll("lost", rep.Lost)
		out.findAll("phantom", rep.Phantom)
		out.findAll("diverged", rep.Diverged)
	}
	sessions := history.CheckSessions(records)
	out.Acked, out.Failed, out.Unknown = out.Acked+sessions.Acked, out.Failed+sessions.Failed, out.Unknown+sessions.Unknown
	out.Sessions += len(sessions.Lost)
	out.findAll("session", sessions.Lost)
	out.Keys += len(keys)
	return nil
}

// finalTimeout bounds the reading of the final state of one pass.
const finalTimeout = 10 * time.Minute

func (c *CheckResult) find(text string) {
	if len(c.Findings) < shownFinding {
		c.Findings = append(c.Findings, text)
	}
}

func (c *CheckResult) findAll(sort string, found []history.Finding) {
	for _, f := range found {
		c.find(sort + ": " + f.String())
	}
}

// dotPass looks at those dots that one pass is about.
type dotPass struct {
	seed         maphash.Seed
	pass, passes uint64
	ledger       *history.Ledger
}

func newDotPass(seed maphash.Seed, pass, passes uint64) *dotPass {
	return &dotPass{seed: seed, pass: pass, passes: passes, ledger: history.NewLedger()}
}

// saw notes what the dot of a record names: each record is an event of its own.
func (d *dotPass) saw(rec *history.Record) {
	if maphash.Comparable(d.seed, *rec.Dot)%d.passes != d.pass {
		return
	}
	d.ledger.Saw(*rec.Dot, history.Key{Bucket: rec.Bucket, Key: rec.Key}, "operation",
		fmt.Sprintf("%s by %s at %d", rec.Op, rec.Client, rec.Start))
}

// finalState reads keys in every datacenter.
func (r *run) finalState(ctx context.Context, keys []string) (history.State, error) {
	state := history.State{}
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readers * len(r.sites))
	whole := map[string][]string{} // fields by map; nil for other kinds
	for _, key := range keys {
		if in, field, ok := r.splitField(key); ok {
			whole[in] = append(whole[in], field)
		} else {
			whole[key] = nil
		}
	}
	for _, s := range r.sites {
		state[s.dc] = map[history.Key]history.Value{}
		for key, fields := range whole {
			g.Go(func() error {
				values, err := r.valuesOf(ctx, s, key, fields)
				if err != nil {
					return fmt.Errorf("%s in %s: %w", key, s.dc, err)
				}
				mu.Lock()
				defer mu.Unlock()
				for k, v := range values {
					state[s.dc][history.Key{Bucket: r.opts.Bucket, Key: k}] = v
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return state, nil
}

// splitField takes the name of a field in a history apart.
func (r *run) splitField(key string) (in, field string, ok bool) {
	if !strings.HasPrefix(key, r.opts.Name+":"+kindMap+":") {
		return "", "", false
	}
	return strings.Cut(key, "/")
}

// valuesOf reads a key, or fields of a map as keys of their own.
func (r *run) valuesOf(ctx context.Context, s *site, key string, fields []string) (map[string]history.Value, error) {
	opts := []client.CallOption{client.WithBucket(r.opts.Bucket), client.WithConsistency(client.Quorum), client.WithTimeout(readTimeout)}
	out := map[string]history.Value{}
	if fields != nil {
		all, err := s.client.HGetAll(ctx, key, opts...)
		if client.IsNotFound(err) {
			return out, nil
		}
		for _, f := range all {
			if slices.Contains(fields, f.Name) {
				out[inMap(key, f.Name)] = valueOf(&f.Value)
			}
		}
		return out, err
	}
	v, err := s.client.Get(ctx, key, opts...)
	if client.IsNotFound(err) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	value := valueOf(v)
	if len(v.NextPage) > 0 {
		if value.Elements, err = s.client.SMembers(ctx, key, opts...); err != nil {
			return nil, err
		}
	}
	out[key] = value
	return out, nil
}

// valueOf is a value as checkers see it: of a register, the ids of its values.
func valueOf(v *client.Value) history.Value {
	out := history.Value{Integer: v.Integer, Elements: v.Elements}
	if v.Kind == client.Register || v.Kind == client.MVRegister {
		out.Live = []string{idOf(v.Bytes)}
		for i, s := range v.Siblings {
			if i > 0 { // the first is the winner again
				out.Live = append(out.Live, idOf(s.Value))
			}
		}
	}
	return out
}
