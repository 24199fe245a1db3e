package ring

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// The limits of a ring document.
const (
	// MaxEntries is the greatest number of entries of a document, those of
	// removed nodes included.
	MaxEntries = MaxMembers
	// MaxNameBytes is the greatest length of an id and of a rack.
	MaxNameBytes = 128
	// MaxAddressBytes is the greatest length of an address.
	MaxAddressBytes = 256
	// MaxDocumentBytes is the greatest length of an encoded document.
	MaxDocumentBytes = 64 + MaxEntries*(2*(MaxNameBytes+2)+MaxAddressBytes+2+4+1+10)
)

// ErrDocumentFull reports a change that would give a document more entries
// than MaxEntries.
var ErrDocumentFull = errors.New("ring: document is full")

// Status says what part a node plays in the ring.
type Status uint8

const (
	// StatusJoining is a node that has asked to join and owns nothing yet.
	StatusJoining Status = iota + 1
	// StatusActive is a node that owns partitions.
	StatusActive
	// StatusLeaving is a node whose partitions are to move away.
	StatusLeaving
	// StatusRemoved is a node that is gone for ever. Its entry stays, so that
	// an older one that turns up does not bring it back.
	StatusRemoved
)

// String returns the status as an operator reads it.
func (s Status) String() string {
	switch s {
	case StatusJoining:
		return "joining"
	case StatusActive:
		return "active"
	case StatusLeaving:
		return "leaving"
	case StatusRemoved:
		return "removed"
	default:
		return fmt.Sprintf("status(%d)", uint8(s))
	}
}

// Entry is what a document says of one node.
type Entry struct {
	ID          string // name of the node; required
	Addr        string // host:port at which its peers reach it
	Rack        string
	WeightMilli uint32 // weight in steps of MinWeight, 1 to 1,000,000
	Status      Status
	Version     uint64 // of the entry; whoever changes it raises it by one
}

// Weight returns the weight as the ring counts it.
func (e Entry) Weight() float64 { return float64(e.WeightMilli) / 1000 }

// Check returns ErrInvalid if the entry cannot be part of a document.
func (e Entry) Check() error {
	switch {
	case e.ID == "" || len(e.ID) > MaxNameBytes:
		return fmt.Errorf("%w: entry with an id of %d bytes, want 1 to %d", ErrInvalid, len(e.ID), MaxNameBytes)
	case len(e.Addr) > MaxAddressBytes:
		return fmt.Errorf("%w: entry %q has an address of %d bytes, want at most %d", ErrInvalid, e.ID, len(e.Addr), MaxAddressBytes)
	case len(e.Rack) > MaxNameBytes:
		return fmt.Errorf("%w: entry %q has a rack of %d bytes, want at most %d", ErrInvalid, e.ID, len(e.Rack), MaxNameBytes)
	case e.WeightMilli < 1 || e.WeightMilli > uint32(MaxWeight*1000):
		return fmt.Errorf("%w: entry %q has weight %v, want %v to %v", ErrInvalid, e.ID, e.Weight(), MinWeight, MaxWeight)
	case e.Status < StatusJoining || e.Status > StatusRemoved:
		return fmt.Errorf("%w: entry %q has %v", ErrInvalid, e.ID, e.Status)
	}
	return nil
}

// Epoch names a committed state of the ring. The document only carries it:
// deciding on the next one takes a majority of the members, not a merge.
type Epoch struct {
	Number uint64
	Hash   [16]byte
}

// Compare orders epochs by number, then by hash.
func (e Epoch) Compare(o Epoch) int {
	return cmp.Or(cmp.Compare(e.Number, o.Number), bytes.Compare(e.Hash[:], o.Hash[:]))
}

// Document is the ring document: what the nodes of a datacenter know of each
// other, as a state-based replicated data type. Of two entries for one node the
// one with the higher version wins, of equal versions the one whose encoding is
// greater; of two epochs the greater. Merging is therefore commutative,
// associative and idempotent, as long as no document is full.
//
// The zero Document is empty and ready to use. Not safe for concurrent use.
type Document struct {
	entries map[string]Entry
	epoch   Epoch
}

// Put merges one entry into the document and tells whether that changed it. It
// returns ErrInvalid for an entry that cannot be, and ErrDocumentFull.
func (d *Document) Put(e Entry) (changed bool, err error) {
	if err := e.Check(); err != nil {
		return false, err
	}
	have, known := d.entries[e.ID]
	if known && !newer(e, have) {
		return false, nil
	}
	if !known && len(d.entries) >= MaxEntries {
		return false, fmt.Errorf("put entry %q: %w", e.ID, ErrDocumentFull)
	}
	if d.entries == nil {
		d.entries = make(map[string]Entry)
	}
	d.entries[e.ID] = e
	return true, nil
}

// newer tells whether a wins over b, an entry of the same node.
func newer(a, b Entry) bool {
	if a.Version != b.Version {
		return a.Version > b.Version
	}
	return bytes.Compare(appendEntry(nil, a), appendEntry(nil, b)) > 0
}

// Merge takes over all that o knows better and tells whether that changed the
// document. It returns ErrDocumentFull if the entries of both do not fit; what
// does fit has then been merged.
func (d *Document) Merge(o *Document) (changed bool, err error) {
	for _, e := range o.Entries() {
		put, err := d.Put(e)
		changed = changed || put
		if err != nil {
			return changed, fmt.Errorf("merge ring documents: %w", err)
		}
	}
	return d.SetEpoch(o.epoch) || changed, nil
}

// Epoch returns the greatest epoch that the document has seen.
func (d *Document) Epoch() Epoch { return d.epoch }

// SetEpoch raises the epoch to e and tells whether that changed it.
func (d *Document) SetEpoch(e Epoch) (changed bool) {
	if e.Compare(d.epoch) <= 0 {
		return false
	}
	d.epoch = e
	return true
}

// Len returns the number of entries, those of removed nodes included.
func (d *Document) Len() int { return len(d.entries) }

// Get returns the entry of a node.
func (d *Document) Get(id string) (Entry, bool) {
	e, ok := d.entries[id]
	return e, ok
}

// Entries returns a copy of all entries in the order of their IDs.
func (d *Document) Entries() []Entry {
	return slices.SortedFunc(maps.Values(d.entries), func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })
}

// Members returns the nodes of which a ring is made: the active ones.
func (d *Document) Members() []Member {
	var out []Member
	for _, e := range d.Entries() {
		if e.Status == StatusActive {
			out = append(out, Member{ID: e.ID, Rack: e.Rack, Weight: e.Weight()})
		}
	}
	return out
}

// Clone returns an independent copy.
func (d *Document) Clone() *Document {
	return &Document{entries: maps.Clone(d.entries), epoch: d.epoch}
}
