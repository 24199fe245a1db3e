package crdt

import (
	"cmp"
	"slices"
	"strings"
)

// Residue is the removals that wait for the dots they remove: what a replica
// has been told is dead before its clock has seen it born. It is small, and
// empty most of the time. The zero Residue is empty and ready to use.
//
// Invariant: no dot of it is in its replica's clock.
type Residue struct {
	keys    map[residueKey]*keyResidue
	changed map[residueKey]struct{}
}

type residueKey struct {
	KeyID
	Kind Kind
}

type keyResidue struct {
	dots  map[string][]Dot // by path
	below map[string]Clock // by path prefix
}

// Empty reports whether nothing waits.
func (s *Residue) Empty() bool { return len(s.keys) == 0 }

// Contains reports whether the removal of an entry from the cell waits.
func (s *Residue) Contains(id CellID, e Entry) bool {
	if len(s.keys) == 0 {
		return false
	}
	k := s.keys[residueKey{id.KeyID, id.Kind}]
	if k == nil {
		return false
	}
	if _, ok := slices.BinarySearchFunc(k.dots[id.Path], e.Dot, Dot.Compare); ok {
		return true
	}
	for prefix, c := range k.below {
		if strings.HasPrefix(id.Path, prefix) && c.Contains(e.Dot) {
			return !id.spares(e)
		}
	}
	return false
}

func (s *Residue) at(id CellID) *keyResidue {
	rk := residueKey{id.KeyID, id.Kind}
	k := s.keys[rk]
	if k == nil {
		if s.keys == nil {
			s.keys = map[residueKey]*keyResidue{}
		}
		k = &keyResidue{dots: map[string][]Dot{}, below: map[string]Clock{}}
		s.keys[rk] = k
	}
	s.touch(rk)
	return k
}

func (s *Residue) touch(rk residueKey) {
	if s.changed == nil {
		s.changed = map[residueKey]struct{}{}
	}
	s.changed[rk] = struct{}{}
}

func (s *Residue) addDot(id CellID, d Dot) {
	k := s.at(id)
	ds := k.dots[id.Path]
	if i, ok := slices.BinarySearchFunc(ds, d, Dot.Compare); !ok {
		k.dots[id.Path] = slices.Insert(ds, i, d)
	}
}

func (s *Residue) addBelow(id CellID, c *Clock) {
	k := s.at(id)
	have := k.below[id.Path]
	have.Union(c)
	k.below[id.Path] = have
}

// dropCovered forgets what covered contains: the dots have come and gone.
func (s *Residue) dropCovered(covered *Clock) {
	for rk, k := range s.keys {
		for path, ds := range k.dots {
			left := slices.DeleteFunc(slices.Clone(ds), covered.Contains)
			if len(left) == len(ds) {
				continue
			}
			s.touch(rk)
			if k.dots[path] = left; len(left) == 0 {
				delete(k.dots, path)
			}
		}
		for path, c := range k.below {
			left := Difference(&c, covered)
			if left.Equal(&c) {
				continue
			}
			s.touch(rk)
			if k.below[path] = left; left.Empty() {
				delete(k.below, path)
			}
		}
		if len(k.dots) == 0 && len(k.below) == 0 {
			delete(s.keys, rk)
		}
	}
}

// Changes lists the residue as changes without puts, in order of their cells.
func (s *Residue) Changes() []Change {
	var out []Change
	for rk := range s.keys {
		out = append(out, s.changesOf(rk)...)
	}
	slices.SortFunc(out, func(a, b Change) int { return a.ID.Compare(b.ID) })
	return out
}

// OfKey lists the residue of one key.
func (s *Residue) OfKey(key KeyID) []Change {
	var out []Change
	if len(s.keys) == 0 {
		return nil
	}
	for k := NoKind + 1; k < kindEnd; k++ {
		out = append(out, s.changesOf(residueKey{key, k})...)
	}
	return out
}

func (s *Residue) changesOf(rk residueKey) []Change {
	k := s.keys[rk]
	if k == nil {
		return nil
	}
	byPath := map[string]Change{}
	for path, ds := range k.dots {
		byPath[path] = Change{ID: CellID{rk.KeyID, rk.Kind, path}, Removes: slices.Clone(ds)}
	}
	for path, c := range k.below {
		ch := byPath[path]
		ch.ID = CellID{rk.KeyID, rk.Kind, path}
		ch.Below = c.Clone()
		byPath[path] = ch
	}
	out := make([]Change, 0, len(byPath))
	for _, ch := range byPath {
		out = append(out, ch)
	}
	slices.SortFunc(out, func(a, b Change) int { return cmp.Compare(a.ID.Path, b.ID.Path) })
	return out
}

// TakeChanged returns, for every key and kind whose residue changed since the
// last call, what it is now: nothing, where it went away. The caller keeps it.
func (s *Residue) TakeChanged() map[CellID][]Change {
	if len(s.changed) == 0 {
		return nil
	}
	out := make(map[CellID][]Change, len(s.changed))
	for rk := range s.changed {
		out[CellID{KeyID: rk.KeyID, Kind: rk.Kind}] = s.changesOf(rk)
	}
	clear(s.changed)
	return out
}

// Restore puts kept changes back, as after a start. It does not count as a change.
func (s *Residue) Restore(changes []Change) {
	s.add(changes, nil)
	clear(s.changed)
}

// add takes removals over, less what seen contains.
func (s *Residue) add(changes []Change, seen *Clock) {
	for i := range changes {
		ch := &changes[i]
		for _, d := range ch.Removes {
			if seen == nil || !seen.Contains(d) {
				s.addDot(ch.ID, d)
			}
		}
		below := ch.Below.Clone()
		if seen != nil {
			below = Difference(&below, seen)
		}
		if !below.Empty() {
			s.addBelow(ch.ID, &below)
		}
	}
}

// AppendChanges appends the canonical encoding of changes, in their order.
func AppendChanges(b []byte, changes []Change) []byte { return appendChanges(b, changes) }

// DecodeChanges decodes what AppendChanges made, and nothing else.
func DecodeChanges(b []byte) ([]Change, error) {
	r := reader{b: b}
	cs := r.changes()
	return cs, r.done("changes")
}
