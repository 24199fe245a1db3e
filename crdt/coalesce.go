package crdt

import (
	"cmp"
	"slices"
)

// Coalesce makes one delta of log entries (see LogEntry) of one actor
// that follow each other without a gap: the range they cover and, for each
// cell they touched, the union of what they removed and all dots that live in
// it now, whoever minted them, so that no reader sees a value vanish between
// two messages. The cells must be read at the entries' time or later.
func Coalesce(cells Loader, entries []*Delta) (*Delta, error) {
	out := &Delta{Actor: entries[0].Actor, Lo: entries[0].Lo, Hi: entries[0].Hi}
	byCell := map[CellID]*Change{}
	for _, e := range entries {
		out.Lo, out.Hi = min(out.Lo, e.Lo), max(out.Hi, e.Hi)
		out.Requests = append(out.Requests, e.Requests...)
		for i := range e.Changes {
			gather(byCell, &e.Changes[i])
		}
	}
	for id, ch := range byCell {
		live, err := cells.Load(id)
		if err != nil {
			return nil, err
		}
		for _, e := range ch.Puts { // of others' runs: what lives no more is known here to be dead
			if !live.Has(e.Dot) {
				ch.Removes = append(ch.Removes, e.Dot)
			}
		}
		ch.Puts = live
		slices.SortFunc(ch.Removes, Dot.Compare)
		ch.Removes = slices.Compact(ch.Removes)
		out.Changes = append(out.Changes, *ch)
	}
	slices.SortFunc(out.Changes, func(a, b Change) int { return a.ID.Compare(b.ID) })
	// Runs of others may overlap, and then tell of the same requests.
	slices.SortFunc(out.Requests, func(a, b Request) int { return cmp.Compare(a.Seq, b.Seq) })
	out.Requests = slices.CompactFunc(out.Requests, func(a, b Request) bool { return a.Seq == b.Seq })
	return out, nil
}

// Loader reads cells.
type Loader interface {
	Load(id CellID) (Cell, error)
}

func gather(byCell map[CellID]*Change, from *Change) {
	ch := byCell[from.ID]
	if ch == nil {
		ch = &Change{ID: from.ID}
		byCell[from.ID] = ch
	}
	ch.Removes = append(ch.Removes, from.Removes...)
	ch.Puts = append(ch.Puts, from.Puts...)
	ch.Below.Union(&from.Below)
}

// LogEntry returns what the event log keeps of d: everything but payloads that
// are found in the cells when it is sent. The runs of other actors that the
// events have reset are kept by name: if such a run has ended here in the
// meantime, whoever is sent the events must be told so. The end may be known to
// nobody else, and the reset would be lost with it.
func (d *Delta) LogEntry() *Delta {
	e := &Delta{Actor: d.Actor, Lo: d.Lo, Hi: d.Hi, Requests: d.Requests, Changes: slices.Clone(d.Changes)}
	for i := range e.Changes {
		ch := &e.Changes[i]
		if ch.ID.row().join == nil {
			ch.Puts = nil
			continue
		}
		ch.Puts = slices.DeleteFunc(slices.Clone(ch.Puts), func(e Entry) bool { return e.Dot.Actor == d.Actor })
	}
	return e
}
