package topology

import (
	"fmt"
	"strconv"
	"strings"
)

// Action is what happens to a part of a topology.
type Action string

// The actions of a Change.
const (
	Added   Action = "added"
	Removed Action = "removed"
	Changed Action = "changed"
)

// Change is one difference between two topologies.
type Change struct {
	Action    Action `json:"action"`
	Subject   string `json:"subject"`             // such as "node use1-a" or "bucket carts"
	Field     string `json:"field,omitempty"`     // of a Changed subject
	Old       string `json:"old,omitempty"`       // as it is written in the file; empty if it was not there
	New       string `json:"new,omitempty"`       // likewise
	Forbidden string `json:"forbidden,omitempty"` // why it must not be applied; empty if it may
}

// String returns the change on one line, for people.
func (c Change) String() string {
	var line string
	switch c.Action {
	case Added:
		line = fmt.Sprintf("+ %s %s", c.Subject, c.New)
	case Removed:
		line = fmt.Sprintf("- %s %s", c.Subject, c.Old)
	case Changed:
		line = fmt.Sprintf("~ %s: %s %s -> %s", c.Subject, c.Field, dash(c.Old), dash(c.New))
	}
	if c.Forbidden != "" {
		line += " (forbidden: " + c.Forbidden + ")"
	}
	return strings.TrimSpace(line)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Diff says what applying next over a running prev would change, in the order of
// the file; nothing if the two have the same content. Both must be valid. It sees
// only these two: that the name of a datacenter removed earlier is never used
// again is for the holder of the history to check.
func Diff(prev, next *Topology) []Change {
	if prev.Hash() == next.Hash() {
		return nil
	}
	d := differ{}
	d.items(prev.clusterItems(), next.clusterItems())
	d.items(prev.dcItems(), next.dcItems())
	d.items(prev.nodeItems(), next.nodeItems())
	d.items(prev.placementItems(), next.placementItems())
	d.items(prev.bucketItems(), next.bucketItems())
	d.items(prev.linkItems(), next.linkItems())
	for i := range d.changes {
		d.changes[i].Forbidden = forbidden(prev, next, d.changes[i])
	}
	if next.Version == prev.Version {
		d.changes = append([]Change{{
			Action: Changed, Subject: "cluster", Field: "version",
			Old: strconv.FormatUint(prev.Version, 10), New: strconv.FormatUint(next.Version, 10), Forbidden: notGrown,
		}}, d.changes...)
	}
	return d.changes
}

const notGrown = "the version must grow with every change"

// forbidden returns why a change must not be made, or nothing.
func forbidden(prev, next *Topology, c Change) string {
	kind, name, _ := strings.Cut(c.Subject, " ")
	switch {
	case c.Subject == "cluster" && c.Field == "version" && next.Version <= prev.Version:
		return notGrown
	case c.Subject == "cluster" && c.Field == "cluster":
		return "a cluster keeps its name"
	case c.Subject == "cluster" && c.Field == "partitions":
		return "the number of partitions is fixed when the cluster is created"
	case kind == "node" && c.Action == Changed && c.Field == "datacenter":
		return "a node stays in its datacenter: give it a new id"
	case kind == "datacenter" && c.Action == Changed && c.Field == "nodes" && !next.gone(name) && disjoint(prev, next, name):
		return "none of its nodes remain: the name of a datacenter is never reused"
	}
	return ""
}

// disjoint reports whether a datacenter has no node in common with its former self.
func disjoint(prev, next *Topology, name string) bool {
	before, _ := prev.DC(name)
	after, _ := next.DC(name)
	for _, n := range after.Nodes {
		if _, ok := find(before.Nodes, func(m Node) bool { return m.ID == n.ID }); ok {
			return false
		}
	}
	return true
}

// item is a part of a topology that Diff compares attribute by attribute.
type item struct {
	subject string
	attributes
}

// value returns the value of an attribute, empty if it is not there.
func (i item) value(key string) string {
	a, _ := find(i.attributes, func(a attribute) bool { return a.key == key })
	return a.value
}

// differ collects the changes.
type differ struct{ changes []Change }

// items compares two lists of parts by their subjects.
func (d *differ) items(prev, next []item) {
	old := make(map[string]item, len(prev))
	for _, p := range prev {
		old[p.subject] = p
	}
	for _, n := range next {
		p, ok := old[n.subject]
		if !ok {
			d.changes = append(d.changes, Change{Action: Added, Subject: n.subject, New: n.String()})
			continue
		}
		delete(old, n.subject)
		d.fields(p, n)
	}
	for _, p := range prev {
		if _, gone := old[p.subject]; gone {
			d.changes = append(d.changes, Change{Action: Removed, Subject: p.subject, Old: p.String()})
		}
	}
}

// fields compares the attributes of one part.
func (d *differ) fields(prev, next item) {
	for _, a := range next.attributes {
		if before := prev.value(a.key); before != a.value {
			d.changes = append(d.changes, Change{Action: Changed, Subject: next.subject, Field: a.key, Old: before, New: a.value})
		}
	}
	for _, a := range prev.attributes {
		if next.value(a.key) == "" {
			d.changes = append(d.changes, Change{Action: Changed, Subject: next.subject, Field: a.key, Old: a.value})
		}
	}
}

func (t *Topology) clusterItems() []item {
	return []item{{"cluster", append(attributes{
		{"version", strconv.FormatUint(t.Version, 10)},
		{"cluster", t.Cluster},
		{"partitions", strconv.Itoa(t.Partitions)},
		{"max_skew", formatDuration(t.Clock.MaxSkew)},
	}, t.Security.attributes()...)}}
}

func (t *Topology) dcItems() (items []item) {
	for _, dc := range t.canonical().Datacenters {
		ids := make([]string, len(dc.Nodes))
		for i, n := range dc.Nodes {
			ids[i] = n.ID
		}
		items = append(items, item{"datacenter " + dc.Name, append(dc.NATS.attributes(), attribute{"nodes", sequence(ids)}).
			when(dc.State != DCJoined, "state", string(dc.State))})
	}
	return items
}

func (t *Topology) nodeItems() (items []item) {
	for _, dc := range t.Datacenters {
		for i := range dc.Nodes {
			n := &dc.Nodes[i]
			items = append(items, item{"node " + n.ID, append(attributes{{"datacenter", dc.Name}}, n.attributes()...)})
		}
	}
	return items
}

func (t *Topology) placementItems() (items []item) {
	for _, p := range t.Placements {
		items = append(items, item{"placement " + p.Name, p.attributes()})
	}
	return items
}

func (t *Topology) bucketItems() (items []item) {
	for _, b := range t.canonical().Buckets {
		items = append(items, item{"bucket " + b.Name, b.attributes()})
	}
	return items
}

func (t *Topology) linkItems() []item {
	c := t.canonical()
	items := []item{{"links", append(attributes{{"mode", c.Links.Mode}}.
		when(c.Links.Hub != "", "hub", c.Links.Hub), c.Links.Defaults.attributes()...)}}
	for _, o := range c.Links.Overrides {
		items = append(items, item{"link " + pairName(o.Between), o.attributes()})
	}
	for _, e := range c.Links.Emulate {
		items = append(items, item{"emulated link " + pairName(e.Between), e.attributes()})
	}
	return items
}
