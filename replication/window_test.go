package replication

import (
	"testing"
	"time"
)

func TestWindowIsOpen(t *testing.T) {
	at := func(h, m int) time.Time { return time.Date(2026, 3, 1, h, m, 0, 0, time.UTC) }
	night := Window{From: 22 * time.Hour, To: 4 * time.Hour}
	day := Window{From: 9 * time.Hour, To: 17*time.Hour + 30*time.Minute}
	tests := []struct {
		w    Window
		at   time.Time
		want bool
	}{
		{Window{}, at(3, 0), true},
		{day, at(9, 0), true},
		{day, at(17, 29), true},
		{day, at(17, 30), false},
		{day, at(8, 59), false},
		{night, at(23, 0), true},
		{night, at(3, 59), true},
		{night, at(4, 0), false},
		{night, at(12, 0), false},
		{day, at(10, 0).In(time.FixedZone("far", 12*3600)), true},
	}
	for _, tt := range tests {
		if got := tt.w.Open(tt.at); got != tt.want {
			t.Errorf("%v at %v: open is %t, want %t", tt.w, tt.at, got, tt.want)
		}
	}
}
