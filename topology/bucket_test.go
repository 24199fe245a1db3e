package topology

import (
	"slices"
	"testing"
	"time"
)

func TestCheckBucket(t *testing.T) {
	top := &Topology{
		Version: 1, Cluster: "shop",
		Datacenters: []Datacenter{{Name: "use1", Nodes: []Node{{ID: "a", Advertise: "127.0.0.1"}, {ID: "b", Advertise: "127.0.0.1"}, {ID: "c", Advertise: "127.0.0.1"}}}},
	}
	top.FillDefaults()
	full, problems := top.CheckBucket(Bucket{Name: "carts"})
	if len(problems) > 0 {
		t.Fatalf("a bucket of defaults: %v", problems)
	}
	if full.Placement != "global" || full.Kind != "register" || full.Read != "quorum" || full.Write != "quorum" || full.Durability != "sync" || full.MaxValue != 1<<20 {
		t.Errorf("completed to %+v", full)
	}
	tests := []struct {
		name   string
		bucket Bucket
		want   []string
	}{
		{"no name", Bucket{}, []string{`bucket: missing field "name"`}},
		{"form of the name", Bucket{Name: "a/b"}, []string{`bucket "a/b" does not match [a-zA-Z0-9._-]{1,64}`}},
		{"a name of the cluster's own", Bucket{Name: ".godwit"}, []string{`bucket ".godwit": names that begin with "." are the cluster's own`}},
		{"placement", Bucket{Name: "b", Placement: "globe"}, []string{`bucket "b": placement "globe" is not defined (defined: global)`}},
		{"kind", Bucket{Name: "b", Kind: "sets"}, []string{`bucket "b": unknown kind "sets" (did you mean "set"?)`}},
		{"kind that it does not take", Bucket{Name: "b", Kind: "set", KindsAllowed: []string{"map"}}, []string{`bucket "b": its kind set is not in kinds_allowed (map)`}},
		{"ttl", Bucket{Name: "b", TTL: -time.Second}, []string{`bucket "b": ttl must be 0 (no expiry) or more, not -1s`}},
		{"size", Bucket{Name: "b", MaxValue: 2 << 20}, []string{`bucket "b": max_value must be from 1B to 1MiB, not 2MiB`}},
		{"a warning", Bucket{Name: "b", Read: "one", Write: "one"}, []string{`read + write = 2 does not exceed 3 replicas: a read may miss the latest write`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := top.CheckBucket(tt.bucket)
			var got []string
			for _, p := range problems {
				got = append(got, p.Message)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("problems = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTopologyNamesNoSystemBucket(t *testing.T) {
	top := &Topology{
		Version: 1, Cluster: "shop", Buckets: []Bucket{{Name: ".godwit"}},
		Datacenters: []Datacenter{{Name: "use1", Nodes: []Node{{ID: "a", Advertise: "127.0.0.1"}}}},
	}
	top.FillDefaults()
	if problems := top.Validate(); problems.Errors() != 1 || problems[0].Rule != ruleBadName {
		t.Errorf("problems = %v, want one [bad-name]", problems)
	}
}
