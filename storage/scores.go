package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// The members of a zset are cells in order of their names. Beside them stands
// an index in order of their scores: one record, without a value, for every
// member that has a score. It is derived from the cells, replica by replica:
// whatever changes a cell changes the index in the same batch, and it takes no
// part in digests, logs, joins or transfers. Zsets within maps have none.

// Order selects members of a zset by their place in the order of scores, and of
// names where scores are equal.
type Order struct {
	Start, Stop int64 // ranks, both included; negative ones count from the end
	ByScore     bool  // take Min and Max, both included, in place of Start and Stop
	Min, Max    float64
	Reverse     bool    // begin with the greatest score
	Behind      *Ranked // go on behind this one, the last of an earlier answer
	Member      *string // only this one, wherever it stands; of the others Reverse alone counts
}

// Ranked is a member of a zset with its place in the order asked for, from 0.
type Ranked struct {
	Member string
	Score  float64
	Rank   uint64
}

// scoreKey is where the index keeps a member, by the path of its cell.
func scoreKey(placement uint32, hash uint64, id crdt.CellID, score float64) []byte {
	b := headKey(tableScore, placement, hash, id)
	at := crdt.SortableScore(score)
	return append(append(b, at[:]...), id.Path...)
}

// writeScore keeps the index of a zset in step with one of its cells.
func (t *txn) writeScore(b *pebble.Batch, id crdt.CellID, s *slot) error {
	if id.Kind != crdt.ZSet {
		return nil
	}
	was, had := crdt.ScoreOf(s.was)
	score, has := crdt.ScoreOf(s.cell)
	if had && (!has || score != was) {
		if err := b.Delete(scoreKey(t.r.id.Placement, s.hash, id, was), nil); err != nil {
			return err
		}
	}
	if !has || had && score == was {
		return nil
	}
	return b.Set(scoreKey(t.r.id.Placement, s.hash, id, score), nil, nil)
}

// ranking reads the index of one zset, at the instant of its iterator.
type ranking struct {
	it     *pebble.Iterator
	prefix []byte // of the zset's records
	order  *Order
	total  int64 // members
	rows   int   // records that were passed
}

// seek puts the iterator on the first member asked for and returns its rank;
// false where there is none. A rank is counted from the nearer end of the zset.
func (x *ranking) seek() (rank int64, ok bool, err error) {
	o := x.order
	switch {
	case o.Behind != nil:
		at := crdt.SortableScore(o.Behind.Score)
		key := append(append(bytes.Clone(x.prefix), at[:]...), crdt.PathOf(o.Behind.Member)...)
		if o.Reverse {
			ok = x.it.SeekLT(key)
		} else {
			ok = x.it.SeekGE(append(key, 0))
		}
		return int64(o.Behind.Rank) + 1, ok, nil
	case o.ByScore:
		return x.seekScore()
	}
	rank = x.clamp(o.Start, 0)
	if rank >= x.total {
		return 0, false, nil
	}
	ascending := rank
	if o.Reverse {
		ascending = x.total - 1 - rank
	}
	if left := x.total - 1 - ascending; left < ascending {
		ok = x.it.Last()
		for ; ok && left > 0; left-- {
			x.rows++
			ok = x.it.Prev()
		}
		return rank, ok, nil
	}
	ok = x.it.First()
	for ; ok && ascending > 0; ascending-- {
		x.rows++
		ok = x.it.Next()
	}
	return rank, ok, nil
}

// clamp makes a place counted from the end one counted from the beginning.
func (x *ranking) clamp(rank, least int64) int64 {
	if rank < 0 {
		return max(rank+x.total, least)
	}
	return rank
}

func (x *ranking) seekScore() (rank int64, ok bool, err error) {
	o := x.order
	if !(o.Min <= o.Max) { // also where one is no number
		return 0, false, nil
	}
	if o.Reverse {
		top := crdt.SortableScore(o.Max)
		if end := after(append(bytes.Clone(x.prefix), top[:]...)); end != nil {
			ok = x.it.SeekLT(end)
		}
	} else {
		low := crdt.SortableScore(o.Min)
		ok = x.it.SeekGE(append(bytes.Clone(x.prefix), low[:]...))
	}
	if !ok || !x.inside(x.total) {
		return 0, false, nil
	}
	before, err := x.before()
	if o.Reverse {
		before = x.total - 1 - before
	}
	return before, true, err
}

// before counts the members of lower order than the iterator's, from both ends
// of the zset at once, so that the nearer one decides how long it takes.
func (x *ranking) before() (n int64, err error) {
	down, err := x.it.Clone(pebble.CloneOptions{})
	if err != nil {
		return 0, err
	}
	up, err := x.it.Clone(pebble.CloneOptions{})
	if err != nil {
		return 0, errors.Join(err, down.Close())
	}
	here := bytes.Clone(x.it.Key())
	okDown, okUp := down.SeekLT(here), up.SeekGE(append(here, 0))
	for okDown && okUp {
		n++
		x.rows += 2
		okDown, okUp = down.Prev(), up.Next()
	}
	if okDown { // the upper end was nearer: n members stand above
		n = x.total - 1 - n
	}
	return n, errors.Join(down.Error(), up.Error(), down.Close(), up.Close())
}

// inside reports whether the member at the iterator, of this rank, is asked for.
func (x *ranking) inside(rank int64) bool {
	o := x.order
	if !o.ByScore {
		return rank <= x.clamp(o.Stop, -1)
	}
	at := x.it.Key()[len(x.prefix):]
	if o.Reverse {
		low := crdt.SortableScore(o.Min)
		return bytes.Compare(at[:len(low)], low[:]) >= 0
	}
	top := crdt.SortableScore(o.Max)
	return bytes.Compare(at[:len(top)], top[:]) <= 0
}

