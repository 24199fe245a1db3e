package crdt

import "slices"

// Coalesce makes one delta of log entries (deltas without puts) of one actor
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
		ch.Puts = live
		slices.SortFunc(ch.Removes, Dot.Compare)
		ch.Removes = slices.Compact(ch.Removes)
		out.Changes = append(out.Changes, *ch)
	}
	slices.SortFunc(out.Changes, func(a, b Change) int { return a.ID.Compare(b.ID) })
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
	ch.Below.Union(&from.Below)
}

// LogEntry returns what the event log keeps of d: everything but payloads.
func (d *Delta) LogEntry() *Delta {
	e := &Delta{Actor: d.Actor, Lo: d.Lo, Hi: d.Hi, Requests: d.Requests, Changes: slices.Clone(d.Changes)}
	for i := range e.Changes {
		e.Changes[i].Puts = nil
	}
	return e
}
