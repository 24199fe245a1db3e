// Package storage keeps the replicas of one node on disk, in one Pebble
// database: cells, clocks, residue, the event log and the record of request
// ids. It owns the layout, durability, the Merkle trees and the one door
// through which bytes change; it does not know rings, datacenters or wires.
//
// Everything that changes a partition (a client's operation, an event of a
// co-owner or of another datacenter, a repair, a transfer) is a rule of
// package crdt applied to cells, and is committed in one atomic batch
// together with the clock, the log entry, the residue and the headers. See
// Replica and its method commit, the door.
//
// Only this package imports Pebble (github.com/cockroachdb/pebble/v2).
package storage
