package replication

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// ErrMalformed reports bytes that are not the canonical encoding of anything
// that datacenters say to each other.
var ErrMalformed = errors.New("replication: malformed encoding")

const (
	maxUnpacked   = 8 << 20 // bytes that a message may hold after decompression
	maxRatio      = 8       // ... and times its own size,
	unpackedFloor = 1 << 20 // ... but this much in any case: small batches of like events shrink further
	minToCompress = 512     // bytes; below, compression does not pay
)

// reader takes an encoding apart. Its first error sticks, and every later read
// returns zero values, so callers check once, at the end.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, what)
	}
	r.b = nil
}

func (r *reader) byte(what string) byte {
	if len(r.b) == 0 {
		r.fail(what + " is cut short")
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) bool(what string) bool {
	v := r.byte(what)
	if v > 1 {
		r.fail(what + " is neither yes nor no")
	}
	return v == 1
}

func (r *reader) uvarint(what string) uint64 {
	v, n := binary.Uvarint(r.b)
	switch {
	case n <= 0:
		r.fail(what + " is cut short or too large")
		return 0
	case n > 1 && r.b[n-1] == 0: // one value, one encoding
		r.fail(what + " is a padded varint")
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint32(what string) uint32 {
	v := r.uvarint(what)
	if v > math.MaxUint32 {
		r.fail(what + " is too large")
		return 0
	}
	return uint32(v)
}

func (r *reader) fixed64(what string) uint64 {
	if len(r.b) < 8 {
		r.fail(what + " is cut short")
		return 0
	}
	v := binary.BigEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// count reads a number of items of at least minBytes encoded bytes each.
func (r *reader) count(what string, minBytes, limit int) int {
	n := r.uvarint(what)
	if n > uint64(limit) || n > uint64(len(r.b)/minBytes) {
		r.fail(what + " is over its limit")
		return 0
	}
	return int(n)
}

// bytes reads a length and that many bytes, which alias the input.
func (r *reader) bytes(what string, limit int) []byte {
	n := r.count(what, 1, limit)
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) done(what string) error {
	if r.err == nil && len(r.b) > 0 {
		r.fail(what + " is followed by something else")
	}
	return r.err
}

func appendBytes[T ~[]byte | ~string](b []byte, v T) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// Packing of an encoding.
const (
	plain = iota
	zstandard
	snappy2
)

// Ways to compress, see Options.Compression. What others packed is unpacked
// whichever it was.
const (
	CompressZstd = "zstd" // smallest
	CompressS2   = "s2"   // least work
	CompressNone = "none"
)

// packer wraps encodings for the way, compressed where that pays. Safe for
// concurrent use.
type packer struct {
	way string
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newPacker(way string) (*packer, error) {
	if way != CompressZstd && way != CompressS2 && way != CompressNone {
		return nil, fmt.Errorf("compression %q is none of zstd, s2 and none", way)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(2),
		zstd.WithWindowSize(256<<10), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("make a compressor: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxUnpacked),
		zstd.WithDecoderLowmem(true), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("make a decompressor: %w", err)
	}
	return &packer{way, enc, dec}, nil
}

func (p *packer) close() { p.dec.Close() }

// unpackedLimit is how many bytes n packed ones may become.
func unpackedLimit(n int) int { return min(maxUnpacked, max(unpackedFloor, n*maxRatio)) }

func (p *packer) pack(raw []byte) []byte {
	if p.way != CompressNone && len(raw) >= minToCompress && len(raw) <= maxUnpacked {
		out := binary.AppendUvarint([]byte{zstandard}, uint64(len(raw)))
		head := len(out)
		if p.way == CompressS2 {
			out[0] = snappy2
			out = append(out, s2.Encode(nil, raw)...)
		} else {
			out = p.enc.EncodeAll(raw, out)
		}
		if len(out) < len(raw)*7/8 && len(raw) <= unpackedLimit(len(out)-head) {
			return out
		}
	}
	return append([]byte{plain}, raw...)
}

// unpack undoes pack. The result may alias b.
func (p *packer) unpack(b []byte) ([]byte, error) {
	r := reader{b: b}
	switch r.byte("packing") {
	case plain:
		return r.b, r.err
	case zstandard:
		return r.decompressed(func(b, into []byte) ([]byte, error) { return p.dec.DecodeAll(b, into) })
	case snappy2:
		return r.decompressed(func(b, into []byte) ([]byte, error) {
			if n, err := s2.DecodedLen(b); err != nil || n > cap(into) {
				return nil, s2.ErrCorrupt
			}
			return s2.Decode(into[:cap(into)], b)
		})
	}
	if r.err == nil {
		r.fail("unknown packing")
	}
	return nil, r.err
}

// decompressed reads a size and that many bytes in compressed form, to the end.
func (r *reader) decompressed(decode func(b, into []byte) ([]byte, error)) ([]byte, error) {
	n := r.uvarint("unpacked size")
	if r.err != nil {
		return nil, r.err
	}
	if n > uint64(unpackedLimit(len(r.b))) {
		return nil, fmt.Errorf("%w: %d packed bytes would become %d", ErrMalformed, len(r.b), n)
	}
	raw, err := decode(r.b, make([]byte, 0, n))
	if err != nil {
		return nil, fmt.Errorf("%w: decompress: %w", ErrMalformed, err)
	}
	if uint64(len(raw)) != n {
		return nil, fmt.Errorf("%w: %d bytes came out and not %d", ErrMalformed, len(raw), n)
	}
	return raw, nil
}
