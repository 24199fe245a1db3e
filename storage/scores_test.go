package storage

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

func setScores(members ...crdt.Member) *crdt.Op {
	return &crdt.Op{Code: crdt.OpScore, Kind: crdt.ZSet, Members: members}
}

func bump(member string, by float64) *crdt.Op {
	return &crdt.Op{Code: crdt.OpBump, Kind: crdt.ZSet, Members: []crdt.Member{{Member: member, Score: by}}}
}

// selected is what an order selects of all members, told from the members.
func selected(all []crdt.Member, o Order) []Ranked {
	all = slices.Clone(all)
	if o.Reverse {
		slices.Reverse(all)
	}
	n := int64(len(all))
	if o.Start < 0 {
		o.Start = max(o.Start+n, 0)
	}
	if o.Stop < 0 {
		o.Stop += n
	}
	out := []Ranked{}
	for i, m := range all {
		in := int64(i) >= o.Start && int64(i) <= o.Stop
		if o.ByScore {
			in = m.Score >= o.Min && m.Score <= o.Max
		}
		if in {
			out = append(out, Ranked{m.Member, m.Score, uint64(i)})
		}
	}
	return out
}

// members is the full read of a zset.
func members(t testing.TB, r *Replica, key crdt.KeyID) []crdt.Member {
	t.Helper()
	_, cells := must(r.Read(Query{Key: key}))(t).Kinds()
	return crdt.ReadValue(crdt.ZSet, cells[crdt.ZSet]).Members
}

// checkOrder holds an answer from the index against the full read.
func checkOrder(t testing.TB, r *Replica, key crdt.KeyID, o Order) {
	t.Helper()
	want := selected(members(t, r, key), o)
	a := must(r.Read(Query{Key: key, Order: &o}))(t)
	if got := a.Members; len(want) > 0 && !slices.Equal(got, want) {
		t.Fatalf("%+v: %v\nthe full read: %v", o, got, want)
	} else if len(got) != len(want) {
		t.Fatalf("%+v: %v, the full read has none", o, got)
	}
	for i, c := range a.Cells[:len(a.Members)] {
		if score, ok := crdt.ScoreOf(c.Live); c.ID.Path != crdt.PathOf(a.Members[i].Member) || !ok || score != a.Members[i].Score {
			t.Fatalf("cell %d is that of %q with score %v, the member is %+v", i, c.ID.Path, score, a.Members[i])
		}
	}
}

// checkScores holds the index of scores against the cells of the model.
func (p *pair) checkScores(t testing.TB, key crdt.KeyID, rnd *rand.Rand) {
	t.Helper()
	checkOrder(t, p.r, key, Order{Stop: -1})
	checkOrder(t, p.r, key, Order{Stop: -1, Reverse: true})
	checkOrder(t, p.r, key, Order{Start: rnd.Int64N(9) - 4, Stop: rnd.Int64N(9) - 4, Reverse: rnd.IntN(2) == 0})
	low := float64(rnd.IntN(12) - 4)
	checkOrder(t, p.r, key, Order{ByScore: true, Min: low, Max: low + float64(rnd.IntN(8)), Reverse: rnd.IntN(2) == 0})
	scored := 0
	for _, cs := range p.model.cells.All() {
		if cs.ID.Kind == crdt.ZSet && crdt.PresentCell(cs.ID, cs.Live) {
			scored++
		}
	}
	if n := records(t, p.store, tableScore); n != scored {
		t.Fatalf("the index of scores has %d records, %d members have a score", n, scored)
	}
}

