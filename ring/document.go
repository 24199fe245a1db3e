package ring

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/zeebo/xxh3"
)

// The limits of a ring document.
const (
	// MaxNameBytes is the greatest length of an id and of a rack.
	MaxNameBytes = 128
	// MaxAddressBytes is the greatest length of an address.
	MaxAddressBytes = 256
	// MaxNoteBytes is the greatest length of what a document says of its change.
	MaxNoteBytes = 256
	// MaxDocumentBytes is the greatest length of an encoded document.
	MaxDocumentBytes = 64 + MaxNameBytes + MaxNoteBytes + 2*MaxMembers*(2*(MaxNameBytes+2)+addresses*(MaxAddressBytes+2)+4+1+10)
)

// Status says what part a node plays in the ring.
type Status uint8

const (
	// StatusActive is a node that owns partitions.
	StatusActive Status = iota + 1
	// StatusDraining is a member that votes and serves, but owns nothing.
	StatusDraining
)

// String returns the status as an operator reads it.
func (s Status) String() string {
	switch s {
	case StatusActive:
		return "active"
	case StatusDraining:
		return "draining"
	default:
		return fmt.Sprintf("status(%d)", uint8(s))
	}
}

// Addrs is where a node is reached, as host:port each; empty where that is not
// known or left to the kernel.
type Addrs struct {
	GRPC   string // clients and operators
	Peer   string // nodes of its datacenter
	Gossip string
	NATS   string // nodes of other datacenters
	HTTP   string // dashboard and metrics
}

// addresses is how many there are in Addrs.
const addresses = 5

func (a *Addrs) all() [addresses]*string {
	return [addresses]*string{&a.GRPC, &a.Peer, &a.Gossip, &a.NATS, &a.HTTP}
}

// Entry is what a document says of one node.
type Entry struct {
	ID          string // name of the node; required
	Rack        string
	WeightMilli uint32 // weight in steps of MinWeight, 1 to 1,000,000
	Status      Status
	Addrs       Addrs
	// Seed is that of the node's permutation, see ChooseSeeds. 0 is the hash of
	// the ID. A node that replaces another takes over its seed.
	Seed uint64
}

// Weight returns the weight as the ring counts it.
func (e Entry) Weight() float64 { return float64(e.WeightMilli) / 1000 }

// seed returns the seed of the permutation, also where it comes from the ID.
func (e Entry) seed() uint64 { return cmp.Or(e.Seed, xxh3.HashString(e.ID)) }

// Check returns ErrInvalid if the entry cannot be part of a document.
func (e Entry) Check() error {
	switch {
	case e.ID == "" || len(e.ID) > MaxNameBytes:
		return fmt.Errorf("%w: entry with an id of %d bytes, want 1 to %d", ErrInvalid, len(e.ID), MaxNameBytes)
	case len(e.Rack) > MaxNameBytes:
		return fmt.Errorf("%w: entry %q has a rack of %d bytes, want at most %d", ErrInvalid, e.ID, len(e.Rack), MaxNameBytes)
	case e.WeightMilli < 1 || e.WeightMilli > uint32(MaxWeight*1000):
		return fmt.Errorf("%w: entry %q has weight %v, want %v to %v", ErrInvalid, e.ID, e.Weight(), MinWeight, MaxWeight)
	case e.Status < StatusActive || e.Status > StatusDraining:
		return fmt.Errorf("%w: entry %q has %v", ErrInvalid, e.ID, e.Status)
	}
	for _, a := range e.Addrs.all() {
		if len(*a) > MaxAddressBytes {
			return fmt.Errorf("%w: entry %q has an address of %d bytes, want at most %d", ErrInvalid, e.ID, len(*a), MaxAddressBytes)
		}
	}
	return nil
}

// Document is what the nodes of a datacenter have agreed on: who they are and
// who owns partitions. There is one for each epoch, which a majority of the
// Members of the epoch before has decided on (see Acceptor); so of two decided
// documents the one of the greater epoch is the newer, and that is all there is
// to compare. A Document is immutable once it has been decided on.
type Document struct {
	Epoch uint64 // 1 is made from the topology file; each change is one more
	By    string // the node that proposed it; empty in epoch 1
	Note  string // what was changed, for people; empty in epoch 1

	// Members own the partitions now, in the order of their IDs. They, and no
	// others, decide on the next document.
	Members []Entry
	// Target shall own the partitions once the data has moved, in the order of
	// IDs; nil when nothing moves.
	Target []Entry
	// Turned says that the owners of Target hold all the data, and are read
	// from; those of Members still take every write as well.
	Turned bool
}

// First returns the document of epoch 1.
func First(members []Entry) (*Document, error) {
	d := &Document{Epoch: 1, Members: sorted(members)}
	return d, d.Check()
}

