package dc

import (
	"context"

	"github.com/godwitdb/godwit/crdt"
)

// countCopies answers a request that was carried out before, when the log no
// longer holds its event, so that it cannot be sent to those who lack it. What all
// replicas are known to have has as many copies as anybody can ask for. Of the
// rest the other owners are asked: another datacenter that is away keeps events
// from becoming stable for as long as it is, and nothing of them is needed to tell
// what the owners here hold.
func (n *Node) countCopies(ctx context.Context, t *target, dot crdt.Dot, w func(owners int) int) (copies uint32, err error) {
	own := n.store.Replica(t.id).Durable()
	if stable := n.peers.stable(t.id, &own); stable.Contains(dot) {
		return uint32(len(t.owners)), nil
	}
	s := n.newSpread(t.id, nil, nil)
	var held crdt.Clock
	held.Add(dot)
	s.asks, s.strict = crdt.AppendClock(nil, &held), true // a stand-in cannot be given what nobody has at hand
	if own.Contains(dot) {
		s.copied(n.id)
	}
	enough := s.wait(ctx, w)
	got, _ := s.copies()
	if !enough {
		return uint32(got), tooFewCopies(t, got, w)
	}
	return uint32(got), nil
}
