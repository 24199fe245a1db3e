package topology

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// ErrInvalid reports a topology that Validate finds errors in.
var ErrInvalid = errors.New("topology: not valid")

// YAML renders the topology, with every default written out, as a file that
// Parse reads back to an equal topology. It returns ErrInvalid, with the first
// error, if Parse would refuse it.
func (t *Topology) YAML() ([]byte, error) {
	for _, p := range t.Validate() {
		if p.Severity == Error {
			return nil, fmt.Errorf("%w: %s [%s]", ErrInvalid, p.Message, p.Rule)
		}
	}
	return []byte(t.yaml()), nil
}

// CanonicalYAML is YAML with every list sorted whose order has no meaning: the
// same bytes for two topologies of the same content.
func (t *Topology) CanonicalYAML() ([]byte, error) { return t.canonical().YAML() }

// Hash returns a fingerprint of the content, 32 hexadecimal digits. It does not
// depend on the order in which datacenters, nodes, placements, buckets and links
// are listed, nor on comments and layout.
func (t *Topology) Hash() string {
	sum := sha256.Sum256([]byte(t.canonical().yaml()))
	return hex.EncodeToString(sum[:16])
}

// canonical returns a copy with every list sorted whose order has no meaning.
func (t *Topology) canonical() *Topology {
	c := *t
	c.Datacenters = sortedBy(t.Datacenters, func(dc Datacenter) string { return dc.Name })
	for i := range c.Datacenters {
		c.Datacenters[i].Nodes = sortedBy(c.Datacenters[i].Nodes, func(n Node) string { return n.ID })
	}
	c.Placements = sortedBy(t.Placements, func(p Placement) string { return p.Name })
	c.Buckets = sortedBy(t.Buckets, func(b Bucket) string { return b.Name })
	for i := range c.Buckets {
		c.Buckets[i].KindsAllowed = sortedBy(c.Buckets[i].KindsAllowed, func(kind string) string { return kind })
	}
	c.Links.Overrides = sortedBy(t.Links.Overrides, func(o LinkOverride) string { return pairName(o.Between) })
	for i, o := range c.Links.Overrides {
		c.Links.Overrides[i].Between = sortedPair(o.Between)
	}
	c.Links.Emulate = sortedBy(t.Links.Emulate, func(e Emulate) string { return pairName(e.Between) })
	for i, e := range c.Links.Emulate {
		c.Links.Emulate[i].Between = sortedPair(e.Between)
	}
	return &c
}

func sortedBy[T any](items []T, name func(T) string) []T {
	return slices.SortedStableFunc(slices.Values(items), func(a, b T) int { return strings.Compare(name(a), name(b)) })
}

func sortedPair(p [2]string) [2]string {
	slices.Sort(p[:])
	return p
}

// pairName names a link whichever way round it is written.
func pairName(p [2]string) string {
	p = sortedPair(p)
	return p[0] + "-" + p[1]
}

func (t *Topology) yaml() string {
	var out strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	line("version: %d\ncluster: %s\npartitions: %d\nclock: {max_skew: %s}", t.Version, scalar(t.Cluster), t.Partitions, formatDuration(t.Clock.MaxSkew))
	line("datacenters:")
	for _, dc := range t.Datacenters {
		line("  - name: %s", scalar(dc.Name))
		if dc.State != DCJoined {
			line("    state: %s", scalar(string(dc.State)))
		}
		line("    nats: %s", dc.NATS.attributes())
		if len(dc.Nodes) > 0 {
			line("    nodes:")
		}
		for i := range dc.Nodes {
			line("      - %s", dc.Nodes[i].attributes())
		}
	}
	line("placements:")
	for _, p := range t.Placements {
		line("  - %s", p.attributes())
	}
	line("buckets:")
	for i := range t.Buckets {
		line("  - %s", t.Buckets[i].attributes())
	}
	line("links:\n  mode: %s", t.Links.Mode)
	if t.Links.Hub != "" {
		line("  hub: %s", scalar(t.Links.Hub))
	}
	line("  defaults: %s", t.Links.Defaults.attributes())
	for i, o := range t.Links.Overrides {
		heading(&out, i, "overrides")
		line("    - %s", o.attributes())
	}
	for i, e := range t.Links.Emulate {
		heading(&out, i, "emulate")
		line("    - %s", e.attributes())
	}
	line("security: %s", t.Security.attributes())
	return out.String()
}

