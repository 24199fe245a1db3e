// Package chaos hurts a datacenter of real `godwit serve` processes on loopback
// while clients use it, and judges what they were told.
//
// It owns the faults and their order, which follows from a seed, the processes,
// the load, and the verdict: what was acknowledged is there in the end, and
// nothing else is; no dot names two events; reads see what was acknowledged
// before; and while one node is hurt no request fails for good. It does not know
// how nodes work: it starts them, kills them and asks them what anybody may ask.
// The processes lose what they did not sync when they are killed, so that a kill
// is a power failure and not only the end of a process.
//
// Sources: Kingsbury's Jepsen for hurting real processes and judging histories;
// package history for the checkers.
package chaos
