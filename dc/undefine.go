package dc

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

const (
	emptyAtOnce = 16 // keys that are removed at the same time
	emptyPasses = 8  // over all keys, until none is left
)

// DeleteBucket removes a bucket that the topology does not name, and with force
// its keys before. First the bucket takes no more writes; then the keys of this
// datacenter go, a page at a time, and with them, as any key that is deleted,
// those of the others; last the definition goes. It tells emit now and then how
// far it is. Whatever ends it in between, another one takes up.
//
// What another datacenter writes to the bucket before it hears of this is seen
// by nobody, until a bucket of that name is made again.
func (n *Node) DeleteBucket(ctx context.Context, req *v1.DeleteBucketRequest, emit func(*v1.DeleteBucketResponse) error) error {
	info, err := n.buckets.own(ctx, req.GetName())
	if err != nil {
		return err
	}
	e := &emptying{n: n, name: req.GetName(), force: req.GetForce(), emit: emit}
	if err := e.count(ctx); err != nil {
		return err
	}
	if !info.GetDeleting() {
		if _, err := n.define(ctx, &v1.BucketVersion{Bucket: info.GetBucket(), Deleting: true}); err != nil {
			return err
		}
	}
	if err := e.heard(ctx); err != nil {
		return err
	}
	if e.force {
		err = e.empty(ctx)
	} else if err = e.count(ctx); err != nil { // a write came in between
		_, keep := n.define(ctx, &v1.BucketVersion{Bucket: info.GetBucket()})
		if keep != nil {
			err = keep
		}
	}
	if err != nil {
		return err
	}
	if err := n.undefine(ctx, e.name); err != nil {
		return err
	}
	return e.tell(true)
}

// emptying is one deletion of a bucket under way.
type emptying struct {
	n     *Node
	name  string
	force bool
	emit  func(*v1.DeleteBucketResponse) error

	keys, removed uint64
}

func (e *emptying) tell(done bool) error {
	return e.emit(&v1.DeleteBucketResponse{Keys: max(e.keys, e.removed), Removed: e.removed, Done: done})
}

// pass calls took with every page of the bucket's keys.
func (e *emptying) pass(ctx context.Context, limit uint32, took func(keys [][]byte) error) error {
	req := &v1.ScanRequest{Bucket: e.name, Limit: limit, Options: &v1.ReadOptions{Consistency: v1.Consistency_CONSISTENCY_QUORUM}}
	return e.n.Scan(ctx, req, func(page *v1.ScanResponse) error {
		var keys [][]byte
		for _, it := range page.GetItems() {
			if it.GetKind() == v1.Kind_KIND_BCOUNTER {
				return refuse(FailedPrecondition, "CANNOT_REMOVE", "bucket %q holds bcounters, which cannot be deleted: rights to them may be in use elsewhere", e.name)
			}
			if len(keys) == 0 || string(keys[len(keys)-1]) != string(it.GetKey()) { // a key of two kinds comes twice
				keys = append(keys, it.GetKey())
			}
		}
		return took(keys)
	})
}

// count looks whether the bucket may be deleted, and with force counts its keys.
func (e *emptying) count(ctx context.Context) error {
	e.keys = 0
	if e.force {
		err := e.pass(ctx, 0, func(keys [][]byte) error {
			e.keys += uint64(len(keys))
			return nil
		})
		if err != nil {
			return err
		}
		return e.tell(false)
	}
	return e.pass(ctx, 1, func([][]byte) error {
		return refuse(FailedPrecondition, "BUCKET_NOT_EMPTY", "bucket %q is not empty: delete its keys first, or have them deleted by force", e.name).with("bucket", e.name)
	})
}

// heard waits until the other nodes of the datacenter have had the time to hear
// that the bucket takes no more writes.
func (e *emptying) heard(ctx context.Context) error {
	wait := time.NewTimer(2 * e.n.opts.BucketsEvery)
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// empty removes the bucket's keys until none is found any more.
func (e *emptying) empty(ctx context.Context) error {
	for range emptyPasses {
		before := e.removed
		if err := e.pass(ctx, 0, func(keys [][]byte) error { return e.remove(ctx, keys) }); err != nil {
			return err
		}
		if e.removed == before {
			return nil
		}
	}
	return refuse(FailedPrecondition, "BUCKET_NOT_EMPTY", "keys keep coming into bucket %q from other datacenters; delete it again", e.name).with("bucket", e.name)
}

// remove counts the keys that were still there: a co-owner that has not heard of
// their removal lists them once more.
func (e *emptying) remove(ctx context.Context, keys [][]byte) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(emptyAtOnce)
	var there atomic.Uint64
	for _, key := range keys {
		g.Go(func() error {
			resp, err := e.n.updateAnywhere(gctx, &v1.UpdateRequest{
				Bucket: e.name, Key: key, Op: &v1.UpdateRequest_Remove{Remove: &v1.Remove{}},
				Options: &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_QUORUM},
			})
			if resp.GetDot() != nil {
				there.Add(1)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	e.removed += there.Load()
	return e.tell(false)
}
