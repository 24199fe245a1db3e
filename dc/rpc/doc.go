// Package rpc carries a node's requests over gRPC: those of clients and
// operators (Server, the services of godwit.v1) and those of the other nodes of
// its datacenter (Peers, the service of godwit.peer.v1).
//
// It owns limits, deadlines, the mapping of errors to google.rpc.Status, and
// the one stream that two nodes keep for each direction of asking. It knows
// nothing of quorums, kinds or storage: what a request means is package dc's.
//
// Sources: the gRPC guides on keepalive, deadlines and error details
// (grpc.io/docs/guides); google.rpc.ErrorInfo (AIP-193).
package rpc
