package topology

import (
	"maps"
	"slices"
	"strings"
)

// State is how far a datacenter takes part in the cluster.
type State string

// The states of a datacenter. It stays in the topology when it is removed, so
// that its name is never used again.
const (
	// DCJoined takes requests of clients and counts for everything.
	DCJoined State = ""
	// DCJoining takes events only: it is refused to clients until it has caught up
	// with the others, and joins then by itself.
	DCJoining State = "joining"
	// DCFenced does not hold the others up: they forget what it has not got. What it
	// has, and they have not, is still taken.
	DCFenced State = "fenced"
	// DCRemoved is for ever.
	DCRemoved State = "removed"
)

const joinedWord = "joined" // DCJoined, as a file may have it

// String names the state.
func (s State) String() string {
	if s == DCJoined {
		return joinedWord
	}
	return string(s)
}

// State is that of a datacenter; DCRemoved of one that the topology does not name.
func (t *Topology) State(dc string) State {
	if d, ok := t.DC(dc); ok {
		return d.State
	}
	return DCRemoved
}

// gone reports whether a datacenter is in the topology and was removed.
func (t *Topology) gone(dc string) bool {
	d, ok := t.DC(dc)
	return ok && d.State == DCRemoved
}

// With returns a copy, of the next version, in which a datacenter is in a state.
// One that is removed loses its nodes and its part in the placements.
func (t *Topology) With(dc string, s State) *Topology {
	next := *t
	next.Version++
	next.Datacenters = slices.Clone(t.Datacenters)
	for i := range next.Datacenters {
		d := &next.Datacenters[i]
		if d.Name != dc {
			continue
		}
		if d.State = s; s == DCRemoved {
			d.Nodes, d.NATS = nil, NATS{Mode: ModeEmbedded}
		}
	}
	if s != DCRemoved {
		return &next
	}
	next.Placements = slices.Clone(t.Placements)
	for i := range next.Placements {
		p := &next.Placements[i]
		p.Replicas = maps.Clone(p.Replicas)
		delete(p.Replicas, dc)
	}
	return &next
}

// Fixed says why a running cluster does not take up a change from one topology to
// the next, empty if it does: that is what Diff forbids, and what other commands
// change. There may be topologies between the two that whoever asks has missed.
func Fixed(prev, next *Topology, c Change) string {
	if c.Forbidden != "" {
		return c.Forbidden
	}
	kind, name, _ := strings.Cut(c.Subject, " ")
	switch {
	case kind == "cluster" && c.Field != "version" && c.Field != "max_skew":
		return "fixed while nodes run"
	case kind == "datacenter":
		return fixedDC(next, c, name)
	case kind == "node" && !comesOrGoes(prev, next, c, name):
		return "nodes change by the node commands, and where they listen by a restart"
	case kind == "placement" && c.Action != Added && !follows(prev, next, c, name):
		return "what a datacenter holds is fixed"
	case kind == "bucket" && c.Action == Removed:
		return "its keys would be left behind"
	case kind == "bucket" && (c.Field == "placement" || c.Field == "kind"):
		return "a bucket keeps its " + c.Field + ": make another bucket"
	}
	return ""
}

func fixedDC(next *Topology, c Change, name string) string {
	switch {
	case c.Action == Removed:
		return "a datacenter that was removed stays in the topology: see dc remove"
	case c.Action == Added || c.Field == "state" || next.gone(name):
		return ""
	}
	return "nodes change by the node commands, and where they listen by a restart"
}

// comesOrGoes reports whether a node is added or removed with its datacenter.
func comesOrGoes(prev, next *Topology, c Change, node string) bool {
	switch c.Action {
	case Added:
		_, dc, _ := next.NodeByID(node)
		_, before := prev.DC(dc)
		return !before
	case Removed:
		_, dc, _ := prev.NodeByID(node)
		return next.gone(dc)
	case Changed:
	}
	return false
}

// follows reports whether all that changes of a placement is that datacenters are
// in it which are new, and not in it which were removed.
func follows(prev, next *Topology, c Change, name string) bool {
	if c.Action != Changed || c.Field != "replicas" {
		return false
	}
	before, _ := prev.Placement(name)
	after, _ := next.Placement(name)
	for dc, n := range after.Replicas {
		if _, known := prev.DC(dc); known && before.Replicas[dc] != n {
			return false
		}
	}
	for dc := range before.Replicas {
		if _, kept := after.Replicas[dc]; !kept && !next.gone(dc) {
			return false
		}
	}
	return true
}

// Early says why the state of a datacenter must not change so in one step, empty
// if it may. It is for whoever applies a topology, not for those who hear of it.
func Early(prev, next *Topology, c Change) string {
	kind, name, _ := strings.Cut(c.Subject, " ")
	if kind != "datacenter" || c.Action == Removed || c.Action == Changed && c.Field != "state" {
		return ""
	}
	after := next.State(name)
	if c.Action == Added {
		if after == DCJoining {
			return ""
		}
		return "a datacenter that comes to a running cluster has to catch up first: give it state: joining"
	}
	switch before := prev.State(name); {
	case before == DCRemoved:
		return "it was removed: it can come back as a new datacenter only, under another name"
	case before == DCFenced && after == DCJoined:
		return "it has to catch up first: give it state: joining"
	case after == DCJoined:
		return "it joins by itself, once it has caught up"
	case before == DCJoined && after == DCJoining:
		return "it has joined"
	case after == DCRemoved && before != DCFenced:
		return "fence it first"
	case after == DCFenced:
		return alone(next)
	}
	return ""
}

// alone says which placement is left to no datacenter that has joined.
func alone(t *Topology) string {
	for _, p := range t.Placements {
		if !slices.ContainsFunc(p.DCs(), func(dc string) bool { return t.State(dc) == DCJoined }) {
			return "no other datacenter that has joined holds placement " + p.Name
		}
	}
	return ""
}
