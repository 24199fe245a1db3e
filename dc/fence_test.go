package dc

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestFence: time goes on while somebody waits for the fence, one who wants it alone
// gets it when those who have it are done, and those who came later after that.
func TestFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fence
		var order []string
		began := time.Now()
		at := func(what string) { order = append(order, what+" "+time.Since(began).String()) }
		for range 2 {
			go func() {
				f.RLock()
				time.Sleep(time.Second) // in virtual time
				f.RUnlock()
			}()
		}
		synctest.Wait()
		for i, who := range []string{"first", "second"} {
			go func() {
				time.Sleep(time.Duration(i+1) * time.Millisecond)
				f.Lock()
				at(who)
				time.Sleep(time.Second)
				f.Unlock()
			}()
		}
		time.Sleep(10 * time.Millisecond)
		f.RLock()
		at("with others")
		f.RUnlock()
		if len(order) != 3 || order[2] != "with others 3s" || order[0] == order[1] ||
			order[0][len(order[0])-2:] != "1s" || order[1][len(order[1])-2:] != "2s" {
			t.Errorf("had by %q, want two alone after 1s and 2s, and then with others after 3s", order)
		}
	})
}
