package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// documentFormat is the first byte of an encoded document.
const documentFormat = 1

// ErrMalformed reports bytes that are not the encoding of a document.
var ErrMalformed = errors.New("ring: malformed document")

// AppendDocument appends the encoding of a document to b. Equal documents have
// equal encodings: a format byte, the epoch's number as a varint and its hash,
// the number of entries, and the entries in the order of their IDs. Strings
// carry their length before them; numbers are varints of the shortest form.
func AppendDocument(b []byte, d *Document) []byte {
	b = append(b, documentFormat)
	b = binary.AppendUvarint(b, d.epoch.Number)
	b = append(b, d.epoch.Hash[:]...)
	b = binary.AppendUvarint(b, uint64(len(d.entries)))
	for _, e := range d.Entries() {
		b = appendEntry(b, e)
	}
	return b
}

func appendEntry(b []byte, e Entry) []byte {
	for _, s := range []string{e.ID, e.Addr, e.Rack} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, uint64(e.WeightMilli))
	b = append(b, byte(e.Status))
	return binary.AppendUvarint(b, e.Version)
}

// DecodeDocument is the reverse of AppendDocument. It accepts no other encoding
// of a document than that one, and returns ErrMalformed for anything else. It
// allocates no more than a small multiple of len(b), and keeps no part of b.
func DecodeDocument(b []byte) (*Document, error) {
	if len(b) > MaxDocumentBytes {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrMalformed, len(b), MaxDocumentBytes)
	}
	r := reader{rest: b}
	if format := r.byte(); r.err == nil && format != documentFormat {
		return nil, fmt.Errorf("%w: format %d, want %d", ErrMalformed, format, documentFormat)
	}
	d := &Document{}
	d.epoch.Number = r.uvarint(1<<64 - 1)
	copy(d.epoch.Hash[:], r.bytes(len(d.epoch.Hash)))
	count := r.uvarint(MaxEntries)
	last := ""
	for range count {
		e := r.entry()
		if r.err != nil {
			break
		}
		if e.ID <= last {
			return nil, fmt.Errorf("%w: entry %q after %q", ErrMalformed, e.ID, last)
		}
		if _, err := d.Put(e); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		last = e.ID
	}
	if r.err != nil {
		return nil, r.err
	}
	if len(r.rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after the end", ErrMalformed, len(r.rest))
	}
	return d, nil
}

// reader takes a document apart. After the first error it returns zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s, %d bytes before the end", ErrMalformed, what, len(r.rest))
	}
	r.rest = nil
}

func (r *reader) bytes(n int) []byte {
	if r.err != nil || n > len(r.rest) {
		r.fail("cut short")
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// uvarint returns the next number, which must be in its shortest form and not
// above most.
func (r *reader) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	switch {
	case r.err != nil:
		return 0
	case n <= 0 || n > 1 && r.rest[n-1] == 0:
		r.fail("bad number")
		return 0
	case v > most:
		r.fail(fmt.Sprintf("number %d above %d", v, most))
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) string(most uint64) string { return string(r.bytes(int(r.uvarint(most)))) }

func (r *reader) entry() Entry {
	return Entry{
		ID: r.string(MaxNameBytes), Addr: r.string(MaxAddressBytes), Rack: r.string(MaxNameBytes),
		WeightMilli: uint32(r.uvarint(uint64(MaxWeight * 1000))),
		Status:      Status(r.byte()), Version: r.uvarint(1<<64 - 1),
	}
}
