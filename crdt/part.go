package crdt

import (
	"slices"
	"strings"
)

// Part is a part of a key: all its cells of kinds that are no collections, and of
// its collections the cells at and below some paths, whatever the kind. The zero
// Part has no cell of a collection.
type Part struct {
	Under []string // in order, and none below another
}

// NewPart makes a part of paths in any order.
func NewPart(paths []string) *Part {
	sorted := slices.Clone(paths)
	slices.Sort(sorted)
	p := &Part{}
	for _, path := range sorted { // what is below a path follows it
		if n := len(p.Under); n == 0 || !strings.HasPrefix(path, p.Under[n-1]) {
			p.Under = append(p.Under, path)
		}
	}
	return p
}

// Has reports whether the part has a cell of its key.
func (p *Part) Has(id CellID) bool {
	if !id.Kind.Collection() {
		return true
	}
	i, at := slices.BinarySearch(p.Under, id.Path)
	return at || i > 0 && strings.HasPrefix(id.Path, p.Under[i-1])
}

// Removal tells whether an operation without a context removes, or keeps, what its
// replica holds of the key, and of which part: only there does it matter whether
// the replica lacks something. A nil part is all of the key.
func (o *Op) Removal() (part *Part, removes bool) {
	if slices.Contains([]OpCode{OpDelete, OpReset, OpExpire, OpKeep}, o.Code) || o.KeepTTL { // an expiry names the values that it is about
		return nil, true
	}
	paths, removes := o.removal("")
	if !removes {
		return nil, false
	}
	return NewPart(paths), true
}

// removal lists paths of cells of collections that an operation on the field at
// base, or on the key, removes from.
func (o *Op) removal(base string) (paths []string, removes bool) {
	switch o.Code {
	case OpDelete, OpReset:
		return []string{base}, true
	case OpSwitch:
		if base == "" { // its one cell is in every part
			return nil, !o.On
		}
		return []string{base}, !o.On
	case OpRemove:
		for _, e := range o.Elements {
			paths = append(paths, base+PathOf(e))
		}
		return paths, true
	case OpDiscard:
		for _, f := range o.Names {
			paths = append(paths, base+PathOf(f.Name)+kindPath(f.Kind))
		}
		return paths, true
	case OpUpdate:
		for i := range o.Fields {
			f := &o.Fields[i]
			at := base + PathOf(f.Name)
			below, some := f.Op.removal(at + kindPath(f.Op.Kind))
			if some && f.Op.Kind == NoKind { // which follows from all that there is of the name
				below = []string{at}
			}
			if some {
				paths, removes = append(paths, below...), true
			}
		}
	case OpAssign, OpAdd, OpInsert, OpScore, OpBump, OpObserve, OpTransfer, OpKeep, OpExpire, OpSweep, OpAsk: // not within a field, or no removal
	}
	return paths, removes
}

// kindPath is what stands behind the name of a field in a path.
func kindPath(k Kind) string {
	if k == NoKind {
		return ""
	}
	return string([]byte{byte(k)})
}
