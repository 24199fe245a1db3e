package dc

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"

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

// macer is what a MAC is computed with: to make it costs more than to use it.
type macer struct {
	h   hash.Hash
	buf []byte
}

func (n *Node) mac(key crdt.KeyID, payload []byte) (mac [macBytes]byte) {
	m, ok := n.macs.Get().(*macer)
	if !ok {
		m = &macer{h: hmac.New(sha256.New, n.contextKey)}
	}
	m.buf = append(append(m.buf[:0], byte(len(key.Bucket))), key.Bucket...)
	m.buf = append(append(m.buf, byte(len(key.Key)>>8), byte(len(key.Key))), key.Key...)
	m.buf = append(m.buf, payload...)
	m.h.Reset()
	m.h.Write(m.buf)
	m.buf = m.h.Sum(m.buf[:0])
	copy(mac[:], m.buf)
	n.macs.Put(m)
	return mac
}

func (n *Node) sealContext(key crdt.KeyID, c *crdt.Context) []byte {
	payload := crdt.AppendContext(make([]byte, macBytes), c)
	mac := n.mac(key, payload[macBytes:])
	copy(payload, mac[:])
	return payload
}

// openContext returns nil for no context; empty bytes have observed nothing.
func (n *Node) openContext(key crdt.KeyID, b []byte, given bool) (*crdt.Context, error) {
	switch {
	case !given:
		return nil, nil
	case len(b) == 0:
		return &crdt.Context{}, nil
	case len(b) < macBytes || !n.sealed(key, b):
		return nil, refuse(InvalidArgument, "BAD_CONTEXT", "context was not made for this key of this cluster, or is damaged; read the key again")
	}
	return crdt.DecodeContext(b[macBytes:])
}

// sealed reports whether sealContext has made b.
func (n *Node) sealed(key crdt.KeyID, b []byte) bool {
	mac := n.mac(key, b[macBytes:])
	return hmac.Equal(b[:macBytes], mac[:])
}
