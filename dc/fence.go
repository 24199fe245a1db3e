package dc

import "sync"

// fence is held by many at once or by one alone, as a sync.RWMutex is, and for as
// long as a disk or another node takes. Who waits for it waits on a condition: in
// simulated time (testing/synctest) those who wait for a mutex count as busy, and
// the time for which its holder waits would never pass.
//
// Nobody who comes after one that wants it alone gets it before that. The zero fence
// is free; it must not be copied.
type fence struct {
	mu     sync.Mutex
	freed  *sync.Cond // made by the first who waits
	shared int        // holders
	alone  bool       // held so
	wanted int        // by so many alone
}

// RLock takes the fence with others.
func (f *fence) RLock() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.alone || f.wanted > 0 {
		f.wait()
	}
	f.shared++
}

// RUnlock gives up what RLock took.
func (f *fence) RUnlock() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shared--; f.shared == 0 {
		f.wake()
	}
}

// Lock takes the fence alone.
func (f *fence) Lock() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted++
	for f.alone || f.shared > 0 {
		f.wait()
	}
	f.wanted--
	f.alone = true
}

// Unlock gives up what Lock took.
func (f *fence) Unlock() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.alone = false
	f.wake()
}

func (f *fence) wait() {
	if f.freed == nil {
		f.freed = sync.NewCond(&f.mu)
	}
	f.freed.Wait()
}

func (f *fence) wake() {
	if f.freed != nil {
		f.freed.Broadcast()
	}
}
