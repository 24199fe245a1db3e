// Package topology owns the operator's file: one YAML document that names the
// datacenters of a cluster, their nodes, the placements, the buckets and the
// links between datacenters. It parses the file, reports every problem at once
// with its place, fills in the defaults, renders a topology back to YAML and
// says what changes from one topology to the next.
//
// It knows nothing of running things: it opens no connection, reads no clock
// and touches no file but the one that Load is given.
//
// Sources: YAML 1.2.2 (yaml.org/spec/1.2.2), of which anchors, aliases, tags,
// directives, merge keys and complex keys are refused; the form of the messages follows the
// diagnostics of the Rust and Go compilers.
package topology

import (
	"maps"
	"slices"
	"time"

	"github.com/zeebo/xxh3"
)

// Topology is the content of one topology file. Parse returns it checked and
// complete; one that is built in code becomes so by FillDefaults and Validate.
// It is plain data: safe for concurrent reads, and never changed by this
// package after FillDefaults.
type Topology struct {
	Version     uint64 // grows with every change; 1 or more
	Cluster     string
	Partitions  int // power of two, fixed for ever; 256
	Clock       Clock
	Datacenters []Datacenter
	Placements  []Placement // holds at least DefaultPlacement
	Buckets     []Bucket    // holds at least DefaultBucket
	Links       Links
	Security    Security
}

// Clock bounds the clocks of the nodes.
type Clock struct {
	MaxSkew time.Duration // beyond this from its peers a node refuses to coordinate; 500ms
}

// Datacenter is a named group of nodes close to each other.
type Datacenter struct {
	Name  string
	State State // joined
	NATS  NATS
	Nodes []Node // none, if it was removed
}

// NATS says which broker carries the events that leave a datacenter.
type NATS struct {
	Mode      string   // "embedded" (default) or "external"
	URLs      []string // of the external broker
	CredsFile string   // credentials for the external broker, optional
}

// Node is one godwit process.
type Node struct {
	ID        string
	Rack      string  // optional; owners are spread over racks
	Weight    float64 // share of the partitions relative to the other nodes; 1
	Advertise string  // IP address or host name without a port
	Ports     Ports
	DataDir   string // optional
}

// Ports are the TCP ports of a node. Zero leaves the choice to the kernel and is
// allowed only on loopback.
type Ports struct {
	GRPC, Peer, Gossip, NATS, HTTP int
}

// Placement says which datacenters hold a bucket, and with how many replicas.
type Placement struct {
	Name     string
	Replicas map[string]int // datacenter name -> replicas there
}

// DCs returns the names of the placement's datacenters, sorted.
func (p Placement) DCs() []string { return slices.Sorted(maps.Keys(p.Replicas)) }

// Bucket is a namespace of keys with settings.
type Bucket struct {
	Name         string
	Placement    string        // name of a placement; global
	Kind         string        // kind of a key's value unless the first write names one; register
	KindsAllowed []string      // empty: all kinds
	Read, Write  string        // one, quorum or all; quorum
	Durability   string        // sync or async; sync
	TTL          time.Duration // 0: values do not expire
	MaxValue     int64         // bytes; 1 MiB
}

// Links says how datacenters exchange events.
type Links struct {
	Mode      string // mesh (default), hub or explicit
	Hub       string // name of the datacenter that all others link to, in mode hub
	Defaults  LinkSettings
	Overrides []LinkOverride // in mode explicit these pairs are the links
	Emulate   []Emulate
}

// LinkSettings tunes the traffic of a link.
type LinkSettings struct {
	Compression string        // zstd (default), s2 or none
	MaxBatch    int64         // bytes a message may hold; 256 KiB
	MaxDelay    time.Duration // how long an event waits for company; 2ms
	RateLimit   int64         // bytes per second; 0: unlimited
}

// LinkOverride replaces the settings of the link between two datacenters, both
// ways. What a file leaves out is taken from Links.Defaults; in a topology built
// in code a zero field is.
type LinkOverride struct {
	Between [2]string
	LinkSettings
}

// Emulate describes a WAN link to be imitated on one machine, both ways.
type Emulate struct {
	Between   [2]string
	Latency   time.Duration // one way
	Jitter    time.Duration // at most this much more than Latency
	Bandwidth int64         // bytes per second; 0: unlimited
}

// Security says what guards the cluster's connections. Every field is "off":
// this version has no TLS, therefore no node may advertise an address off
// loopback (rule open-network).
type Security struct {
	ClientTLS, PeerTLS, GossipKeys, Auth string
}

// DC returns the datacenter of that name.
func (t *Topology) DC(name string) (Datacenter, bool) {
	return find(t.Datacenters, func(d Datacenter) bool { return d.Name == name })
}

// NodeByID returns the node of that id and the name of its datacenter.
func (t *Topology) NodeByID(id string) (n Node, dc string, ok bool) {
	for _, d := range t.Datacenters {
		if n, ok := find(d.Nodes, func(n Node) bool { return n.ID == id }); ok {
			return n, d.Name, true
		}
	}
	return Node{}, "", false
}

// Placement returns the placement of that name.
func (t *Topology) Placement(name string) (Placement, bool) {
	return find(t.Placements, func(p Placement) bool { return p.Name == name })
}

// Bucket returns the bucket of that name.
func (t *Topology) Bucket(name string) (Bucket, bool) {
	return find(t.Buckets, func(b Bucket) bool { return b.Name == name })
}

// Link returns the settings of the link between two datacenters, and false if
// none joins them directly.
func (t *Topology) Link(a, b string) (LinkSettings, bool) {
	o, overridden := find(t.Links.Overrides, func(o LinkOverride) bool { return samePair(o.Between, [2]string{a, b}) })
	if !t.linked(a, b, overridden) {
		return LinkSettings{}, false
	}
	if overridden {
		return o.LinkSettings, true
	}
	return t.Links.Defaults, true
}

// linked reports whether the mode of the links joins a and b.
func (t *Topology) linked(a, b string, overridden bool) bool {
	switch {
	case a == b:
		return false
	case t.Links.Mode == ModeHub:
		return a == t.Links.Hub || b == t.Links.Hub
	case t.Links.Mode == ModeExplicit:
		return overridden
	}
	return true
}

// Emulation returns the WAN link to imitate between two datacenters, if any.
func (t *Topology) Emulation(a, b string) (Emulate, bool) {
	return find(t.Links.Emulate, func(e Emulate) bool { return samePair(e.Between, [2]string{a, b}) })
}

// PlacementID returns the number that stands for a placement in storage: the low
// 32 bits of the XXH3 hash of its name. No two placements of a valid topology
// share one.
func PlacementID(name string) uint32 { return uint32(xxh3.HashString(name)) }

func samePair(p, q [2]string) bool {
	return p == q || p == [2]string{q[1], q[0]}
}

func find[T any](list []T, match func(T) bool) (T, bool) {
	if i := slices.IndexFunc(list, match); i >= 0 {
		return list[i], true
	}
	var none T
	return none, false
}
