// Package dc is one node of a datacenter: it coordinates reads and writes with
// quorums, keeps its replicas level with their co-owners, and is the local end
// of replication between datacenters.
//
// It owns the quorum rules and composes ring, storage and replication. It has
// no transport of its own: peers are reached through the Transport it is
// given, and requests come in as messages of the godwit.v1 and
// godwit.peer.v1 contracts, whoever carried them. It knows nothing of gRPC,
// HTTP or flags.
//
// The write path is that of Dynamo (DeCandia et al., SOSP 2007) with events
// and dots in the place of version vectors: see package crdt.
package dc
