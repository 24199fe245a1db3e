package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// documentFormat is the first byte of an encoded document.
const documentFormat = 3

// ErrMalformed reports bytes that are not the encoding of a document or of an
// acceptor's state.
var ErrMalformed = errors.New("ring: malformed document")

// AppendDocument appends the encoding of a document to b. Equal documents have
// equal encodings: a format byte, the epoch, who proposed it and the note, then
// Members and Target, each as the number of entries and the entries in the
// order of their IDs, and a byte that is 1 if the move has turned. Strings carry their length before them; numbers are
// varints of the shortest form.
func AppendDocument(b []byte, d *Document) []byte {
	b = append(b, documentFormat)
	b = binary.AppendUvarint(b, d.Epoch)
	b = appendString(b, d.By)
	b = appendString(b, d.Note)
	for _, entries := range [][]Entry{d.Members, d.Target} {
		b = binary.AppendUvarint(b, uint64(len(entries)))
		for _, e := range entries {
			b = appendEntry(b, e)
		}
	}
	if d.Turned {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendEntry(b []byte, e Entry) []byte {
	b = appendString(b, e.ID)
	b = appendString(b, e.Rack)
	b = binary.AppendUvarint(b, uint64(e.WeightMilli))
	b = append(b, byte(e.Status))
	for _, a := range e.Addrs.all() {
		b = appendString(b, *a)
	}
	return binary.AppendUvarint(b, e.Seed)
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
	d := &Document{Epoch: r.uvarint(1<<64 - 1), By: r.string(MaxNameBytes), Note: r.string(MaxNoteBytes)}
	d.Members, d.Target, d.Turned = r.entries(), r.entries(), r.bool()
	if err := r.end(); err != nil {
		return nil, err
	}
	if err := d.Check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
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

func (r *reader) bool() bool {
	b := r.byte()
	if b > 1 {
		r.fail("bad truth value")
	}
	return b == 1
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

func (r *reader) entries() []Entry {
	var out []Entry
	for range r.uvarint(MaxMembers) {
		e := Entry{
			ID: r.string(MaxNameBytes), Rack: r.string(MaxNameBytes),
			WeightMilli: uint32(r.uvarint(uint64(MaxWeight * 1000))), Status: Status(r.byte()),
		}
		for _, a := range e.Addrs.all() {
			*a = r.string(MaxAddressBytes)
		}
		e.Seed = r.uvarint(1<<64 - 1)
		if r.err != nil {
			return nil
		}
		out = append(out, e)
	}
	return out
}

// end returns the first error, or that there is something after the end.
func (r *reader) end() error {
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%w: %d bytes after the end", ErrMalformed, len(r.rest))
	}
	return r.err
}
