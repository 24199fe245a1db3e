package topology

import (
	"fmt"
	"slices"
)

// Kinds returns the names of the kinds that a value may have.
func Kinds() []string {
	return []string{
		"register", "mvregister", "counter", "gcounter", "bcounter", "set", "gset",
		"rwset", "flag", "dwflag", "map", "zset", "hll",
	}
}

func (c checker) placements() {
	names, ids := map[string]bool{}, map[uint32]string{}
	for i, p := range c.t.Placements {
		path := fmt.Sprintf("placements[%d]", i)
		c.form(path+".name", "placement", p.Name, idForm)
		if p.Name != "" {
			other, collides := ids[PlacementID(p.Name)]
			switch {
			case names[p.Name]:
				c.errorf(path+".name", ruleDuplicateName, "placement %s is already defined", quote(p.Name))
			case collides:
				c.errorf(path+".name", ruleCollision, "placements %s and %s share the id %d: rename one of them", quote(other), quote(p.Name), PlacementID(p.Name))
			}
			names[p.Name], ids[PlacementID(p.Name)] = true, p.Name
		}
		if len(p.Replicas) == 0 && len(c.t.Datacenters) > 0 {
			c.errorf(path+".replicas", ruleMissingField, "placement %s: it needs replicas in at least one datacenter", quote(p.Name))
		}
		for _, name := range p.DCs() {
			c.replicas(path, p, name)
		}
		c.connected(path, p)
	}
}

// replicas checks how many copies a placement wants in one datacenter.
func (c checker) replicas(path string, p Placement, name string) {
	subject, at := "placement "+quote(p.Name), join(path+".replicas", name)
	if !c.knownDC(c.keyErrorf, at, subject, name) {
		return
	}
	i := c.dcs.at[name]
	dc, n := c.t.Datacenters[i], p.Replicas[name]
	if dc.State == DCRemoved {
		c.keyErrorf(at, ruleUnknownDatacenter, "%s: datacenter %s is removed", subject, quote(name))
		return
	}
	if len(dc.Nodes) == 0 {
		return // that is the error
	}
	if n < 1 || n > len(dc.Nodes) {
		c.errorf(at, ruleBadReplicas, "%s: replicas in %s must be from 1 to %d, its number of nodes, not %d", subject, name, len(dc.Nodes), n)
		return
	}
	if racks := rackCount(dc); racks > 0 && n > racks {
		if !c.given(path) { // the default placement: its number follows from the nodes
			at = fmt.Sprintf("datacenters[%d].nodes", i)
		}
		c.warnf(at, ruleFewRacks, "%s: %d replicas in %s, which has %s: some will share a rack", subject, n, name, plural(racks, "rack"))
	}
}

// rackCount returns the number of racks of a datacenter, 0 if none is named.
func rackCount(dc Datacenter) int {
	racks := map[string]bool{}
	named := false
	for _, n := range dc.Nodes {
		racks[n.Rack] = true
		named = named || n.Rack != ""
	}
	if !named {
		return 0
	}
	return len(racks)
}

func (c checker) buckets() {
	names := map[string]bool{}
	for i, b := range c.t.Buckets {
		path := fmt.Sprintf("buckets[%d]", i)
		c.named(path, b)
		if names[b.Name] && b.Name != "" {
			c.errorf(path+".name", ruleDuplicateName, "bucket %s is already defined", quote(b.Name))
		}
		names[b.Name] = true
		c.bucket(path, b)
	}
}

func (c checker) bucket(path string, b Bucket) {
	subject := "bucket " + quote(b.Name)
	c.choice(path+".kind", ruleUnknownKind, subject, b.Kind, Kinds()...)
	seen := map[string]bool{}
	for i, kind := range b.KindsAllowed {
		at := fmt.Sprintf("%s.kinds_allowed[%d]", path, i)
		if !slices.Contains(Kinds(), kind) {
			c.errorf(at, ruleUnknownKind, "%s: unknown kind %s %s", subject, quote(kind), suggest(kind, "one of", Kinds()))
		} else if seen[kind] {
			c.errorf(at, ruleDuplicateName, "%s: kind %s is already listed", subject, quote(kind))
		}
		seen[kind] = true
	}
	if len(b.KindsAllowed) > 0 && slices.Contains(Kinds(), b.Kind) && !seen[b.Kind] {
		c.errorf(path+".kind", ruleKindNotAllowed, "%s: its kind %s is not in kinds_allowed (%s)", subject, b.Kind, list(b.KindsAllowed))
	}
	c.choice(path+".read", ruleBadValue, subject, b.Read, "one", "quorum", "all")
	c.choice(path+".write", ruleBadValue, subject, b.Write, "one", "quorum", "all")
	c.choice(path+".durability", ruleBadValue, subject, b.Durability, "sync", "async")
	if b.TTL < 0 {
		c.errorf(path+".ttl", ruleBadValue, "%s: ttl must be 0 (no expiry) or more, not %s", subject, formatDuration(b.TTL))
	}
	if b.MaxValue < 1 || b.MaxValue > MaxValue {
		c.errorf(path+".max_value", ruleBadValue, "%s: max_value must be from 1B to %s, not %s", subject, formatSize(MaxValue), formatSize(b.MaxValue))
	}
	if i, ok := c.placed.at[b.Placement]; ok {
		c.quorum(path, b, c.t.Placements[i])
	} else if c.placed.complete() && !c.ruined("placements") {
		c.errorf(path+".placement", ruleUnknownPlacement, "%s: placement %s is not defined (defined: %s)", subject, quote(b.Placement), c.placed.defined)
	}
}

// quorum warns if a read need not meet the latest write in every datacenter.
func (c checker) quorum(path string, b Bucket, p Placement) {
	for _, dc := range p.DCs() {
		n := p.Replicas[dc]
		r, w := copies(b.Read, n), copies(b.Write, n)
		if r == 0 || w == 0 || r+w > n {
			continue
		}
		at := path
		if c.given(path + ".write") {
			at = path + ".write"
		}
		if c.given(path + ".read") {
			at = path + ".read"
		}
		c.warnf(at, ruleWeakQuorum, "read + write = %d does not exceed %s: a read may miss the latest write", r+w, plural(n, "replica"))
		return
	}
}

// copies returns how many of n replicas a consistency asks, 0 if it is unknown.
func copies(consistency string, n int) int {
	switch consistency {
	case "one":
		return min(1, n)
	case "quorum":
		return n/2 + 1
	case "all":
		return n
	}
	return 0
}