func TestOrderAtItsEdges(t *testing.T) {
	s, _ := openMem(t)
	r, key := s.Replica(testID), testKey("board")
	absent := must(r.Read(Query{Key: key, Order: &Order{Stop: -1}}))(t)
	if len(absent.Members) != 0 || len(absent.Present) != 0 {
		t.Fatalf("an absent zset: %+v", absent)
	}
	mutate(t, r, key, setScores(
		crdt.Member{Member: "low", Score: -math.MaxFloat64}, crdt.Member{Member: "minus", Score: -2.5},
		crdt.Member{Member: "b\x00b", Score: 0}, crdt.Member{Member: "b", Score: math.Copysign(0, -1)}, crdt.Member{Member: "", Score: 0},
		crdt.Member{Member: "tiny", Score: math.SmallestNonzeroFloat64}, crdt.Member{Member: "high", Score: math.MaxFloat64},
	))
	a := must(r.Read(Query{Key: key, Order: &Order{Stop: -1}}))(t)
	want := []Ranked{
		{"low", -math.MaxFloat64, 0},
		{"minus", -2.5, 1},
		{"", 0, 2},
		{"b", 0, 3},
		{"b\x00b", 0, 4},
		{"tiny", math.SmallestNonzeroFloat64, 5},
		{"high", math.MaxFloat64, 6},
	}
	if !slices.Equal(a.Members, want) {
		t.Fatalf("%+v\nwant %+v", a.Members, want)
	}
	inf := math.Inf(1)
	for _, o := range []Order{
		{},
		{Start: 7, Stop: 9},
		{Start: -3, Stop: -2},
		{Start: -99, Stop: -7},
		{Start: 3, Stop: 2},
		{Start: 2, Stop: -99},
		{Start: 6, Stop: math.MaxInt64},
		{ByScore: true},
		{ByScore: true, Min: -inf, Max: inf},
		{ByScore: true, Min: 1, Max: -1},
		{ByScore: true, Min: math.NaN(), Max: inf},
		{ByScore: true, Min: -2.5, Max: 0},
		{ByScore: true, Min: 1, Max: 2},
		{ByScore: true, Min: math.MaxFloat64, Max: inf},
	} {
		checkOrder(t, r, key, o)
		o.Reverse = true
		checkOrder(t, r, key, o)
	}
	for member, rank := range map[string]uint64{"low": 0, "": 2, "b\x00b": 4, "high": 6} {
		for _, reverse := range []bool{false, true} {
			a := must(r.Read(Query{Key: key, Order: &Order{Member: &member, Reverse: reverse}}))(t)
			want := rank
			if reverse {
				want = 6 - rank
			}
			if len(a.Members) != 1 || a.Members[0].Rank != want || a.Members[0].Member != member || a.More {
				t.Errorf("rank of %q, reverse %v: %+v, want %d", member, reverse, a.Members, want)
			}
		}
	}
	nobody := "b\x00"
	if a := must(r.Read(Query{Key: key, Order: &Order{Member: &nobody}}))(t); len(a.Members) != 0 || len(a.Present) != 1 {
		t.Errorf("rank of a member that is not there: %+v", a)
	}
}

// A range that is read in parts, each behind the last member of the one before,
// is the range, whatever the parts.
func TestOrderInParts(t *testing.T) {
	s, _ := openMem(t)
	r, key := s.Replica(testID), testKey("board")
	for i := range 50 {
		mutate(t, r, key, setScores(crdt.Member{Member: "m" + strconv.Itoa(i), Score: float64(i % 7)}))
	}
	for _, o := range []Order{{Start: 3, Stop: -4}, {ByScore: true, Min: 1, Max: 5}} {
		for _, reverse := range []bool{false, true} {
			for _, q := range []Query{{Limit: 1}, {Limit: 7}, {Bytes: 1}, {Bytes: 200}} {
				o.Reverse, o.Behind = reverse, nil
				want := selected(members(t, r, key), o)
				var got []Ranked
				for more := true; more; {
					at := o
					q.Key, q.Order = key, &at
					a := must(r.Read(q))(t)
					if len(a.Members) == 0 {
						t.Fatalf("%+v: an empty part, and %v", o, a.More)
					}
					got, more = append(got, a.Members...), a.More
					o.Behind = &got[len(got)-1]
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%+v in parts of %+v: %v\nwant %v", o, q, got, want)
				}
			}
		}
	}
}

