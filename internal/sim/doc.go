// Package sim runs whole datacenters of real nodes in one test process and in
// virtual time, hurts them as the world does, lets them heal, and asks whether
// they kept their promises.
//
// A node is a dc.Node on a file system in memory that can lose its power. What
// lies between nodes, and between them and their clients, is simulated: late,
// lost, doubled and overtaken messages, one-way cuts, processes that stand
// still, slow disks, wall clocks that jump. A seed draws which of these there
// are, what clients ask, and when; it does not fix how goroutines interleave,
// so a failing seed is run again to tell how often it fails.
//
// A run has two phases. In the first one there are faults. Then everything
// heals, and within a bound of virtual time all replicas must be equal, byte
// for byte; after that the checkers of package history judge what clients were
// told, and the ledger of dots what was seen on the wire.
//
// There are two kinds of plans: of one datacenter (TestSwarm), and of two or three
// (TestWorlds), whose nodes replicate over the links of package linktest. Those
// are cut, in one direction or both, flap, lose, double and replay messages, and
// lose what an outbox keeps; a datacenter is away until everything heals, or has
// clocks that are an hour off; and nodes die while everything heals. What comes to
// a datacenter is held against the placements that it keeps.
//
// It owns faults, clients and convergence. It knows of dc what Serve answers and
// what replication asks of it, and nothing of storage but how to crash its file
// system.
//
// Sources: Yang et al., "Swarm Testing" (ISSTA 2012), for the subsets of
// faults; FoundationDB's simulation (Zhou et al., SIGMOD 2021); the manual of
// testing/synctest for virtual time.
package sim
