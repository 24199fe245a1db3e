package main

import "testing"

func TestGarbagePercent(t *testing.T) {
	for _, tt := range []struct {
		name string
		live uint64
		want int
	}{
		{"before the first collection", 0, 400},
		{"a heap of 8 MiB may grow to 40", 8 << 20, 400},
		{"a heap of 32 MiB may grow by 64", 32 << 20, 200},
		{"a large heap is collected as Go would", 1 << 30, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := garbagePercent(tt.live); got != tt.want {
				t.Errorf("garbagePercent(%d) = %d, want %d", tt.live, got, tt.want)
			}
		})
	}
}
