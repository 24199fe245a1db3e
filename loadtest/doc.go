// Package loadtest drives load at every datacenter of a cluster at once and
// tells an operator what their regions will feel: how long operations take, how
// long a write takes to be seen in the other datacenters, what faults do to
// both, and whether anything that was acknowledged is lost in the end.
//
// It owns workloads, the choice of keys, the clock of requests, histograms,
// probes between datacenters, the calendar of faults, and reports: JSON, a page
// of HTML, tables. It does not know how clusters are started, how faults are
// carried out or what equality of replicas means; a Cluster does that.
//
// Latency in an open loop counts from the moment at which a request was due, so
// a server that stalls is charged for every request that had to wait.
//
// Sources: Cooper et al., "Benchmarking cloud serving systems with YCSB" (SoCC
// 2010); Hörmann and Derflinger, "Rejection-inversion to generate variates from
// monotone discrete distributions" (TOMACS 6(3), 1996); Tene, "How not to
// measure latency" (2013) and wrk2 for the open loop; HdrHistogram for the histograms.
package loadtest
