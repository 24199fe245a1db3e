package dc

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
)

func zincr(key, member string, by float64) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Op: &v1.UpdateRequest_Zincr{Zincr: &v1.ZIncr{Member: []byte(member), By: by}}}
}

func zadd(key string, members ...*v1.Member) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Op: &v1.UpdateRequest_Zadd{Zadd: &v1.ZAdd{Members: members}}}
}

func zrem(key, member string) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Op: &v1.UpdateRequest_Zremove{Zremove: &v1.ZRemove{Members: [][]byte{[]byte(member)}}}}
}

func zrange(key string, r *v1.ZRange) *v1.GetRequest {
	return &v1.GetRequest{Bucket: "default", Key: []byte(key), Range: r}
}

// told is "member:score@rank" of the members of an answer.
func told(resp *v1.GetResponse) string {
	var out []string
	for _, m := range resp.GetValue().GetZset().GetMembers() {
		out = append(out, fmt.Sprintf("%s:%v@%d", m.GetMember(), m.GetScore(), m.GetRank()))
	}
	return strings.Join(out, " ")
}

// Two replicas have each seen an increment that the other has not, and in
// neither is the member near the top; in the join it is the top.
func TestTopOfReplicasThatDiffer(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, time.Second)
	all := zadd("board", &v1.Member{Member: []byte("ann"), Score: 10}, &v1.Member{Member: []byte("bob"), Score: 9}, &v1.Member{Member: []byte("cleo"), Score: 1})
	all.Options = &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL}
	if _, err := nodes[0].Update(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	for i, n := range nodes[:2] {
		w.setDown(nodes[1-i].ID(), true)
		up := zincr("board", "cleo", 5)
		up.Options = &v1.WriteOptions{W: 1}
		w.setDown("c", true)
		if _, err := n.Update(t.Context(), up); err != nil {
			t.Fatal(err)
		}
		w.setDown(nodes[1-i].ID(), false)
		w.setDown("c", false)
	}
	// Only a and b are asked: c is level with neither, and away.
	w.setDown("c", true)
	for _, n := range nodes[:2] {
		got, err := n.Get(t.Context(), zrange("board", &v1.ZRange{Reverse: true}))
		if err != nil || told(got) != "cleo:11@0" || got.GetValue().GetZset().GetTotal() != 3 {
			t.Errorf("top at %s: %q, %v, want cleo:11@0", n.ID(), told(got), err)
		}
	}
}

// Reads of a quorum see every acknowledged write, whichever replicas took it,
// in the order of the scores; also when the logs no longer tell what a replica
// has missed. A zadd resets the increments that its coordinator has seen, so that one
// reads before it.
func TestOrderedReadsSeeAcknowledgedWrites(t *testing.T) {
	for _, trimmed := range []bool{false, true} {
		t.Run(fmt.Sprintf("trimmed %v", trimmed), func(t *testing.T) {
			w, nodes := startDCEvery(t, 3, 3, time.Second)
			rnd := rand.New(rand.NewPCG(4, 2))
			scores := map[string]float64{}
			for step := range 150 {
				away := nodes[rnd.IntN(3)].ID()
				w.setDown(away, true)
				member := fmt.Sprintf("m%d", rnd.IntN(8))
				by := float64(rnd.IntN(20) - 5)
				up := zincr("board", member, by)
				switch rnd.IntN(5) {
				case 0:
					up = zadd("board", &v1.Member{Member: []byte(member), Score: by})
					scores[member] = by
				case 1:
					up = zrem("board", member)
					delete(scores, member)
				default:
					scores[member] += by
				}
				at := nodes[rnd.IntN(3)]
				for at.ID() == away {
					at = nodes[rnd.IntN(3)]
				}
				if up.GetZadd() != nil {
					if _, err := at.Get(t.Context(), get("board")); err != nil && reason(err) != "NOT_FOUND" {
						t.Fatal(err)
					}
				}
				if _, err := at.Update(t.Context(), up); err != nil {
					t.Fatal(err)
				}
				w.setDown(away, false)
				if trimmed && step%10 == 0 {
					for _, n := range nodes {
						for _, r := range n.store.Replicas() {
							all := r.Durable()
							if _, _, err := r.Trim(&all); err != nil {
								t.Fatal(err)
							}
						}
					}
				}
				checkTop(t, nodes[rnd.IntN(3)], scores, rnd)
			}
		})
	}
}

func checkTop(t *testing.T, n *Node, scores map[string]float64, rnd *rand.Rand) {
	t.Helper()
	if len(scores) == 0 {
		return
	}
	var all []crdt.Member
	for member, score := range scores {
		all = append(all, crdt.Member{Member: member, Score: score})
	}
	slices.SortFunc(all, func(a, b crdt.Member) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(b.Member, a.Member))
	})
	k := 1 + rnd.IntN(4)
	var want []string
	for i, m := range all[:min(k, len(all))] {
		want = append(want, fmt.Sprintf("%s:%v@%d", m.Member, m.Score, i))
	}
	got, err := n.Get(t.Context(), zrange("board", &v1.ZRange{Stop: int64(k) - 1, Reverse: true}))
	if err != nil || told(got) != strings.Join(want, " ") {
		t.Fatalf("top %d at %s: %q, %v\nwant %q", k, n.ID(), told(got), err, strings.Join(want, " "))
	}
}

