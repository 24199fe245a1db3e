package dc

import (
	"crypto/hmac"
	"crypto/sha256"

	"github.com/godwitdb/godwit/crdt"
)

// What a client holds as its context is crdt's encoding under a MAC, tied to
// its key: a context that nobody here made, or that belongs to another key,
// could remove writes that have not happened yet.
const macBytes = 8

// contextKey derives the MAC key from the cluster's name. It keeps accidents
// out; once a cluster has a secret it must come from that.
func contextKey(cluster string) []byte {
	k := sha256.Sum256([]byte("godwit context key 1 " + cluster))
	return k[:]
}

func (n *Node) mac(key crdt.KeyID, payload []byte) []byte {
	h := hmac.New(sha256.New, n.contextKey)
	h.Write([]byte{byte(len(key.Bucket))})
	h.Write([]byte(key.Bucket))
	h.Write([]byte{byte(len(key.Key) >> 8), byte(len(key.Key))})
	h.Write([]byte(key.Key))
	h.Write(payload)
	return h.Sum(nil)[:macBytes]
}

func (n *Node) sealContext(key crdt.KeyID, c *crdt.Context) []byte {
	payload := crdt.AppendContext(make([]byte, macBytes), c)
	copy(payload, n.mac(key, payload[macBytes:]))
	return payload
}

// openContext returns nil for no context; empty bytes have observed nothing.
func (n *Node) openContext(key crdt.KeyID, b []byte, given bool) (*crdt.Context, error) {
	switch {
	case !given:
		return nil, nil
	case len(b) == 0:
		return &crdt.Context{}, nil
	case len(b) < macBytes || !hmac.Equal(b[:macBytes], n.mac(key, b[macBytes:])):
		return nil, refuse(InvalidArgument, "BAD_CONTEXT", "context was not made for this key of this cluster, or is damaged; read the key again")
	}
	return crdt.DecodeContext(b[macBytes:])
}
