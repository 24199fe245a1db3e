// Package archtest holds the architecture as a table and checks the sources
// against it: which package imports which, which libraries stay behind which
// package, what the pure packages may do, and how large and how named things are.
// Adding a row to the table is a design decision; write it down under
// docs/decisions/.
// It parses sources and runs none of them, and it knows packages only by name.
package archtest
