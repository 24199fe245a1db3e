package topology_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/godwitdb/godwit/topology"
)

// shop is a complete topology with a value in every field.
const shop = `version: 7
cluster: shop
partitions: 512
clock: {max_skew: 250ms}
datacenters:
  - name: use1
    nats: {mode: embedded}
    nodes:
      - {id: use1-a, rack: a, weight: 1, advertise: 127.0.0.1, ports: {grpc: 7101, peer: 7102, gossip: 7103, nats: 7104, http: 7105}, data_dir: /var/lib/godwit}
      - {id: use1-b, rack: b, weight: 0.5, advertise: 127.0.0.1}
      - {id: use1-c, rack: c, advertise: localhost}
  - name: euw1
    nats: {mode: external, urls: ["nats://broker.example:4222"], creds_file: /etc/godwit/euw1.creds}
    nodes:
      - {id: euw1-a, rack: 1, advertise: "::1", ports: {grpc: 7101}}
      - {id: euw1-b, rack: 2, advertise: 127.0.0.2}
placements:
  - {name: global, replicas: {use1: 3, euw1: 2}}
  - name: eu-only
    replicas:
      euw1: 2
buckets:
  - {name: carts, placement: eu-only, kind: set, kinds_allowed: [set, counter], read: quorum, write: all, durability: async, ttl: 48h, max_value: 64KiB}
links:
  mode: mesh
  defaults: {compression: s2, max_batch: 512KiB, max_delay: 5ms, rate_limit: 0}
  overrides: [{between: [use1, euw1], rate_limit: 50MiB/s}]
  emulate: [{between: [use1, euw1], latency: 38ms, jitter: 3ms, bandwidth: 1Gbit}]
security: {client_tls: off, peer_tls: off, gossip_keys: off, auth: off}
`

// shopTopology is what shop says, with the defaults.
func shopTopology() *topology.Topology {
	return &topology.Topology{
		Version:    7,
		Cluster:    "shop",
		Partitions: 512,
		Clock:      topology.Clock{MaxSkew: 250 * time.Millisecond},
		Datacenters: []topology.Datacenter{
			{Name: "use1", NATS: topology.NATS{Mode: "embedded"}, Nodes: []topology.Node{
				{
					ID: "use1-a", Rack: "a", Weight: 1, Advertise: "127.0.0.1", DataDir: "/var/lib/godwit",
					Ports: topology.Ports{GRPC: 7101, Peer: 7102, Gossip: 7103, NATS: 7104, HTTP: 7105},
				},
				{ID: "use1-b", Rack: "b", Weight: 0.5, Advertise: "127.0.0.1"},
				{ID: "use1-c", Rack: "c", Weight: 1, Advertise: "localhost"},
			}},
			{
				Name: "euw1",
				NATS: topology.NATS{Mode: "external", URLs: []string{"nats://broker.example:4222"}, CredsFile: "/etc/godwit/euw1.creds"},
				Nodes: []topology.Node{
					{ID: "euw1-a", Rack: "1", Weight: 1, Advertise: "::1", Ports: topology.Ports{GRPC: 7101}},
					{ID: "euw1-b", Rack: "2", Weight: 1, Advertise: "127.0.0.2"},
				},
			},
		},
		Placements: []topology.Placement{
			{Name: "global", Replicas: map[string]int{"use1": 3, "euw1": 2}},
			{Name: "eu-only", Replicas: map[string]int{"euw1": 2}},
		},
		Buckets: []topology.Bucket{
			{
				Name: "carts", Placement: "eu-only", Kind: "set", KindsAllowed: []string{"set", "counter"},
				Read: "quorum", Write: "all", Durability: "async", TTL: 48 * time.Hour, MaxValue: 65536,
			},
			{Name: "default", Placement: "global", Kind: "register", Read: "quorum", Write: "quorum", Durability: "sync", MaxValue: 1048576},
		},
		Links: topology.Links{
			Mode:     "mesh",
			Defaults: topology.LinkSettings{Compression: "s2", MaxBatch: 524288, MaxDelay: 5 * time.Millisecond},
			Overrides: []topology.LinkOverride{{
				Between:      [2]string{"use1", "euw1"},
				LinkSettings: topology.LinkSettings{Compression: "s2", MaxBatch: 524288, MaxDelay: 5 * time.Millisecond, RateLimit: 52428800},
			}},
			Emulate: []topology.Emulate{{Between: [2]string{"use1", "euw1"}, Latency: 38 * time.Millisecond, Jitter: 3 * time.Millisecond, Bandwidth: 125000000}},
		},
		Security: topology.Security{ClientTLS: "off", PeerTLS: "off", GossipKeys: "off", Auth: "off"},
	}
}

