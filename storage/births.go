package storage

import (
	"math"
	"time"
)

// births tells of the request ids that a replica recorded within the last window
// when the first of them was born. Ids are forgotten by their birth, which another
// machine's wall told and this one's is held against; either may be wrong, for a
// minute or a day, and what was recorded a moment ago would look old. So the age of
// a record counts, by a clock that nobody sets: whatever the walls show, nothing is
// forgotten that births tells of. The zero value has seen none. The replica's lock
// guards it.
type births [birthParts + 1]struct {
	part  int64 // of the time since the opening, beginning with 1
	first int64 // birth, in Unix milliseconds
}

// birthParts is how many parts a window has. The ring has one more, for the part
// that has begun.
const birthParts = 15

func birthPart(age, window time.Duration) int64 {
	return 1 + int64(age/max(window/birthParts, 1))
}

// note adds an id that is recorded at an age of the store.
func (b *births) note(born time.Time, age, window time.Duration) {
	part, ms := birthPart(age, window), born.UnixMilli()
	if at := &b[part%int64(len(b))]; at.part != part {
		at.part, at.first = part, ms
	} else {
		at.first = min(at.first, ms)
	}
}

// first is the earliest birth, in Unix milliseconds, of what was recorded within
// the last window; math.MaxInt64 if nothing was.
func (b *births) first(age, window time.Duration) int64 {
	first, oldest := int64(math.MaxInt64), birthPart(age, window)-birthParts
	for _, of := range b {
		if of.part > 0 && of.part >= oldest {
			first = min(first, of.first)
		}
	}
	return first
}
