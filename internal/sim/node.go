package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/replication/linktest"
	"github.com/godwitdb/godwit/storage"
)

// Node is one node through all its lives. Its methods are safe for concurrent
// use, but Wipe and Restore are for whoever starts it.
type Node struct {
	cluster *Cluster
	dc      *DC
	id      string
	skew    atomic.Int64 // nanoseconds that its wall clock is ahead

	change sync.Mutex // held while the node is started or killed
	mem    *vfs.MemFS // what is on the disk, while the node is down
	lives  int

	mu   sync.Mutex
	life *life         // nil while the node is down
	ice  chan struct{} // while the node stands still: closed when it goes on
	ends sync.WaitGroup
}

// life is a node from one start to its end. Nothing leaves it after its end.
type life struct {
	node   *Node
	id     string
	dc     *dc.Node
	wan    *linktest.Link          // nil where there is one datacenter
	repl   *replication.Replicator // nil where there is one datacenter
	disk   *disk
	ctx    context.Context // ends with the life
	cancel context.CancelFunc

	mu    sync.Mutex
	over  bool
	calls sync.WaitGroup // requests under way
}

// enter begins a request at the node; false when its life is over.
func (l *life) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.calls.Add(1)
	}
	return !l.over
}

func (l *life) leave() { l.calls.Done() }

// gone reports whether the life is over. What it says as false holds for
// everything that was durable before the call.
func (l *life) gone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.over
}

func (l *life) thawed() { l.node.thawed() }

// ID is the node's name.
func (n *Node) ID() string { return n.id }

// current is the node's life, nil while it is down.
func (n *Node) current() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.life
}

// Up reports whether the node runs.
func (n *Node) Up() bool { return n.current() != nil }

// wall is the node's wall clock.
func (n *Node) wall() time.Time {
	return time.Now().Add(time.Duration(n.skew.Load() + n.dc.ahead.Load()))
}

// Skew sets how far the node's wall clock is ahead of that of its datacenter.
func (n *Node) Skew(by time.Duration) { n.skew.Store(int64(by)) }

// Start starts the node with what is on its disk. It fails the test if the node
// refuses.
func (n *Node) Start() {
	n.change.Lock()
	defer n.change.Unlock()
	if n.Up() {
		return
	}
	n.lives++
	c := n.cluster
	seed := c.opts.Seed<<20 + uint64(n.dc.index)<<16 + uint64(n.index())<<12 + uint64(n.lives)
	chance := seed
	if c.opts.SameActors {
		chance -= uint64(n.lives)
	}
	l := &life{node: n, id: n.id}
	l.disk = newDisk(n.mem, seed, c.opts.LyingDisk, func() { n.kill(l, c.rand().IntN(unsyncedMost)) })
	l.ctx, l.cancel = context.WithCancel(context.Background())
	so := storage.Options{
		Dir: "/data", FS: l.disk, Wall: n.wall, Rand: rand.New(rand.NewPCG(chance, 13)), Ballast: -1,
		CacheBytes: 1 << 20, MemTable: 256 << 10, LogBytes: c.opts.LogBytes,
		Exit: func(int) { c.watch.fail("node %s ended its process", n.id) },
	}
	node, err := dc.Open(dc.Options{
		Topology: c.acts(), Node: n.id, Transport: link{c.net, l}, Membership: c, Storage: so,
		Exchange: c.opts.Exchange, Timeout: c.opts.Timeout, Version: "sim", Rand: rand.New(rand.NewPCG(seed, 14)), Logger: c.opts.Logger,
	})
	if err != nil {
		c.watch.fail("open node %s: %v", n.id, err)
		return
	}
	l.dc = node
	if err := l.connect(); err != nil {
		c.watch.fail("connect node %s: %v", n.id, err)
		return
	}
	l.disk.slowest.Store(int64(c.syncTime()))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.life = l
}

