package topology_test

import (
	"strings"
	"testing"

	"github.com/godwitdb/godwit/topology"
)

// TestResidencyOverLinks checks that no placement depends on a datacenter outside
// of it to carry its events (promise I12).
func TestResidencyOverLinks(t *testing.T) {
	const file = `version: 1
cluster: c
datacenters:
  - {name: a, nodes: [{id: a1, advertise: 127.0.0.1}]}
  - {name: b, nodes: [{id: b1, advertise: 127.0.0.1}]}
  - {name: c, nodes: [{id: c1, advertise: 127.0.0.1}]}
placements:
  - {name: two, replicas: {b: 1, c: 1}}
`
	tests := []struct{ name, links, want string }{
		{name: "a mesh joins all", links: "links: {mode: mesh}"},
		{name: "a hub inside joins all", links: "links: {mode: hub, hub: b}"},
		{
			name: "a hub outside does not", links: "links: {mode: hub, hub: a}",
			want: `f:8:27: error: placement "two": no links join b to c within the placement, and its data may not pass through others [unlinked-placement]`,
		},
		{name: "a chain joins all", links: "links: {mode: explicit, overrides: [{between: [a, b]}, {between: [c, b]}]}"},
		{
			name: "a chain through another does not", links: "links: {mode: explicit, overrides: [{between: [a, b]}, {between: [c, a]}]}",
			want: `f:8:27: error: placement "two": no links join b to c within the placement, and its data may not pass through others [unlinked-placement]`,
		},
		{
			name: "the default placement needs links as well", links: "links: {mode: explicit, overrides: [{between: [c, b]}]}",
			want: `f:9:8: error: placement "global": no links join a to b within the placement, and its data may not pass through others [unlinked-placement]`,
		},
		{
			name: "an override off the hub", links: "links: {mode: hub, hub: b, overrides: [{between: [a, c]}]}",
			want: `f:9:50: error: between: in mode hub every link ends at the hub, "b" [bad-value]`,
		},
		{
			name: "a link with a batch of its own", links: "links: {overrides: [{between: [a, c], max_batch: 1MiB}]}",
			want: `f:9:50: error: max_batch is the same for all links, since a message is made once for all datacenters: set it in links.defaults [bad-value]`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := topology.Parse("f", []byte(file+tt.links))
			var got []string
			for _, p := range problems {
				got = append(got, p.Error())
			}
			if got := strings.Join(got, "\n"); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestPlacementsMustNotShareAnID(t *testing.T) {
	const one, other = "p48300", "p59959"
	top := shopTopology()
	top.Placements = append(top.Placements,
		topology.Placement{Name: one, Replicas: map[string]int{"use1": 1}},
		topology.Placement{Name: other, Replicas: map[string]int{"use1": 1}})
	problems := top.Validate()
	const want = `topology: error: placements "p48300" and "p59959" share the id 1904443061: rename one of them [placement-collision]`
	if len(problems) != 1 || problems[0].Error() != want {
		t.Errorf("got %v, want %s", problems, want)
	}
}

func TestTooManyDatacenters(t *testing.T) {
	top := &topology.Topology{Version: 1, Cluster: "c"}
	for i := range 65 {
		name := "a" + strings.Repeat("b", i%8) + strings.Repeat("c", i/8)
		top.Datacenters = append(top.Datacenters, topology.Datacenter{Name: name, Nodes: []topology.Node{{ID: name, Advertise: "127.0.0.1"}}})
	}
	top.FillDefaults()
	const want = "topology: error: datacenters: at most 64, not 65 [too-large]"
	if problems := top.Validate(); len(problems) != 1 || problems[0].Error() != want {
		t.Errorf("got %v, want %s", problems, want)
	}
}
