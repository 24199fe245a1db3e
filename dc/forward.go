package dc

import (
	"context"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// forwardGet hands a read to the healthiest owner, and goes on to the next one
// when that fails or takes long.
func (n *Node) forwardGet(ctx context.Context, t *target, req *v1.GetRequest) (*v1.GetResponse, error) {
	n.count.ReadsForwarded.Add(1)
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
	return r.err == nil || r.resp.GetStatus() != nil && AsError(r.err).Reason != "NOT_SENT"
}

// forwardUpdate hands a write to an owner. It goes on to the next one only while
// the write was certainly not sent.
func (n *Node) forwardUpdate(ctx context.Context, t *target, req *v1.UpdateRequest) (*v1.UpdateResponse, error) {
	n.count.WritesForwarded.Add(1)
	var last error
	for _, owner := range n.byHealth(t.owners) {
		resp, err := n.call(ctx, owner, &peerv1.Request{Of: &peerv1.Request_Forward{Forward: &peerv1.Forward{Of: &peerv1.Forward_Update{Update: req}}}})
		if err == nil || answered(reply{resp: resp, err: err}) {
			return resp.GetForward().GetUpdate(), err
		}
		if last = err; AsError(err).Reason != "NOT_SENT" {
			return nil, refuse(Unavailable, "WRITE_INDETERMINATE", "owner %s did not answer: %s; the write may still become visible", owner, err)
		}
	}
	return nil, noOwner(t, last)
}

func noOwner(t *target, last error) error {
	return refuse(Unavailable, "NO_OWNER", "no owner of the key's partition answers (owners: %v): %v", t.owners, last)
}
