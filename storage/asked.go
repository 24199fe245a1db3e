package storage

import (
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/zeebo/xxh3"

	"github.com/godwitdb/godwit/crdt"
)

// asked tells of most request ids that a replica certainly has no record of them,
// so that the database need not be asked for every one: an id is nearly always
// new. The replica's lock guards it.
//
// It holds the ids of this opening, in two generations: each lasts longer than
// the window in which ids are remembered, so what it forgets is too old to be
// asked for. Of records from before the opening, and of ids whose birth is ahead
// of the wall, it knows only until when they may be asked for: until then it says
// nothing.
//
// Source: Bloom, "Space/time trade-offs in hash coding with allowable errors",
// CACM 1970; grown as in Almeida, Baquero, Preguiça, Hutchison, "Scalable Bloom
// filters", IPL 2007.
type asked struct {
	young, old []idFilter
	began      time.Duration // of young, from the opening of the store
	until      time.Time     // nothing is certain before
	births     births
}

// askedGrace is how far the birth of an id may be ahead of the wall.
const askedGrace = time.Minute

// add notes that the replica has a record of an id, which it made when the wall
// showed now and the store had been open for age.
func (a *asked) add(q crdt.RequestID, now time.Time, age, window time.Duration) {
	born := bornAt(q)
	if born.After(now.Add(askedGrace)) {
		a.wait(born, window)
	}
	a.births.note(born, age, window)
	if age-a.began > window+2*askedGrace {
		a.old, a.young, a.began = a.young, nil, age
	}
	last := len(a.young) - 1
	if last < 0 || a.young[last].free == 0 {
		a.young = append(a.young, newIDFilter(firstBloom<<min(len(a.young), 12)))
		last++
	}
	a.young[last].add(xxh3.Hash(q[:]))
}

// wait has the database asked for as long as an id of that birth is remembered.
func (a *asked) wait(born time.Time, window time.Duration) {
	if end := born.Add(window + askedGrace); end.After(a.until) {
		a.until = end
	}
}

// lacks reports that the replica has no record of an id that is not too old.
func (a *asked) lacks(q crdt.RequestID, now time.Time) bool {
	if now.Before(a.until) {
		return false
	}
	h := xxh3.Hash(q[:])
	for _, generation := range [][]idFilter{a.young, a.old} {
		for i := range generation {
			if generation[i].has(h) {
				return false
			}
		}
	}
	return true
}

// idFilter is a Bloom filter for a fixed number of hashes: of those that are not in
// it, about one of two hundred seems to be.
type idFilter struct {
	bits []uint64
	free int // hashes that may yet be added
}

const (
	firstBloom  = 256 // hashes of the first filter of a generation; the next has room for twice as many
	bloomBits   = 12  // for one hash
	bloomProbes = 6
)

func newIDFilter(hashes int) idFilter {
	return idFilter{bits: make([]uint64, hashes*bloomBits/64), free: hashes}
}

func (b *idFilter) add(h uint64) {
	for i := range uint64(bloomProbes) {
		at := b.at(h, i)
		b.bits[at/64] |= 1 << (at % 64)
	}
	b.free--
}

func (b *idFilter) has(h uint64) bool {
	for i := range uint64(bloomProbes) {
		if at := b.at(h, i); b.bits[at/64]&(1<<(at%64)) == 0 {
			return false
		}
	}
	return true
}

// at is the place of the ith bit of a hash.
//
// Source: Kirsch and Mitzenmacher, "Less hashing, same performance", ESA 2006.
func (b *idFilter) at(h, i uint64) uint64 {
	return (h + i*(h>>32|1)) % uint64(len(b.bits)*64)
}

// loadAsked finds out until when the ids of before this opening may be asked for.
func (s *Store) loadAsked() error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{tableRequest}, UpperBound: after([]byte{tableRequest})})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; {
		id, _, err := parseReplica(it.Key())
		if err != nil {
			return errors.Join(err, it.Close())
		}
		end := after(replicaPrefix(tableRequest, id))
		if !it.SeekLT(end) { // the youngest: they are ordered by their births
			break
		}
		_, rest, err := parseReplica(it.Key())
		if err != nil || len(rest) != len(crdt.RequestID{}) {
			return errors.Join(errKey, err, it.Close())
		}
		s.replicaLocked(id).asked.wait(bornAt(crdt.RequestID(rest)), s.opts.Requests)
		ok = it.SeekGE(end)
	}
	return errors.Join(it.Error(), it.Close())
}
