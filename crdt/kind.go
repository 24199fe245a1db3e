package crdt

import (
	"fmt"
	"slices"
)

// Kind is the data type of a key's value. Its numbers are stored for ever.
type Kind uint8

// The kinds, chosen per key by its first write.
const (
	NoKind Kind = iota
	Register
	MVRegister
	Counter
	GCounter
	BCounter
	Set
	GSet
	RWSet
	Flag
	DWFlag
	Map
	ZSet
	HLL
	Expiry // of a key, beside its kinds; no client may name it
	kindEnd
)

// A kind is one row here and one file: what its cells hold, how operations
// change them, and what a reader sees.
type kindRow struct {
	name string
	// collection kinds keep one cell per element; the others have one cell.
	collection bool
	// join merges the payloads that two replicas hold for the same dot; nil
	// where a dot's payload never changes.
	join func(mine, theirs []byte) []byte
	// carry splits a payload in two, for an actor that is gone: what stays under
	// its dot and what goes on under a new one. Nil, or nothing left, where the
	// whole of it moves.
	carry func(payload []byte) (left, carried []byte)
	// spares reports whether an entry is left alone by a removal of everything
	// below a path: its owner alone ends it. Nil where none is.
	spares func(payload []byte) bool
	// rests lists those entries of a cell that an event which moves one of them
	// must carry along. Nil where each stands alone.
	rests func(c Cell, e Entry) Cell
	// release is what a removal of everything observed makes of a cell's spared
	// entries: the dots that actor may end itself, and the entries to put. Nil
	// where such entries cannot be removed.
	release func(c Cell, actor Actor) (ends []Dot, puts []Entry)
	// check refuses a payload that no operation of the kind makes.
	check func(payload []byte) error
	// present reports whether a cell makes its key, or its element of a
	// collection, exist; nil means any live dot does.
	present func(c Cell) bool
	// mutate turns an operation into changes.
	mutate map[OpCode]func(m *mutation) error
	// read turns live cells into a value.
	read func(v *Value, cells []CellState)
}

// kinds is filled by init, not in place, because the rows' own functions look
// other kinds up in it: a map's fields are of any kind.
var kinds [kindEnd]kindRow

func init() {
	kinds = [kindEnd]kindRow{
		NoKind:     {name: "none"},
		Register:   registerRow("register", false),
		MVRegister: registerRow("mvregister", true),
		Counter:    counterRow,
		GCounter:   gcounterRow,
		BCounter:   bcounterRow,
		Set:        setRow,
		GSet:       gsetRow,
		RWSet:      rwsetRow,
		Flag:       flagRow,
		DWFlag:     dwflagRow,
		Map:        mapRow,
		ZSet:       zsetRow,
		HLL:        hllRow,
		Expiry:     expiryRow,
	}
}

// row is that of the kind that a cell belongs to: inside a map, of the field.
func (id CellID) row() *kindRow {
	k, _ := id.Leaf()
	return k.row()
}

// spares reports whether a removal of everything below a path leaves e alone.
func (id CellID) spares(e Entry) bool {
	row := id.row()
	return row.spares != nil && row.spares(e.Payload)
}

func (k Kind) row() *kindRow {
	if k >= kindEnd {
		return &kinds[NoKind]
	}
	return &kinds[k]
}

// String is the kind's name, as in topology files and on the command line.
func (k Kind) String() string { return k.row().name }

// Collection reports whether k keeps a cell per element.
func (k Kind) Collection() bool { return k.row().collection }

// Supported reports whether this version reads and writes k.
func (k Kind) Supported() bool { return k.row().read != nil }

// stored reports whether this version keeps cells of k.
func (k Kind) stored() bool { return k == Expiry || k.Supported() }

// ParseKind returns the kind of that name.
func ParseKind(name string) (Kind, error) {
	i := slices.IndexFunc(kinds[:], func(r kindRow) bool { return r.name == name })
	if i <= int(NoKind) || Kind(i) == Expiry {
		return NoKind, fmt.Errorf("unknown kind %q (kinds: %v)", name, SupportedKinds())
	}
	return Kind(i), nil
}

// SupportedKinds lists the kinds that this version reads and writes.
func SupportedKinds() []Kind {
	var out []Kind
	for k := NoKind + 1; k < kindEnd; k++ {
		if k.Supported() {
			out = append(out, k)
		}
	}
	return out
}
