// Package client is the Go client of godwit: typed calls on keys and questions
// of operators, asked of the nodes of one datacenter.
//
// It owns request ids, retries and what the caller is told about the outcome
// of a write. A write is OK, Failed (it was applied nowhere) or Unknown (it was
// applied at most once); see Outcome. A write whose outcome is Unknown is sent
// again with the same request id to the same node, where a retry is exact, and
// to another node only when applying it twice changes nothing. Whatever was
// never sent, and every read, fails over along the list of addresses.
//
// It does not know the servers' packages, what a quorum is, or how values
// merge: those are the datacenter's business.
//
// Sources: the gRPC contract api/godwit/v1; google.rpc.ErrorInfo (AIP-193);
// exponential back-off with jitter (Brooker, AWS Architecture Blog, 2015).
package client
