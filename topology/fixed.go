package topology

import "strings"

// Fixed says why a running cluster does not take up a change, empty if it does:
// that is what Diff forbids, and what other commands change.
func Fixed(c Change) string {
	if c.Forbidden != "" {
		return c.Forbidden
	}
	kind, _, _ := strings.Cut(c.Subject, " ")
	switch {
	case kind == "cluster" && c.Field != "version" && c.Field != "max_skew":
		return "fixed while nodes run"
	case kind == "datacenter" && c.Action != Changed:
		return "this version does not add or remove a datacenter of a running cluster"
	case kind == "datacenter", kind == "node":
		return "nodes change by the node commands, and where they listen by a restart"
	case kind == "placement" && c.Action != Added:
		return "what a datacenter holds is fixed"
	case kind == "bucket" && c.Action == Removed:
		return "its keys would be left behind"
	case kind == "bucket" && (c.Field == "placement" || c.Field == "kind"):
		return "a bucket keeps its " + c.Field + ": make another bucket"
	}
	return ""
}
