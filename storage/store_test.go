package storage

import (
	"errors"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godwitdb/godwit/crdt"
)

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(o *Options){
		"no directory":           func(o *Options) { o.Dir = "" },
		"no hash":                func(o *Options) { o.Hash = nil },
		"no partitions":          func(o *Options) { o.Identity.Partitions = 0 },
		"partitions not a power": func(o *Options) { o.Identity.Partitions = 12 },
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(vfs.NewMem(), newWall())
			change(&o)
			if s, err := Open(o); err == nil {
				shut(t, s)
				t.Error("Open took it")
			}
		})
	}
}

func TestDirectoryOfSomeoneElseIsRefused(t *testing.T) {
	fs := vfs.NewMem()
	shut(t, open(t, testOptions(fs, newWall())))
	tests := []struct {
		name   string
		change func(id *Identity)
		names  []string // both sides
	}{
		{"node", func(id *Identity) { id.Node = "n2" }, []string{`node "n1"`, `node "n2"`}},
		{"datacenter", func(id *Identity) { id.DC = "south" }, []string{`datacenter "north"`, `datacenter "south"`}},
		{"cluster", func(id *Identity) { id.Cluster = "other" }, []string{`cluster "flyway"`, `cluster "other"`}},
		{"partitions", func(id *Identity) { id.Partitions = 8 }, []string{"with 4 partitions", "with 8"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := testOptions(fs, newWall())
			tt.change(&o.Identity)
			_, err := Open(o)
			if !errors.Is(err, ErrIdentity) {
				t.Fatalf("Open: %v, want ErrIdentity", err)
			}
			for _, name := range append(tt.names, "machine/data") {
				if !strings.Contains(err.Error(), name) {
					t.Errorf("error %q does not name %s", err, name)
				}
			}
		})
	}
	shut(t, open(t, testOptions(fs, newWall()))) // the owner is still welcome
}

func TestIdentityOfAnotherFormatOrUnreadable(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"newer format", `{"format":3,"cluster":"flyway","dc":"north","node":"n1","partitions":4}`, "format 3, this version reads 1 to 2"},
		{"no format", `{"cluster":"flyway","dc":"north","node":"n1","partitions":4}`, "format 0, this version reads 1 to 2"},
		{"older format of someone else", `{"format":1,"cluster":"other","dc":"north","node":"n1","partitions":4}`, `cluster "other"`},
		{"garbage", "\x00\x00\x00", "machine/data/identity.json is unreadable"},
		{"empty", "", "machine/data/identity.json is unreadable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs := vfs.NewMem()
			shut(t, open(t, testOptions(fs, newWall())))
			f := must(fs.Create("machine/data/identity.json", vfs.WriteCategoryUnspecified))(t)
			if _, err := f.Write([]byte(tt.file)); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(testOptions(fs, newWall())); !errors.Is(err, ErrIdentity) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Open: %v, want ErrIdentity with %q", err, tt.want)
			}
		})
	}
}

func TestDirectoryIsLockedWhileOpen(t *testing.T) {
	for name, fs := range map[string]vfs.FS{"memory": vfs.NewMem(), "disk": vfs.Default} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(fs, newWall())
			o.Dir = path.Join(t.TempDir(), "data")
			s := open(t, o)
			if _, err := Open(o); err == nil || !strings.Contains(err.Error(), o.Dir) || !strings.Contains(err.Error(), "lock") {
				t.Errorf("second Open: %v, want an error that names the lock of %s", err, o.Dir)
			}
			shut(t, s)
			shut(t, open(t, o))
		})
	}
}

func TestUnwritableDirectoryIsAnError(t *testing.T) {
	o := testOptions(vfs.Default, newWall())
	o.Dir = path.Join(t.TempDir(), "file")
	if err := os.WriteFile(o.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), o.Dir) {
		t.Errorf("Open of a file: %v", err)
	}
}

