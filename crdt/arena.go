package crdt

import "strings"

// arena gives what one decoding makes its memory, many small pieces at a time.
// Each piece is cut off at its end, so that appending to it copies it. Pieces
// keep their neighbours from being collected, which is why chunks are small.
// A nil arena gives every piece memory of its own.
type arena struct {
	dots    []Dot
	entries []Entry
	text    *strings.Builder
	more    int // how often what is asked for now will probably be asked for again
}

const (
	chunkItems = 256
	chunkText  = 1 << 10
)

// carve takes n items off a chunk, and begins a new one where it has too few.
func carve[T any](chunk *[]T, n, more int) []T {
	at := len(*chunk)
	if cap(*chunk)-at < n {
		*chunk, at = make([]T, 0, max(n, min(n*more, chunkItems))), 0
	}
	*chunk = (*chunk)[:at+n]
	return (*chunk)[at : at+n : at+n]
}

func (a *arena) newDots(n int) []Dot {
	if a == nil {
		return make([]Dot, n)
	}
	return carve(&a.dots, n, a.more)
}

func (a *arena) newEntries(n int) Cell {
	if a == nil {
		return make(Cell, n)
	}
	return carve(&a.entries, n, a.more)
}

func (a *arena) newString(v []byte) string {
	if a == nil || len(v) == 0 || len(v) > chunkText {
		return string(v)
	}
	if a.text == nil || a.text.Cap()-a.text.Len() < len(v) {
		a.text = &strings.Builder{} // what was taken from the old one stays
		a.text.Grow(max(len(v), min(len(v)*a.more, chunkText)))
	}
	at := a.text.Len()
	a.text.Write(v)
	return a.text.String()[at:]
}
