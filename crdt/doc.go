// Package crdt holds the replicated data types: values that every datacenter
// may change at once and that still end up equal everywhere.
//
// It owns dots, clocks, stamps, the kinds, the rules by which events and joins
// change cells, and the one canonical encoding of each of them. It does no
// I/O and reads no clock: time, identity and the place where cells are kept
// are passed in. Nothing here is safe for concurrent use unless it says so.
//
// The causal history is kept once per replica, in its [Clock], and cells hold
// nothing but live dots: "the clock has seen the dot and no cell holds it" is
// what a delete leaves behind. Sources: Almeida, Baquero, Gonçalves, Preguiça,
// Fonte, "Scalable and Accurate Causality Tracking for Eventually Consistent
// Stores" (DAIS 2014); Gonçalves, Almeida, Baquero, Fonte, "DottedDB:
// Anti-Entropy without Merkle Trees, Deletes without Tombstones" (SRDS 2017);
// Brown, Lakhani, Place, "Big(ger) Sets" (PaPoC 2016); Shapiro, Preguiça,
// Baquero, Zawirski, INRIA RR-7506 (2011).
package crdt
