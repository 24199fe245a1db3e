package words

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwitdb/godwit/client"
)

// Keys in the bucket.
const (
	wordKey   = "word:"
	letterKey = "letter:"
)

// maxChunk keeps the words of one letter within one operation.
const maxChunk = 1000

// rounds is how often what was applied nowhere is asked for again, after the
// client itself has given up.
const rounds = 5

// Options configures Run and Check. Zero fields take the default named beside them.
type Options struct {
	Clients  []*client.Client // required: one for each datacenter, with its label
	Texts    []Text           // required
	Bucket   string           // "default"
	Chunk    int              // words that are counted before they are sent, at most 1000; 200
	Workers  int              // of each text; 4
	Timeout  time.Duration    // of one request; the client's
	Progress func(words int)  // told how many more words are counted, by many goroutines; nobody
}

func (o Options) withDefaults() (Options, error) {
	o.Bucket = cmp.Or(o.Bucket, "default")
	o.Chunk = cmp.Or(o.Chunk, 200)
	o.Workers = cmp.Or(o.Workers, 4)
	if o.Progress == nil {
		o.Progress = func(int) {}
	}
	var errs []error
	if len(o.Clients) == 0 || len(o.Texts) == 0 {
		errs = append(errs, errors.New("words: at least one client and one text are required"))
	}
	for _, t := range o.Texts {
		if o.clientOf(t.DC) == nil {
			errs = append(errs, fmt.Errorf("words: text %s is for datacenter %q, which no client is for", t.Name, t.DC))
		}
	}
	if o.Chunk < 0 || o.Chunk > maxChunk {
		errs = append(errs, fmt.Errorf("words: chunks of %d words, 1 to %d are allowed", o.Chunk, maxChunk))
	}
	if o.Workers < 0 || o.Workers > 256 {
		errs = append(errs, fmt.Errorf("words: %d workers of a text, 1 to 256 are allowed", o.Workers))
	}
	return o, errors.Join(errs...)
}

func (o *Options) clientOf(dc string) *client.Client {
	for _, c := range o.Clients {
		if c.DC() == dc {
			return c
		}
	}
	return nil
}

func (o *Options) call() []client.CallOption {
	opts := []client.CallOption{client.WithBucket(o.Bucket)}
	if o.Timeout > 0 {
		opts = append(opts, client.WithTimeout(o.Timeout))
	}
	return opts
}

// Summary is what a run did.
type Summary struct {
	Words      int64 // acknowledged, each as often as it occurs
	Increments int64 // acknowledged requests to a counter
	Adds       int64 // acknowledged requests to a set
	Unknown    int64 // words that may have been counted or not
	Failed     int64 // words that were not counted
	Took       time.Duration
}

// Run counts all texts at once, each in its datacenter. It returns an error if
// some words could not be counted or nobody knows whether they were; the
// summary says how many, and a later Check what became of them.
func Run(ctx context.Context, o Options) (Summary, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Summary{}, err
	}
	begin := time.Now()
	r := &run{opts: &o}
	var wg sync.WaitGroup
	for _, t := range o.Texts {
		chunks := slices.Collect(slices.Chunk(t.Words, o.Chunk))
		var next atomic.Int64
		l := &loader{run: r, client: o.clientOf(t.DC), added: map[string]bool{}}
		for range min(o.Workers, len(chunks)) {
			wg.Go(func() {
				for i := next.Add(1) - 1; i < int64(len(chunks)) && ctx.Err() == nil; i = next.Add(1) - 1 {
					l.load(ctx, chunks[i])
				}
			})
		}
	}
	wg.Wait()
	s := Summary{
		Words: r.words.Load(), Increments: r.increments.Load(), Adds: r.adds.Load(),
		Unknown: r.unknown.Load(), Failed: r.failed.Load(), Took: time.Since(begin),
	}
	if err := ctx.Err(); err != nil {
		return s, fmt.Errorf("count words: stopped after %d of %d: %w", s.Words, Count(o.Texts...).Total(), err)
	}
	return s, r.err
}

// run is shared by all workers.
type run struct {
	opts *Options

	words, increments, adds, unknown, failed atomic.Int64

	mu  sync.Mutex
	err error // the first
}

func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = cmp.Or(r.err, err)
}

// loader counts one text.
type loader struct {
	*run
	client *client.Client

	mu    sync.Mutex
	added map[string]bool // words that are in the set of their letter for sure
}

// task is one operation and what it is about.
type task struct {
	op    client.Op
	words int64    // occurrences, of an increment
	set   []string // elements, of an add
}

// load sends the counts of one chunk of words.
func (l *loader) load(ctx context.Context, chunk []string) {
	tasks := l.tasks(chunk)
	var last error
	for range rounds {
		ops := make([]client.Op, len(tasks))
		for i := range tasks {
			ops[i] = tasks[i].op
		}
		results, err := l.client.BatchUpdate(ctx, ops, l.opts.call()...)
		if err != nil { // the request itself is wrong: asking again changes nothing
			last = err
			break
		}
		var again []task
		for i, res := range results {
			if res.Err == nil {
				l.done(&tasks[i])
				continue
			}
			last = res.Err
			if tasks[i].set == nil && client.OutcomeOf(res.Err) == client.Unknown {
				l.unknown.Add(tasks[i].words)
				l.run.fail(fmt.Errorf("count words in %s: %w", l.client.DC(), res.Err))
				continue
			}
			again = append(again, tasks[i]) // applied nowhere, or an add, which may be repeated
		}
		if tasks = again; len(tasks) == 0 || ctx.Err() != nil {
			break
		}
	}
	for _, t := range tasks {
		l.failed.Add(t.words)
		l.run.fail(fmt.Errorf("count words in %s: %w", l.client.DC(), last))
	}
	l.opts.Progress(len(chunk))
}

// tasks are the increments of the words of a chunk and the adds of those that
// are not known to be in their sets.
func (l *loader) tasks(chunk []string) []task {
	counts := Count(Text{Words: chunk})
	fresh := Counts{}
	l.mu.Lock()
	for w := range counts {
		if !l.added[w] {
			fresh[w] = 1
		}
	}
	l.mu.Unlock()
	var tasks []task
	for _, w := range counts.Sorted() {
		tasks = append(tasks, task{op: client.IncrOp(wordKey+w, counts[w]), words: counts[w]})
	}
	letters := fresh.Letters()
	for _, letter := range slices.Sorted(maps.Keys(letters)) {
		tasks = append(tasks, task{op: client.SAddOp(letterKey+letter, letters[letter]...), set: letters[letter]})
	}
	return tasks
}

func (l *loader) done(t *task) {
	if t.set == nil {
		l.words.Add(t.words)
		l.increments.Add(1)
		return
	}
	l.adds.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range t.set {
		l.added[w] = true
	}
}
