package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/godwitdb/godwit/crdt"
)

// cutAnswered splits off how many of the leaves that were asked for are answered.
func cutAnswered(b []byte, asked int) (answered int, large bool, rest []byte, err error) {
	n, b, err := cutNumber(b, uint64(asked))
	if err != nil || len(b) == 0 || b[0] > 1 || b[0] == 1 && n > 0 || n == 0 && b[0] == 0 {
		return 0, false, nil, fmt.Errorf("%w: leaves of an answer", crdt.ErrEncoding)
	}
	return int(n), b[0] == 1, b[1:], nil
}

// takeKeys compares the keys of some leaves. Those with residue count as
// different whatever their digests.
func (j *Join) takeKeys(b []byte, residue []crdt.Change) error {
	d, r := j.down, j.r
	asked := d.list[:min(len(d.list), maxListLeaves)]
	answered, large, b, err := cutAnswered(b, len(asked))
	if err != nil {
		return err
	}
	if large { // it is left to pages
		d.list = d.list[1:]
		return nil
	}
	waiting, err := r.hashesWithResidue(residue)
	if err != nil {
		return err
	}
	for _, leaf := range asked[:answered] {
		var told []keyDigest
		if told, b, err = cutKeys(b); err != nil {
			return err
		}
		own, err := r.digestsOf(leaf, d.salt)
		if err != nil {
			return err
		}
		differ := differingKeys(own, told)
		d.keys += len(differ)
		if differ = union(differ, waiting[leaf]); len(differ) == 0 {
			d.done(leaf)
			continue
		}
		d.told[leaf] = told
		d.fetch = append(d.fetch, leafWant{leaf, differ})
	}
	if len(b) > 0 {
		return fmt.Errorf("%w: more keys than asked for", crdt.ErrEncoding)
	}
	d.list = d.list[answered:]
	slices.SortFunc(d.fetch, func(a, b leafWant) int { return a.leaf - b.leaf })
	return nil
}

func cutKeys(b []byte) (told []keyDigest, rest []byte, err error) {
	n, b, err := cutNumber(b, maxStepKeys)
	if err != nil || uint64(len(b)) < n*2*shortBytes {
		return nil, nil, fmt.Errorf("%w: keys of a leaf", crdt.ErrEncoding)
	}
	for i := range n {
		k := keyDigest{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
		if b = b[16:]; i > 0 && k.hash <= told[i-1].hash {
			return nil, nil, fmt.Errorf("%w: keys of a leaf are not in order", crdt.ErrEncoding)
		}
		told = append(told, k)
	}
	return told, b, nil
}

// differingKeys lists, ascending, the hashes that only one side has or whose
// digests differ.
func differingKeys(own, told []keyDigest) (out []uint64) {
	for len(own) > 0 || len(told) > 0 {
		switch {
		case len(told) == 0 || len(own) > 0 && own[0].hash < told[0].hash:
			out, own = append(out, own[0].hash), own[1:]
		case len(own) == 0 || told[0].hash < own[0].hash:
			out, told = append(out, told[0].hash), told[1:]
		default:
			if own[0].digest != told[0].digest {
				out = append(out, own[0].hash)
			}
			own, told = own[1:], told[1:]
		}
	}
	return out
}

func union(a, b []uint64) []uint64 {
	out := append(slices.Clone(a), b...)
	slices.Sort(out)
	return slices.Compact(out)
}

// hashesWithResidue are those of the keys of which removals wait at either side,
// by leaf. The caller holds the lock.
func (r *Replica) hashesWithResidue(theirs []crdt.Change) (map[int][]uint64, error) {
	out := map[int][]uint64{}
	for _, ch := range append(r.state.Residue.Changes(), theirs...) {
		hash, err := r.hashOf(ch.ID.KeyID)
		if err != nil {
			return nil, err
		}
		leaf := r.tree.LeafOf(hash, r.store.bits)
		out[leaf] = append(out[leaf], hash)
	}
	return out, nil
}

// takeCells gathers what is to be joined of the leaves that were answered, and
// returns these. A leaf in which keys that were equal are so no longer is listed
// again.
func (j *Join) takeCells(b []byte, s *crdt.Snapshot, theirs map[crdt.CellID]crdt.Cell) (leaves []int, err error) {
	d, r := j.down, j.r
	asked := d.fetch[:d.some()]
	answered, large, b, err := cutAnswered(b, len(asked))
	if err != nil || len(b) > 0 {
		return nil, errors.Join(err, crdt.ErrEncoding)
	}
	if large { // it is left to pages
		d.fetch = d.fetch[1:]
		return nil, nil
	}
	wanted := map[int]leafWant{}
	for _, w := range asked[:answered] {
		stale, err := j.stale(w)
		if err != nil {
			return nil, err
		}
		if stale {
			if d.tries[w.leaf]++; d.tries[w.leaf] < leafTries {
				d.list = append(d.list, w.leaf)
			}
			continue
		}
		wanted[w.leaf] = w
		err = r.eachWanted(w, func(rec record, _, _ []byte) error {
			theirs[rec.id] = nil // a cell that only this replica has, unless the peer tells of it
			return nil
		})
		if err != nil {
			return nil, err
		}
		leaves = append(leaves, w.leaf)
	}
	for _, c := range s.Cells {
		hash, err := r.hashOf(c.ID.KeyID)
		if err != nil {
			return nil, err
		}
		w, ok := wanted[r.tree.LeafOf(hash, r.store.bits)]
		if _, asked := slices.BinarySearch(w.hashes, hash); ok && (asked || len(w.hashes) == 0) {
			theirs[c.ID] = c.Live
		}
	}
	slices.Sort(d.list)
	d.fetch = slices.Clone(d.fetch[answered:])
	return leaves, nil
}

// stale reports whether a key of a leaf that is not asked for differs by now.
func (j *Join) stale(w leafWant) (bool, error) {
	if len(w.hashes) == 0 {
		return false, nil
	}
	told := j.down.told[w.leaf]
	delete(j.down.told, w.leaf)
	own, err := j.r.digestsOf(w.leaf, j.down.salt)
	if err != nil {
		return false, err
	}
	for _, h := range differingKeys(own, told) {
		if _, asked := slices.BinarySearch(w.hashes, h); !asked {
			return true, nil
		}
	}
	return false, nil
}
