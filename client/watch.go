package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/ring"
)

// watchSilence is how long a node may say nothing before a watch goes on at
// another: it says how far it is once a second.
const watchSilence = 5 * time.Second

// WatchOptions says what a watch tells. The zero WatchOptions tells which keys
// change from now on.
type WatchOptions struct {
	Cursor  []byte // of an earlier watch of the same bucket and prefix, to go on from; none: from now on
	Values  bool   // with each change the value, as Get reads it
	Initial bool   // all keys first, where there is no cursor: each partition begins with a resync
}

// EventType is what an Event tells.
type EventType uint8

const (
	// EventChange tells what a key is now.
	EventChange EventType = iota + 1
	// EventProgress tells that the watch is alive, and that its Cursor may have moved.
	EventProgress
	// EventResync tells that changes of a partition can no longer be told: all of
	// its keys follow as changes, up to EventResynced.
	EventResync
	// EventResynced ends a resync: keys of the partition (see Contains) that were
	// not named since it began are not there any more.
	EventResynced
)

// Event is one thing that a watch tells.
type Event struct {
	Type EventType

	Key          string // of a change, as are those up to Node
	Kind         Kind   // NoKind where it was deleted or has several kinds
	Deleted      bool
	KindConflict bool   // see Keep
	Value        *Value // where it was asked for and is not too large to be told: then Get reads it
	DC, Node     string // where the last event was coordinated; empty where that is not known

	Partition int    // of a resync
	Reason    string // of a resync: initial, trimmed, lost or cursor
	Waiting   int    // of progress: partitions of which no owner can tell at present

	partitions int
	session    *pb.Session // of a change: what makes reads see it
}

// Contains reports whether a key of the bucket belongs to the partition of a resync.
func (e *Event) Contains(bucket, key string) bool {
	return e.partitions > 0 && ring.PartitionOf(ring.KeyHash(bucket, []byte(key)), e.partitions) == e.Partition
}

// Watch is a watch under way: Next, or Events, gives what changes, at least once
// and of each key in order. It goes on at another node when one fails. All of it
// but Close is for one goroutine at a time.
type Watch struct {
	c      *Client
	req    *pb.WatchRequest
	ctx    context.Context
	cancel context.CancelFunc
	retry  *backoff.ExponentialBackOff

	mu     sync.Mutex
	cursor []byte

	stream  grpc.ServerStreamingClient[pb.WatchResponse]
	end     context.CancelFunc // of stream
	silent  *time.Timer
	next    int // in the order of nodes
	fails   int // in a row
	begun   bool
	pending []Event
	then    []byte // cursor that counts once pending is empty
}

// Watch watches the keys of a bucket that begin with prefix, until ctx ends or
// Close. It does not wait for a node: Next does. Of the options of the call, only
// the bucket counts.
func (c *Client) Watch(ctx context.Context, prefix string, w WatchOptions, opts ...CallOption) (*Watch, error) {
	o, err := c.options("Watch", opts)
	if err != nil {
		return nil, err
	}
	own, cancel := context.WithCancel(ctx)
	return &Watch{
		c: c, ctx: own, cancel: cancel, cursor: w.Cursor,
		req:   &pb.WatchRequest{Bucket: o.bucket, Prefix: []byte(prefix), Values: w.Values, Initial: w.Initial},
		retry: &backoff.ExponentialBackOff{InitialInterval: c.opts.RetryBase, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: c.opts.RetryMax},
	}, nil
}

// Close ends the watch. It may be called while Next waits, and again.
func (w *Watch) Close() { w.cancel() }

// Cursor is where another watch goes on behind everything that Next has given up
// to the last progress; nil before the first.
func (w *Watch) Cursor() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cursor
}

