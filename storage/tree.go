package storage

import (
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/zeebo/xxh3"

	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage/merkle"
)

// buildTrees fills the trees of the replicas that were there at the start, one
// after another, from headers.
func (s *Store) buildTrees() {
	for _, r := range s.Replicas() {
		select {
		case <-s.stop:
			return
		default:
		}
		if err := r.buildTree(); err != nil {
			s.opts.Logger.Error("merkle tree could not be built", "replica", r.id.String(), "error", err)
		}
	}
}

// buildTree builds the tree of what is on disk and adds what has changed since
// it began: toggling commutes.
func (r *Replica) buildTree() error {
	lo, hi := hashBounds(tableData, r.id.Placement, r.firstHash(), r.lastHash())
	r.mu.Lock()
	if r.treeReady {
		r.mu.Unlock()
		return nil
	}
	r.tree.Reset()
	r.keys = 0
	it, err := r.store.db.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	r.mu.Unlock()
	if err != nil {
		return err
	}
	base := merkle.New(r.tree.Len())
	var keys int64
	err = walkHeads(it, func(rec record, key, value []byte) error {
		base.Toggle(base.LeafOf(rec.hash, r.store.bits), recordDigest(key, value))
		live, err := exists(rec, value)
		if live {
			keys++
		}
		return err
	})
	if err := errors.Join(err, it.Error(), it.Close()); err != nil {
		return fmt.Errorf("read headers: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for leaf, d := range base.Leaves() {
		if !d.IsZero() {
			r.tree.Toggle(leaf, d)
		}
	}
	r.keys += keys
	r.treeReady = true
	return nil
}

// State is what can be told of a replica at one instant.
type State struct {
	ID      ReplicaID
	Clock   crdt.Clock // durable
	Settled bool       // nothing is applied that is not durable
	Root    merkle.Digest
	Ready   bool // the tree is built
	Residue int  // keys with removals that wait for the dots they remove
	Keys    int64
	Changed time.Time // when cells or clock last changed; zero when not since the start
}

// State returns the replica's state. Root is meaningful when Ready.
func (r *Replica) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return State{
		ID: r.id, Clock: r.durable.Clone(), Settled: r.durable.Equal(&r.state.Clock),
		Root: r.tree.Root(), Ready: r.treeReady,
		Residue: len(r.state.Residue.Changes()), Keys: r.keys, Changed: r.changed,
	}
}

// Leaves returns a copy of the tree's leaves; false while the tree is built.
func (r *Replica) Leaves() ([]merkle.Digest, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tree.Leaves(), r.treeReady
}

// KeysOf lists the live keys of some leaves with their digests.
func (r *Replica) KeysOf(leaves []int) ([]Item, error) {
	if err := r.store.enter(); err != nil {
		return nil, err
	}
	defer r.store.leave()
	var items []Item
	for _, leaf := range leaves {
		if leaf < 0 || leaf >= r.tree.Len() {
			return nil, fmt.Errorf("keys of leaf %d: %w", leaf, merkle.ErrNoSuchNode)
		}
		first, last := r.tree.LeafRange(int(r.id.Partition), r.store.bits, leaf)
		lo, hi := hashBounds(tableData, r.id.Placement, first, last)
		err := r.heads(lo, hi, func(rec record, key, value []byte) error {
			items = append(items, Item{Key: rec.id.KeyID, Kind: rec.id.Kind, Digest: recordDigest(key, value)})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return items, nil
}

// ClockHash identifies a clock by 64 bits.
func ClockHash(c *crdt.Clock) uint64 { return xxh3.Hash(crdt.AppendClock(nil, c)) }

// TreeLeaves is the number of leaves of the replica's tree.
func (r *Replica) TreeLeaves() int { return r.tree.Len() }
