// Package scenario replays scenario vectors on the real replicated types:
// short histories of a few replicas of one key, written as JSON, each with the
// value that must come out of it.
//
// It owns the notation, the machine that executes its steps, and what the
// operations and values of each kind are called there. It does not know how
// kinds merge: every state, event and context that passes from one replica to
// another is encoded and decoded by package crdt, and joined by its rules.
// Most vectors retell public tests of Riak and AntidoteDB, named in each
// vector's source. A kind is added by one row in kinds.go.
package scenario
