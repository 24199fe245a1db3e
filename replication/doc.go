// Package replication carries events between datacenters. It owns the embedded
// broker, the link to other datacenters, shipping what this node's replicas
// minted, receiving what others minted, the exchange of clocks that finds and
// fetches what got lost on the way, and the beacons that measure the lag.
//
// It does not know gRPC, storage engines, rings or quorums: what it ships and
// where it applies what it receives is behind [Local], and how bytes get to
// another datacenter is behind [Link].
//
// The broker carries and buffers; it is never trusted. Messages may be lost,
// duplicated and reordered: rules 2 to 5 of package crdt do not care, and the
// clocks tell what is missing. Sources: the JetStream documentation at
// docs.nats.io for streams, durable pull consumers and acknowledgements;
// Gonçalves, Almeida, Baquero, Fonte, "DottedDB: Anti-Entropy without Merkle
// Trees, Deletes without Tombstones" (SRDS 2017) for repair by clocks; Thaler
// and Ravishankar, "Using name-based mappings to increase hit rates" (1998)
// for the rendezvous hash that spreads inbound work.
package replication