func heading(out *strings.Builder, i int, name string) {
	if i == 0 {
		fmt.Fprintf(out, "  %s:\n", name)
	}
}

// attribute is a field of a mapping with its value as YAML.
type attribute struct{ key, value string }

// attributes are the fields of a mapping in the order of the file.
type attributes []attribute

// String writes the attributes as a mapping on one line.
func (as attributes) String() string {
	parts := make([]string, len(as))
	for i, a := range as {
		parts[i] = a.key + ": " + a.value
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// when keeps the attribute only if it says something.
func (as attributes) when(present bool, key, value string) attributes {
	if !present {
		return as
	}
	return append(as, attribute{key, value})
}

func (n NATS) attributes() attributes {
	return attributes{{"mode", n.Mode}}.
		when(len(n.URLs) > 0, "urls", sequence(n.URLs)).
		when(n.CredsFile != "", "creds_file", scalar(n.CredsFile))
}

func (n *Node) attributes() attributes {
	var ports attributes
	copied := n.Ports
	for _, p := range copied.named() {
		ports = append(ports, attribute{p.name, strconv.Itoa(*p.number)})
	}
	return attributes{{"id", scalar(n.ID)}}.
		when(n.Rack != "", "rack", scalar(n.Rack)).
		when(true, "weight", strconv.FormatFloat(n.Weight, 'f', -1, 64)).
		when(true, "advertise", scalar(n.Advertise)).
		when(true, "ports", ports.String()).
		when(n.DataDir != "", "data_dir", scalar(n.DataDir))
}

func (p Placement) attributes() attributes {
	var replicas attributes
	for _, dc := range slices.Sorted(maps.Keys(p.Replicas)) {
		replicas = append(replicas, attribute{scalar(dc), strconv.Itoa(p.Replicas[dc])})
	}
	return attributes{{"name", scalar(p.Name)}, {"replicas", replicas.String()}}
}

func (b *Bucket) attributes() attributes {
	return attributes{{"name", scalar(b.Name)}, {"placement", scalar(b.Placement)}, {"kind", b.Kind}}.
		when(len(b.KindsAllowed) > 0, "kinds_allowed", sequence(b.KindsAllowed)).
		when(true, "read", b.Read).
		when(true, "write", b.Write).
		when(true, "durability", b.Durability).
		when(true, "ttl", formatDuration(b.TTL)).
		when(true, "max_value", formatSize(b.MaxValue))
}

func (s LinkSettings) attributes() attributes {
	return attributes{
		{"compression", s.Compression},
		{"max_batch", formatSize(s.MaxBatch)},
		{"max_delay", formatDuration(s.MaxDelay)},
		{"rate_limit", formatRate(s.RateLimit)},
	}
}

func (o LinkOverride) attributes() attributes {
	return append(attributes{{"between", sequence(o.Between[:])}}, o.LinkSettings.attributes()...)
}

func (e Emulate) attributes() attributes {
	return attributes{
		{"between", sequence(e.Between[:])},
		{"latency", formatDuration(e.Latency)},
		{"jitter", formatDuration(e.Jitter)},
		{"bandwidth", formatRate(e.Bandwidth)},
	}
}

func (s *Security) attributes() (as attributes) {
	for _, setting := range s.settings() {
		as = append(as, attribute{setting.key, scalar(*setting.value)})
	}
	return as
}

func sequence(items []string) string {
	parts := make([]string, len(items))
	for i, item := range items {
		parts[i] = scalar(item)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// scalar writes a string plainly where YAML reads it back as one, else quoted.
func scalar(s string) string {
	if !plainForm.pattern.MatchString(s) {
		return strconv.Quote(s)
	}
	tokens := lexer.Tokenize(s)
	if len(tokens) == 1 && tokens[0].Type == token.StringType && tokens[0].Value == s {
		return s
	}
	return strconv.Quote(s)
}

// formatDuration writes a duration without the zero parts that time adds.
func formatDuration(d time.Duration) string {
	s := d.String()
	switch {
	case d == 0:
		return "0"
	case strings.HasSuffix(s, "h0m0s"):
		return strings.TrimSuffix(s, "0m0s")
	case strings.HasSuffix(s, "m0s"):
		return strings.TrimSuffix(s, "0s")
	}
	return s
}
