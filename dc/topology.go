package dc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/topology"
)

// The topology that the cluster acts under is the one of the greatest version
// and, of two of one version, of the greater hash. An operator applies one at any
// node: it counts once a majority of the members of that datacenter have it on
// disk. The others hear of it as a notice, and its own nodes by asking each other.
// Every datacenter tells which one it acts under: one that is on another is an alert.

const (
	metaTopology   = "topology"
	noticeTopology = "topology"
	noticeActing   = "acting/" // and the name of a datacenter: the version and hash that it acts under
	hashBytes      = 32        // of a topology, as text

	topologyEvery = time.Second // pause between two questions for a later one
)

// acting is the topology that a datacenter acts under, as it last told.
type acting struct {
	version uint64
	hash    string
}

// actings are those of the other datacenters. The zero value knows of none.
type actings struct {
	mu sync.Mutex
	of map[string]acting
}

func (n *Node) topologyNotices() []replication.Notice {
	w := n.world()
	if w.text == nil {
		return nil
	}
	out := []replication.Notice{
		{Name: noticeTopology, Version: w.topology.Version, Content: w.text},
		{Name: noticeActing + n.dc, Version: w.topology.Version, Content: []byte(w.hash)},
	}
	if whole, ok := n.levels.wholeNotice(); ok {
		out = append(out, whole)
	}
	out = append(out, n.levels.known()...)
	n.acting.mu.Lock()
	defer n.acting.mu.Unlock()
	for name, a := range n.acting.of {
		if w.docs[name] == nil {
			continue // it was removed
		}
		out = append(out, replication.Notice{Name: noticeActing + name, Version: a.version, Content: []byte(a.hash)})
	}
	return out
}

// takeActing notes which topology another datacenter acts under.
func (n *Node) takeActing(dcName string, notice replication.Notice) error {
	if _, ok := n.world().docs[dcName]; !ok || len(notice.Content) != hashBytes {
		if dcName == n.dc {
			return nil
		}
		return fmt.Errorf("%w: topology of datacenter %.80q", errNotice, dcName)
	}
	n.acting.mu.Lock()
	defer n.acting.mu.Unlock()
	if n.acting.of == nil {
		n.acting.of = map[string]acting{}
	}
	now := acting{notice.Version, string(notice.Content)}
	if had := n.acting.of[dcName]; now.version > had.version || now.version == had.version && now.hash > had.hash {
		n.acting.of[dcName] = now
	}
	return nil
}

// elsewhere lists what each other datacenter is known to act under.
func (n *Node) elsewhere() []*v1.TopologyOf {
	n.acting.mu.Lock()
	defer n.acting.mu.Unlock()
	var out []*v1.TopologyOf
	for _, name := range slices.Sorted(maps.Keys(n.world().docs)) {
		a := n.acting.of[name]
		out = append(out, &v1.TopologyOf{Dc: name, Version: a.version, Hash: a.hash})
	}
	return out
}

// Topology tells the topology that this node acts under.
func (n *Node) Topology() (*v1.TopologyResponse, error) {
	w := n.world()
	text, err := w.topology.YAML()
	if err != nil {
		return nil, fmt.Errorf("render the topology: %w", err)
	}
	return &v1.TopologyResponse{Dc: n.dc, Version: w.topology.Version, Hash: w.hash, Text: text, Others: n.elsewhere()}, nil
}

// Acts is the topology that the node acts under. It must not be changed.
func (n *Node) Acts() *topology.Topology { return n.topology() }

// ApplyTopology makes a topology that of the cluster. When it fails with
// UNAVAILABLE it may have been taken by some, and then comes to count all the same.
func (n *Node) ApplyTopology(ctx context.Context, req *v1.ApplyTopologyRequest) (*v1.ApplyTopologyResponse, error) {
	next, problems := topology.Parse("topology", req.GetText())
	if next == nil {
		return nil, refuse(InvalidArgument, "BAD_TOPOLOGY", "%s", problems[0])
	}
	now := n.world()
	hash := next.Hash()
	if hash != now.hash {
		if of := req.GetInsteadOf(); of != "" && of != now.hash {
			return nil, appliedFirst(now)
		}
		if next.Version <= now.topology.Version {
			return nil, refuse(FailedPrecondition, "TOPOLOGY_OLD", "version %d is not later than version %d, which the cluster acts under: the version must grow with every change", next.Version, now.topology.Version).
				with("version", strconv.FormatUint(now.topology.Version, 10))
		}
		if err := cannotChange(now.topology, next); err != nil {
			return nil, err
		}
		if err := n.tooEarly(now, next, req.GetForce()); err != nil {
			return nil, err
		}
	}
	return n.makeTopology(ctx, next)
}

