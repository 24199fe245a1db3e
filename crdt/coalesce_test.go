package crdt

import (
	"slices"
	"testing"
)

// noCells loads cells in which nothing lives.
type noCells struct{}

func (noCells) Load(CellID) (Cell, error) { return nil, nil }

func TestRunsThatOverlapTellOfARequestOnce(t *testing.T) {
	id := CellID{KeyID: KeyID{Bucket: "b", Key: "k"}, Kind: Counter}
	entry := func(lo, hi uint64, seqs ...uint64) *Delta {
		d := &Delta{Actor: 7, Lo: lo, Hi: hi, Changes: []Change{{ID: id, Removes: []Dot{{Actor: 9, Seq: 1}}}}}
		for _, seq := range seqs {
			d.Requests = append(d.Requests, Request{Seq: seq, ID: RequestID{byte(seq)}})
		}
		return d
	}
	run, err := Coalesce(noCells{}, []*Delta{entry(1, 3, 1, 2, 3), entry(2, 5, 2, 3, 5)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeDelta(AppendDelta(nil, run))
	if err != nil {
		t.Fatalf("what was made of runs that overlap cannot be read: %v", err)
	}
	want := []Request{{1, RequestID{1}}, {2, RequestID{2}}, {3, RequestID{3}}, {5, RequestID{5}}}
	if got.Lo != 1 || got.Hi != 5 || !slices.Equal(got.Requests, want) {
		t.Errorf("%d to %d with requests %v, want 1 to 5 with %v", got.Lo, got.Hi, got.Requests, want)
	}
}