func sorted(entries []Entry) []Entry {
	out := slices.Clone(entries)
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Check returns ErrInvalid if d cannot be a document.
func (d *Document) Check() error {
	var errs []error
	if d.Epoch == 0 {
		errs = append(errs, fmt.Errorf("%w: document of epoch 0", ErrInvalid))
	}
	if len(d.By) > MaxNameBytes || len(d.Note) > MaxNoteBytes {
		errs = append(errs, fmt.Errorf("%w: document with a note of %d bytes by a node with a name of %d, want at most %d and %d",
			ErrInvalid, len(d.Note), len(d.By), MaxNoteBytes, MaxNameBytes))
	}
	if d.Turned && !d.Moving() {
		errs = append(errs, fmt.Errorf("%w: document that has turned without a move", ErrInvalid))
	}
	errs = append(errs, checkEntries("members", d.Members))
	if d.Target != nil {
		errs = append(errs, checkEntries("target", d.Target))
	}
	return errors.Join(errs...)
}

func checkEntries(what string, entries []Entry) error {
	if len(entries) == 0 || len(entries) > MaxMembers {
		return fmt.Errorf("%w: %s: %d nodes, want 1 to %d", ErrInvalid, what, len(entries), MaxMembers)
	}
	active := false
	for i, e := range entries {
		if err := e.Check(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if i > 0 && e.ID <= entries[i-1].ID {
			return fmt.Errorf("%w: %s: node %q after %q", ErrInvalid, what, e.ID, entries[i-1].ID)
		}
		active = active || e.Status == StatusActive
	}
	if !active {
		return fmt.Errorf("%w: %s: no node is active: somebody must own the data", ErrInvalid, what)
	}
	return nil
}

// Moving tells whether data is on its way to other owners.
func (d *Document) Moving() bool { return d.Target != nil }

// latest returns the nodes that there will be when nothing moves any more.
func (d *Document) latest() []Entry {
	if d.Moving() {
		return d.Target
	}
	return d.Members
}

// All returns the nodes of Members and of Target in the order of their IDs. Of
// a node that is in both it returns the newer entry, that of Target.
func (d *Document) All() []Entry {
	out := slices.Clone(d.Target)
	for _, e := range d.Members {
		if _, ok := find(d.Target, e.ID); !ok {
			out = append(out, e)
		}
	}
	return sorted(out)
}

// Find returns the entry of a node, as All does.
func (d *Document) Find(id string) (Entry, bool) {
	if e, ok := find(d.Target, id); ok {
		return e, true
	}
	return find(d.Members, id)
}

// Voter tells whether a node takes part in deciding on the next document.
func (d *Document) Voter(id string) bool {
	_, ok := find(d.Members, id)
	return ok
}

// Majority is how many members decide on the next document.
func (d *Document) Majority() int { return len(d.Members)/2 + 1 }

// find looks for a node in entries that are in the order of their IDs.
func find(entries []Entry, id string) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(entries, id, func(e Entry, id string) int { return cmp.Compare(e.ID, id) })
	if !ok {
		return Entry{}, false
	}
	return entries[i], true
}

// Hash returns a fingerprint of the document. Nodes compare it to be sure that
// they mean the same epoch: two that differ were given different topologies.
func (d *Document) Hash() [16]byte { return xxh3.Hash128(AppendDocument(nil, d)).Bytes() }

// Same tells whether two documents say the same of nodes, whoever proposed them.
func (d *Document) Same(o *Document) bool {
	return d.Epoch == o.Epoch && d.Turned == o.Turned && slices.Equal(d.Members, o.Members) && d.Moving() == o.Moving() && slices.Equal(d.Target, o.Target)
}

// Equal tells whether two documents have equal encodings.
func (d *Document) Equal(o *Document) bool {
	return bytes.Equal(AppendDocument(nil, d), AppendDocument(nil, o))
}

// Rings returns the rings of the owners now and of those to come, which is nil
// when nothing moves. A draining node owns nothing.
func (d *Document) Rings(o Options) (now, next *Ring, err error) {
	if now, err = New(owning(d.Members), o); err != nil {
		return nil, nil, fmt.Errorf("ring of epoch %d: %w", d.Epoch, err)
	}
	if !d.Moving() {
		return now, nil, nil
	}
	if next, err = New(owning(d.Target), o); err != nil {
		return nil, nil, fmt.Errorf("target ring of epoch %d: %w", d.Epoch, err)
	}
	return now, next, nil
}

// owning returns the nodes of which a ring is made.
func owning(entries []Entry) []Member {
	var out []Member
	for _, e := range entries {
		if e.Status == StatusActive {
			out = append(out, Member{ID: e.ID, Rack: e.Rack, Weight: e.Weight(), Seed: e.Seed})
		}
	}
	return out
}