// makeTopology makes a topology, which may be, that of the cluster.
func (n *Node) makeTopology(ctx context.Context, next *topology.Topology) (*v1.ApplyTopologyResponse, error) {
	text, err := next.CanonicalYAML()
	if err != nil {
		return nil, refuse(InvalidArgument, "BAD_TOPOLOGY", "%s", err)
	}
	return n.spreadTopology(ctx, next, append([]byte(next.Hash()), text...))
}

func appliedFirst(now *world) error {
	return refuse(FailedPrecondition, "TOPOLOGY_CHANGED", "another topology was applied first: the cluster acts under version %d; look at it, then plan again", now.topology.Version).
		with("version", strconv.FormatUint(now.topology.Version, 10)).with("hash", now.hash)
}

// spreadTopology gives a topology to this node and to all other members.
func (n *Node) spreadTopology(ctx context.Context, next *topology.Topology, content []byte) (*v1.ApplyTopologyResponse, error) {
	if err := n.takeTopology(content); err != nil {
		return nil, err
	}
	resp := &v1.ApplyTopologyResponse{Version: next.Version, Hash: next.Hash(), Nodes: []string{n.id}}
	var mu sync.Mutex
	var work sync.WaitGroup
	for _, node := range n.layout().nodes {
		if node == n.id {
			continue
		}
		work.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			_, err := n.call(ctx, node, &peerv1.Request{Of: &peerv1.Request_Learn{Learn: &peerv1.Learn{Topology: content}}})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				n.opts.Logger.Warn("topology not taken", "peer", node, "error", err)
				resp.Missing = append(resp.Missing, node)
				return
			}
			resp.Nodes = append(resp.Nodes, node)
		})
	}
	work.Wait()
	slices.Sort(resp.Nodes)
	slices.Sort(resp.Missing)
	if all := len(resp.Nodes) + len(resp.Missing); len(resp.GetNodes()) < all/2+1 {
		return nil, refuse(Unavailable, "TOO_FEW_MEMBERS", "%d of %d members of datacenter %s have version %d: %s did not answer; it is not refused, and spreads as they return",
			len(resp.GetNodes()), all, n.dc, next.Version, strings.Join(resp.GetMissing(), ", "))
	}
	if now := n.world(); now.hash != resp.GetHash() {
		return nil, appliedFirst(now)
	}
	return resp, nil
}

// takeTopology acts under a topology, once it is on disk, unless the node acts
// under one that counts more.
func (n *Node) takeTopology(content []byte) error {
	if len(content) < hashBytes {
		return fmt.Errorf("%w: topology of %d bytes", errNotice, len(content))
	}
	next, problems := topology.Parse("topology of another node", content[hashBytes:])
	if next == nil {
		return fmt.Errorf("%w: %w", errNotice, problems[0])
	}
	n.turning.Lock()
	defer n.turning.Unlock()
	now := n.world()
	if !counts(next, now) {
		return nil
	}
	if err := cannotChange(now.topology, next); err != nil {
		return fmt.Errorf("topology of version %d: %w", next.Version, err)
	}
	w, err := newWorld(next, n.dc, now.docs, nil)
	if err != nil {
		return fmt.Errorf("topology of version %d: %w", next.Version, err)
	}
	if err := n.store.SetMeta(metaTopology, w.text); err != nil {
		return err
	}
	n.live(w)
	if err := n.layAgain(); err != nil {
		return err
	}
	n.buckets.rebase()
	n.opts.Logger.Info("topology", "version", next.Version, "hash", w.hash, "before", now.topology.Version)
	return nil
}

// counts reports whether a topology counts more than the present one.
func counts(next *topology.Topology, now *world) bool {
	return next.Version > now.topology.Version || next.Version == now.topology.Version && next.Hash() > now.hash
}

