package sim

import (
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// nemesis does harm until the time is up. All of it is done by one goroutine,
// in an order that the seed fixes.
type nemesis struct {
	run    *run
	agenda []task // what ends harm, in order of time
	lost   *recovery
	away   string // the datacenter that is cut off until everything heals
	backup map[*Node]*vfs.MemFS
	done   map[string]int // harm done, by name
}

// task is something to be done at a time.
type task struct {
	at time.Time
	do func()
}

// harass runs until the faults are over.
func (m *nemesis) harass() {
	var dynamic []string
	for _, f := range m.run.plan.Faults {
		if m.act(f) != nil {
			dynamic = append(dynamic, f)
		}
	}
	c := m.run.cluster
	m.begin()
	if m.run.plan.has("loss") {
		rnd := c.rand()
		c.net.setWeather(weather{loss: rnd.IntN(4), dup: rnd.IntN(10), late: latePercent})
	}
	next := time.Now()
	for !m.run.over() {
		switch now := time.Now(); {
		case len(m.agenda) > 0 && !m.agenda[0].at.After(now):
			do := m.agenda[0].do
			m.agenda = m.agenda[1:]
			do()
		case !next.After(now) && len(dynamic) > 0:
			rnd := c.rand()
			f := pick(rnd, dynamic)
			m.done[f]++
			m.act(f)()
			next = time.Now().Add(time.Duration(100+rnd.IntN(1100)) * time.Millisecond)
		}
		pause(20 * time.Millisecond)
	}
}

// after puts a task on the agenda, after a time drawn from a range.
func (m *nemesis) after(least, most time.Duration, do func()) {
	at := time.Now().Add(least + time.Duration(m.run.cluster.rand().Int64N(int64(most-least))))
	m.agenda = append(m.agenda, task{at, do})
	slices.SortStableFunc(m.agenda, func(a, b task) int { return a.at.Compare(b.at) })
}

// act is what a fault does, nil for one that is there all the time.
func (m *nemesis) act(fault string) func() {
	switch fault {
	case "power":
		return m.power
	case "crash":
		return func() { m.kill(m.some(), 100) }
	case "blackout":
		return m.blackout
	case "freeze":
		return m.freeze
	case "cut":
		return m.cut
	case "oneway":
		return m.oneWay
	case "isolate":
		return m.isolate
	case "slow":
		return m.slow
	case "skew":
		return m.skew
	case "wipe":
		return func() { m.lose(nil) }
	case "restore":
		return m.restore
	case "slowdisk":
		return m.slowDisk
	}
	return m.actAbroad(fault)
}

// some draws a node.
func (m *nemesis) some() *Node {
	return pick(m.run.cluster.rand(), slices.Collect(m.run.cluster.nodes))
}

// dc draws a datacenter of at least so many nodes, nil if there is none.
func (m *nemesis) dc(least int) *DC {
	large := slices.DeleteFunc(slices.Clone(m.run.cluster.DCs), func(d *DC) bool { return len(d.Nodes) < least })
	if len(large) == 0 {
		return nil
	}
	return pick(m.run.cluster.rand(), large)
}

// two draws two different nodes of a datacenter; twice the same where none has two.
func (m *nemesis) two() (a, b *Node) {
	d := m.dc(2)
	if d == nil {
		n := m.some()
		return n, n
	}
	nodes := d.Nodes
	perm := m.run.cluster.rand().Perm(len(nodes))
	return nodes[perm[0]], nodes[perm[1]]
}

// power lets a machine lose its power: now, or when it is about to sync.
func (m *nemesis) power() {
	n, rnd := m.some(), m.run.cluster.rand()
	if rnd.IntN(3) == 0 {
		m.kill(n, rnd.IntN(unsyncedMost))
		return
	}
	n.KillInSync()
	m.after(time.Second, 4*time.Second, n.Start)
}

func (m *nemesis) kill(n *Node, unsyncedPercent int) {
	if !n.Up() {
		return
	}
	n.Kill(unsyncedPercent)
	m.after(50*time.Millisecond, 4*time.Second, n.Start)
}

func (m *nemesis) blackout() {
	for n := range m.run.cluster.nodes {
		m.kill(n, m.run.cluster.rand().IntN(unsyncedMost))
	}
}

func (m *nemesis) freeze() {
	n := m.some()
	n.Freeze()
	m.after(100*time.Millisecond, 5*time.Second, n.Thaw)
}

func (m *nemesis) cut() {
	a, b := m.two()
	c := m.run.cluster
	c.Cut(a, b)
	c.Cut(b, a)
	m.after(200*time.Millisecond, 5*time.Second, func() { c.Mend(a, b); c.Mend(b, a) })
}

func (m *nemesis) oneWay() {
	a, b := m.two()
	m.run.cluster.Cut(a, b)
	m.after(200*time.Millisecond, 5*time.Second, func() { m.run.cluster.Mend(a, b) })
}

// isolate parts a group of nodes from the others.
func (m *nemesis) isolate() {
	c := m.run.cluster
	d := m.dc(2)
	if d == nil {
		return
	}
	nodes := d.Nodes
	rnd := c.rand()
	perm := rnd.Perm(len(nodes))
	inside := perm[:1+rnd.IntN(len(nodes)-1)]
	each := func(do func(from, to *Node)) {
		for i, a := range nodes {
			for j, b := range nodes {
				if slices.Contains(inside, i) != slices.Contains(inside, j) {
					do(a, b)
				}
			}
		}
	}
	each(c.Cut)
	m.after(200*time.Millisecond, 4*time.Second, func() { each(c.Mend) })
}

func (m *nemesis) slow() {
	n := m.some()
	m.run.cluster.Slow(n, time.Duration(10+m.run.cluster.rand().IntN(400))*time.Millisecond)
	m.after(500*time.Millisecond, 5*time.Second, func() { m.run.cluster.Slow(n, 0) })
}

func (m *nemesis) skew() {
	rnd := m.run.cluster.rand()
	by := pick(rnd, []time.Duration{time.Hour, time.Minute, time.Second, 50 * time.Millisecond})
	m.some().Skew(time.Duration(rnd.Int64N(int64(2*by))) - by)
}

func (m *nemesis) slowDisk() {
	n := m.some()
	n.SlowDisk(time.Duration(20+m.run.cluster.rand().IntN(600)) * time.Millisecond)
	m.after(500*time.Millisecond, 5*time.Second, func() { n.SlowDisk(m.run.cluster.syncTime()) })
}

// restore copies a node's disk, or brings an older copy back.
func (m *nemesis) restore() {
	for n, backup := range m.backup {
		if m.run.cluster.rand().IntN(2) == 0 && m.lose(func() { n.Restore(backup) }, n) {
			delete(m.backup, n)
		}
		return
	}
	n := m.some()
	if backup := n.Backup(); backup != nil {
		m.backup[n] = backup
	}
}

// lose takes a node's data, or what came after a copy of it. One loss at a
// time: the next one waits until all that the node owns has its copies again,
// for W copies bear the loss of N-W.
func (m *nemesis) lose(put func(), of ...*Node) bool {
	if m.lost != nil && !m.lost.done() {
		return false
	}
	n := m.some()
	if len(of) > 0 {
		n = of[0]
	}
	if !n.Up() || len(n.dc.Nodes) < 2 { // what one node alone holds is lost with it
		return false
	}
	n.Kill(0)
	if put == nil {
		put = n.Wipe
	}
	put()
	m.lost = &recovery{node: n}
	m.after(50*time.Millisecond, 3*time.Second, n.Start)
	return true
}