// TestDamagedRecordsAreErrors plants records that no version writes: every
// call says so, changes nothing, and leaves the other keys alone.
func TestDamagedRecordsAreErrors(t *testing.T) {
	keys := keysOf(testID.Partition, "b", "k", 3)
	tests := []struct {
		name string
		key  func(cell, head []byte) []byte
		op   *crdt.Op
	}{
		{"cell of a register", func(cell, _ []byte) []byte { return cell }, assign("v")},
		{"cell of a set", func(cell, _ []byte) []byte { return cell }, insert("e")},
		{"header of a set", func(_, head []byte) []byte { return head }, insert("e")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := openMem(t)
			r := s.Replica(testID)
			mutate(t, r, keys[0], tt.op)
			good := crdt.Delta{Actor: 5, Lo: 1, Hi: 1, Changes: []crdt.Change{{
				ID: crdt.CellID{KeyID: keys[1], Kind: crdt.Register}, Puts: []crdt.Entry{{Dot: crdt.Dot{Actor: 5, Seq: 1}, Payload: []byte{1, 'x'}}},
			}}}
			bad := good
			bad.Lo, bad.Hi = 2, 2
			id := crdt.CellID{KeyID: keys[0], Kind: tt.op.Kind}
			payload := []byte{1, 'x'}
			if tt.op.Kind == crdt.Set {
				id.Path, payload = crdt.PathOf("e"), nil
			}
			bad.Changes = []crdt.Change{{ID: id, Puts: []crdt.Entry{{Dot: crdt.Dot{Actor: 5, Seq: 2}, Payload: payload}}}}
			hash := keyHash(keys[0].Bucket, []byte(keys[0].Key))
			planted := tt.key(cellKey(testID.Placement, hash, id), headKey(tableData, testID.Placement, hash, id))
			if err := s.db.Set(planted, []byte{0xff, 0xff}, pebble.Sync); err != nil {
				t.Fatal(err)
			}
			r.kept = heads{} // as after a start
			before := r.Clock()

			if _, err := r.Mutate(&Mutation{Key: keys[0], Op: tt.op}); err == nil {
				t.Error("Mutate took it")
			}
			if _, err := r.Apply([]*crdt.Delta{&good, &bad}, false); err == nil {
				t.Error("Apply took it")
			}
			if _, err := r.Repair([]crdt.KeyID{keys[0]}, &crdt.Snapshot{
				Clock: before, Cells: []crdt.CellState{{ID: id, Live: bad.Changes[0].Puts}},
			}); err == nil {
				t.Error("Repair took it")
			}
			if _, err := r.Read(Query{Key: keys[0]}); err == nil {
				t.Error("Read took it")
			}
			if c := r.Clock(); !c.Equal(&before) {
				t.Errorf("clock moved from %v to %v", before, c)
			}
			mutate(t, r, keys[2], assign("alive"))
			if got := text(t, r, keys[2]); got != "alive" {
				t.Errorf("another key reads %q", got)
			}
			apply(t, r, &good)
			if got := text(t, r, keys[1]); got != "x" {
				t.Errorf("the good delta, alone, left %q", got)
			}
		})
	}
}

