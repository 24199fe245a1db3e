package main

import (
	"encoding/binary"
	"fmt"
)

// book knows what the keys of one system must hold: of each key the number of
// the last put that was acknowledged, and of the last that was tried. Counters
// are the same with increments. Only one goroutine at a time changes what is
// said of a key, and nobody reads it meanwhile.
type book struct {
	acked []uint32 // by key
	tried []uint32 // by key; at least acked
}

func newBook(keys int) *book {
	return &book{acked: make([]uint32, keys), tried: make([]uint32, keys)}
}

// begin counts a write that is about to be made and returns its number.
func (b *book) begin(key int) uint32 {
	b.tried[key]++
	return b.tried[key]
}

// acknowledge counts what the last write of a key that was begun has led to: it
// was put, so it is what the key holds.
func (b *book) acknowledge(key int) { b.acked[key] = b.tried[key] }

// add counts an increment that was acknowledged: unlike a put it says nothing of
// those before it.
func (b *book) add(key int) { b.acked[key]++ }

// check reports a number that the key cannot hold. Between what was acknowledged
// and what was tried, anything may be: writes that ended in errors may have
// been carried out.
func (b *book) check(key int, n uint64) error {
	if n < uint64(b.acked[key]) || n > uint64(b.tried[key]) {
		return fmt.Errorf("key %d holds write %d, but %d is acknowledged and %d was tried", key, n, b.acked[key], b.tried[key])
	}
	return nil
}

// checkValue reports a value that no put made, or not the one that the key must
// hold. Scratch is as long as values are.
func (b *book) checkValue(key int, value, scratch []byte) error {
	if len(value) != len(scratch) {
		return fmt.Errorf("key %d holds %d bytes, not %d", key, len(value), len(scratch))
	}
	n := binary.LittleEndian.Uint64(value[8:])
	if fillValue(scratch, key, n); string(scratch) != string(value) {
		return fmt.Errorf("key %d holds a value that was never put", key)
	}
	return b.check(key, n)
}

// fillValue makes the value of the nth put of a key: their numbers, then bytes
// that no compression makes shorter (SplitMix64: Steele, Lea and Flood, "Fast
// splittable pseudorandom number generators", OOPSLA 2014).
func fillValue(value []byte, key int, n uint64) {
	binary.LittleEndian.PutUint64(value, uint64(key))
	binary.LittleEndian.PutUint64(value[8:], n)
	state := uint64(key)<<32 ^ n
	var word [8]byte
	for rest := value[minValue:]; len(rest) > 0; {
		state += 0x9e3779b97f4a7c15
		z := (state ^ state>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(word[:], z^z>>31)
		rest = rest[copy(rest, word[:]):]
	}
}

// keyNames are the names of registers and of counters by their number.
type keyNames struct{ registers, counters []string }

func newKeyNames(keys int) keyNames {
	n := keyNames{registers: make([]string, keys), counters: make([]string, keys)}
	for i := range keys {
		n.registers[i] = fmt.Sprintf("key-%08d", i)
		n.counters[i] = fmt.Sprintf("num-%08d", i)
	}
	return n
}
