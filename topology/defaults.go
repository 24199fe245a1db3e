package topology

import (
	"fmt"
	"time"
)

// Words that a topology file uses.
const (
	ModeEmbedded = "embedded" // a broker inside each node
	ModeExternal = "external" // the operator's broker

	ModeMesh     = "mesh"     // every datacenter links to every other
	ModeHub      = "hub"      // every datacenter links to one
	ModeExplicit = "explicit" // the overrides are the links

	// DefaultPlacement is the placement of a bucket that names none.
	DefaultPlacement = "global"
	// DefaultBucket is the bucket of a request that names none.
	DefaultBucket = "default"

	off = "off"
)

const (
	defaultPartitions = 256
	defaultReplicas   = 3
	defaultMaxSkew    = 500 * time.Millisecond
	defaultMaxBatch   = 256 << 10
	defaultMaxDelay   = 2 * time.Millisecond
)

// FillDefaults sets what a topology built in code left zero to the defaults
// named beside the fields, and adds DefaultPlacement (min(3, nodes) replicas in
// every datacenter) and DefaultBucket unless they are there.
func (t *Topology) FillDefaults() { t.fill(new(document)) }

// fill sets what is zero and not given by the document: a zero that an operator
// wrote down is judged, not replaced.
func (t *Topology) fill(doc *document) {
	orElse(doc, "partitions", &t.Partitions, defaultPartitions)
	orElse(doc, "clock.max_skew", &t.Clock.MaxSkew, defaultMaxSkew)
	for i := range t.Datacenters {
		path := fmt.Sprintf("datacenters[%d]", i)
		dc := &t.Datacenters[i]
		orElse(doc, path+".nats.mode", &dc.NATS.Mode, ModeEmbedded)
		if dc.State == joinedWord {
			dc.State = DCJoined
		}
		for j := range dc.Nodes {
			orElse(doc, fmt.Sprintf("%s.nodes[%d].weight", path, j), &dc.Nodes[j].Weight, 1)
		}
	}
	if _, ok := t.Placement(DefaultPlacement); !ok {
		t.Placements = append(t.Placements, t.globalPlacement())
	}
	if _, ok := t.Bucket(DefaultBucket); !ok {
		t.Buckets = append(t.Buckets, Bucket{Name: DefaultBucket})
	}
	for i := range t.Buckets {
		t.Buckets[i].fill(doc, fmt.Sprintf("buckets[%d]", i))
	}
	t.Links.fill(doc)
	for _, s := range t.Security.settings() {
		orElse(doc, "security."+s.key, s.value, off)
	}
}

func (t *Topology) globalPlacement() Placement {
	p := Placement{Name: DefaultPlacement, Replicas: make(map[string]int, len(t.Datacenters))}
	for _, dc := range t.Datacenters {
		if dc.State != DCRemoved {
			p.Replicas[dc.Name] = min(defaultReplicas, len(dc.Nodes))
		}
	}
	return p
}

func (b *Bucket) fill(doc *document, path string) {
	orElse(doc, path+".placement", &b.Placement, DefaultPlacement)
	orElse(doc, path+".kind", &b.Kind, "register")
	orElse(doc, path+".read", &b.Read, "quorum")
	orElse(doc, path+".write", &b.Write, "quorum")
	orElse(doc, path+".durability", &b.Durability, "sync")
	orElse(doc, path+".max_value", &b.MaxValue, MaxValue)
}

func (l *Links) fill(doc *document) {
	orElse(doc, "links.mode", &l.Mode, ModeMesh)
	l.Defaults.fill(doc, "links.defaults", LinkSettings{Compression: "zstd", MaxBatch: defaultMaxBatch, MaxDelay: defaultMaxDelay})
	for i := range l.Overrides {
		l.Overrides[i].fill(doc, fmt.Sprintf("links.overrides[%d]", i), l.Defaults)
	}
}

func (s *LinkSettings) fill(doc *document, path string, from LinkSettings) {
	orElse(doc, path+".compression", &s.Compression, from.Compression)
	orElse(doc, path+".max_batch", &s.MaxBatch, from.MaxBatch)
	orElse(doc, path+".max_delay", &s.MaxDelay, from.MaxDelay)
	orElse(doc, path+".rate_limit", &s.RateLimit, from.RateLimit)
}

// setting is a field of Security under its name in the file.
type setting struct {
	key   string
	value *string
}

func (s *Security) settings() []setting {
	return []setting{
		{"client_tls", &s.ClientTLS},
		{"peer_tls", &s.PeerTLS},
		{"gossip_keys", &s.GossipKeys},
		{"auth", &s.Auth},
	}
}

func orElse[T comparable](doc *document, path string, field *T, value T) {
	var zero T
	if *field == zero && !doc.given(path) {
		*field = value
	}
}
