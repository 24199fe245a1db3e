package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/history"
	"github.com/godwitdb/godwit/internal/history/driver"
)

const (
	bucket      = "default"
	keysOfLoad  = 64      // of each kind
	watchers    = 2       // write and read in turn
	perKey      = 50      // writes of a watcher to one key
	historyMost = 5 << 20 // records
	retries     = 20      // of a request, for as long as it has time
)

// load is what clients do while nodes are hurt, and its history.
type load struct {
	file     *os.File
	recorder *history.Recorder
	opts     driver.Options
	stop     chan struct{}
	work     sync.WaitGroup
	reads    atomic.Int64

	mu      sync.Mutex
	watched []string // keys of watchers
	err     error
}

// startLoad lets clients begin. Half of them stay with one node for as long as
// it answers, the others go round.
func startLoad(ctx context.Context, c *cluster) (*load, error) {
	file, err := os.Create(filepath.Join(c.opts.Dir, "history.jsonl"))
	if err != nil {
		return nil, err
	}
	l := &load{file: file, recorder: history.NewRecorder(file), stop: make(chan struct{})}
	for i, id := range c.ids {
		o := client.Options{DC: "stays/" + id, MaxRetries: retries}
		if i%2 == 1 {
			o.DC, o.RoundRobin = "goes round/"+id, true
		}
		cl, err := c.open(ctx, i, o)
		if err != nil {
			return nil, err
		}
		l.opts.Clients = append(l.opts.Clients, cl)
	}
	l.opts.Recorder, l.opts.Stop, l.opts.Seed, l.opts.Bucket = l.recorder, l.stop, c.opts.Seed, bucket
	l.opts.Workers, l.opts.Keys = max(1, c.opts.Workers/len(c.ids)), keysOfLoad
	l.work.Go(func() {
		_, err := driver.Run(ctx, l.opts)
		l.note(err)
	})
	for i := range watchers {
		cl, err := c.open(ctx, i, client.Options{DC: "watch/" + strconv.Itoa(i), RoundRobin: true, MaxRetries: retries})
		if err != nil {
			return nil, err
		}
		l.work.Go(func() {
			l.note(l.watch(ctx, cl))
			l.note(cl.Close())
		})
	}
	return l, nil
}

func (l *load) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errors.Join(l.err, err)
}

// watch puts a value and reads it back at another node, again and again: what
// was acknowledged by a quorum of owners is what a quorum of owners reads.
func (l *load) watch(ctx context.Context, cl *client.Client) error {
	key := ""
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			return nil
		default:
		}
		if i%perKey == 0 {
			key = fmt.Sprintf("%s:%d", cl.DC(), i/perKey)
			l.mu.Lock()
			l.watched = append(l.watched, key)
			l.mu.Unlock()
		}
		if err := l.turn(ctx, cl, key, strconv.Itoa(i)); err != nil {
			return err
		}
	}
}

// turn is one put and one get of a watcher.
func (l *load) turn(ctx context.Context, cl *client.Client, key, value string) error {
	strong := []client.CallOption{client.WithConsistency(client.Quorum), client.WithStrict()}
	rec := &history.Record{Op: history.Put, Arg: []string{value}, Client: cl.DC(), DC: cl.DC(), Bucket: bucket, Key: key}
	rec.Start = l.recorder.Now()
	r, err := cl.Update(ctx, client.PutOp(key, []byte(value)), strong...)
	l.end(rec, err)
	if err == nil {
		rec.Node, rec.Tries = r.Answer.Node, r.Tries
		if r.Dot != (client.Dot{}) {
			rec.Dot = &history.Dot{Actor: r.Dot.Actor, Seq: r.Dot.Seq}
		}
	}
	if err := l.recorder.Record(rec); err != nil {
		return err
	}
	l.reads.Add(1)
	rec = &history.Record{Op: history.Get, Client: cl.DC(), DC: cl.DC(), Bucket: bucket, Key: key}
	rec.Start = l.recorder.Now()
	v, err := cl.Get(ctx, key, strong...)
	if client.IsNotFound(err) {
		v, err = &client.Value{}, nil
	}
	l.end(rec, err)
	if err == nil {
		rec.Node, rec.Result = v.Answer.Node, liveOf(v)
	}
	return l.recorder.Record(rec)
}

// liveOf are the values of a register, the winner first.
func liveOf(v *client.Value) []string {
	if v.Kind == 0 {
		return nil
	}
	live := []string{string(v.Bytes)}
	for i, s := range v.Siblings {
		if i > 0 { // the first is the winner again
			live = append(live, string(s.Value))
		}
	}
	return live
}

func (l *load) end(rec *history.Record, err error) {
	rec.End = l.recorder.Now()
	rec.Outcome = history.Outcome(client.OutcomeOf(err).String())
	if err != nil {
		rec.Error = strings.ToValidUTF8(err.Error(), "?")
	}
}

// writes is how many writes have ended, however.
func (l *load) writes() int { return l.recorder.Len() - int(l.reads.Load()) }

// finish lets the clients end and returns what they did.
func (l *load) finish() ([]*history.Record, error) {
	close(l.stop)
	l.work.Wait()
	if err := errors.Join(l.err, l.recorder.Flush()); err != nil {
		return nil, err
	}
	if _, err := l.file.Seek(0, 0); err != nil {
		return nil, err
	}
	return history.ReadAll(l.file, historyMost)
}

// final reads what is there in the end, as every client sees it.
func (l *load) final(ctx context.Context) (history.State, error) {
	keys, err := driver.KeysOf(l.opts)
	if err != nil {
		return nil, err
	}
	return driver.FinalState(ctx, l.opts.Clients, l.opts.Bucket, append(keys, l.watched...))
}

func (l *load) close() error {
	errs := []error{l.file.Close()}
	for _, cl := range l.opts.Clients {
		errs = append(errs, cl.Close())
	}
	return errors.Join(errs...)
}
