package main

import (
	"bytes"
	"testing"
)

func TestBookOfPuts(t *testing.T) {
	b := newBook(2)
	value, scratch := make([]byte, 32), make([]byte, 32)
	put := func(n uint32, ok bool) {
		t.Helper()
		if got := b.begin(1); got != n {
			t.Fatalf("put %d, want %d", got, n)
		}
		if ok {
			b.acknowledge(1)
		}
	}
	allowed := func(want ...uint64) {
		t.Helper()
		var got []uint64
		for n := range uint64(6) {
			fillValue(value, 1, n)
			if b.checkValue(1, value, scratch) == nil {
				got = append(got, n)
			}
		}
		if !bytes.Equal(small(got), small(want)) {
			t.Errorf("key may hold puts %v, want %v", got, want)
		}
	}
	allowed(0)
	put(1, true)
	allowed(1)
	put(2, false) // nobody knows whether it was carried out
	allowed(1, 2)
	put(3, false)
	allowed(1, 2, 3)
	put(4, true)
	allowed(4)
}

func small(v []uint64) []byte {
	var out []byte
	for _, n := range v {
		out = append(out, byte(n))
	}
	return out
}

func TestBookOfIncrements(t *testing.T) {
	b := newBook(1)
	for _, ok := range []bool{true, false, true} { // one may or may not be counted
		b.begin(0)
		if ok {
			b.add(0)
		}
	}
	for n, want := range map[uint64]bool{1: false, 2: true, 3: true, 4: false} {
		if err := b.check(0, n); (err == nil) != want {
			t.Errorf("total %d after 2 acknowledged increments of 3: %v", n, err)
		}
	}
}

func TestBookRefusesWhatWasNeverPut(t *testing.T) {
	b := newBook(3)
	scratch := make([]byte, 20)
	good := make([]byte, 20)
	b.begin(2)
	b.acknowledge(2)
	fillValue(good, 2, 1)
	if err := b.checkValue(2, good, scratch); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		if bad[i] ^= 1; b.checkValue(2, bad, scratch) == nil {
			t.Errorf("a value whose byte %d is wrong passes", i)
		}
	}
	if b.checkValue(2, good[:19], scratch) == nil || b.checkValue(2, nil, scratch) == nil {
		t.Error("a value that is too short passes")
	}
	other := make([]byte, 20)
	if fillValue(other, 1, 1); b.checkValue(2, other, scratch) == nil {
		t.Error("the value of another key passes")
	}
}
