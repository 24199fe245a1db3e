package topology_test

import (
	"strings"
	"testing"

	"github.com/godwitdb/godwit/topology"
)

func TestDiff(t *testing.T) {
	tests := []struct {
		name string
		edit func(*topology.Topology)
		want []string
	}{
		{name: "nothing", edit: func(t *topology.Topology) { t.Version = 7 }},
		{
			name: "the order of things is no change",
			edit: func(t *topology.Topology) { t.Placements[0], t.Placements[1] = t.Placements[1], t.Placements[0] },
		},
		{
			name: "weight of a node",
			edit: func(t *topology.Topology) { t.Datacenters[0].Nodes[1].Weight = 2 },
			want: []string{"~ cluster: version 7 -> 8", "~ node use1-b: weight 0.5 -> 2"},
		},
		{
			name: "the version has not grown",
			edit: func(t *topology.Topology) { t.Version, t.Datacenters[0].Nodes[1].Weight = 7, 2 },
			want: []string{"~ cluster: version 7 -> 7 (forbidden: the version must grow with every change)", "~ node use1-b: weight 0.5 -> 2"},
		},
		{
			name: "the version falls",
			edit: func(t *topology.Topology) { t.Version = 6 },
			want: []string{"~ cluster: version 7 -> 6 (forbidden: the version must grow with every change)"},
		},
		{
			name: "partitions and name of the cluster",
			edit: func(t *topology.Topology) { t.Version, t.Partitions, t.Cluster = 8, 1024, "store" },
			want: []string{
				"~ cluster: version 7 -> 8",
				"~ cluster: cluster shop -> store (forbidden: a cluster keeps its name)",
				"~ cluster: partitions 512 -> 1024 (forbidden: the number of partitions is fixed when the cluster is created)",
			},
		},
		{
			name: "a node comes and another goes",
			edit: func(t *topology.Topology) {
				t.Datacenters[1].Nodes[1] = topology.Node{ID: "euw1-c", Rack: "3", Weight: 1, Advertise: "127.0.0.3"}
			},
			want: []string{
				"~ cluster: version 7 -> 8",
				"~ datacenter euw1: nodes [euw1-a, euw1-b] -> [euw1-a, euw1-c]",
				`+ node euw1-c {datacenter: euw1, id: euw1-c, rack: "3", weight: 1, advertise: 127.0.0.3, ports: {grpc: 0, peer: 0, gossip: 0, nats: 0, http: 0}}`,
				`- node euw1-b {datacenter: euw1, id: euw1-b, rack: "2", weight: 1, advertise: 127.0.0.2, ports: {grpc: 0, peer: 0, gossip: 0, nats: 0, http: 0}}`,
			},
		},
		{
			name: "the name of a datacenter is reused",
			edit: func(t *topology.Topology) {
				t.Datacenters[1].Nodes[0].ID, t.Datacenters[1].Nodes[1].ID = "new-a", "new-b"
			},
			want: []string{
				"~ cluster: version 7 -> 8",
				"~ datacenter euw1: nodes [euw1-a, euw1-b] -> [new-a, new-b] (forbidden: none of its nodes remain: the name of a datacenter is never reused)",
				`+ node new-a {datacenter: euw1, id: new-a, rack: "1", weight: 1, advertise: "::1", ports: {grpc: 7101, peer: 0, gossip: 0, nats: 0, http: 0}}`,
				`+ node new-b {datacenter: euw1, id: new-b, rack: "2", weight: 1, advertise: 127.0.0.2, ports: {grpc: 0, peer: 0, gossip: 0, nats: 0, http: 0}}`,
				`- node euw1-a {datacenter: euw1, id: euw1-a, rack: "1", weight: 1, advertise: "::1", ports: {grpc: 7101, peer: 0, gossip: 0, nats: 0, http: 0}}`,
				`- node euw1-b {datacenter: euw1, id: euw1-b, rack: "2", weight: 1, advertise: 127.0.0.2, ports: {grpc: 0, peer: 0, gossip: 0, nats: 0, http: 0}}`,
			},
		},
		{
			name: "a node moves to another datacenter",
			edit: func(t *topology.Topology) {
				moved := t.Datacenters[0].Nodes[2]
				t.Datacenters[0].Nodes = t.Datacenters[0].Nodes[:2]
				t.Datacenters[1].Nodes = append(t.Datacenters[1].Nodes, moved)
				t.Placements[0].Replicas["use1"] = 2
			},
			want: []string{
				"~ cluster: version 7 -> 8",
				"~ datacenter euw1: nodes [euw1-a, euw1-b] -> [euw1-a, euw1-b, use1-c]",
				"~ datacenter use1: nodes [use1-a, use1-b, use1-c] -> [use1-a, use1-b]",
				"~ node use1-c: datacenter use1 -> euw1 (forbidden: a node stays in its datacenter: give it a new id)",
				"~ placement global: replicas {euw1: 2, use1: 3} -> {euw1: 2, use1: 2}",
			},
		},
		{
			name: "buckets, placements and links",
			edit: func(t *topology.Topology) {
				t.Placements[1].Name, t.Buckets[0].Placement = "eu", "eu"
				t.Buckets[0].KindsAllowed = nil
				t.Buckets[1].TTL = 1
				t.Links.Mode = topology.ModeExplicit
				t.Links.Overrides[0].RateLimit = 0
				t.Links.Emulate = nil
			},
			want: []string{
				"~ cluster: version 7 -> 8",
				"+ placement eu {name: eu, replicas: {euw1: 2}}",
				"- placement eu-only {name: eu-only, replicas: {euw1: 2}}",
				"~ bucket carts: placement eu-only -> eu",
				"~ bucket carts: kinds_allowed [counter, set] -> -",
				"~ bucket default: ttl 0 -> 1ns",
				"~ links: mode mesh -> explicit",
				"~ link euw1-use1: rate_limit 50MiB/s -> 0",
				"- emulated link euw1-use1 {between: [euw1, use1], latency: 38ms, jitter: 3ms, bandwidth: 1Gbit}",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			next := shopTopology()
			next.Version = 8
			tt.edit(next)
			if len(tt.want) == 0 {
				next.Version = 7
			}
			if problems := next.Validate(); problems.HasErrors() {
				t.Fatalf("the edited topology is not valid:\n%s", rendered(t, problems))
			}
			var got []string
			for _, c := range topology.Diff(shopTopology(), next) {
				got = append(got, c.String())
			}
			if got, want := strings.Join(got, "\n"), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}
