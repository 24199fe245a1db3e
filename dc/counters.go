package dc

import "sync/atomic"

// counters counts what a node did since it started. Each field only grows.
type counters struct {
	standIns     atomic.Uint64 // writes that a node stood in for, as asked by this node
	handedOver   atomic.Uint64 // replicas that this node gave up after their owners covered them
	pulledEvents atomic.Uint64 // events, or runs of them, that were taken from a co-owner's log
	pulledBytes  atomic.Uint64 // bytes of events and of pages that were taken from co-owners
	joins        atomic.Uint64 // joins of a whole partition, from a co-owner
	staleRings   atomic.Uint64 // requests of others refused because their ring was out of date
}
