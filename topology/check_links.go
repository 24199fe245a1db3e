package topology

import (
	"fmt"
	"slices"
	"time"
)

// Limits of links. A batch stays below the 4 MiB that a broker takes in one
// message.
const (
	MinBatch    = 4 << 10 // bytes
	MaxBatch    = 2 << 20 // bytes
	MaxDelay    = 10 * time.Second
	MaxEmulated = time.Minute
)

func (c checker) links() {
	l := c.t.Links
	c.choice("links.mode", ruleBadValue, "links", l.Mode, ModeMesh, ModeHub, ModeExplicit)
	switch {
	case l.Mode == ModeHub && l.Hub == "" && !c.given("links.hub"):
		c.errorf("links.hub", ruleMissingField, "links: mode hub needs the name of the hub")
	case l.Mode == ModeHub:
		c.knownDC(c.errorf, "links.hub", "links", l.Hub)
	case l.Hub != "":
		c.errorf("links.hub", ruleBadValue, "links: hub belongs to mode hub, the mode is %s", quote(l.Mode))
	}
	c.linkSettings("links.defaults", l.Defaults)
	before := map[[2]string]bool{}
	for i, o := range l.Overrides {
		path := fmt.Sprintf("links.overrides[%d]", i)
		c.between(path, o.Between, before)
		c.linkSettings(path, o.LinkSettings)
		c.ofAll(path, o.LinkSettings)
		if _, hub := c.dcs.at[l.Hub]; hub && l.Mode == ModeHub && !slices.Contains(o.Between[:], l.Hub) {
			c.errorf(path+".between", ruleBadValue, "between: in mode hub every link ends at the hub, %s", quote(l.Hub))
		}
	}
	before = map[[2]string]bool{}
	for i, e := range l.Emulate {
		path := fmt.Sprintf("links.emulate[%d]", i)
		c.between(path, e.Between, before)
		c.span(path+".latency", e.Latency, MaxEmulated)
		c.span(path+".jitter", e.Jitter, MaxEmulated)
		c.notNegative(path+".bandwidth", e.Bandwidth)
	}
}

func (c checker) linkSettings(path string, s LinkSettings) {
	if !c.inherited(path + ".compression") {
		c.choice(path+".compression", ruleBadValue, "links", s.Compression, "zstd", "s2", "none")
	}
	if (s.MaxBatch < MinBatch || s.MaxBatch > MaxBatch) && !c.inherited(path+".max_batch") {
		c.errorf(path+".max_batch", ruleBadValue, "max_batch must be from %s to %s, not %s", formatSize(MinBatch), formatSize(MaxBatch), formatSize(s.MaxBatch))
	}
	c.span(path+".max_delay", s.MaxDelay, MaxDelay)
	c.notNegative(path+".rate_limit", s.RateLimit)
}

// ofAll reports settings that no single link has: a message is made once, for all
// datacenters of a placement.
func (c checker) ofAll(path string, s LinkSettings) {
	d := c.t.Links.Defaults
	for _, f := range []struct {
		name string
		same bool
	}{
		{"compression", s.Compression == d.Compression}, {"max_batch", s.MaxBatch == d.MaxBatch}, {"max_delay", s.MaxDelay == d.MaxDelay},
	} {
		if !f.same {
			c.errorf(path+"."+f.name, ruleBadValue, "%s is the same for all links, since a message is made once for all datacenters: set it in links.defaults", f.name)
		}
	}
}

func (c checker) span(path string, d, limit time.Duration) {
	if (d < 0 || d > limit) && !c.inherited(path) {
		c.errorf(path, ruleBadValue, "%s must be from 0 to %s, not %s", lastStep(path), formatDuration(limit), formatDuration(d))
	}
}

func (c checker) notNegative(path string, n int64) {
	if n < 0 && !c.inherited(path) {
		c.errorf(path, ruleBadValue, "%s must not be negative", lastStep(path))
	}
}

// connected reports a placement whose datacenters have no path among themselves:
// its events would have to pass through a datacenter that must not hold them.
func (c checker) connected(path string, p Placement) {
	dcs := p.DCs()
	if _, hub := c.dcs.at[c.t.Links.Hub]; len(dcs) < 2 || len(dcs) > MaxDatacenters || c.t.Links.Mode == ModeHub && !hub {
		return // nothing to join, or something else is the error
	}
	reached := []string{dcs[0]}
	for i := 0; i < len(reached); i++ { // breadth first: reached grows meanwhile
		for _, dc := range dcs {
			overridden := c.overridden[sortedPair([2]string{reached[i], dc})]
			if c.t.linked(reached[i], dc, overridden) && !slices.Contains(reached, dc) {
				reached = append(reached, dc)
			}
		}
	}
	for _, dc := range dcs {
		if slices.Contains(reached, dc) {
			continue
		}
		at := path + ".replicas"
		if !c.given(path) {
			at = "links"
		}
		c.errorf(at, ruleUnlinked, "placement %s: no links join %s to %s within the placement, and its data may not pass through others", quote(p.Name), dcs[0], dc)
		return
	}
}
