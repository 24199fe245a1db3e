package rpc

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
)

// KeyBytes is the length of a cluster's key, which its nodes know and nobody else.
const KeyBytes = 32

const nonceBytes = 16

// What a proof is for; a proof for one thing is none for another.
const (
	provesAnswerer  = "godwit peer 1, who answers"
	provesCaller    = "godwit peer 1, who calls"
	provesChallenge = "godwit join 1, challenge"
	provesJoiner    = "godwit join 1, who joins"
	provesSeed      = "godwit join 1, who is joined"
)

// prove returns a proof that its maker has the key: the MAC of what it is for
// and of all parts with their lengths.
func prove(key []byte, what string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	var size [4]byte
	for _, part := range append([][]byte{[]byte(what)}, parts...) {
		binary.BigEndian.PutUint32(size[:], uint32(len(part)))
		h.Write(size[:])
		h.Write(part)
	}
	return h.Sum(nil)
}

func proves(key, proof []byte, what string, parts ...[]byte) bool {
	return hmac.Equal(proof, prove(key, what, parts...))
}

// newNonce returns bytes that nobody has seen before.
func newNonce() []byte {
	b := make([]byte, nonceBytes)
	if _, err := rand.Read(b); err != nil {
		panic("rpc: the machine has no random numbers: " + err.Error()) // crypto/rand documents that it cannot fail
	}
	return b
}

var errNoKey = errors.New("does not prove that it has the cluster's key")

// helloParts are what proofs of a connection are made over: both nonces and both names.
func helloParts(caller, answerer *peerv1.Hello) [][]byte {
	return [][]byte{
		caller.GetNonce(), answerer.GetNonce(), []byte(caller.GetNode()), []byte(answerer.GetNode()),
		[]byte(answerer.GetCluster()), []byte(answerer.GetDc()),
	}
}

// provedHello is the second hello of who calls, after the answer to the first.
func (o *PeerOptions) provedHello(first, answer *peerv1.Hello) (*peerv1.Hello, error) {
	if len(answer.GetNonce()) != nonceBytes || !proves(o.Key, answer.GetProof(), provesAnswerer, helloParts(first, answer)...) {
		return nil, fmt.Errorf("node %s %w", clip(answer.GetNode(), 80), errNoKey)
	}
	h := o.hello()
	h.Nonce, h.Proof = first.GetNonce(), prove(o.Key, provesCaller, helloParts(first, answer)...)
	return h, nil
}
