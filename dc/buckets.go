package dc

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
	"github.com/godwitdb/godwit/topology"
)

// Buckets that the topology does not name are defined in godwit itself: one key
// of kind map, in a bucket that clients do not see, has a register for each. So
// every datacenter defines and alters buckets on its own, and all end up with
// the same. Every node keeps what it knows of them, looks once in a while
// whether an owner of that key has something else, and looks at once when it is
// asked for a bucket that it does not know.
const (
	systemBucket = ".godwit"
	bucketsKey   = "buckets"
	metaBuckets  = "buckets" // what a node knew last, for one that starts alone

	maxBuckets    = 1000                  // that the topology does not name
	learnTimeout  = 2 * time.Second       // of a look at the definitions
	learnInterval = 50 * time.Millisecond // between two looks, a few aside
)

// catalog is the buckets that a node knows. Safe for concurrent use.
type catalog struct {
	n     *Node
	based atomic.Pointer[map[string]*bucket] // those of the topology, and the system's
	now   atomic.Pointer[buckets]

	turn  chan struct{} // held while the definitions are looked at, and for what follows
	began time.Time     // of the last look
	seen  []byte        // digest of the definitions at an owner, nil while what is known may be behind it
	pace  *rate.Limiter
}

// buckets is what is known at one moment. Immutable.
type buckets struct {
	byName map[string]*bucket        // that requests may use
	made   map[string]*v1.BucketInfo // what is defined beside the topology, shadowed or not
}

type bucket struct {
	topology.Bucket
	placement *placement
	dcs       []string
	deleting  bool // it takes no writes but removals
}

func newCatalog(n *Node) *catalog {
	c := &catalog{n: n, turn: make(chan struct{}, 1), pace: rate.NewLimiter(rate.Every(learnInterval), 4)}
	c.now.Store(&buckets{})
	c.rebase()
	return c
}

// base is those of the topology, and the system's.
func (c *catalog) base() map[string]*bucket { return *c.based.Load() }

// rebase takes up the topology: at first, and when it is another one.
func (c *catalog) rebase() {
	t, base := c.n.topology(), map[string]*bucket{}
	for _, b := range t.Buckets {
		base[b.Name] = c.placed(b)
	}
	if home, ok := commonPlacement(t); ok {
		system, _ := t.CheckBucket(topology.Bucket{Name: systemBucket, Placement: home, Kind: "map"})
		base[systemBucket] = c.placed(system)
	}
	c.based.Store(&base)
	c.now.Store(c.with(c.now.Load().made))
}

// commonPlacement names the placement that every datacenter keeps: the default
// one where it is, else the first by name.
func commonPlacement(t *topology.Topology) (string, bool) {
	var names []string
	for _, p := range t.Placements {
		if !slices.ContainsFunc(t.Datacenters, func(d topology.Datacenter) bool { return d.State != topology.DCRemoved && p.Replicas[d.Name] == 0 }) {
			names = append(names, p.Name)
		}
	}
	if slices.Contains(names, topology.DefaultPlacement) || len(names) == 0 {
		return topology.DefaultPlacement, len(names) > 0
	}
	return slices.Min(names), true
}

// placed is a bucket on its placement; nil where the topology has no such one.
func (c *catalog) placed(b topology.Bucket) *bucket {
	p, ok := c.n.topology().Placement(b.Placement)
	if !ok {
		return nil
	}
	return &bucket{Bucket: b, placement: c.n.world().byName[b.Placement], dcs: p.DCs()}
}

// find returns a bucket, after a look at the definitions if it is not known.
// Nil says that there is none.
func (c *catalog) find(name string) (*bucket, error) {
	if b := c.now.Load().byName[name]; b != nil {
		return b, nil
	}
	if c.base()[systemBucket] == nil || name == "" || len(name) > crdt.MaxBucketBytes || topology.SystemBucket(name) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(c.n.ctx, learnTimeout)
	defer cancel()
	if err := c.learn(ctx); err != nil {
		return nil, refuse(Unavailable, "BUCKETS_UNREACHABLE", "bucket %.80q is not known to this node, and the definitions cannot be read: %s", name, err)
	}
	return c.now.Load().byName[name], nil
}

// known is find without a look.
func (c *catalog) known(name string) *bucket { return c.now.Load().byName[name] }

// learn looks at the definitions, or waits for a look that begins from now on.
func (c *catalog) learn(ctx context.Context) error {
	asked := time.Now()
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	if c.began.After(asked) {
		return nil
	}
	if err := c.pace.Wait(ctx); err != nil {
		return fmt.Errorf("too many looks at the definitions: %w", err)
	}
	return c.look(ctx)
}

// look reads the definitions from a quorum or, failing that, from one replica.
// The caller holds the turn.
func (c *catalog) look(ctx context.Context) error {
	began := time.Now()
	made, err := c.read(ctx, v1.Consistency_CONSISTENCY_QUORUM)
	if err != nil {
		c.seen = nil
		if made, err = c.read(ctx, v1.Consistency_CONSISTENCY_ONE); err != nil {
			return err
		}
		for name, info := range c.now.Load().made { // one replica may lack what is known here
			if told := made[name]; told == nil || told.GetChangedUnixMs() < info.GetChangedUnixMs() {
				made[name] = info
			}
		}
	}
	c.began = began
	return c.adopt(made)
}

