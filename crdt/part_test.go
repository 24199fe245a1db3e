package crdt

import (
	"slices"
	"testing"
)

func TestRemovalTellsWhatItIsAbout(t *testing.T) {
	field := func(name string, op Op) Op { return Op{Code: OpUpdate, Fields: []FieldOp{{name, op}}} }
	tests := []struct {
		name    string
		op      Op
		removes bool
		whole   bool
		under   []string
	}{
		{"an element is one cell", Op{Code: OpRemove, Elements: []string{"x"}}, true, false, []string{"x\x00\x01"}},
		{"elements are in order and named once", Op{Code: OpRemove, Elements: []string{"y", "x", "y"}}, true, false, []string{"x\x00\x01", "y\x00\x01"}},
		{"an element that another begins with stands beside it", Op{Code: OpRemove, Elements: []string{"xy", "x"}}, true, false, []string{"x\x00\x01", "xy\x00\x01"}},
		{"a field of every kind", Op{Code: OpDiscard, Names: []FieldName{{Name: "f"}}}, true, false, []string{"f\x00\x01"}},
		{"a field of one kind", Op{Code: OpDiscard, Names: []FieldName{{"f", Set}}}, true, false, []string{"f\x00\x01\x06"}},
		{"a field of every kind has that of one", Op{Code: OpDiscard, Names: []FieldName{{"f", Set}, {Name: "f"}}}, true, false, []string{"f\x00\x01"}},
		{"an element of a field", field("f", Op{Code: OpRemove, Kind: Set, Elements: []string{"x"}}), true, false, []string{"f\x00\x01\x06x\x00\x01"}},
		{"all of a field whose kind is to be found out", field("f", Op{Code: OpRemove, Elements: []string{"x"}}), true, false, []string{"f\x00\x01"}},
		{"a field of a map in a map", field("f", func() Op {
			sub := field("g", Op{Code: OpReset, Kind: Counter})
			sub.Kind = Map
			return sub
		}()), true, false, []string{"f\x00\x01\x0bg\x00\x01\x03"}},
		{"an increment in a map removes nothing", field("f", Op{Code: OpAdd, Kind: Counter, N: 1}), false, false, nil},
		{"a flag off is its one cell", Op{Code: OpSwitch}, true, false, nil},
		{"a flag on removes nothing", Op{Code: OpSwitch, On: true}, false, false, nil},
		{"a delete is about all", Op{Code: OpDelete}, true, true, nil},
		{"a reset is about all, as rwsets take it", Op{Code: OpReset}, true, true, nil},
		{"an expiry is about all", Op{Code: OpExpire, At: 1}, true, true, nil},
		{"a kept ttl is about all", Op{Code: OpInsert, Elements: []string{"x"}, KeepTTL: true}, true, true, nil},
		{"an add removes nothing", Op{Code: OpInsert, Elements: []string{"x"}}, false, false, nil},
		{"a put removes nothing", Op{Code: OpAssign}, false, false, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			part, removes := tt.op.Removal()
			if removes != tt.removes || (part == nil) != (tt.whole || !tt.removes) {
				t.Fatalf("Removal() = %v, %v", part, removes)
			}
			if part != nil && !slices.Equal(part.Under, tt.under) {
				t.Errorf("under %q, want %q", part.Under, tt.under)
			}
		})
	}
}

func TestPartHas(t *testing.T) {
	p := NewPart([]string{PathOf("b"), PathOf("f") + "\x06", PathOf("b")})
	tests := []struct {
		id   CellID
		want bool
	}{
		{CellID{Kind: Register}, true},
		{CellID{Kind: Expiry}, true},
		{CellID{Kind: Set, Path: PathOf("a")}, false},
		{CellID{Kind: Set, Path: PathOf("b")}, true},
		{CellID{Kind: ZSet, Path: PathOf("b")}, true},
		{CellID{Kind: Set, Path: PathOf("bb")}, false},
		{CellID{Kind: Map, Path: PathOf("f") + "\x06" + PathOf("x")}, true},
		{CellID{Kind: Map, Path: PathOf("f") + "\x03"}, false},
		{CellID{Kind: Map, Path: PathOf("g") + "\x06"}, false},
	}
	for _, tt := range tests {
		if got := p.Has(tt.id); got != tt.want {
			t.Errorf("Has(%s %q) = %v, want %v", tt.id.Kind, tt.id.Path, got, tt.want)
		}
	}
	if none := (&Part{}); none.Has(CellID{Kind: Set, Path: PathOf("a")}) || !none.Has(CellID{Kind: Flag}) {
		t.Error("a part of no paths has cells of collections, or lacks the others")
	}
}
