package crdt

// A gset is a set that only grows: it has no removes. Deleting it as a whole
// removes what was observed.
var gsetRow = kindRow{
	name:       "gset",
	collection: true,
	check:      checkNoPayload,
	mutate: map[OpCode]func(m *mutation) error{
		OpInsert: (*mutation).insert,
		OpDelete: (*mutation).removeAll,
	},
	read: readSet,
}
