package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/memberlist"
)

const (
	// MaxMetaBytes is the greatest length of the encoded meta data of a node:
	// its names and values, a byte or two more for each, and a byte.
	MaxMetaBytes = memberlist.MetaMaxSize

	metaFormat   = 1
	maxNameBytes = 100 // of a cluster, datacenter or node; two and a prefix fit into a label
)

var errMeta = errors.New("malformed meta data")

// encodeMeta returns the encoding of meta data: a format byte, then names and
// values in the order of the names, each with its length before it.
func encodeMeta(meta map[string]string) []byte {
	b := []byte{metaFormat}
	for _, name := range slices.Sorted(maps.Keys(meta)) {
		for _, s := range []string{name, meta[name]} {
			b = binary.AppendUvarint(b, uint64(len(s)))
			b = append(b, s...)
		}
	}
	return b
}

// decodeMeta is the reverse of encodeMeta and accepts nothing else.
func decodeMeta(b []byte) (map[string]string, error) {
	if len(b) == 0 || len(b) > MaxMetaBytes || b[0] != metaFormat {
		return nil, fmt.Errorf("%w: %d bytes", errMeta, len(b))
	}
	meta := make(map[string]string)
	last := ""
	for rest := b[1:]; len(rest) > 0; {
		var pair [2]string
		for i := range pair {
			n, size := binary.Uvarint(rest)
			if size <= 0 || size > 1 && rest[size-1] == 0 || n > uint64(len(rest)-size) {
				return nil, fmt.Errorf("%w: cut short", errMeta)
			}
			pair[i], rest = string(rest[size:size+int(n)]), rest[size+int(n):]
		}
		if len(meta) > 0 && pair[0] <= last {
			return nil, fmt.Errorf("%w: %q after %q", errMeta, pair[0], last)
		}
		meta[pair[0]], last = pair[1], pair[0]
	}
	return meta, nil
}
