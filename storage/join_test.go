package storage

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

// openPeer opens the store of another node.
func openPeer(t testing.TB, node string) *Replica {
	t.Helper()
	o := testOptions(vfs.NewMem(), newWall())
	o.Identity.Node = node
	return open(t, o).Replica(testID)
}

// pull joins the whole of src into dst by pages, through their encoding, and
// calls between before every page.
func pull(t testing.TB, dst, src *Replica, maxBytes int, between func()) {
	t.Helper()
	join := must(dst.BeginJoin())(t)
	defer join.Abandon()
	for !join.Whole() {
		p, _, err := src.ReadPage(join.Ask(), maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		if between != nil {
			between()
		}
		wait(t, must(join.Page(must(DecodePage(AppendPage(nil, p)))(t)))(t))
	}
	wait(t, must(join.Finish())(t))
}

func TestJoinBringsEverything(t *testing.T) {
	s, _ := openMem(t)
	src, dst := s.Replica(testID), openPeer(t, "n2")
	keys := keysOf(testID.Partition, "b", "k", 40)
	for i, k := range keys[:20] {
		mutate(t, src, k, assign(string(rune('a'+i))))
	}
	mutate(t, src, keys[20], insert("x", "y", "z"))
	mutate(t, src, keys[21], add(7))
	mutate(t, src, keys[0], del())
	mutate(t, dst, keys[30], assign("of the other"))
	for _, maxBytes := range []int{1, 100, 1 << 20} {
		pull(t, dst, src, maxBytes, nil)
		pull(t, src, dst, maxBytes, nil)
		if a, b := scanAll(t, src), scanAll(t, dst); !sameCells(a.cells, b.cells) || len(a.cells) != 24 {
			t.Fatalf("pages of %d bytes: %d cells and %d, want the same 24", maxBytes, len(a.cells), len(b.cells))
		}
		if a, b := src.State(), dst.State(); a.Root != b.Root || !a.Clock.Equal(&b.Clock) || !a.Settled || !b.Settled {
			t.Fatalf("pages of %d bytes: %+v and %+v", maxBytes, a, b)
		}
	}
	checkTree(t, src)
	checkTree(t, dst)
}

func TestPagesKeepToTheirBytes(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	for _, k := range keysOf(testID.Partition, "b", "k", 50) {
		mutate(t, r, k, assign("0123456789"))
	}
	pages := 0
	var cursor []byte
	for {
		p, next, err := r.ReadPage(cursor, 300)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		if n := len(p.Cells); n < 1 || n > 5 {
			t.Fatalf("page %d holds %d cells", pages, n)
		}
		if cursor = next; cursor == nil {
			break
		}
	}
	if pages < 10 || pages > 25 {
		t.Errorf("%d pages of 300 bytes for 50 cells of about 60 bytes", pages)
	}
}

func TestJoinIsOneAtATime(t *testing.T) {
	s, _ := openMem(t)
	src, dst := s.Replica(testID), openPeer(t, "n2")
	for _, k := range keysOf(testID.Partition, "b", "k", 3) {
		mutate(t, src, k, assign("v"))
	}
	first, cursor, err := src.ReadPage(nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	j := must(dst.BeginJoin())(t)
	if _, err := dst.BeginJoin(); !errors.Is(err, ErrJoining) {
		t.Errorf("second BeginJoin: %v, want ErrJoining", err)
	}
	wait(t, must(j.Page(first))(t))
	if _, err := j.Page(first); err == nil {
		t.Error("the same page was taken twice")
	}
	if _, err := j.Finish(); err == nil {
		t.Error("Finish took a join of one page of three")
	}
	if c := dst.Clock(); !c.Empty() {
		t.Errorf("clock of an unfinished join is %v", c)
	}
	j.Abandon()
	if _, err := j.Finish(); err == nil {
		t.Error("Finish took an abandoned join")
	}
	second, _, err := src.ReadPage(cursor, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Page(second); err == nil {
		t.Error("Page took an abandoned join")
	}

	again := must(dst.BeginJoin())(t)
	j.Abandon() // as a deferred call does; it must not end the join of somebody else
	if _, err := dst.BeginJoin(); !errors.Is(err, ErrJoining) {
		t.Errorf("BeginJoin: %v, want ErrJoining: an old Abandon ended a join that is not its own", err)
	}
	again.Abandon()
	pull(t, dst, src, 1, nil)
	if a, b := src.State(), dst.State(); a.Root != b.Root || !a.Clock.Equal(&b.Clock) {
		t.Error("not equal after the third attempt")
	}
}

func TestJoinIsAbandonedAfterItsLastPage(t *testing.T) {
	s, _ := openMem(t)
	src, dst := s.Replica(testID), openPeer(t, "n2")
	mutate(t, src, testKey("k"), assign("v"))
	p, _, err := src.ReadPage(nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	j := must(dst.BeginJoin())(t)
	wait(t, must(j.Page(p))(t))
	j.Abandon()
	if c := dst.Clock(); !c.Empty() {
		t.Errorf("clock after Abandon is %v", c)
	}
	pull(t, dst, src, 1, nil)
	j.Abandon()
	if _, err := j.Finish(); err == nil {
		t.Error("Finish took an abandoned join")
	}
}

// put and removal make events by hand.
func put(key crdt.KeyID, actor crdt.Actor, seq uint64, value string) *crdt.Delta {
	return &crdt.Delta{Actor: actor, Lo: seq, Hi: seq, Changes: []crdt.Change{{
		ID:   crdt.CellID{KeyID: key, Kind: crdt.Register},
		Puts: []crdt.Entry{{Dot: crdt.Dot{Actor: actor, Seq: seq}, Payload: append([]byte{1}, value...)}},
	}}}
}

func removal(key crdt.KeyID, actor crdt.Actor, seq uint64, dead crdt.Dot) *crdt.Delta {
	return &crdt.Delta{Actor: actor, Lo: seq, Hi: seq, Changes: []crdt.Change{{
		ID: crdt.CellID{KeyID: key, Kind: crdt.Register}, Removes: []crdt.Dot{dead},
	}}}
}

// TestResidueTravelsWithTheClockOfItsTime: the source has seen a removal but
// not the put, and gets the put between two pages. Nothing it says after that
// may lose the removal, or the put comes to life at the other side.
func TestResidueTravelsWithTheClockOfItsTime(t *testing.T) {
	keys := keysOf(testID.Partition, "b", "k", 12)
	for name, dstHas := range map[string]bool{"put comes later": false, "put was there": true} {
		t.Run(name, func(t *testing.T) {
			for _, k := range keys {
				s, _ := openMem(t)
				src, dst := s.Replica(testID), openPeer(t, "n2")
				for i, filler := range keys {
					apply(t, src, put(filler, 9, uint64(i)+1, "filler"))
				}
				born, dead := put(k, 5, 1, "dead"), removal(k, 6, 1, crdt.Dot{Actor: 5, Seq: 1})
				apply(t, src, dead)
				if dstHas {
					apply(t, dst, born)
				}
				once := func() { apply(t, src, born) }
				pull(t, dst, src, 1, once)
				apply(t, dst, born)
				if a, b := scanAll(t, src), scanAll(t, dst); !sameCells(a.cells, b.cells) {
					t.Fatalf("key %s: %v at the source, %v at the other", k.Key, a.cells, b.cells)
				}
			}
		})
	}
}

// TestPageClaimsWhatItsResidueBelongsTo: the put has been applied at the source
// and has taken the removal out of the residue, but is not durable yet.
func TestPageClaimsWhatItsResidueBelongsTo(t *testing.T) {
	s, _ := openMem(t)
	src, dst := s.Replica(testID), openPeer(t, "n2")
	k := testKey("k")
	born, dead := put(k, 5, 1, "dead"), removal(k, 6, 1, crdt.Dot{Actor: 5, Seq: 1})
	apply(t, src, dead)
	late := must(src.Apply([]*crdt.Delta{born}, true))(t)
	pull(t, dst, src, 1<<20, nil)
	wait(t, late)
	apply(t, dst, born)
	if got := text(t, dst, k); got != "" {
		t.Errorf("the dead value came back: %q", got)
	}
}

// TestTreeCountsWhatAJoinLeft: cells that came by a join that was broken off,
// or by repair, have no clock beside them.
func TestTreeCountsWhatAJoinLeft(t *testing.T) {
	s, _ := openMem(t)
	src := s.Replica(testID)
	keys := keysOf(testID.Partition, "b", "k", 3)
	for _, k := range keys {
		mutate(t, src, k, assign("v"))
	}
	p, _, err := src.ReadPage(nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for name, bring := range map[string]func(r *Replica) (*Commit, error){
		"join":   func(r *Replica) (*Commit, error) { return must(r.BeginJoin())(t).Page(p) },
		"repair": func(r *Replica) (*Commit, error) { return r.Repair(keys, &p.Snapshot) },
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(vfs.NewMem(), newWall())
			s := open(t, o)
			wait(t, must(bring(s.Replica(testID)))(t))
			shut(t, s)
			s = open(t, o)
			checkTree(t, s.Replica(testID))
			if n := s.Replica(testID).State().Keys; n != 3 {
				t.Errorf("%d keys, want 3", n)
			}
		})
	}
}

func TestCursorsStayInTheirPartition(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	k := testKey("mine")
	mutate(t, r, k, assign("v"))
	for p := range uint32(testPartitions) {
		if p != testID.Partition {
			mutate(t, s.Replica(ReplicaID{testID.Placement, p}), keysOf(p, "b", "foreign", 1)[0], assign("w"))
		}
	}
	_, cursor, err := r.ReadPage(nil, 1)
	if err != nil || cursor != nil {
		t.Fatal(cursor, err)
	}
	for _, to := range []string{"", "\x00", "\x40", "\xc0\x00\x00\x00\x00\x00\x00\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		forged := (&question{from: []byte(to), begun: true, clock: r.Durable()}).encode()
		got, _, err := r.ReadPage(forged, 1<<20)
		if err == nil {
			for _, c := range got.Cells {
				if c.ID.KeyID != k {
					t.Errorf("a cursor at %x reads %s of another partition", to, c.ID.Key)
				}
			}
		}
		items, _, err := r.Scan("", "", []byte(to), 10)
		if err != nil {
			t.Error(err)
		}
		for _, i := range items {
			if i.Key != k {
				t.Errorf("a scan behind %x lists %s of another partition", to, i.Key.Key)
			}
		}
	}
	for _, cut := range [][]byte{{0xff}, {9, 1}, {1, 1}, {0x80, 0x80}} {
		if _, _, err := r.ReadPage(cut, 1); !errors.Is(err, crdt.ErrEncoding) {
			t.Errorf("cursor %x: %v, want ErrEncoding", cut, err)
		}
	}
	for _, leaf := range []int{-1, 4096, 1 << 40} {
		if items, err := r.KeysOf([]int{leaf}); err == nil {
			t.Errorf("leaf %d lists %v", leaf, items)
		}
	}
}