// A range is answered in pages of as many members as asked for, with the ranks
// of the whole, from the index as from a zset within a map.
func TestRangesArePaged(t *testing.T) {
	_, nodes := startDC(t, 1, 1)
	var ms []*v1.Member
	for i := range 10 {
		ms = append(ms, &v1.Member{Member: []byte{byte('a' + i)}, Score: float64(i / 3)})
	}
	inMap := &v1.UpdateRequest{Bucket: "default", Key: []byte("map"), Op: &v1.UpdateRequest_MapUpdate{MapUpdate: &v1.MapUpdate{
		Fields: []*v1.FieldUpdate{{Name: []byte("board"), Update: zadd("", ms...)}},
	}}}
	for _, up := range []*v1.UpdateRequest{zadd("board", ms...), inMap} {
		if _, err := nodes[0].Update(t.Context(), up); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		r    *v1.ZRange
		want string
	}{
		{&v1.ZRange{Start: 1, Stop: -2}, "b:0@1 c:0@2 d:1@3|e:1@4 f:1@5 g:2@6|h:2@7 i:2@8"},
		{&v1.ZRange{Start: 1, Stop: -2, Reverse: true}, "i:2@1 h:2@2 g:2@3|f:1@4 e:1@5 d:1@6|c:0@7 b:0@8"},
		{&v1.ZRange{ByScore: true, Min: 1, Max: 2}, "d:1@3 e:1@4 f:1@5|g:2@6 h:2@7 i:2@8"},
		{&v1.ZRange{ByScore: true, Min: 0.5, Max: 1, Reverse: true}, "f:1@4 e:1@5 d:1@6"},
		{&v1.ZRange{Start: 10, Stop: 20}, ""},
	}
	for _, tt := range tests {
		for _, field := range []bool{false, true} {
			req := zrange("board", tt.r)
			if field {
				req.Key, req.Fields = []byte("map"), []*v1.FieldName{{Name: []byte("board")}}
			}
			req.Limit = 3
			var pages []string
			for {
				got, err := nodes[0].Get(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				if total := got.GetValue().GetZset().GetTotal(); total != 10 {
					t.Errorf("total %d, want 10", total)
				}
				pages = append(pages, told(got))
				if req.Page = got.GetNextPage(); len(req.Page) == 0 {
					break
				}
			}
			if got := strings.Join(pages, "|"); got != tt.want {
				t.Errorf("%v, field %v: %q, want %q", tt.r, field, got, tt.want)
			}
		}
	}
	for _, field := range []bool{false, true} {
		rank := zrange("board", &v1.ZRange{Reverse: true})
		rank.Element = []byte("e")
		if field {
			rank.Key, rank.Fields = []byte("map"), []*v1.FieldName{{Name: []byte("board")}}
		}
		if got, err := nodes[0].Get(t.Context(), rank); err != nil || told(got) != "e:1@5" {
			t.Errorf("rank of a member, field %v: %q, %v, want e:1@5", field, told(got), err)
		}
	}
	bad := zrange("board", &v1.ZRange{Stop: 1})
	bad.Page = []byte("x")
	if _, err := nodes[0].Get(t.Context(), bad); reason(err) != "BAD_PAGE" {
		t.Errorf("damaged page: %v, want BAD_PAGE", err)
	}
}

func sadd(key string, elements ...string) *v1.UpdateRequest {
	return &v1.UpdateRequest{Bucket: "default", Key: []byte(key), Op: &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: byteSlices(elements)}}}
}

// pages reads a set page by page and returns its elements and the pages.
func pages(t *testing.T, n *Node, key string, limit uint32) (elements []string, sizes []int) {
	t.Helper()
	req := get(key)
	req.Limit = limit
	for len(sizes) < 1000 {
		got, err := n.Get(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range got.GetValue().GetSet().GetElements() {
			elements = append(elements, string(e))
		}
		sizes = append(sizes, len(got.GetValue().GetSet().GetElements()))
		if req.Page = got.GetNextPage(); len(req.Page) == 0 {
			return elements, sizes
		}
	}
	t.Fatal("paging does not end")
	return nil, nil
}

// Pages of large elements hold fewer of them.
func TestPagesAreCutByBytes(t *testing.T) {
	_, nodes := startDC(t, 1, 1)
	var want []string
	for i := range 40 {
		want = append(want, fmt.Sprintf("%02d", i)+strings.Repeat("x", 60<<10))
		if _, err := nodes[0].Update(t.Context(), sadd("large", want[i])); err != nil {
			t.Fatal(err)
		}
	}
	got, sizes := pages(t, nodes[0], "large", 1000)
	if !slices.Equal(got, want) || !slices.Equal(sizes, []int{35, 5}) {
		t.Errorf("%d elements in pages of %v, want 40 in pages of 35 and 5", len(got), sizes)
	}
}

// The elements of a page were removed at a replica that the reader asks as
// well: the page is empty, but there are others behind it.
func TestPagingPassesAnEmptyPage(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, time.Second)
	all := sadd("letters", "a", "b", "c", "d", "e", "f")
	all.Options = &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL}
	if _, err := nodes[0].Update(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	w.setDown("c", true)
	gone := &v1.UpdateRequest{Bucket: "default", Key: []byte("letters"), Op: &v1.UpdateRequest_SetRemove{SetRemove: &v1.SetRemove{Elements: byteSlices([]string{"a", "b"})}}}
	if _, err := nodes[0].Update(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	w.setDown("c", false)
	got, sizes := pages(t, nodes[2], "letters", 2)
	if strings.Join(got, "") != "cdef" {
		t.Errorf("read %q in pages of %v, want cdef", got, sizes)
	}
}
