package crdt

import (
	"errors"
	"fmt"
)

// A gcounter is a counter that only grows: its runs are those of a counter, and
// none ever counts down. Deleting it takes back what was observed.
var gcounterRow = kindRow{
	name:    "gcounter",
	join:    joinRuns,
	carry:   carryRun,
	spares:  counterRow.spares,
	release: releaseRuns,
	check:   checkGrowing,
	present: counterRow.present,
	mutate: map[OpCode]func(m *mutation) error{
		OpAdd:    (*mutation).grow,
		OpDelete: func(m *mutation) error { return m.reset(false) },
	},
	read: readCounter,
}

// ErrShrink reports a negative increment of a counter that only grows.
var ErrShrink = errors.New("a gcounter only grows")

func (m *mutation) grow() error {
	if m.op.N < 0 {
		return fmt.Errorf("%w: add %d refused, use a counter to count down", ErrShrink, m.op.N)
	}
	return m.add()
}

func checkGrowing(payload []byte) error {
	u, err := decodeRun(payload)
	if err == nil && u.now.down != 0 {
		err = fmt.Errorf("%w: run of a gcounter that counts down", ErrEncoding)
	}
	return err
}
