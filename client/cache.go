package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// NearCache keeps values that Get has read in this process, for reads that ask
// one replica: those with the consistency One, or WithR(1), of the bucket and
// prefix. A watch drops what others change, usually within milliseconds and
// always within some seconds: while the watch cannot tell, nothing is kept and
// nothing is answered from here. What this client writes is dropped at once, and
// is never answered older. Zero fields take the default named beside them.
type NearCache struct {
	Bucket  string // the client's own
	Prefix  string // of the keys that are kept; all
	Bytes   int64  // about, of values; 64 MiB
	Entries int    // at the most; 100,000
}

// nearSilence is how long the cache trusts a watch that says nothing.
const nearSilence = 3 * time.Second

// perEntry is about what an entry costs beside its value.
const perEntry = 256

// near is a NearCache at work. A nil near keeps nothing.
//
// A read that fills it carries the session of the cache, in which is all that the
// watch has told and all that this client has written: so it is not older than
// what was told before it began. What is told, or written, while it is under way
// spoils it.
type near struct {
	c       *Client
	o       NearCache
	entries *otter.Cache[string, *nearEntry]
	session *Session
	cancel  context.CancelFunc
	work    sync.WaitGroup
	heard   atomic.Int64 // when the watch last said that it misses nothing, in nanoseconds since start; 0: it does not
	start   time.Time
	hits    atomic.Uint64

	mu     sync.Mutex
	fills  map[string]map[*nearFill]struct{} // reads under way, by key
	tokens map[partID][]byte                 // that the watch told last
}

type nearEntry struct {
	value *Value
	began time.Time   // the read that brought it
	known [][]byte    // tokens of sessions that the value is not older than
	shows *pb.Session // what a session has seen that was given the value
}

type nearFill struct{ spoiled bool }

func (o NearCache) withDefaults(bucket string) (NearCache, error) {
	o.Bucket = cmp.Or(o.Bucket, bucket)
	o.Bytes, o.Entries = cmp.Or(o.Bytes, 64<<20), cmp.Or(o.Entries, 100_000)
	if o.Bytes < 0 || o.Entries < 0 || o.Bytes > 1<<40 {
		return o, errors.New("client: near cache: Bytes and Entries are at least 0, and Bytes at most 1 TiB")
	}
	return o, nil
}

