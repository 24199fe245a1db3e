package client

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/ring"
)

const (
	ringBuckets = 1024                   // of which the owners are remembered
	ringNodes   = ring.MaxMembers        // that a ring may name
	ringWait    = 500 * time.Millisecond // the longest that a call waits for the ring of its bucket
	ringPause   = time.Second            // between two questions for the ring of one bucket
	ringNever   = time.Minute            // ... of nodes that do not tell it
)

// rings remembers who owns the keys of buckets. Calls wait for the ring of a
// bucket the first time it is used; later rings are asked for beside them, when
// an answer tells of a later epoch or an owner does not answer.
type rings struct {
	epoch atomic.Uint64 // the latest that an answer told of

	mu     sync.Mutex
	tables map[string]*table
}

// table is the ring of a bucket.
type table struct {
	epoch  uint64
	owners [][]*node // by partition; nil where the ring is not known
	asked  time.Time
	again  time.Duration // after asked, before it is asked for again
	ready  chan struct{} // closed once the first answer is there
	busy   bool
}

// heard notes the epoch of an answer.
func (r *rings) heard(epoch uint64) {
	for {
		old := r.epoch.Load()
		if epoch <= old || r.epoch.CompareAndSwap(old, epoch) {
			return
		}
	}
}

// ownersOf are the owners of a key, nearest first; none where they are not known.
// Suspect asks for the ring again, because an owner did not answer.
func (c *Client) ownersOf(ctx context.Context, bucket string, key []byte, suspect bool) []*node {
	r := &c.rings
	r.mu.Lock()
	t := r.tables[bucket]
	if t == nil {
		if len(r.tables) >= ringBuckets {
			r.mu.Unlock()
			return nil
		}
		t = &table{ready: make(chan struct{})}
		r.tables[bucket] = t
	}
	stale := t.owners == nil || suspect || t.epoch < r.epoch.Load()
	if stale && !t.busy && time.Since(t.asked) >= t.again {
		t.busy = c.start(func() { c.learn(bucket, t) })
	}
	owners := t.owners
	r.mu.Unlock()
	if owners == nil {
		wait := time.NewTimer(ringWait)
		defer wait.Stop()
		select {
		case <-t.ready:
		case <-wait.C:
		case <-ctx.Done():
		}
		r.mu.Lock()
		owners = t.owners
		r.mu.Unlock()
	}
	if owners == nil {
		return nil
	}
	return owners[ring.PartitionOf(ring.KeyHash(bucket, key), len(owners))]
}

// learn asks nodes for the ring of a bucket, one after the other.
func (c *Client) learn(bucket string, t *table) {
	again := ringPause
	var owners [][]*node
	var epoch uint64
	for _, n := range c.order() {
		ctx, cancel := context.WithTimeout(c.life, ringWait)
		resp, err := n.cluster.Ring(ctx, &pb.RingRequest{Bucket: bucket})
		cancel()
		if err == nil {
			owners, err = c.place(resp)
			epoch = resp.GetEpoch()
		}
		if err == nil {
			break
		}
		c.opts.Logger.Debug("ring not learnt", "bucket", bucket, "from", n.addr, "error", err)
		if code := status.Code(err); code == codes.Unimplemented {
			again = ringNever
		}
	}
	c.rings.mu.Lock()
	defer c.rings.mu.Unlock()
	t.busy, t.asked, t.again = false, time.Now(), again
	if owners != nil && epoch >= t.epoch {
		t.owners, t.epoch = owners, epoch
	}
	select {
	case <-t.ready:
	default:
		close(t.ready)
	}
}

// place puts the nodes of a ring where their names stand.
func (c *Client) place(resp *pb.RingResponse) ([][]*node, error) {
	partitions := int(resp.GetPartitions())
	if partitions < 1 || partitions > ring.MaxPartitions || partitions&(partitions-1) != 0 || len(resp.GetOwners()) != partitions {
		return nil, fmt.Errorf("ring of %d partitions, %d with owners", partitions, len(resp.GetOwners()))
	}
	byName := map[string]*node{}
	for _, s := range resp.GetShares() {
		if s.GetGrpcAddr() == "" {
			continue
		}
		n, err := c.nodeAt(s.GetGrpcAddr())
		if err != nil {
			return nil, err
		}
		byName[s.GetNode()] = n
	}
	out := make([][]*node, partitions)
	for _, p := range resp.GetOwners() {
		if int(p.GetPartition()) >= partitions {
			return nil, fmt.Errorf("ring names partition %d of %d", p.GetPartition(), partitions)
		}
		for _, name := range p.GetNodes() {
			if n := byName[name]; n != nil {
				out[p.GetPartition()] = append(out[p.GetPartition()], n)
			}
		}
	}
	return out, nil
}

// nodeAt is the node at an address, with a connection of its own.
func (c *Client) nodeAt(addr string) (*node, error) {
	for _, n := range c.nodes {
		if n.addr == addr {
			return n, nil
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.learnt[addr]; n != nil {
		return n, nil
	}
	if c.ended || len(c.learnt) >= ringNodes {
		return nil, fmt.Errorf("no connection to %s: the client is closed, or knows %d nodes", addr, len(c.learnt))
	}
	n, err := c.connect(addr, uint32(len(c.nodes)+len(c.far)+len(c.learnt)))
	if err != nil {
		return nil, err
	}
	c.learnt[addr] = n
	return n, nil
}
