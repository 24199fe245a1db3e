package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"

	"github.com/cockroachdb/pebble/v2"

	"github.com/godwitdb/godwit/crdt"
)

// formatVersion is raised with every change of the data that a version of godwit
// from before it cannot read. oldestFormat is the first that this version reads;
// a directory is of formatVersion once it was opened.
const (
	formatVersion = 2 // 2: a replica's clock is told by its log as well, see clocks.go
	oldestFormat  = 1
)

// Tables: the first byte of every key. They are stored for ever.
const (
	tableMeta     = 'a' // name -> value
	tableClock    = 'c' // placement, partition, actor -> ranges; the log tells of what is newer
	tableData     = 'd' // placement, key hash, bucket, key, kind, part, path -> cell or header
	tableExpiry   = 'e' // placement, partition, milliseconds since 1970, bucket, key -> actor
	tableLog      = 'l' // placement, partition, actor, last seq -> seconds since 1970, delta without puts
	tableMark     = 'm' // placement, partition, actor, seq, then as tableData from key hash -> nothing: the cell holds this mark of a removal
	tableRequest  = 'q' // placement, partition, request id -> dot and result
	tableResidue  = 'r' // as tableData up to kind -> changes without puts
	tableScore    = 's' // as tableData up to kind, score, path -> nothing: the members of a zset by score
	tableConflict = 'x' // as tableData up to kind (none: of several kinds), part and path within a map -> nothing: see conflicts.go
)

// Parts of a key and kind.
const (
	partHead = 0 // the cell of a small kind; the header of a collection
	partCell = 1 // a cell of a collection, its path follows
)

// ReplicaID names one partition of one placement on this node.
type ReplicaID struct {
	Placement uint32
	Partition uint32
}

// String prints the id as placement/partition.
func (id ReplicaID) String() string { return fmt.Sprintf("%08x/%d", id.Placement, id.Partition) }

// comparer orders keys by their bytes. Its Split ends a data key after the
// user's key, so that Bloom filters answer for whole keys. Its name is stored
// in every database.
var comparer = func() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.Name = "godwit.v1"
	c.Split = splitKey
	c.Separator = separator
	return &c
}()

// separator is what a flush or a compaction asks for behind each block that it
// writes, and so the place where it lets those go first who wait for its
// processor. Of itself the scheduler has them wait for 10 ms, and as long again
// where every processor makes a table.
func separator(dst, a, b []byte) []byte {
	runtime.Gosched()
	return pebble.DefaultComparer.Separator(dst, a, b)
}

const dataHead = 1 + 4 + 8 // table, placement, key hash

// splitKey returns the length of table, placement, hash, bucket and key, or
// all of b where it is not such a key (a bound, another table).
func splitKey(b []byte) int {
	if len(b) <= dataHead || b[0] != tableData {
		return len(b)
	}
	n := dataHead + 1 + int(b[dataHead]) // bucket
	if len(b) < n+2 {
		return len(b)
	}
	n += 2 + int(binary.BigEndian.Uint16(b[n:]))
	return min(n, len(b))
}

// appendKey appends the part of a data key that names the user's key.
func appendKey(b []byte, table byte, placement uint32, hash uint64, key crdt.KeyID) []byte {
	b = append(b, table)
	b = binary.BigEndian.AppendUint32(b, placement)
	b = binary.BigEndian.AppendUint64(b, hash)
	b = append(b, byte(len(key.Bucket)))
	b = append(b, key.Bucket...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(key.Key)))
	return append(b, key.Key...)
}

// keyPrefix begins the data keys of a user's key.
func keyPrefix(placement uint32, hash uint64, key crdt.KeyID) []byte {
	return appendKey(make([]byte, 0, dataHead+1+len(key.Bucket)+2+len(key.Key)), tableData, placement, hash, key)
}

// cellKey is the key of a cell.
func cellKey(placement uint32, hash uint64, id crdt.CellID) []byte {
	b := make([]byte, 0, dataHead+1+len(id.Bucket)+2+len(id.Key)+2+len(id.Path))
	b = appendKey(b, tableData, placement, hash, id.KeyID)
	if id.Kind.Collection() {
		b = append(b, byte(id.Kind), partCell)
		return append(b, id.Path...)
	}
	return append(b, byte(id.Kind), partHead)
}

// headKey is the key of a collection's header, or what stands in its place in
// another table.
func headKey(table byte, placement uint32, hash uint64, id crdt.CellID) []byte {
	b := make([]byte, 0, dataHead+1+len(id.Bucket)+2+len(id.Key)+2)
	b = appendKey(b, table, placement, hash, id.KeyID)
	if table == tableData {
		return append(b, byte(id.Kind), partHead)
	}
	return append(b, byte(id.Kind))
}

var errKey = errors.New("malformed key in the database")

// record is a data key taken apart. Its strings are copies.
type record struct {
	hash uint64
	id   crdt.CellID
	part byte
}

func parseRecord(b []byte) (record, error) {
	n := splitKey(b)
	if n+1 > len(b) || n <= dataHead {
		return record{}, fmt.Errorf("%w: %x", errKey, b)
	}
	bucket := int(b[dataHead])
	rec := record{hash: binary.BigEndian.Uint64(b[5:])}
	rec.id.Bucket = string(b[dataHead+1 : dataHead+1+bucket])
	rec.id.Key = string(b[dataHead+1+bucket+2 : n])
	rec.id.Kind = crdt.Kind(b[n])
	if len(b) > n+1 {
		rec.part = b[n+1]
		rec.id.Path = string(b[n+2:])
	}
	return rec, nil
}

// parseSide takes a key of tableResidue or tableConflict apart.
func parseSide(b []byte) (record, error) {
	c := bytes.Clone(b)
	if len(c) > 0 {
		c[0] = tableData
	}
	return parseRecord(c)
}

// replicaPrefix begins the keys of a replica in the tables of partitions.
func replicaPrefix(table byte, id ReplicaID) []byte {
	b := append(make([]byte, 0, 1+4+4+16), table) // an actor and a number, or a request id, may follow
	b = binary.BigEndian.AppendUint32(b, id.Placement)
	return binary.BigEndian.AppendUint32(b, id.Partition)
}

func parseReplica(b []byte) (ReplicaID, []byte, error) {
	if len(b) < 9 {
		return ReplicaID{}, nil, fmt.Errorf("%w: %x", errKey, b)
	}
	return ReplicaID{binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint32(b[5:])}, b[9:], nil
}

func clockKey(id ReplicaID, a crdt.Actor) []byte {
	return binary.BigEndian.AppendUint64(replicaPrefix(tableClock, id), uint64(a))
}

func logKey(id ReplicaID, a crdt.Actor, last uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(replicaPrefix(tableLog, id), uint64(a)), last)
}

func requestKey(id ReplicaID, q crdt.RequestID) []byte {
	return append(replicaPrefix(tableRequest, id), q[:]...)
}

// after is the first key behind all that begin with prefix.
func after(prefix []byte) []byte {
	b := bytes.Clone(prefix)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return nil
}

// hashBounds returns the keys of table between two key hashes, both included.
func hashBounds(table byte, placement uint32, first, last uint64) (lo, hi []byte) {
	head := binary.BigEndian.AppendUint32([]byte{table}, placement)
	lo = binary.BigEndian.AppendUint64(bytes.Clone(head), first)
	if last+1 == 0 {
		return lo, after(head)
	}
	return lo, binary.BigEndian.AppendUint64(head, last+1)
}