// layAgain computes the owners of placements that are new. Those of the others
// stay as they were, and so does the epoch.
func (n *Node) layAgain() error {
	n.fence.Lock()
	defer n.fence.Unlock()
	l, err := n.lay(n.Document())
	if err != nil {
		return err
	}
	n.laid.Store(l)
	n.peers.relaid()
	return nil
}

// rememberTopology takes up the topology that the node acted under when it was
// stopped, if it counts more than the one it was started with.
func (n *Node) rememberTopology() error {
	b, err := n.store.Meta(metaTopology)
	if err != nil || len(b) < hashBytes {
		return err
	}
	kept, problems := topology.Parse("topology on disk", b[hashBytes:])
	if kept == nil {
		return fmt.Errorf("topology on disk: %w", problems[0])
	}
	if !counts(kept, n.world()) {
		return nil
	}
	w, err := newWorld(kept, n.dc, nil, nil)
	if err != nil {
		return fmt.Errorf("topology on disk: %w", err)
	}
	n.opts.Logger.Info("the topology on disk is later than the one of the start", "version", kept.Version, "given", n.world().topology.Version)
	n.live(w)
	return nil
}

// topologyFor is what a node that asks for a document is told besides.
func (n *Node) topologyFor(ask *peerv1.DocumentAsk) []byte {
	w := n.world()
	if v := ask.GetTopologyVersion(); v == 0 || v > w.topology.Version || v == w.topology.Version && ask.GetTopologyHash() >= w.hash {
		return nil
	}
	return w.text
}

// followTopology asks the other nodes of the datacenter, one after the other,
// for a topology that counts more.
func (n *Node) followTopology() {
	tick := time.NewTicker(topologyEvery)
	defer tick.Stop()
	said := ""
	for turn := 0; ; turn++ {
		select {
		case <-tick.C:
		case <-n.ctx.Done():
			return
		}
		nodes := n.layout().nodes
		node := nodes[turn%len(nodes)]
		if node == n.id || !n.alive(node) {
			continue
		}
		if err := n.askTopology(node); err != nil && n.ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			n.opts.Logger.Error("topology of another node not taken up", "peer", node, "error", err)
		}
	}
}

func (n *Node) askTopology(node string) error {
	ctx, cancel := context.WithTimeout(n.ctx, askTimeout)
	defer cancel()
	w := n.world()
	resp, err := n.call(ctx, node, &peerv1.Request{Of: &peerv1.Request_Document{Document: &peerv1.DocumentAsk{
		TopologyVersion: w.topology.Version, TopologyHash: w.hash,
	}}})
	if told := resp.GetDocument().GetTopology(); err == nil && len(told) > 0 {
		return n.takeTopology(told)
	}
	return nil // one that does not answer is asked again
}

// cannotChange says which differences between two topologies a running cluster
// does not take up; nil if it takes up all.
func cannotChange(now, next *topology.Topology) error {
	var why []string
	for _, c := range topology.Diff(now, next) {
		if next.Version == now.Version && gives(c) {
			continue
		}
		if because := topology.Fixed(now, next, c); because != "" {
			why = append(why, fmt.Sprintf("%s (%s)", c.Subject, because))
		}
	}
	if home, some := commonPlacement(now); some {
		if then, _ := commonPlacement(next); then != home {
			why = append(why, fmt.Sprintf("placement %s (it keeps the buckets made at run time: every datacenter must hold it)", home))
		}
	}
	return fixed(why)
}

// gives reports a change from one topology to another of the same version, which
// was applied elsewhere at the same time and counts more, that must not keep this
// node on its own: buckets and placements that the other has not, or has otherwise.
// Their cells stay on disk until a later version has them again.
func gives(c topology.Change) bool {
	kind, _, _ := strings.Cut(c.Subject, " ")
	switch kind {
	case "cluster":
		return c.Field == "version"
	case "bucket":
		return true
	case "placement":
		return c.Action == topology.Removed
	}
	return false
}

// fixed refuses changes; nil if there are none.
func fixed(why []string) error {
	if len(why) == 0 {
		return nil
	}
	return refuse(FailedPrecondition, "TOPOLOGY_FIXED", "a running cluster does not take up changes of %s", strings.Join(why, ", ")).
		with("changes", strings.Join(why, ", "))
}
