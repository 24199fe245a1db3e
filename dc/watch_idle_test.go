//go:build unix

package dc

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// A hundred watches that have nothing to tell take next to nothing.
func TestIdleWatchesCostLittle(t *testing.T) {
	_, nodes := startDCEvery(t, 3, 3, time.Second, keepLog)
	ctx, cancel := context.WithCancel(t.Context())
	var begun atomic.Int64
	ended := make(chan error, 100)
	for i := range cap(ended) {
		go func() {
			ended <- nodes[i%3].Watch(ctx, &v1.WatchRequest{Bucket: "default"}, func(r *v1.WatchResponse) error {
				if len(r.GetProgress().GetCursor()) > 0 {
					begun.Add(1)
				}
				return nil
			})
		}()
	}
	eventually(t, "all watches have begun", func() bool { return begun.Load() >= 100 })
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before, at := used(), time.Now()
	time.Sleep(3 * time.Second)
	share := float64(used()-before) / float64(time.Since(at))
	t.Logf("%.3f of a core", share)
	if share > 0.5 {
		t.Errorf("100 idle watches take %.2f of a core", share)
	}
	cancel()
	for range cap(ended) {
		<-ended
	}
}