func TestClosedStoreSaysSo(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	k := testKey("k")
	mutate(t, r, k, assign("v"))
	join := must(r.BeginJoin())(t)
	shut(t, s)
	var none crdt.Clock
	calls := map[string]func() error{
		"Mutate":       func() error { _, err := r.Mutate(&Mutation{Key: k, Op: assign("w")}); return err },
		"Apply":        func() error { _, err := r.Apply(nil, false); return err },
		"Repair":       func() error { _, err := r.Repair([]crdt.KeyID{k}, &crdt.Snapshot{}); return err },
		"Read":         func() error { _, err := r.Read(Query{Key: k}); return err },
		"Scan":         func() error { _, _, err := r.Scan("", "", nil, 1); return err },
		"Conflicts":    func() error { _, _, err := r.Conflicts(ConflictQuery{}); return err },
		"KeysOf":       func() error { _, err := r.KeysOf([]int{0}); return err },
		"Missing":      func() error { _, err := r.Missing(&none, 1); return err },
		"Collect":      func() error { a, _ := r.Actor(); _, err := r.Collect(a, 0, 1); return err },
		"ReadPage":     func() error { _, _, err := r.ReadPage(nil, 1); return err },
		"Join.Page":    func() error { _, err := join.Page(&Page{}); return err },
		"Trim":         func() error { _, _, err := r.Trim(durable(r)); return err },
		"TrimRequests": r.TrimRequests,
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			if err := call(); !errors.Is(err, ErrClosed) {
				t.Errorf("%v, want ErrClosed", err)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestCellsOfAnotherPartitionAreRefused(t *testing.T) {
	s, _ := openMem(t)
	r := s.Replica(testID)
	mine, other := testKey("k"), keysOf(1, "b", "k", 1)[0]
	change := func(key crdt.KeyID, seq uint64) crdt.Change {
		return crdt.Change{ID: crdt.CellID{KeyID: key, Kind: crdt.Register}, Puts: []crdt.Entry{{Dot: crdt.Dot{Actor: 5, Seq: seq}, Payload: []byte{1}}}}
	}
	good := &crdt.Delta{Actor: 5, Lo: 1, Hi: 1, Changes: []crdt.Change{change(mine, 1)}}
	bad := &crdt.Delta{Actor: 5, Lo: 2, Hi: 2, Changes: []crdt.Change{change(mine, 2), change(other, 2)}}
	var below crdt.Clock
	below.AddRange(5, 1, 9)
	foreign := &crdt.Delta{Actor: 5, Lo: 3, Hi: 3, Changes: []crdt.Change{{ID: crdt.CellID{KeyID: other, Kind: crdt.Set}, Below: below}}}
	calls := map[string]func() error{
		"Apply":        func() error { _, err := r.Apply([]*crdt.Delta{good, bad}, false); return err },
		"Apply, Below": func() error { _, err := r.Apply([]*crdt.Delta{good, foreign}, false); return err },
		"Mutate":       func() error { _, err := r.Mutate(&Mutation{Key: other, Op: assign("v")}); return err },
		"Delete":       func() error { _, err := r.Mutate(&Mutation{Key: other, Op: del()}); return err },
		"Read":         func() error { _, err := r.Read(Query{Key: other}); return err },
		"Repair": func() error {
			_, err := r.Repair([]crdt.KeyID{other}, &crdt.Snapshot{Cells: []crdt.CellState{{ID: crdt.CellID{KeyID: other, Kind: crdt.Register}, Live: change(other, 4).Puts}}})
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			if err := call(); !errors.Is(err, ErrPartition) {
				t.Errorf("%v, want ErrPartition", err)
			}
			if c := r.Clock(); !c.Empty() {
				t.Errorf("clock is %v", c)
			}
			if cells := scanAll(t, r).cells; len(cells) > 0 {
				t.Errorf("cells appeared: %v", cells)
			}
		})
	}
	apply(t, r, good)
	if got := must(r.Read(Query{Key: mine}))(t); len(got.Cells) != 1 {
		t.Errorf("the good delta, alone, left %v", got.Cells)
	}
}

func TestReplicasOfOneStoreAreApart(t *testing.T) {
	s, _ := openMem(t)
	k := testKey("k")
	a, b := s.Replica(testID), s.Replica(ReplicaID{Placement: 8, Partition: testID.Partition})
	mutate(t, a, k, assign("here"))
	if got := text(t, b, k); got != "" {
		t.Errorf("another placement reads %q", got)
	}
	if s.Replica(testID) != a {
		t.Error("the same id gives another replica")
	}
	if n := len(s.Replicas()); n != 2 {
		t.Errorf("%d replicas, want 2", n)
	}
	if got := testID.String(); got != "00000007/2" {
		t.Errorf("id prints as %q", got)
	}
}
