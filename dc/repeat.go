package dc

import (
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// mustBeStable answers a request that was carried out before, when the log no
// longer holds its event, so that it cannot be sent to those who lack it: if
// all replicas are known to have it, there are as many copies as anybody can ask
// for; else nobody knows.
func (n *Node) mustBeStable(id storage.ReplicaID, dot crdt.Dot) error {
	own := n.store.Replica(id).Durable()
	if stable := n.peers.stable(id, &own); stable.Contains(dot) {
		return nil
	}
	return refuse(Unavailable, "WRITE_INDETERMINATE", "the write was carried out before, and how many copies there are can no longer be told")
}
