package replication

import (
	"slices"
	"time"

	"github.com/godwitdb/godwit/crdt"
)

// A datacenter to which no link leads, or which has fallen silent, is heard of
// through others: what it wrote when clocks are compared, like all that is missing;
// and where it stands because an asker names those that it does not hear, and an
// answer then tells of them what it knows itself.

const deafAfter = 10 * time.Second // that a datacenter answers nothing, others are asked about it

// deafTo lists the datacenters that told this node nothing itself of late, in
// order, without the one that is asked.
func (a *asker) deafTo() []string {
	if a.x.opts.Datacenters == nil {
		return nil
	}
	var out []string
	for _, dc := range a.x.opts.Datacenters() {
		if dc != a.x.opts.Self.DC && dc != a.dc && a.x.exchange.silent(dc) {
			out = append(out, dc)
		}
	}
	slices.Sort(out)
	return out[:min(len(out), maxRelayed)]
}

// silent reports whether nothing was answered by a datacenter for a while.
func (e *exchanger) silent(dc string) bool {
	e.mu.Lock()
	a := e.askers[dc]
	e.mu.Unlock()
	return a == nil || time.Since(time.Unix(0, a.answered.Load())) > deafAfter
}

// heardOf passes on what was told of other datacenters.
func (a *asker) heardOf(c *clockReport, asked []string) {
	for i := range c.others {
		if o := &c.others[i]; slices.Contains(asked, o.dc) && slices.Contains(a.x.opts.Placements(o.dc), c.replica.Placement) {
			a.x.opts.Local.HeardOf(o.dc, c.replica, o.clock, o.least)
		}
	}
}

// unstreamed reports whether the latest report shows events that are not here,
// of a datacenter that has no link to this one, or has fallen silent.
func (a *asker) unstreamed(r Replica) bool {
	silent := a.deafTo()
	if len(silent) == 0 {
		return false
	}
	own, _, err := a.x.opts.Local.Standing(r)
	if err != nil {
		return false
	}
	a.mu.Lock()
	missing := crdt.Difference(&a.known[r].latest, &own)
	a.mu.Unlock()
	for actor := range missing.All() {
		if slices.Contains(silent, a.x.opts.Local.Origin(actor)) {
			return true
		}
	}
	return false
}
