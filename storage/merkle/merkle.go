// Package merkle owns the shape of the hash trees by which two copies of a
// partition are compared: how many leaves, which part of the key-hash space
// falls into which leaf, how inner nodes are computed, and how two trees are
// walked to find the leaves that differ.
//
// It does not know what a leaf holds: a leaf is the XOR of digests that the
// caller toggles in and out. It does no I/O and starts no goroutine.
//
// Digests find accidents, not attackers: neither XOR nor XXH3 resists somebody
// who chooses the data in order to collide.
//
// Sources: Merkle, A Digital Signature Based on a Conventional Encryption
// Function, CRYPTO 1987; Bellare and Micciancio, A New Paradigm for
// Collision-Free Hashing: Incrementality at Reduced Cost, EUROCRYPT 1997 (the
// XOR of digests as a hash of a set); XXH3, https://xxhash.com.
package merkle

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// The bounds of a tree's shape.
const (
	// Fanout is the greatest number of children of an inner node. Only the
	// root may have fewer.
	Fanout = 1 << fanoutBits
	// MinLeaves is the least number of leaves of a tree.
	MinLeaves = Fanout
	// MaxLeaves is the greatest number of leaves of a tree.
	MaxLeaves = 1 << 20

	fanoutBits = 5
)

// Digest is the 128-bit digest of a leaf or an inner node. The zero Digest is
// that of nothing: of an empty leaf and of a subtree whose leaves are all
// empty.
type Digest [16]byte

// Sum returns the digest of b, the XXH3-128 of it in big-endian order. It is
// the same on every machine for ever.
func Sum(b []byte) Digest {
	h := xxh3.Hash128(b)
	var d Digest
	binary.BigEndian.PutUint64(d[:8], h.Hi)
	binary.BigEndian.PutUint64(d[8:], h.Lo)
	return d
}

// XOR adds o to the set that d stands for, or takes it out again.
func (d *Digest) XOR(o Digest) {
	le := binary.LittleEndian
	le.PutUint64(d[:8], le.Uint64(d[:8])^le.Uint64(o[:8]))
	le.PutUint64(d[8:], le.Uint64(d[8:])^le.Uint64(o[8:]))
}

// IsZero tells whether d is the digest of nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// String returns d as 32 hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// LeavesFor returns the number of leaves of a partition's tree when the
// key-hash space is cut into the given number of partitions: 2^18 leaves over
// all of them, at least 64 and at most 4096 each. It depends on nothing else,
// so that the trees of all datacenters compare directly.
func LeavesFor(partitions int) int {
	return ceilPow2(min(max((1<<18)/max(partitions, 1), 64), 4096))
}

// ceilPow2 returns the smallest power of two that is at least n, for n >= 1.
func ceilPow2(n int) int { return 1 << bits.Len(uint(n-1)) }

// sum returns the digest of an inner node. A node without content has the zero
// digest whatever its depth, so empty subtrees are equal without looking.
func sum(children []Digest) Digest {
	empty := true
	var buf [Fanout * 16]byte
	for i, c := range children {
		copy(buf[i*16:], c[:])
		empty = empty && c.IsZero()
	}
	if empty {
		return Digest{}
	}
	d := Sum(buf[:len(children)*16])
	if d.IsZero() {
		d[0] = 1 // zero is taken: it means empty
	}
	return d
}
