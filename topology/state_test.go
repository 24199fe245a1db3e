package topology_test

import (
	"cmp"
	"strings"
	"testing"

	"github.com/godwitdb/godwit/topology"
)

// parsed is a topology of a file that must be valid.
func parsed(t *testing.T, text string) *topology.Topology {
	t.Helper()
	top, problems := topology.Parse("test.yaml", []byte(text))
	if top == nil {
		t.Fatalf("%v in\n%s", problems, text)
	}
	return top
}

const twoDCs = `version: 3
cluster: shop
datacenters:
  - {name: use1, nodes: [{id: use1-a, advertise: 127.0.0.1}]}
  - {name: euw1, nodes: [{id: euw1-a, advertise: 127.0.0.1}]}
`

const threeDCs = `version: 4
cluster: shop
datacenters:
  - {name: use1, nodes: [{id: use1-a, advertise: 127.0.0.1}]}
  - {name: euw1, nodes: [{id: euw1-a, advertise: 127.0.0.1}]}
  - {name: apne1, state: joining, nodes: [{id: apne1-a, advertise: 127.0.0.1}]}
`

// The state of a datacenter is read, written and a part of the hash; the usual
// one is as if it were not written.
func TestStateOfADatacenter(t *testing.T) {
	two := parsed(t, twoDCs)
	if same := parsed(t, strings.Replace(twoDCs, "name: euw1,", "name: euw1, state: joined,", 1)); same.Hash() != two.Hash() {
		t.Error("state: joined changes the hash")
	}
	fenced := two.With("euw1", topology.DCFenced)
	text, err := fenced.YAML()
	if err != nil {
		t.Fatal(err)
	}
	again := parsed(t, string(text))
	if fenced.Version != 4 || again.Hash() != fenced.Hash() || fenced.Hash() == two.Hash() || again.State("euw1") != topology.DCFenced || two.State("euw1") != topology.DCJoined {
		t.Errorf("version %d, euw1 is %s in\n%s", fenced.Version, again.State("euw1"), text)
	}
	gone := fenced.With("euw1", topology.DCRemoved)
	if text, err = gone.YAML(); err != nil {
		t.Fatal(err)
	}
	again = parsed(t, string(text))
	if d, ok := again.DC("euw1"); !ok || len(d.Nodes) != 0 || again.Hash() != gone.Hash() || len(again.Placements[0].Replicas) != 1 {
		t.Errorf("removed:\n%s", text)
	}
	if again.State("mars") != topology.DCRemoved {
		t.Error("a datacenter that is not there takes part")
	}
	if _, problems := topology.Parse("test.yaml", []byte(strings.Replace(twoDCs, "name: euw1,", "name: euw1, state: gone,", 1))); !problems.HasErrors() {
		t.Error("an unknown state is taken")
	}
	placed := strings.Replace(twoDCs, "name: euw1,", "name: euw1, state: removed,", 1) + "placements:\n  - {name: global, replicas: {use1: 1, euw1: 1}}\n"
	if _, problems := topology.Parse("test.yaml", []byte(placed)); !problems.HasErrors() {
		t.Error("a placement may name a removed datacenter")
	}
}

// What a running cluster takes up of the states of datacenters: by whoever hears
// of it, and by whoever is asked for it.
func TestStatesFollowEachOther(t *testing.T) {
	two, three := parsed(t, twoDCs), parsed(t, threeDCs)
	joined := three.With("apne1", topology.DCJoined)
	fenced := joined.With("apne1", topology.DCFenced)
	removed := fenced.With("apne1", topology.DCRemoved)
	fewer := parsed(t, strings.Replace(twoDCs, "version: 3", "version: 9", 1))
	other := parsed(t, strings.Replace(threeDCs, "id: use1-a", "id: use1-b", 1))
	tests := []struct {
		name         string
		prev, next   *topology.Topology
		fixed, early string // a part of the reason; empty: none
	}{
		{"added", two, three, "", ""},
		{"added as joined", two, joined, "", "state: joining"},
		{"joined by an operator", three, joined, "", "joins by itself"},
		{"fenced", joined, fenced, "", ""},
		{"fenced while it joins", three, three.With("apne1", topology.DCFenced), "", ""},
		{"back", fenced, fenced.With("apne1", topology.DCJoining), "", ""},
		{"back at once", fenced, fenced.With("apne1", topology.DCJoined), "", "catch up first"},
		{"removed", fenced, removed, "", ""},
		{"removed at once", joined, joined.With("apne1", topology.DCRemoved), "", "fence it first"},
		{"removed, heard of late", two, removed, "", "state: joining"},
		{"back after it was removed", removed, removed.With("apne1", topology.DCJoining), "", "under another name"},
		{"left out", joined, fewer, "stays in the topology", ""},
		{"the last one fenced", two.With("use1", topology.DCFenced), two.With("use1", topology.DCFenced).With("euw1", topology.DCFenced), "", "no other datacenter"},
		{"other nodes besides", two, other, "never reused", ""},
	}
	for _, tt := range tests {
		var fixed, early string
		for _, c := range topology.Diff(tt.prev, tt.next) {
			fixed = cmp.Or(fixed, topology.Fixed(tt.prev, tt.next, c))
			early = cmp.Or(early, topology.Early(tt.prev, tt.next, c))
		}
		if !matches(fixed, tt.fixed) || !matches(early, tt.early) {
			t.Errorf("%s: fixed %q, early %q; want %q, %q", tt.name, fixed, early, tt.fixed, tt.early)
		}
	}
}

func matches(got, want string) bool {
	return (got == "") == (want == "") && strings.Contains(got, want)
}
