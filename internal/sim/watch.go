package sim

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/internal/history"
	"github.com/godwitdb/godwit/storage"
)

// maxFailures bounds what is remembered of a run that goes wrong at every step.
const maxFailures = 20

// watch sees everything that nodes say to each other, and collects what must
// never be. Safe for concurrent use.
type watch struct {
	ledger *history.Ledger
	joins  atomic.Uint64 // of whole partitions, by nodes that ended

	mu       sync.Mutex
	failures []string
	trimmed  int // answers that a log no longer reaches back
	abroad   int // partitions that were compared with another datacenter
	messages int
}

func newWatch() *watch { return &watch{ledger: history.NewLedger()} }

// fail notes something that must never be.
func (w *watch) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.failures) < maxFailures {
		w.failures = append(w.failures, fmt.Sprintf(format, args...))
	}
}

// failed lists what must never have been.
func (w *watch) failed() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failures
}

// counts tells how much was seen.
func (w *watch) counts() (messages, trimmed, compared int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.messages, w.trimmed, w.abroad
}

// request looks at a request that a node sends.
func (w *watch) request(req *peerv1.Request) {
	w.mu.Lock()
	w.messages++
	w.mu.Unlock()
	w.deltas(req.GetApply().GetDeltas())
	if s := req.GetRepair().GetSnapshot(); s != nil {
		w.snapshot(s)
	}
}

// response looks at an answer.
func (w *watch) response(resp *peerv1.Response) {
	w.deltas(resp.GetMissing().GetDeltas())
	if s := resp.GetRead().GetSnapshot(); s != nil {
		w.snapshot(s)
	}
	if b := resp.GetSnapshot().GetPage(); b != nil {
		page, err := storage.DecodePage(b)
		if err != nil {
			w.fail("decode a page: %v", err)
			return
		}
		w.cells(page.Cells)
	}
}

// tooEarly notes that a log did not reach back to what some replica lacks.
func (w *watch) tooEarly() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trimmed++
}

func (w *watch) deltas(encoded [][]byte) {
	for _, b := range encoded {
		d, err := crdt.DecodeDelta(b)
		if err != nil {
			w.fail("decode an event: %v", err)
			continue
		}
		w.delta(d)
	}
}

func (w *watch) delta(d *crdt.Delta) {
	for i := range d.Changes {
		ch := &d.Changes[i]
		w.live(ch.ID, ch.Puts)
	}
	for _, q := range d.Requests {
		if len(d.Changes) == 1 { // of a longer run, which key it was about cannot be told
			w.ledger.Saw(history.Dot{Actor: uint64(d.Actor), Seq: q.Seq}, keyOf(d.Changes[0].ID), "request", fmt.Sprintf("%x", q.ID))
		}
	}
	if d.Lo != d.Hi || len(d.Changes) == 0 {
		return
	}
	var cells strings.Builder
	for i := range d.Changes {
		fmt.Fprintf(&cells, "%d/%x ", d.Changes[i].ID.Kind, d.Changes[i].ID.Path)
	}
	w.ledger.Saw(history.Dot{Actor: uint64(d.Actor), Seq: d.Lo}, keyOf(d.Changes[0].ID), "cells", cells.String())
}

func (w *watch) snapshot(b []byte) {
	s, err := crdt.DecodeSnapshot(b)
	if err != nil {
		w.fail("decode cells: %v", err)
		return
	}
	w.cells(s.Cells)
}

func (w *watch) cells(cells []crdt.CellState) {
	for _, c := range cells {
		w.live(c.ID, c.Live)
	}
}

// live looks at the live dots of a cell. What a dot holds never changes, except
// in the kinds whose payloads grow.
func (w *watch) live(id crdt.CellID, entries []crdt.Entry) {
	for _, e := range entries {
		what := ""
		if !grows(id) {
			what = string(e.Payload)
		}
		w.ledger.Saw(dotOf(e.Dot), keyOf(id), fmt.Sprintf("payload in cell %d/%x", id.Kind, id.Path), what)
	}
}

// grows reports whether the payloads of a cell are joined with each other.
func grows(id crdt.CellID) bool {
	switch kind, _ := id.Leaf(); kind {
	case crdt.Counter, crdt.GCounter, crdt.BCounter, crdt.HLL, crdt.ZSet:
		return true
	case crdt.NoKind, crdt.Register, crdt.MVRegister, crdt.Set, crdt.GSet, crdt.RWSet, crdt.Flag, crdt.DWFlag, crdt.Map, crdt.Expiry:
	}
	return false
}

func keyOf(id crdt.CellID) history.Key { return history.Key{Bucket: id.Bucket, Key: id.Key} }

func dotOf(d crdt.Dot) history.Dot { return history.Dot{Actor: uint64(d.Actor), Seq: d.Seq} }

// compared notes that a datacenter compares a partition with another one.
func (w *watch) compared() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.abroad++
}