func (c *Client) openNear() error {
	if c.opts.NearCache == nil {
		return nil
	}
	o, err := c.opts.NearCache.withDefaults(c.opts.Bucket)
	if err != nil {
		return err
	}
	n := &near{c: c, o: o, session: NewSession(1 << 16), fills: map[string]map[*nearFill]struct{}{}, tokens: map[partID][]byte{}, start: time.Now()}
	least := uint32(min(max(o.Bytes/int64(o.Entries), 1), 1<<31))
	n.entries, err = otter.New(&otter.Options[string, *nearEntry]{
		MaximumWeight: uint64(o.Bytes),
		Weigher:       func(key string, e *nearEntry) uint32 { return max(least, uint32(min(len(key)+e.value.size(), 1<<31))) },
	})
	if err != nil {
		return fmt.Errorf("client: near cache: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w, err := c.Watch(ctx, o.Prefix, WatchOptions{}, WithBucket(o.Bucket))
	if err != nil {
		cancel()
		return err
	}
	n.cancel = cancel
	c.near = n
	n.work.Go(func() { n.follow(w) })
	return nil
}

func (n *near) close() {
	if n == nil {
		return
	}
	n.cancel()
	n.work.Wait()
	n.entries.StopAllGoroutines()
}

// size is about what a value takes.
func (v *Value) size() int {
	size := perEntry + len(v.Bytes) + len(v.Context)
	for _, e := range v.Elements {
		size += len(e) + 16
	}
	for _, s := range v.Siblings {
		size += len(s.Value) + 64
	}
	for _, m := range v.Members {
		size += len(m.Member) + 32
	}
	for i := range v.Fields {
		size += len(v.Fields[i].Name) + v.Fields[i].Value.size()
	}
	return size
}

// follow drops what others change, until the watch ends.
func (n *near) follow(w *Watch) {
	defer w.Close()
	for {
		e, err := w.Next()
		if err != nil {
			n.forget()
			return
		}
		switch e.Type {
		case EventChange:
			n.told(e)
		case EventResync, EventResynced:
			n.forget()
		case EventProgress:
			if e.Waiting > 0 || w.Cursor() == nil {
				n.forget()
			} else {
				if !n.live() {
					n.drop() // it may have missed something
				}
				n.heard.Store(max(int64(time.Since(n.start)), 1))
			}
		}
	}
}

// live reports whether the watch would have told of a change.
func (n *near) live() bool {
	at := n.heard.Load()
	return at != 0 && time.Since(n.start)-time.Duration(at) < nearSilence
}

// forget drops everything, and trusts the watch no more until it says that it
// misses nothing.
func (n *near) forget() {
	n.heard.Store(0)
	n.drop()
}

func (n *near) drop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, fills := range n.fills {
		for f := range fills {
			f.spoiled = true
		}
	}
	n.entries.InvalidateAll()
}

// told drops a key that changed.
func (n *near) told(e *Event) {
	if s := e.session; len(s.GetTokens()) > 0 {
		id := partID{s.GetPlacement(), s.GetPartition()}
		n.session.take(n.o.Bucket, &pb.Session{Tokens: [][]byte{n.tokens[id]}}, s)
		n.tokens[id] = s.GetTokens()[0]
	}
	n.wrote(n.o.Bucket, e.Key)
}

// covers reports whether a key is one that is kept.
func (n *near) covers(bucket, key string) bool {
	return n != nil && bucket == n.o.Bucket && len(key) >= len(n.o.Prefix) && key[:len(n.o.Prefix)] == n.o.Prefix
}

// wrote drops a key that changes, or may have changed.
func (n *near) wrote(bucket, key string) {
	if !n.covers(bucket, key) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for f := range n.fills[key] {
		f.spoiled = true
	}
	n.entries.Invalidate(key)
}

// writing drops a key that is about to be written, and has the answer tell the
// cache what it must not be older than.
func (n *near) writing(key string, o *callOptions, bucket string) {
	if !n.covers(bucket, key) {
		return
	}
	n.wrote(bucket, key)
	if o.session == nil {
		o.session = n.session
	}
}

// written drops a key that was written, and notes what the answer gave.
func (n *near) written(bucket, key string, got *pb.Session) {
	if !n.covers(bucket, key) {
		return
	}
	n.session.take(bucket, nil, got)
	n.wrote(bucket, key)
}

// get is Get by way of the cache; false where the call is not for it.
func (n *near) get(ctx context.Context, key string, opts []CallOption) (*Value, bool) {
	if n == nil || !n.live() {
		return nil, false
	}
	o, err := n.c.options("Get", opts)
	if err != nil || !n.covers(o.bucket, key) || o.r > 1 || o.r == 0 && o.consistency != One {
		return nil, false
	}
	since := o.session.visit(n.c)
	if e, ok := n.entries.GetIfPresent(key); ok && e.usable(n.c.opts.Now()) && !e.began.Before(since) && o.session.knows(o.bucket, key, e) {
		n.hits.Add(1)
		return e.value.clone(), true
	}
	f := n.begin(key)
	e, err := n.read(ctx, key, o)
	o.session.visit(n.c)
	n.end(key, f, e, o.session != nil)
	if err != nil {
		return nil, false // the plain read tells what is wrong
	}
	return e.value.clone(), true
}

// begin notes a read that is to fill the cache.
func (n *near) begin(key string) *nearFill {
	f := &nearFill{}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fills[key] == nil {
		n.fills[key] = map[*nearFill]struct{}{}
	}
	n.fills[key][f] = struct{}{}
	return f
}

// end keeps what a read brought, nil if it failed, unless something has spoiled it.
// A session that was given it is to be given nothing older from here: neither what
// other reads are about to bring nor, if it was not kept, what they brought.
func (n *near) end(key string, f *nearFill, e *nearEntry, session bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if delete(n.fills[key], f); len(n.fills[key]) == 0 {
		delete(n.fills, key)
	}
	kept := e != nil && !f.spoiled && n.live() && !e.shows.GetTruncated()
	if kept {
		n.entries.Set(key, e)
	}
	if !session {
		return
	}
	for other := range n.fills[key] {
		other.spoiled = true
	}
	if !kept {
		n.entries.Invalidate(key)
	}
}

// read reads a key, no older than what the cache and the session of the call know.
func (n *near) read(ctx context.Context, key string, o *callOptions) (*nearEntry, error) {
	req := &pb.GetRequest{Bucket: o.bucket, Key: []byte(key), Limit: pageLimit, Options: o.read()}
	carried := n.session.carry(o.bucket, req.GetKey())
	both := &pb.Session{Tokens: carried.GetTokens()}
	theirs := o.session.carry(o.bucket, req.GetKey())
	both.Tokens = append(both.Tokens, theirs.GetTokens()...)
	req.Options.Session = both
	began := time.Now()
	var resp *pb.GetResponse
	err := n.c.do(ctx, o.readCall("Get"), func(ctx context.Context, a *attempt) (err error) {
		resp, err = a.kv.Get(ctx, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	n.session.take(o.bucket, carried, resp.GetSession())
	o.session.take(o.bucket, theirs, resp.GetSession())
	return &nearEntry{began: began, value: valueOf(resp), known: append(both.GetTokens(), resp.GetSession().GetTokens()...), shows: resp.GetSession()}, nil
}

// usable reports whether the value has not expired.
func (e *nearEntry) usable(now time.Time) bool {
	return e.value.ExpiresAt.IsZero() || now.Before(e.value.ExpiresAt)
}

// knows reports whether an entry shows all that a session knows of its
// partition, and if so notes that the session has seen it.
func (s *Session) knows(bucket, key string, e *nearEntry) bool {
	if s == nil {
		return true
	}
	for _, t := range s.carry(bucket, []byte(key)).GetTokens() {
		if !contains(e.known, t) {
			return false
		}
	}
	s.take(bucket, nil, e.shows)
	return true
}

// clone is a copy that the caller may change at its top; what lies below is shared.
func (v *Value) clone() *Value {
	c := *v
	c.Bytes = append([]byte(nil), v.Bytes...)
	c.Elements = append([]string(nil), v.Elements...)
	c.Fields = append([]Field(nil), v.Fields...)
	c.Members = append([]Member(nil), v.Members...)
	c.Siblings = append([]Sibling(nil), v.Siblings...)
	c.Context = append([]byte(nil), v.Context...)
	return &c
}
