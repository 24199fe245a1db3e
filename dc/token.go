package dc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// Limits of the part of a session that travels with a request.
const (
	maxToken  = 4 << 10 // bytes of one token that is made here
	maxTokens = 256     // of one request
)

// token is what a session has seen of one partition and what may not be
// everywhere yet. Sealed it is MAC, version, flags, placement, partition and the
// clock in its canonical encoding: the MAC, under the cluster's key and for this
// partition alone, is the checksum as well.
type token struct {
	clock     crdt.Clock
	truncated bool // it would have been too long
}

const (
	tokenVersion   = 1
	tokenTruncated = 1
	tokenHead      = macBytes + 2 + 4 + 4 // up to the clock
)

func (n *Node) tokenMAC(payload []byte) []byte {
	h := hmac.New(sha256.New, n.contextKey)
	h.Write([]byte("session")) // a context's payload begins with a length, below 65
	h.Write(payload)
	return h.Sum(nil)[:macBytes]
}

// sealToken encodes a token; what does not fit is left out, and the token says so.
func (n *Node) sealToken(id storage.ReplicaID, t *token) []byte {
	b := make([]byte, macBytes, tokenHead+64)
	b = append(b, tokenVersion, 0)
	b = binary.BigEndian.AppendUint32(b, id.Placement)
	b = binary.BigEndian.AppendUint32(b, id.Partition)
	full := crdt.AppendClock(b, &t.clock)
	if len(full) > maxToken {
		t.clock, t.truncated = n.cutClock(&t.clock, maxToken-tokenHead), true
		full = crdt.AppendClock(b, &t.clock)
	}
	if t.truncated {
		full[macBytes+1] = tokenTruncated
	}
	copy(full, n.tokenMAC(full[macBytes:]))
	return full
}

// cutClock keeps what fits into so many bytes: of every actor the newest events,
// and first those of this datacenter, which are the ones that its replicas are
// likely to get soon.
func (n *Node) cutClock(c *crdt.Clock, size int) crdt.Clock {
	var out crdt.Clock
	for _, home := range []bool{true, false} {
		for a, ranges := range c.All() {
			if dcName, _ := n.who(a); (dcName == n.dc) != home {
				continue
			}
			with := out.Clone()
			last := ranges[len(ranges)-1]
			with.AddRange(a, last.Lo, last.Hi)
			if len(crdt.AppendClock(nil, &with)) > size {
				return out
			}
			out = with
		}
	}
	return out
}

func (n *Node) openToken(id storage.ReplicaID, b []byte) (*token, error) {
	bad := refuse(InvalidArgument, "BAD_SESSION", "token of the session is damaged, or was not made for this partition of this cluster; begin a new session")
	if len(b) < tokenHead || len(b) > maxToken || !hmac.Equal(b[:macBytes], n.tokenMAC(b[macBytes:])) {
		return nil, bad
	}
	p := b[macBytes:]
	if p[0] != tokenVersion || p[1]&^tokenTruncated != 0 ||
		binary.BigEndian.Uint32(p[2:]) != id.Placement || binary.BigEndian.Uint32(p[6:]) != id.Partition {
		return nil, bad
	}
	clock, err := crdt.DecodeClock(b[tokenHead:])
	if err != nil {
		return nil, bad
	}
	return &token{clock: clock, truncated: p[1] == tokenTruncated}, nil
}