// read calls fn for the members asked for, one after another, until it returns
// false or there are no more.
func (x *ranking) read(fn func(m Ranked, path string) (bool, error)) error {
	rank, ok, err := x.seek()
	for ; ok && err == nil && x.inside(rank); rank++ {
		x.rows++
		m, path, bad := parseScore(x.it.Key()[len(x.prefix):])
		if bad != nil {
			return bad
		}
		m.Rank = uint64(rank)
		if ok, err = fn(m, path); !ok || err != nil {
			break
		}
		if x.order.Reverse {
			ok = x.it.Prev()
		} else {
			ok = x.it.Next()
		}
	}
	return errors.Join(err, x.it.Error())
}

// parseScore takes what follows the zset's name in a key of the index apart.
func parseScore(b []byte) (m Ranked, path string, err error) {
	if len(b) < 8 {
		return m, "", fmt.Errorf("%w: score %x", errKey, b)
	}
	bits := binary.BigEndian.Uint64(b)
	if bits>>63 == 1 {
		bits &^= 1 << 63
	} else {
		bits = ^bits
	}
	m.Score, path = math.Float64frombits(bits), string(b[8:])
	member, rest, ok := crdt.CutPath(path)
	if !ok || rest != "" {
		return m, "", fmt.Errorf("%w: score of %x", errKey, path)
	}
	m.Member = member
	return m, path, nil
}

// ranked answers what a query asks of the zset whose header is under it: the
// members by their scores, with their cells. The iterators are of one instant.
func (a *Answer) ranked(it, index *pebble.Iterator, q *Query, total int64) error {
	head := bytes.Clone(it.Key())
	prefix := bytes.Clone(head[:len(head)-1])
	prefix[0] = tableScore
	a.Ranked, a.Members = true, []Ranked{}
	size := 0
	x := &ranking{it: index, prefix: prefix, order: q.Order, total: total}
	if q.Order.Member != nil {
		return a.rank(it, x, append(head[:len(head)-1], partCell))
	}
	err := x.read(func(m Ranked, path string) (bool, error) {
		if q.full(len(a.Members), size) {
			a.More = true
			return false, nil
		}
		key := append(append(head[:len(head)-1:len(head)-1], partCell), path...)
		if !it.SeekGE(key) || !bytes.Equal(it.Key(), key) {
			return false, fmt.Errorf("%w: index names member %.80q, which has no cell", errKey, m.Member)
		}
		rec, err := parseRecord(it.Key())
		if err != nil {
			return false, err
		}
		size += len(it.Key()) + len(it.Value())
		a.Members = append(a.Members, m)
		return true, a.take(rec, it.Key(), it.Value())
	})
	a.rows += x.rows
	return err
}

// rank answers where one member stands: its score is in its cell, cells begin
// with this key.
func (a *Answer) rank(it *pebble.Iterator, x *ranking, cells []byte) error {
	member := *x.order.Member
	key := slices.Concat(cells, []byte(crdt.PathOf(member)))
	if !it.SeekGE(key) || !bytes.Equal(it.Key(), key) {
		return nil
	}
	rec, err := parseRecord(it.Key())
	if err == nil {
		err = a.take(rec, it.Key(), it.Value())
	}
	if err != nil {
		return err
	}
	score, ok := crdt.ScoreOf(a.Cells[len(a.Cells)-1].Live)
	if !ok {
		return nil
	}
	at := crdt.SortableScore(score)
	key = append(append(bytes.Clone(x.prefix), at[:]...), crdt.PathOf(member)...)
	if !x.it.SeekGE(key) || !bytes.Equal(x.it.Key(), key) {
		return fmt.Errorf("%w: no score of member %.80q in the index", errKey, member)
	}
	before, err := x.before()
	if x.order.Reverse {
		before = x.total - 1 - before
	}
	a.rows += x.rows
	a.Members = append(a.Members, Ranked{member, score, uint64(before)})
	return err
}

// scoresKey tells the version of the index of scores that the database has.
var scoresKey = append([]byte{tableMeta}, "scores"...)

const (
	scoresVersion = 1
	scoresBatch   = 1 << 20 // bytes of one batch of the index as it is built
)

// indexScores makes the index of scores for a database of a version that kept
// none. It may be broken off: nothing of it counts before it is whole.
func (s *Store) indexScores() error {
	have, err := s.get(scoresKey)
	if err != nil || bytes.Equal(have, []byte{scoresVersion}) {
		return err
	}
	b := s.db.NewBatch()
	if err := b.DeleteRange([]byte{tableScore}, after([]byte{tableScore}), nil); err != nil {
		return errors.Join(err, b.Close())
	}
	flush := func() error {
		err := errors.Join(b.Commit(pebble.NoSync), b.Close())
		b = s.db.NewBatch()
		return err
	}
	err = s.each([]byte{tableData}, after([]byte{tableData}), func(k, v []byte) error {
		rec, err := parseRecord(k)
		if err != nil || rec.id.Kind != crdt.ZSet || rec.part != partCell {
			return err
		}
		c, err := crdt.DecodeCell(v)
		if err != nil {
			return err
		}
		if score, ok := crdt.ScoreOf(c); ok {
			err = b.Set(scoreKey(binary.BigEndian.Uint32(k[1:]), rec.hash, rec.id, score), nil, nil)
		}
		if err == nil && b.Len() > scoresBatch {
			err = flush()
		}
		return err
	})
	if err == nil {
		err = b.Set(scoresKey, []byte{scoresVersion}, nil)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("index the scores of zsets: %w", err), b.Close())
	}
	return errors.Join(b.Commit(pebble.Sync), b.Close())
}
