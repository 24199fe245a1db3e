package ring

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestKeyHashIsPinned(t *testing.T) {
	tests := []struct {
		bucket, key string
		want        uint64
	}{
		{bucket: "default", key: "", want: 0x0037_f4ec_e403_5bfe},
		{bucket: "default", key: "user:42", want: 0x9a0e_64db_584f_3b0c},
		{bucket: "a", key: "bc", want: 0xc171_b854_c76e_aa99},
		{bucket: "ab", key: "c", want: 0xe76c_07c0_4ac2_e71c},
		{bucket: "", key: "abc", want: 0x1035_6844_bf10_2712},
	}
	for _, tt := range tests {
		if got := KeyHash(tt.bucket, []byte(tt.key)); got != tt.want {
			t.Errorf("KeyHash(%q, %q) = %#x, want %#x: data on disk would be lost", tt.bucket, tt.key, got, tt.want)
		}
	}
	key := []byte(strings.Repeat("k", 1024))
	if n := testing.AllocsPerRun(100, func() { KeyHash(strings.Repeat("b", 1), key) }); n != 0 {
		t.Errorf("KeyHash allocates %v times", n)
	}
}

func TestPartitionOfTakesTheTopBits(t *testing.T) {
	tests := []struct {
		hash       uint64
		partitions int
		want       int
	}{
		{hash: 0xFFFF_FFFF_FFFF_FFFF, partitions: 1, want: 0},
		{hash: 0xFFFF_FFFF_FFFF_FFFF, partitions: 256, want: 255},
		{hash: 0xAB00_0000_0000_0000, partitions: 256, want: 0xAB},
		{hash: 0xAB00_0000_0000_0000, partitions: 16, want: 0xA},
		{hash: 0x00FF_FFFF_FFFF_FFFF, partitions: 256, want: 0},
	}
	for _, tt := range tests {
		if got := PartitionOf(tt.hash, tt.partitions); got != tt.want {
			t.Errorf("PartitionOf(%#x, %d) = %d, want %d", tt.hash, tt.partitions, got, tt.want)
		}
	}
}

func TestOwnersArePinned(t *testing.T) {
	r := mustRing(t, fleet(9, 3), 256, 3)
	want := map[int][]string{
		0:   {"node-0006", "node-0007", "node-0008"},
		1:   {"node-0001", "node-0002", "node-0003"},
		255: {"node-0005", "node-0003", "node-0007"},
	}
	for p, owners := range want {
		if got := r.Owners(p); !slices.Equal(got, owners) {
			t.Errorf("Owners(%d) = %q, want %q: nodes of two versions would disagree", p, got, owners)
		}
	}
	if got, want := r.Hash(), uint64(0x6869_6717_a173_4ea5); got != want {
		t.Errorf("Hash() = %#x, want %#x", got, want)
	}
	mixed := mustRing(t, fleet(50, 7, 1, 2.5, 0.3), 1024, 3)
	if got, want := mixed.Hash(), uint64(0x8985_fdf7_74e7_6a93); got != want {
		t.Errorf("Hash() with weights = %#x, want %#x", got, want)
	}
}

func TestNewReportsAllThatIsWrong(t *testing.T) {
	tests := []struct {
		name    string
		members []Member
		opts    Options
		want    []string
	}{
		{name: "partitions", opts: Options{Partitions: 100}, want: []string{"100 partitions"}},
		{name: "too many partitions", opts: Options{Partitions: 1 << 17}, want: []string{"131072 partitions"}},
		{name: "negative", opts: Options{Partitions: -256, Replicas: -1, LoadBound: -2}, want: []string{"partitions", "replicas", "load bound"}},
		{name: "load bound", opts: Options{LoadBound: 1}, want: []string{"load bound 1"}},
		{
			name:    "members",
			members: []Member{{ID: "a"}, {ID: "a"}, {ID: ""}, {ID: "b", Weight: -1}, {ID: "c", Weight: 1e6}},
			want:    []string{`"a" appears twice`, "no id", `"b" has weight -1`, `"c" has weight 1e+06`},
		},
		{name: "too many", members: fleet(MaxMembers+1, 3), want: []string{"4097 members"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.members, tt.opts)
			if !errors.Is(err, ErrInvalid) {
				t.Fatalf("New: %v, want ErrInvalid", err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("New: %v, want it to name %q", err, want)
				}
			}
		})
	}
}

func TestFewMembers(t *testing.T) {
	empty := mustRing(t, nil, 16, 3)
	if got := empty.Owners(0); len(got) != 0 {
		t.Errorf("the empty ring has owners %q", got)
	}
	if got := empty.Owners(16); got != nil {
		t.Errorf("a partition that does not exist has owners %q", got)
	}
	two := mustRing(t, []Member{{ID: "b"}, {ID: "a", Weight: 9}}, 16, 3)
	for p := range 16 {
		got := slices.Sorted(slices.Values(two.Owners(p)))
		if !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("Owners(%d) = %q, want both nodes", p, got)
		}
	}
	if got := two.PartitionsOf("a"); len(got) != 16 || two.PartitionsOf("c") != nil {
		t.Errorf("PartitionsOf(a) = %v, PartitionsOf(c) = %v", got, two.PartitionsOf("c"))
	}
}

func TestSharesShowAWeightThatCannotBeHonoured(t *testing.T) {
	r := mustRing(t, []Member{{ID: "a", Weight: 6}, {ID: "b"}, {ID: "c"}, {ID: "d"}, {ID: "e"}}, 256, 3)
	s := r.Shares()[0]
	if s.Ideal != 460.8 || s.Replicas != 256 || s.Want < 255.99 || s.Want > 256 {
		t.Errorf("share of a = %+v, want ideal 460.8, want 256, 256 replicas", s)
	}
}

