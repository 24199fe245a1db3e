package dc

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zeebo/xxh3"
	"google.golang.org/protobuf/proto"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/topology"
)

// forwardGet hands a read to the healthiest owner, and goes on to the next one
// when that fails or takes long.
func (n *Node) forwardGet(ctx context.Context, t *target, req *v1.GetRequest) (*v1.GetResponse, error) {
	if !topology.SystemBucket(t.bucket.Name) {
		n.count.ReadsForwarded.Add(1)
	}
	g := gathering{
		n: n, nodes: n.byHealth(t.owners), want: 1, class: forwardClass, final: answered,
		ask: func() *peerv1.Request {
			return &peerv1.Request{Of: &peerv1.Request_Forward{Forward: &peerv1.Forward{Of: &peerv1.Forward_Get{Get: req}}}}
		},
	}
	got, err := g.run(ctx)
	if len(got) > 0 {
		return got[0].resp.GetForward().GetGet(), got[0].err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, noOwner(t, err)
}

// answered reports whether a node answered a forwarded request, with a value or
// a refusal of its own: another owner would say the same.
func answered(r reply) bool {
	return r.err == nil || r.resp.GetStatus() != nil && !untouched(r.err)
}

// forwardUpdate hands a write to an owner. It goes on to the next one while the
// write was certainly not sent; after that only with a request id, and then as a
// repeat, which no owner carries out twice. A request with an id goes to the same
// owner each time while the same ones are alive: that is the one that knows it.
func (n *Node) forwardUpdate(ctx context.Context, t *target, req *v1.UpdateRequest) (*v1.UpdateResponse, error) {
	if !topology.SystemBucket(t.bucket.Name) {
		n.count.WritesForwarded.Add(1)
	}
	var last error
	maybe := false
owners:
	for _, owner := range n.pinned(t.owners, req.GetOptions().GetRequestId()) {
		resp, err := n.callWhileAlive(ctx, owner, forwardedUpdate(req))
		if err == nil || answered(reply{resp: resp, err: err}) {
			if maybe && err != nil && AsError(err).Code != Unavailable { // a refusal tells nothing of the try before it
				err = indeterminate(owner, err)
			}
			return resp.GetForward().GetUpdate(), err
		}
		if last = err; untouched(err) {
			switch AsError(err).Reason {
			case notBegun: // as it is for the others: its time is over
				break owners
			case clockSkew: // it may have taken an earlier try
				req = repeated(req)
			}
			continue
		}
		maybe = true
		if ctx.Err() != nil || len(req.GetOptions().GetRequestId()) == 0 {
			return nil, indeterminate(owner, err)
		}
		req = repeated(req)
	}
	switch {
	case maybe:
		return nil, indeterminate("", last)
	case last != nil && AsError(last).Reason == notBegun:
		return nil, last
	}
	return nil, noOwner(t, last)
}

// repeated is a request as a repeat, which no owner carries out twice. Without an
// id it stays as it is.
func repeated(req *v1.UpdateRequest) *v1.UpdateRequest {
	if req.GetOptions().GetRepeat() || len(req.GetOptions().GetRequestId()) == 0 {
		return req
	}
	req = proto.CloneOf(req)
	req.Options.Repeat = true
	return req
}

// callWhileAlive is call, which ends when the node falls silent.
func (n *Node) callWhileAlive(ctx context.Context, to string, req *peerv1.Request) (*peerv1.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		look := time.NewTicker(lookAgain)
		defer look.Stop()
		for {
			select {
			case <-look.C:
				if n.suspected(to) {
					n.count.PassedOver.Add(1)
					cancel(errSilentNode)
					return
				}
			case <-ended:
				return
			}
		}
	}()
	return n.call(ctx, to, req)
}

// errSilentNode reports a node that fell silent while it was asked.
var errSilentNode = errors.New("the node has fallen silent")

func indeterminate(owner string, err error) error {
	return refuse(Unavailable, "WRITE_INDETERMINATE", "owner %s did not answer: %s; the write may still become visible", owner, err)
}

func forwardedUpdate(req *v1.UpdateRequest) *peerv1.Request {
	return &peerv1.Request{Of: &peerv1.Request_Forward{Forward: &peerv1.Forward{Of: &peerv1.Forward_Update{Update: req}}}}
}

// pinned orders owners by a request's id, those believed alive first; without an
// id by their health.
func (n *Node) pinned(owners []string, id []byte) []string {
	if len(id) == 0 {
		return n.byHealth(owners)
	}
	rank := func(node string) uint64 { return xxh3.HashStringSeed(node, xxh3.Hash(id)) }
	out := slices.Clone(owners)
	slices.SortFunc(out, func(a, b string) int {
		if x, y := n.alive(a), n.alive(b); x != y {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Compare(rank(b), rank(a))
	})
	return out
}

func noOwner(t *target, last error) error {
	return refuse(Unavailable, "NO_OWNER", "no owner of the key's partition answers (owners: %v): %v", t.owners, last)
}