// Events ranges over what Next gives. It ends with an error, which is the
// context's after Close.
func (w *Watch) Events() iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		for {
			e, err := w.Next()
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Next waits for the next event. An error is for good.
func (w *Watch) Next() (*Event, error) {
	for len(w.pending) == 0 {
		r, err := w.receive()
		if err != nil {
			if e := w.broken(err); e != nil {
				w.hangUp()
				return nil, e
			}
			continue
		}
		w.fails, w.begun = 0, true
		w.retry.Reset()
		w.take(r)
	}
	e := w.pending[0]
	w.pending = w.pending[1:]
	if e.Type == EventProgress && w.then != nil {
		w.mu.Lock()
		w.cursor, w.then = w.then, nil
		w.mu.Unlock()
	}
	return &e, nil
}

// receive takes the next message of the stream, which it opens if there is none.
func (w *Watch) receive() (*pb.WatchResponse, error) {
	if w.stream == nil {
		if err := w.open(); err != nil {
			return nil, err
		}
	}
	w.silent.Reset(watchSilence)
	r, err := w.stream.Recv()
	w.silent.Stop()
	return r, err
}

func (w *Watch) open() error {
	nodes := w.c.order()
	node := nodes[w.next%len(nodes)]
	ctx, cancel := context.WithCancel(w.ctx)
	w.end = cancel
	w.silent = time.AfterFunc(watchSilence, cancel)
	w.req.Cursor = w.Cursor()
	stream, err := node.kv.Watch(ctx, w.req)
	if err != nil {
		return err
	}
	w.stream = stream
	return nil
}

func (w *Watch) hangUp() {
	if w.end != nil {
		w.silent.Stop()
		w.end()
	}
	w.stream, w.end = nil, nil
}

// broken says why a watch cannot go on, nil if it can.
func (w *Watch) broken(err error) error {
	w.hangUp()
	select {
	case <-w.c.closed:
		return refuse("Watch", codes.Canceled, "CLIENT_CLOSED", "the client is closed")
	case <-w.ctx.Done():
		return attemptError("Watch", "", w.ctx.Err(), false, false)
	default:
	}
	if errors.Is(err, io.EOF) { // the node has ended it in good order
		return nil
	}
	e := attemptError("Watch", "", err, false, false)
	if !retryable(e) && e.Code != codes.Unknown && e.Code != codes.Internal {
		return e
	}
	w.next++
	if w.fails++; !w.begun && w.fails > w.c.opts.MaxRetries {
		return e
	}
	if w.fails >= len(w.c.nodes) && !w.c.pause(w.ctx, w.retry.NextBackOff()) && w.ctx.Err() != nil {
		return attemptError("Watch", "", w.ctx.Err(), false, false)
	}
	return nil
}

// take makes events of a message.
func (w *Watch) take(r *pb.WatchResponse) {
	switch of := r.GetOf().(type) {
	case *pb.WatchResponse_Changes:
		for _, ch := range of.Changes.GetChanges() {
			e := Event{
				Type: EventChange, Key: string(ch.GetKey()), Kind: Kind(ch.GetKind()), Deleted: ch.GetDeleted(),
				KindConflict: ch.GetKindConflict(), DC: ch.GetDc(), Node: ch.GetNode(), session: of.Changes.GetSession(),
			}
			if ch.GetValue() != nil {
				e.Value = valueOf(ch.GetValue())
			}
			w.pending = append(w.pending, e)
		}
	case *pb.WatchResponse_Progress:
		if c := of.Progress.GetCursor(); len(c) > 0 {
			w.then = c
		}
		w.pending = append(w.pending, Event{Type: EventProgress, Waiting: int(of.Progress.GetWaiting())})
	case *pb.WatchResponse_Resync:
		e := Event{Type: EventResync, Partition: int(of.Resync.GetPartition()), partitions: int(of.Resync.GetPartitions())}
		if of.Resync.GetOver() {
			e.Type = EventResynced
		}
		e.Reason = strings.ToLower(strings.TrimPrefix(of.Resync.GetReason().String(), "RESYNC_REASON_"))
		w.pending = append(w.pending, e)
	}
}
