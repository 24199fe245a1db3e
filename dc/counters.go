package dc

import "sync/atomic"

// Counters count what a node has done since it was opened. Each only grows. Safe
// for concurrent use; the zero value is ready.
type Counters struct {
	// Reads are the keys that were read with this node as coordinator.
	Reads atomic.Uint64
	// ReadsForwarded and WritesForwarded are requests of clients that this node
	// handed to an owner of the key's partition.
	ReadsForwarded, WritesForwarded atomic.Uint64
	// PeerReads are the questions that reads put to other nodes, hedges left
	// out: for digests, for cells and forwarded ones.
	PeerReads atomic.Uint64
	// Hedges are questions that were put to a further node because the node
	// asked first took longer than it takes for 95 of 100, and HedgesWon those
	// of them that were answered in time to count.
	Hedges, HedgesWon atomic.Uint64
	// HedgesDenied are hedges that the budget did not allow.
	HedgesDenied atomic.Uint64
	// PassedOver are questions that were put to a further node because the one
	// asked first had fallen silent meanwhile: its phi passed the threshold.
	PassedOver atomic.Uint64
	// DigestMismatches are reads for which replicas did not agree.
	DigestMismatches atomic.Uint64
	// ReadsOfRecovering are questions of reads for which an answer had to count of a
	// replica that lost its disk and does not know yet that it has all back.
	ReadsOfRecovering atomic.Uint64
	// ReadRepairs are reads that found replicas behind the join of all that were
	// read, and RepairedReplicas the replicas that took it over durably, this
	// node's own included.
	ReadRepairs, RepairedReplicas atomic.Uint64
	// StandIns are writes that a node stood in for, as asked by this node, and
	// HandedOver replicas that this node gave up after their owners covered them.
	StandIns, HandedOver atomic.Uint64
	// PulledEvents are events, or runs of them, that were taken from a co-owner's
	// log, and PulledBytes the bytes of those and of pages of joins.
	PulledEvents, PulledBytes atomic.Uint64
	// Joins are those of a whole partition, from a co-owner, and TreeRepairs those
	// of them that were made because trees differed while clocks did not.
	Joins, TreeRepairs atomic.Uint64
	// ScrubbedReplicas are replicas that were read again whole, ScrubbedBytes what
	// that took, and ScrubsWrong those of them that were damaged.
	ScrubbedReplicas, ScrubbedBytes, ScrubsWrong atomic.Uint64
	// Reminted are events that gave a dot of its own to what a lost event left.
	Reminted atomic.Uint64
	// Conflicts are those that arose on this node's replicas: registers, also in
	// maps, with concurrent values that differ, and keys of several kinds. One
	// that gains a value counts again. Every owner counts what it sees.
	Conflicts atomic.Uint64
	// Swept are expired keys that this node removed.
	Swept atomic.Uint64
	// SkewRefusals are writes that this node did not coordinate because its wall
	// clock is wrong.
	SkewRefusals atomic.Uint64
	// StaleRings are requests of others refused because their ring was out of date.
	StaleRings atomic.Uint64
	// SessionWaits are requests whose session had seen more than this node's
	// replica held durably, SessionPulls the questions to co-owners for it, and
	// SessionsBehind those of the requests that it did not catch up with in time.
	SessionWaits, SessionPulls, SessionsBehind atomic.Uint64
	// Repeats are writes with a request id that had been carried out before, and
	// were answered as then.
	Repeats atomic.Uint64
	// IncrementsJoined are increments of counters that became one run of events
	// with others, for which they waited while an earlier one was on its way to disk.
	IncrementsJoined atomic.Uint64
	// AcksAsked are the questions to other datacenters whether a write has arrived
	// there, and AcksShort the writes that fewer of them than asked for were known
	// to hold when the time was up.
	AcksAsked, AcksShort atomic.Uint64
	// RepeatLooks are writes for which the other owners were asked whether they
	// know the request id, and RepeatsUnsettled those of them that were not
	// carried out because not all of them could tell.
	RepeatLooks, RepeatsUnsettled atomic.Uint64
}

// Counters returns the node's counters, which go on counting.
func (n *Node) Counters() *Counters { return &n.count }