// parse returns the topology of a file that must be free of problems.
func parse(t *testing.T, file string) *topology.Topology {
	t.Helper()
	top, problems := topology.Parse("shop.yaml", []byte(file))
	if len(problems) > 0 {
		t.Fatalf("unexpected problems:\n%s", rendered(t, problems))
	}
	return top
}

func rendered(t *testing.T, problems topology.Problems) string {
	t.Helper()
	var out strings.Builder
	if err := problems.Render(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestParseReadsEveryField(t *testing.T) {
	if got, want := parse(t, shop), shopTopology(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseFillsInDefaults(t *testing.T) {
	got := parse(t, `version: 1
cluster: small
datacenters:
  - name: a
    nodes: [{id: a1, advertise: 127.0.0.1}, {id: a2, advertise: 127.0.0.1}, {id: a3, advertise: 127.0.0.1}, {id: a4, advertise: 127.0.0.1}]
  - name: b
    nodes: [{id: b1, advertise: 127.0.0.1}]
buckets:
  - {name: plain, durability: async}
`)
	node := func(id string) topology.Node { return topology.Node{ID: id, Weight: 1, Advertise: "127.0.0.1"} }
	embedded := topology.NATS{Mode: "embedded"}
	want := &topology.Topology{
		Version: 1, Cluster: "small", Partitions: 256,
		Clock: topology.Clock{MaxSkew: 500 * time.Millisecond},
		Datacenters: []topology.Datacenter{
			{Name: "a", NATS: embedded, Nodes: []topology.Node{node("a1"), node("a2"), node("a3"), node("a4")}},
			{Name: "b", NATS: embedded, Nodes: []topology.Node{node("b1")}},
		},
		Placements: []topology.Placement{{Name: "global", Replicas: map[string]int{"a": 3, "b": 1}}},
		Buckets: []topology.Bucket{
			{Name: "plain", Placement: "global", Kind: "register", Read: "quorum", Write: "quorum", Durability: "async", MaxValue: 1048576},
			{Name: "default", Placement: "global", Kind: "register", Read: "quorum", Write: "quorum", Durability: "sync", MaxValue: 1048576},
		},
		Links: topology.Links{
			Mode:     "mesh",
			Defaults: topology.LinkSettings{Compression: "zstd", MaxBatch: 262144, MaxDelay: 2 * time.Millisecond},
		},
		Security: topology.Security{ClientTLS: "off", PeerTLS: "off", GossipKeys: "off", Auth: "off"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestYAMLReadsBackAsTheSameTopology(t *testing.T) {
	want := shopTopology()
	file, err := want.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if got := parse(t, string(file)); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v\nfrom\n%s", got, want, file)
	}
}

func TestYAMLIsWrittenForPeople(t *testing.T) {
	top := &topology.Topology{
		Version: 1, Cluster: "007",
		Datacenters: []topology.Datacenter{{Name: "a", Nodes: []topology.Node{{ID: "1", Advertise: "127.0.0.1"}}}},
		Links:       topology.Links{Mode: topology.ModeHub, Hub: "a"},
	}
	top.FillDefaults()
	got, err := top.YAML()
	if err != nil {
		t.Fatal(err)
	}
	const want = `version: 1
cluster: "007"
partitions: 256
clock: {max_skew: 500ms}
datacenters:
  - name: a
    nats: {mode: embedded}
    nodes:
      - {id: "1", weight: 1, advertise: 127.0.0.1, ports: {grpc: 0, peer: 0, gossip: 0, nats: 0, http: 0}}
placements:
  - {name: global, replicas: {a: 1}}
buckets:
  - {name: default, placement: global, kind: register, read: quorum, write: quorum, durability: sync, ttl: 0, max_value: 1MiB}
links:
  mode: hub
  hub: a
  defaults: {compression: zstd, max_batch: 256KiB, max_delay: 2ms, rate_limit: 0}
security: {client_tls: off, peer_tls: off, gossip_keys: off, auth: off}
`
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestYAMLRefusesWhatParseWouldRefuse(t *testing.T) {
	_, err := new(topology.Topology).YAML()
	if want := "topology: not valid: missing version: a number that grows with every change [missing-field]"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestValidateNamesNoPlace(t *testing.T) {
	top := shopTopology()
	top.Datacenters[0].Nodes[0].Advertise = "10.0.0.11"
	top.Placements[1].Replicas["euw1"] = 3
	const want = `topology: error: node "use1-a": advertises 10.0.0.11, which is not loopback, while security is off: use 127.0.0.1, this version has no TLS [open-network]
topology: error: placement "eu-only": replicas in euw1 must be from 1 to 2, its number of nodes, not 3 [bad-replicas]
2 errors, 0 warnings
`
	if got := rendered(t, top.Validate()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestLookups(t *testing.T) {
	top := parse(t, shop)
	if dc, ok := top.DC("euw1"); !ok || len(dc.Nodes) != 2 {
		t.Errorf("DC(euw1) = %v, %t", dc, ok)
	}
	if n, dc, ok := top.NodeByID("euw1-b"); !ok || dc != "euw1" || n.Advertise != "127.0.0.2" {
		t.Errorf("NodeByID(euw1-b) = %v, %s, %t", n, dc, ok)
	}
	if p, ok := top.Placement("eu-only"); !ok || !reflect.DeepEqual(p.DCs(), []string{"euw1"}) {
		t.Errorf("Placement(eu-only) = %v, %t", p, ok)
	}
	if b, ok := top.Bucket("carts"); !ok || b.Kind != "set" {
		t.Errorf("Bucket(carts) = %v, %t", b, ok)
	}
	if e, ok := top.Emulation("euw1", "use1"); !ok || e.Latency != 38*time.Millisecond {
		t.Errorf("Emulation(euw1, use1) = %v, %t", e, ok)
	}
	_, dcFound := top.DC("apne1")
	_, _, nodeFound := top.NodeByID("apne1-a")
	_, placementFound := top.Placement("apne1")
	_, bucketFound := top.Bucket("apne1")
	if dcFound || nodeFound || placementFound || bucketFound {
		t.Error("found what is not defined")
	}
}

func TestLink(t *testing.T) {
	three := topology.Topology{Datacenters: []topology.Datacenter{{Name: "a"}, {Name: "b"}, {Name: "c"}}}
	three.Links.Overrides = []topology.LinkOverride{{Between: [2]string{"b", "a"}, LinkSettings: topology.LinkSettings{RateLimit: 9}}}
	tests := []struct {
		mode, a, b string
		rate       int64
		linked     bool
	}{
		{mode: "mesh", a: "a", b: "b", rate: 9, linked: true},
		{mode: "mesh", a: "c", b: "b", linked: true},
		{mode: "mesh", a: "a", b: "a"},
		{mode: "hub", a: "a", b: "b", rate: 9, linked: true},
		{mode: "hub", a: "b", b: "c"},
		{mode: "explicit", a: "b", b: "a", rate: 9, linked: true},
		{mode: "explicit", a: "a", b: "c"},
	}
	for _, tt := range tests {
		three.Links.Mode, three.Links.Hub = tt.mode, "a"
		if got, linked := three.Link(tt.a, tt.b); linked != tt.linked || got.RateLimit != tt.rate {
			t.Errorf("%s: Link(%s, %s) = %+v, %t", tt.mode, tt.a, tt.b, got, linked)
		}
	}
}

func TestPlacementIDIsFixed(t *testing.T) {
	if got := topology.PlacementID("global"); got != 1563614142 {
		t.Errorf("PlacementID(global) = %d", got)
	}
}

func TestHashDependsOnContentOnly(t *testing.T) {
	base := parse(t, shop).Hash()
	const want = "683a3e14b0643e0acdcffee60d7f9ff6"
	if base != want {
		t.Errorf("Hash() = %s, want %s: nodes of different builds would see a mismatch", base, want)
	}
	reordered := shopTopology()
	dcs, nodes := reordered.Datacenters, reordered.Datacenters[0].Nodes
	dcs[0], dcs[1] = dcs[1], dcs[0]
	nodes[0], nodes[2] = nodes[2], nodes[0]
	reordered.Links.Overrides[0].Between = [2]string{"euw1", "use1"}
	reordered.Buckets[0].KindsAllowed = []string{"counter", "set"}
	if got := reordered.Hash(); got != base {
		t.Errorf("Hash() = %s after reordering, want %s", got, base)
	}
	if nodes[0].ID != "use1-c" || reordered.Links.Overrides[0].Between[0] != "euw1" || reordered.Buckets[0].KindsAllowed[0] != "counter" {
		t.Error("Hash changed the topology")
	}
	if got := parse(t, strings.Replace(shop, "weight: 0.5", "weight: 0.6", 1)).Hash(); got == base {
		t.Error("another weight, the same hash")
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "shop.yaml")
	if _, _, err := topology.Load(path); err == nil {
		t.Error("no error for a file that is not there")
	}
	if err := os.WriteFile(path, []byte(strings.Replace(shop, "kind: set", "kind: sett", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	top, problems, err := topology.Load(path)
	if err != nil || top != nil || problems.Errors() != 1 || problems[0].File != path {
		t.Errorf("Load = %v, %v, %v", top, problems, err)
	}
}

func TestExamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../deploy/topologies/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("examples %v, %v", files, err)
	}
	for _, file := range files {
		top, problems, err := topology.Load(file)
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v\n%s", file, err, rendered(t, problems))
			continue
		}
		again, err := top.YAML()
		if err != nil {
			t.Errorf("%s: %v", file, err)
		} else if got := parse(t, string(again)); !reflect.DeepEqual(got, top) {
			t.Errorf("%s changes when rendered:\n%s", file, again)
		}
	}
}