func TestOwnersAreOnDistinctRacks(t *testing.T) {
	tests := []struct {
		name           string
		members        []Member
		replicas, want int // distinct racks of the owners of every partition
		load           float64
	}{
		{name: "three racks of three", members: fleet(9, 3), replicas: 3, want: 3, load: 1.10},
		{name: "four racks, uneven", members: fleet(10, 4), replicas: 3, want: 3, load: 1.12},
		{name: "five racks of ten", members: fleet(50, 5), replicas: 3, want: 3, load: 1.12},
		{name: "two racks for three owners", members: fleet(8, 2), replicas: 3, want: 2, load: 1.10},
		{name: "one rack", members: fleet(8, 1), replicas: 3, want: 1, load: 1.10},
		{name: "one rack of one node", members: []Member{{ID: "a", Rack: "x"}, {ID: "b", Rack: "y"}, {ID: "c", Rack: "y"}, {ID: "d", Rack: "y"}}, replicas: 3, want: 2, load: 1.10},
		{name: "a rack with most of the weight", members: append(fleet(6, 3), Member{ID: "big", Rack: "rack-0", Weight: 50}), replicas: 3, want: 3, load: 1.10},
		{name: "five owners", members: fleet(15, 5), replicas: 5, want: 5, load: 1.10},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := mustRing(t, tt.members, 256, tt.replicas)
			rack := make(map[string]string)
			for _, m := range tt.members {
				rack[m.ID] = m.Rack
			}
			for p := range 256 {
				racks := make(map[string]bool)
				for _, id := range r.Owners(p) {
					racks[rack[id]] = true
				}
				if len(racks) != tt.want {
					t.Fatalf("partition %d has owners %q on %d racks, want %d", p, r.Owners(p), len(racks), tt.want)
				}
			}
			if got := imbalance(r); got > tt.load {
				t.Errorf("a node has %.3f times its share, want at most %.2f", got, tt.load)
			}
		})
	}
}

func TestRingIsAFunctionOfItsMembers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := make([]Member, rapid.IntRange(1, 24).Draw(t, "members"))
		for i := range members {
			members[i] = Member{
				ID:     fmt.Sprintf("n%d", i),
				Rack:   rapid.SampledFrom([]string{"", "x", "y", "z"}).Draw(t, "rack"),
				Weight: rapid.SampledFrom([]float64{0, 0.001, 0.5, 1, 3, 1000}).Draw(t, "weight"),
			}
		}
		o := Options{
			Partitions: rapid.SampledFrom([]int{1, 2, 64, 256}).Draw(t, "partitions"),
			Replicas:   rapid.IntRange(1, 5).Draw(t, "replicas"),
		}
		a, err := New(members, o)
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(rapid.Permutation(members).Draw(t, "order"), o)
		if err != nil {
			t.Fatal(err)
		}
		if a.Hash() != b.Hash() || len(Moves(a, b)) != 0 {
			t.Fatal("the order of the members matters")
		}
		rack, racks := make(map[string]string), make(map[string]bool)
		for _, m := range members {
			rack[m.ID], racks[m.Rack] = m.Rack, true
		}
		count := make(map[string]int)
		for p := range o.Partitions {
			owners, on := a.Owners(p), make(map[string]bool)
			for i, id := range owners {
				if slices.Contains(owners[:i], id) {
					t.Fatalf("partition %d is owned twice by %s", p, id)
				}
				on[rack[id]] = true
				count[id]++
			}
			if len(owners) != min(o.Replicas, len(members)) {
				t.Fatalf("partition %d has %d owners", p, len(owners))
			}
			if want := min(len(owners), len(racks)); len(on) != want {
				t.Fatalf("partition %d has owners on %d racks of %d", p, len(on), len(racks))
			}
		}
		for _, s := range a.Shares() {
			if s.Replicas != count[s.Member.ID] || len(a.PartitionsOf(s.Member.ID)) != s.Replicas {
				t.Fatalf("share of %s says %d replicas, it owns %d", s.Member.ID, s.Replicas, count[s.Member.ID])
			}
		}
	})
}

func TestMovesLeadFromOneRingToTheOther(t *testing.T) {
	from, to := mustRing(t, fleet(7, 3), 64, 3), mustRing(t, fleet(9, 3, 1, 2), 64, 3)
	owners := make([]map[string]bool, 64)
	for p := range owners {
		owners[p] = make(map[string]bool)
		for _, id := range from.Owners(p) {
			owners[p][id] = true
		}
	}
	for _, m := range Moves(from, to) {
		if !owners[m.Partition][m.From] || owners[m.Partition][m.To] {
			t.Errorf("%+v cannot be made", m)
		}
		delete(owners[m.Partition], m.From)
		owners[m.Partition][m.To] = true
	}
	for p := range owners {
		for _, id := range to.Owners(p) {
			if !owners[p][id] {
				t.Errorf("partition %d lacks %s after the moves", p, id)
			}
		}
	}
	first := Moves(nil, to)
	if len(first) != 64*3 || first[0].From != "" || first[0].To != to.Owners(0)[0] {
		t.Errorf("the first ring has %d moves beginning with %+v", len(first), first[0])
	}
}

func BenchmarkNew(b *testing.B) {
	for _, n := range []struct{ nodes, partitions int }{{9, 256}, {1000, 16384}} {
		b.Run(fmt.Sprintf("%d nodes/%d partitions", n.nodes, n.partitions), func(b *testing.B) {
			members := fleet(n.nodes, 10)
			for b.Loop() {
				mustRing(b, members, n.partitions, 3)
			}
		})
	}
}

func BenchmarkKeyHash(b *testing.B) {
	key := []byte("user:1234567890")
	for b.Loop() {
		KeyHash("default", key)
	}
}
