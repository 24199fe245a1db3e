package ring

import "slices"

// Move is one replica that goes from one node to another. From is empty where
// a partition gains an owner, To where it loses one.
type Move struct {
	Partition int
	From, To  string
}

// Moves returns what has to move when one ring follows another, by partition.
// Both rings must have the same number of partitions, which never changes in
// the life of a cluster; a nil or different old ring counts as empty.
func Moves(from, to *Ring) []Move {
	var out []Move
	for p := range to.names {
		var before []string
		if from != nil && from.opts.Partitions == to.opts.Partitions {
			before = from.names[p]
		}
		gone, come := without(before, to.names[p]), without(to.names[p], before)
		for i := range max(len(gone), len(come)) {
			m := Move{Partition: p}
			if i < len(gone) {
				m.From = gone[i]
			}
			if i < len(come) {
				m.To = come[i]
			}
			out = append(out, m)
		}
	}
	return out
}

// without returns the elements of a that are not in b.
func without(a, b []string) []string {
	var out []string
	for _, id := range a {
		if !slices.Contains(b, id) {
			out = append(out, id)
		}
	}
	return out
}