func (n *Node) index() int {
	for i, other := range n.dc.Nodes {
		if other == n {
			return i
		}
	}
	return 0
}

// Kill ends the node's process at once. Of what it wrote and did not sync,
// about so many percent are left: all of it if only the process dies, less if
// the machine loses its power.
func (n *Node) Kill(unsyncedPercent int) {
	if l := n.current(); l != nil {
		n.kill(l, unsyncedPercent)
	}
}

// unsyncedMost bounds how much of what was not synced, in percent, is left after
// the power went.
const unsyncedMost = 70

// KillInSync lets the machine lose its power the next time that something is
// about to be synced.
func (n *Node) KillInSync() {
	if l := n.current(); l != nil {
		l.disk.dying.Store(true)
	}
}

// kill ends a life, unless it is over.
func (n *Node) kill(l *life, unsyncedPercent int) {
	n.change.Lock()
	defer n.change.Unlock()
	n.mu.Lock()
	same := n.life == l
	if same {
		n.cluster.watch.joins.Add(l.dc.Counters().Joins.Load())
		n.life = nil
	}
	n.mu.Unlock()
	if !same {
		return
	}
	l.mu.Lock()
	l.over = true // from here on nothing that it does is seen, so what is lost was not acknowledged
	l.mu.Unlock()
	if l.wan != nil {
		l.wan.Kill()
	}
	l.cancel()
	n.mem = l.disk.crash(n.cluster.rand(), unsyncedPercent)
	n.bury(l)
}

// bury ends what a killed process would have left to the operating system.
func (n *Node) bury(l *life) {
	n.Thaw()
	n.ends.Go(func() {
		l.disk.hurry()
		l.calls.Wait()
		l.disconnect()
		if err := l.dc.Close(); err != nil {
			n.cluster.watch.fail("close node %s: %v", n.id, err)
		}
	})
}

// Wipe takes everything off the disk of a node that is down.
func (n *Node) Wipe() { n.Restore(vfs.NewCrashableMem()) }

// Backup returns a copy of the running node's disk, as a snapshot of its volume
// would be; nil while it is down.
func (n *Node) Backup() *vfs.MemFS {
	l := n.current()
	if l == nil {
		return nil
	}
	return l.disk.crash(n.cluster.rand(), 0)
}

// Restore puts a copy on the disk of a node that is down. A copy can be
// restored once.
func (n *Node) Restore(backup *vfs.MemFS) {
	n.change.Lock()
	defer n.change.Unlock()
	n.mem = backup
}

// Freeze makes the node stand still: it neither hears nor says anything, and
// what came meanwhile is dealt with when it goes on.
func (n *Node) Freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ice == nil {
		n.ice = make(chan struct{})
		n.cluster.wan.Still(n.peer(), true)
	}
}

// Thaw ends Freeze.
func (n *Node) Thaw() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ice != nil {
		close(n.ice)
		n.ice = nil
		n.cluster.wan.Still(n.peer(), false)
	}
}

// thawed returns once the node does not stand still.
func (n *Node) thawed() {
	for {
		n.mu.Lock()
		ice := n.ice
		n.mu.Unlock()
		if ice == nil {
			return
		}
		<-ice
	}
}

// SlowDisk sets how long syncs take at the most, until the node's next start, in
// a cluster where syncs take time.
func (n *Node) SlowDisk(most time.Duration) {
	if l := n.current(); l != nil && n.cluster.syncTime() > 0 {
		l.disk.slowest.Store(int64(most))
	}
}

// mendDisk ends what SlowDisk and KillInSync began.
func (n *Node) mendDisk() {
	if l := n.current(); l != nil {
		l.disk.dying.Store(false)
		n.SlowDisk(n.cluster.syncTime())
	}
}

// stop ends a node for good.
func (n *Node) stop() {
	n.Kill(100)
	n.ends.Wait()
}

func (n *Node) String() string { return fmt.Sprintf("%s/%s", n.dc.Name, n.id) }