// Of a large zset the index reads what is asked for and not the rest.
func TestTopReadsNoMoreThanItShows(t *testing.T) {
	s, _ := openMem(t)
	r, key := s.Replica(testID), testKey("board")
	fillBoard(t, r, key, 5000)
	tests := []struct {
		order Order
		rows  int // at the most
	}{
		{Order{Stop: 9}, 10},
		{Order{Stop: 9, Reverse: true}, 10},
		{Order{Start: -10, Stop: -1}, 20},
		{Order{Start: 100, Stop: 109}, 110},
		{Order{Start: -110, Stop: -101}, 210},
		{Order{ByScore: true, Min: 4990, Max: 1e9}, 50},
		{Order{ByScore: true, Min: 5000, Max: 1e9, Reverse: true}, 5},
	}
	for _, tt := range tests {
		a := must(r.Read(Query{Key: key, Order: &tt.order}))(t)
		if a.rows > tt.rows || a.Total != 5000 {
			t.Errorf("%+v: %d records read of %d, want %d at the most", tt.order, a.rows, a.Total, tt.rows)
		}
		checkOrder(t, r, key, tt.order)
	}
	member := members(t, r, key)[4980].Member
	if a := must(r.Read(Query{Key: key, Order: &Order{Member: &member}}))(t); a.rows > 40 || a.Members[0].Rank != 4980 {
		t.Errorf("rank %+v from %d records, want 4980 from 40 at the most", a.Members, a.rows)
	}
}

// A database of a version that kept no index gets one when it is opened.
func TestIndexOfScoresIsMadeOnce(t *testing.T) {
	o := testOptions(vfs.NewMem(), newWall())
	s := open(t, o)
	r, key := s.Replica(testID), testKey("board")
	mutate(t, r, key, setScores(crdt.Member{Member: "a", Score: 2}, crdt.Member{Member: "b", Score: 1}))
	mutate(t, r, key, bump("b", 4))
	b := s.db.NewBatch()
	if err := b.DeleteRange([]byte{tableScore}, after([]byte{tableScore}), nil); err != nil {
		t.Fatal(err)
	}
	stale := scoreKey(testID.Placement, 1, crdt.CellID{KeyID: key, Kind: crdt.ZSet, Path: crdt.PathOf("gone")}, 3)
	for _, err := range []error{b.Set(stale, nil, nil), b.Delete(scoresKey, nil), b.Commit(pebble.Sync)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	shut(t, s)
	s = open(t, o)
	if n := records(t, s, tableScore); n != 2 {
		t.Errorf("%d records, want 2", n)
	}
	a := must(s.Replica(testID).Read(Query{Key: key, Order: &Order{Stop: -1}}))(t)
	if want := []Ranked{{"a", 2, 0}, {"b", 5, 1}}; !slices.Equal(a.Members, want) {
		t.Errorf("%v, want %v", a.Members, want)
	}
}

// fillBoard makes a zset of n members with scores from 0 up to n.
func fillBoard(t testing.TB, r *Replica, key crdt.KeyID, n int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	for from := 0; from < n; from += 1000 {
		var ms []crdt.Member
		for i := range min(1000, n-from) {
			ms = append(ms, crdt.Member{Member: fmt.Sprintf("member-%07d", from+i), Score: rnd.Float64() * float64(n)})
		}
		mutate(t, r, key, setScores(ms...))
	}
}

// BenchmarkTop reads the best ten of zsets of two sizes: the cost must not grow
// with them.
func BenchmarkTop(b *testing.B) {
	for _, size := range []int{1000, 100_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := openBench(b)
			r, key := s.Replica(testID), testKey("board")
			fillBoard(b, r, key, size)
			b.ReportAllocs()
			for b.Loop() {
				if a, err := r.Read(Query{Key: key, Order: &Order{Stop: 9, Reverse: true}}); err != nil || len(a.Members) != 10 {
					b.Fatal(len(a.Members), err)
				}
			}
		})
	}
}

// BenchmarkScore raises scores in zsets of two sizes.
func BenchmarkScore(b *testing.B) {
	for _, size := range []int{1000, 100_000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := openBench(b)
			r, key := s.Replica(testID), testKey("board")
			fillBoard(b, r, key, size)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				done, err := r.Mutate(&Mutation{Key: key, Op: bump(fmt.Sprintf("member-%07d", i*7919%size), 1), Async: true})
				if err != nil {
					b.Fatal(err)
				}
				wait(b, done.Commit)
				i++
			}
		})
	}
}
