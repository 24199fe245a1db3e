package main

import "testing"

func TestGarbagePercent(t *testing.T) {
	for _, tt := range []struct {
		name  string
		live  uint64
		least uint64
		want  int
	}{
		{"before the first collection", 0, garbageLeast, 400},
		{"a heap of 8 MiB may grow to 40", 8 << 20, garbageLeast, 400},
		{"a heap of 32 MiB may grow by 64", 32 << 20, garbageLeast, 200},
		{"a large heap is collected as Go would", 1 << 30, garbageLeast, 100},
		{"blocks in the heap take no more again", 320 << 20, garbageBlocks, 25},
		{"many of them a quarter more", 8 << 30, garbageBlocks, 25},
		{"with blocks a small heap may grow as without", 32 << 20, garbageBlocks, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := garbagePercent(tt.live, tt.least); got != tt.want {
				t.Errorf("garbagePercent(%d, %d) = %d, want %d", tt.live, tt.least, got, tt.want)
			}
		})
	}
}