// adopt makes definitions those that the node knows, and keeps them. The caller
// holds the turn.
func (c *catalog) adopt(made map[string]*v1.BucketInfo) error {
	before := c.now.Load()
	same := func(a, b *v1.BucketInfo) bool { return proto.Equal(a, b) }
	if before.made != nil && maps.EqualFunc(before.made, made, same) {
		return nil
	}
	c.now.Store(c.with(made))
	c.n.opts.Logger.Info("buckets", "defined", len(made))
	return c.keep(made)
}

func (c *catalog) with(made map[string]*v1.BucketInfo) *buckets {
	out := &buckets{byName: maps.Clone(c.base()), made: made}
	for name, info := range made {
		if c.base()[name] != nil {
			continue // the topology rules
		}
		if b := c.placed(fromWire(info.GetBucket())); b != nil && b.placement != nil {
			b.deleting = info.GetDeleting()
			out.byName[name] = b
		}
	}
	return out
}

// keep writes down what the node knows.
func (c *catalog) keep(made map[string]*v1.BucketInfo) error {
	list := &v1.ListBucketsResponse{}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		list.Buckets = append(list.Buckets, made[name])
	}
	b, err := proto.Marshal(list)
	if err != nil {
		return fmt.Errorf("encode buckets: %w", err)
	}
	return c.n.store.SetMeta(metaBuckets, b)
}

// remember takes up what the node knew when it was stopped.
func (c *catalog) remember() error {
	b, err := c.n.store.Meta(metaBuckets)
	if err != nil || b == nil {
		return err
	}
	list := &v1.ListBucketsResponse{}
	if err := proto.Unmarshal(b, list); err != nil {
		return fmt.Errorf("buckets on disk: %w", err)
	}
	made := map[string]*v1.BucketInfo{}
	for _, info := range list.GetBuckets() {
		made[info.GetBucket().GetName()] = info
	}
	c.now.Store(c.with(made))
	return nil
}

// follow looks, again and again, whether an owner has other definitions.
func (c *catalog) follow() {
	if c.base()[systemBucket] == nil {
		return
	}
	tick := time.NewTicker(c.n.opts.BucketsEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			ctx, cancel := context.WithTimeout(c.n.ctx, learnTimeout)
			if err := c.refresh(ctx); err != nil && c.n.ctx.Err() == nil {
				c.n.opts.Logger.Debug("look at the buckets", "error", err)
			}
			cancel()
		case <-c.n.ctx.Done():
			return
		}
	}
}

// refresh looks at the definitions if an owner has others than last time.
func (c *catalog) refresh(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.turn }()
	digest, err := c.digest(ctx)
	if err != nil || c.seen != nil && bytes.Equal(digest, c.seen) {
		return err
	}
	c.seen = digest
	if err := c.look(ctx); err != nil {
		c.seen = nil
		return err
	}
	return nil
}

// digest asks one owner for the digest of the definitions.
func (c *catalog) digest(ctx context.Context) ([]byte, error) {
	t, err := c.n.locate(systemBucket, []byte(bucketsKey))
	if err != nil {
		return nil, err
	}
	req := &peerv1.Read{Replica: wireID(t.id), Bucket: systemBucket, Key: []byte(bucketsKey), DigestOnly: true}
	last := noOwner(t, nil)
	for _, owner := range c.n.byHealth(t.owners) {
		if owner == c.n.id {
			a, err := c.n.store.Replica(t.id).Read(storage.Query{Key: t.key, Limit: 1})
			if err != nil {
				return nil, err
			}
			return a.State[:], nil
		}
		resp, err := c.n.call(ctx, owner, &peerv1.Request{Of: &peerv1.Request_Read{Read: req}})
		if err == nil {
			return resp.GetRead().GetDigest(), nil
		}
		last = err
	}
	return nil, last
}

// read reads the definitions.
func (c *catalog) read(ctx context.Context, how v1.Consistency) (map[string]*v1.BucketInfo, error) {
	made := map[string]*v1.BucketInfo{}
	req := &v1.GetRequest{Bucket: systemBucket, Key: []byte(bucketsKey), Options: &v1.ReadOptions{Consistency: how}}
	for {
		resp, err := c.n.getAnywhere(ctx, req)
		if err != nil && AsError(err).Code == NotFound {
			return made, nil
		}
		if err != nil {
			return nil, err
		}
		for _, f := range resp.GetValue().GetMap().GetFields() {
			if info := c.info(f); info != nil {
				made[info.GetBucket().GetName()] = info
			}
		}
		if len(resp.GetNextPage()) == 0 {
			return made, nil
		}
		req.Page = resp.GetNextPage()
	}
}
