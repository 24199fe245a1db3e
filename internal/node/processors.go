package node

import (
	"os"
	"runtime"
	"sync"
)

// spareProcessors is how many goroutines of a node may wait for the disk at a
// time: the log's, and that of a flush or a compaction.
const spareProcessors = 2

// SpareProcessors gives a process that runs nodes as many processors of Go's
// more than it has, as goroutines of theirs wait for the disk: an fsync keeps the
// processor that it was called on until the scheduler's monitor notices, and where
// there are two, nothing else runs meanwhile. GOMAXPROCS in the environment counts
// more. It is for main functions, before nodes are opened: the first call stops the
// world, others do nothing.
var SpareProcessors = sync.OnceFunc(func() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + spareProcessors)
	}
})
