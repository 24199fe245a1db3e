package main

import (
	"strings"
	"time"

	"github.com/godwitdb/godwit/replication"
)

// window reads a part of every day, such as 22:30-04:00; "" is all of it.
func window(text string) (replication.Window, error) {
	if text == "" {
		return replication.Window{}, nil
	}
	bad := usagef("--verify-window %q: two different times of day in UTC, such as 01:00-05:00", text)
	first, second, ok := strings.Cut(text, "-")
	from, err := time.Parse("15:04", first)
	if err != nil || !ok {
		return replication.Window{}, bad
	}
	to, err := time.Parse("15:04", second)
	if err != nil || from.Equal(to) {
		return replication.Window{}, bad
	}
	midnight := from.Truncate(24 * time.Hour)
	return replication.Window{From: from.Sub(midnight), To: to.Sub(midnight)}, nil
}
