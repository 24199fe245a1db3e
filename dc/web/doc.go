// Package web is what a node shows to operators over HTTP, on a listener of its
// own: metrics for Prometheus, health for those who start and route, and the
// profiles of the Go runtime. It owns the names of the metrics; docs/metrics.md
// lists them. It knows nothing of quorum rules and changes nothing.
//
// Sources: the conventions of Prometheus on metrics and labels
// (prometheus.io/docs/practices/naming) and its text format.
package web
