package sim

import (
	"time"

	"github.com/godwitdb/godwit/replication/linktest"
)

// begin does the harm that is there from the beginning.
func (m *nemesis) begin() {
	c, p := m.run.cluster, m.run.plan
	if len(c.DCs) < 2 {
		return
	}
	rnd := c.rand()
	if p.has("jitter") { // 200 ms give or take 100
		c.wan.Change(func(o *linktest.Options) { o.Latency, o.Jitter = 100*time.Millisecond, 200*time.Millisecond })
	}
	if p.has("wanloss") {
		c.wan.Change(func(o *linktest.Options) {
			o.Loss, o.Duplicate, o.Reorder = rnd.Float64()/10, rnd.Float64()/5, rnd.Float64()/5
		})
	}
	if p.has("dcskew") {
		d := pick(rnd, c.DCs)
		d.ahead.Store(int64(pick(rnd, []time.Duration{time.Hour, -time.Hour})))
	}
	if p.has("away") { // until everything heals
		d := pick(rnd, c.DCs)
		m.away = d.Name
		m.partDC(d, c.wan.Cut)
	}
}

// actAbroad is what a fault between datacenters does, nil for one that is there
// all the time.
func (m *nemesis) actAbroad(fault string) func() {
	c := m.run.cluster
	switch fault {
	case "linkcut":
		return func() { m.cutLink(c.wan.Cut) }
	case "linkoneway":
		return func() { m.cutLink(c.wan.CutWay) }
	case "dccut":
		return func() {
			d := pick(c.rand(), c.DCs)
			m.partDC(d, c.wan.Cut)
			m.after(500*time.Millisecond, 5*time.Second, func() { m.partDC(d, m.mendLink) })
		}
	case "flap":
		return m.flap
	case "replay":
		return func() { c.wan.Replay(m.some().peer()) }
	case "brokerwipe":
		return func() { c.wan.Forget(m.some().peer()) }
	case "brokerfull":
		return func() {
			n := m.some()
			c.wan.Stick(n.peer(), true)
			m.after(500*time.Millisecond, 4*time.Second, func() { c.wan.Stick(n.peer(), false) })
		}
	}
	return nil
}

// twoDCs draws two datacenters.
func (m *nemesis) twoDCs() (a, b string) {
	c := m.run.cluster
	perm := c.rand().Perm(len(c.DCs))
	return c.DCs[perm[0]].Name, c.DCs[perm[1]].Name
}

// cutLink cuts what lies between two datacenters for a while.
func (m *nemesis) cutLink(cut func(a, b string)) {
	a, b := m.twoDCs()
	cut(a, b)
	m.after(500*time.Millisecond, 5*time.Second, func() { m.mendLink(a, b) })
}

// mendLink heals a link, unless one of its ends is away until the end.
func (m *nemesis) mendLink(a, b string) {
	if m.away != a && m.away != b {
		m.run.cluster.wan.Heal(a, b)
	}
}

// flap cuts and mends a link every second.
func (m *nemesis) flap() {
	a, b := m.twoDCs()
	for i := range 4 {
		from := time.Duration(i) * time.Second
		m.after(from, from+time.Millisecond, func() { m.run.cluster.wan.Cut(a, b) })
		m.after(from+500*time.Millisecond, from+501*time.Millisecond, func() { m.mendLink(a, b) })
	}
}

// partDC does something to all links of a datacenter.
func (m *nemesis) partDC(d *DC, do func(a, b string)) {
	for _, other := range m.run.cluster.DCs {
		if other != d {
			do(d.Name, other.Name)
		}
	}
}

// overflow makes outboxes lose what they keep where a datacenter was away for
// longer than logs reach back: they are bounded as well.
func (m *nemesis) overflow() {
	if m.away == "" || !m.run.plan.has("smalllog") {
		return
	}
	for n := range m.run.cluster.nodes {
		m.run.cluster.wan.Forget(n.peer())
	}
}

// goOn does the harm that comes while everything heals: nodes die while the
// datacenters repair what they missed.
func (m *nemesis) goOn() {
	c := m.run.cluster
	if !m.run.plan.has("healcrash") {
		return
	}
	rnd := c.rand()
	for range 2 + rnd.IntN(4) {
		pause(time.Duration(10+rnd.IntN(700)) * time.Millisecond)
		n := m.some()
		m.done["healcrash"]++
		n.Kill(rnd.IntN(100))
		pause(time.Duration(50+rnd.IntN(700)) * time.Millisecond)
		n.Start()
	}
}
