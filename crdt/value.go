package crdt

// Value is what a reader sees of a key of one kind.
type Value struct {
	Kind      Kind
	Siblings  []Sibling // register, mvregister: the last writer's value first
	Int       int64     // counter, gcounter, bcounter
	Saturated bool      // the counter lies outside int64; Int is the nearest
	Elements  []string  // set, gset, rwset; in order
	Flag      bool      // flag, dwflag
	Fields    []Field   // map, in order of name and kind
	Members   []Member  // zset, in order of score and member
	Estimate  uint64    // hll
	Rights    []Rights  // bcounter, in order of actor
	Bound     int64     // bcounter
}

// Rights is how much one actor may take from a bcounter.
type Rights struct {
	Actor  Actor
	Amount int64
}

// ReadValue makes a value of a key's live cells of one kind, in order of their paths.
func ReadValue(kind Kind, cells []CellState) Value {
	v := Value{Kind: kind}
	if row := kind.row(); row.read != nil {
		row.read(&v, cells)
	}
	return v
}

// PresentCell reports whether a cell makes its key, or its element of a
// collection, exist.
func PresentCell(id CellID, c Cell) bool {
	if row := id.row(); row.present != nil {
		return row.present(c)
	}
	return len(c) > 0
}
