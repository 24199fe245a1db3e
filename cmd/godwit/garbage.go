package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"
)

const (
	garbageBytes  = 64 << 20 // that a node may leave lying before it is collected
	garbageMost   = 400      // percent of the live heap
	garbageLeast  = 100      // the same; what Go does without being told
	garbageBlocks = 25       // the same, where most that lives are blocks without a pointer to follow
	garbageLook   = 5 * time.Second
	garbageMetric = "/gc/heap/live:bytes"
)

// paceGarbage has a small heap collected less often than Go would, until ctx ends:
// a node that keeps little in memory would otherwise collect several times a
// second under load. A large one is collected more often if blocks read from disk
// are a part of it, or it would take twice what the operator gave them. What GOGC
// says counts more.
func paceGarbage(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	look := time.NewTicker(garbageLook)
	defer look.Stop()
	live := []metrics.Sample{{Name: garbageMetric}}
	least := uint64(garbageLeast)
	if blocksInHeap() {
		least = garbageBlocks
	}
	for now := garbageLeast; ; {
		metrics.Read(live)
		if percent := garbagePercent(live[0].Value.Uint64(), least); percent*10 < now*9 || percent*9 > now*10 {
			debug.SetGCPercent(percent) // stops the world, so not for little
			now = percent
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// garbagePercent is what a heap with so many live bytes may grow by.
func garbagePercent(live, least uint64) int {
	return int(min(max(garbageBytes*100/max(live, 1), least), garbageMost))
}

// blocksInHeap reports whether Pebble takes memory for blocks and memtables from
// Go's heap, as it does in a program that was built without C.
func blocksInHeap() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "CGO_ENABLED", Value: "0"})
}
