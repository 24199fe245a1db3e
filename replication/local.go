package replication

import (
	"context"
	"errors"

	"github.com/godwitdb/godwit/crdt"
)

// ErrPermanent marks an error of Local.Apply that trying again cannot help:
// the delta is parked and shown. Wrap it or join it.
var ErrPermanent = errors.New("this can never be applied")

// ErrJoining is what Local.Compare answers while the replica is being joined with
// another one. Wrap it or join it.
var ErrJoining = errors.New("replica is being joined with another one")

// Replica names one partition of one placement. Which node's replica of it is
// meant follows from whom one asks.
type Replica struct{ Placement, Partition uint32 }

// Local is this datacenter, as replication sees it. Its methods are called
// concurrently.
type Local interface {
	// Collect returns what this node's own replica of r minted as actor after
	// the event `after` and holds durably: coalesced, encoded by
	// crdt.AppendDelta, of at most maxBytes unless a single event is larger;
	// with the last sequence number and the number of events. It returns nil
	// when there is nothing.
	Collect(r Replica, actor crdt.Actor, after uint64, maxBytes int) (delta []byte, upTo uint64, events int, err error)
	// Led lists the replicas for which this node speaks to other datacenters now.
	Led() []Replica
	// Candidates lists the nodes of a remote datacenter to ask about r, best first.
	Candidates(dc string, r Replica) []string
	// Standing returns the durable clock of this node's replica of r, and the
	// dots that all replicas of r in this datacenter are known to hold. The
	// clocks belong to the caller.
	Standing(r Replica) (clock, least crdt.Clock, err error)
	// Heard tells what a remote datacenter reported for r. The clocks must not
	// be changed.
	Heard(dc string, r Replica, clock, least crdt.Clock)
	// Compared tells that all that a remote datacenter had to report of these
	// replicas, when it was just asked, has been told by Heard.
	Compared(dc string, rs []Replica)
	// HeardOf tells what another datacenter had heard of this one for r, some time
	// ago: it may be older than what is known.
	HeardOf(dc string, r Replica, clock, least crdt.Clock)
	// Told returns what was heard of a remote datacenter for r; false: nothing. The
	// clocks belong to the caller.
	Told(dc string, r Replica) (clock, least crdt.Clock, ok bool)
	// Origin is the datacenter that minted the events of an actor, "" if that is
	// not known.
	Origin(actor crdt.Actor) string
	// Missing returns logged events that have lacks, as coalesced and encoded
	// deltas of together at most maxBytes unless the first is larger; trimmed
	// means that the log no longer reaches back to all of them.
	Missing(r Replica, have *crdt.Clock, maxBytes int) (deltas [][]byte, more, trimmed bool, err error)
	// Apply applies encoded deltas with a local write quorum and returns when
	// they are durable. The deltas must not be kept. An error that is
	// ErrPermanent says that trying again is of no use.
	Apply(ctx context.Context, r Replica, deltas [][]byte) error
	// Root returns salted hashes of the durable clock of this node's replica of r
	// and of the root of its tree. It fails while they say nothing: the tree is
	// being built, something is not durable yet, or removals wait.
	Root(r Replica, salt uint64) (clock, root uint64, err error)
	// Answer answers one step of another datacenter's Comparison of r, with about
	// maxBytes.
	Answer(r Replica, ask []byte, maxBytes int) ([]byte, error)
	// Compare begins to compare this node's replica of r with another
	// datacenter's; what is taken over reaches the whole datacenter. The error is
	// ErrJoining while the replica is being joined with a co-owner's; it is asked
	// for one comparison of a replica at a time.
	Compare(r Replica) (Comparison, error)
}
