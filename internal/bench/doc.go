// Package bench measures how fast a datacenter of real processes is, beside what
// gRPC itself can do in the same minute on the same machine.
//
// Nodes are processes of `godwit serve` on loopback, the echo that everything is
// compared with is a process too, and the load comes from this one: so the CPU
// time of servers and of clients can be told apart. That of servers is read from
// /proc/PID/stat, in which the kernel counts hundredths of a second. Where there
// is no such file it is not told.
//
// Every round runs all loads one after the other, and a ratio is one of two
// figures of the same round; what is printed is the median of the rounds.
//
// Grow is the other half: how puts, memory and disk change as a datacenter fills.
//
// It uses nothing of a node but what clients see.
package bench
