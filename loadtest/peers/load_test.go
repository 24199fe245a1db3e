package main

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fake is a store in memory, with planted faults. Each call takes a millisecond.
type fake struct {
	mu       sync.Mutex
	values   map[string][]byte
	totals   map[string]int64
	keys     map[string]bool
	loses    bool          // every hundredth write, silently
	refuses  bool          // every tenth write, with an error
	stale    time.Duration // how long reads after a write show the one before
	previous map[string][]byte
	written  map[string]time.Time
	writes   int
}

func newFake() *fake {
	return &fake{
		values: map[string][]byte{}, totals: map[string]int64{}, keys: map[string]bool{},
		previous: map[string][]byte{}, written: map[string]time.Time{},
	}
}

var errRefused = errors.New("refused")

func (f *fake) write(key string, change func()) error {
	time.Sleep(time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	f.keys[key] = true
	switch {
	case f.refuses && f.writes%10 == 0:
		return errRefused
	case f.loses && f.writes%100 == 0:
		return nil
	}
	change()
	return nil
}

func (f *fake) put(_ context.Context, key string, value []byte) error {
	return f.write(key, func() {
		f.previous[key], f.written[key] = f.values[key], time.Now()
		f.values[key] = append([]byte(nil), value...)
	})
}

func (f *fake) get(_ context.Context, key string) ([]byte, error) {
	time.Sleep(time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stale > 0 && time.Since(f.written[key]) < f.stale {
		return f.previous[key], nil
	}
	return f.values[key], nil
}

func (f *fake) incr(_ context.Context, key string) error {
	return f.write(key, func() { f.totals[key]++ })
}

func (f *fake) total(_ context.Context, key string) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.totals[key], nil
}

func (f *fake) close() error { return nil }

const fakeKeys = 100

// drive runs one workload of a second with 10 goroutines in virtual time.
func drive(t *testing.T, f *fake, w workload, b *book) sample {
	t.Helper()
	cpu := time.Duration(0)
	l := load{
		session: f, workload: w, concurrency: 10, warmup: 100 * time.Millisecond, each: time.Second, value: 32,
		keys: newKeyNames(fakeKeys).registers, book: b, seed: 1,
		cpu: func() (servers, client time.Duration, err error) {
			cpu += time.Second
			return cpu, cpu / 2, nil
		},
	}
	s, err := l.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// preloaded is a store and its book after one put of every key.
func preloaded(f *fake) (*fake, *book) {
	b := newBook(fakeKeys)
	for i, name := range newKeyNames(fakeKeys).registers {
		f.values[name] = make([]byte, 32)
		fillValue(f.values[name], i, uint64(b.begin(i)))
		b.acknowledge(i)
	}
	return f, b
}

func TestLoadMeasures(t *testing.T) {
	for _, w := range []workload{put, get, incr, echo} {
		t.Run(string(w), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, b := preloaded(newFake())
				if w == incr {
					b = newBook(fakeKeys)
				}
				s := drive(t, f, w, b)
				// Ten goroutines, a call a millisecond, for a second.
				if s.ops < 9_900 || s.ops > 10_100 || s.took != time.Second {
					t.Errorf("%d operations in %v, want 10,000 in 1 s", s.ops, s.took)
				}
				if got := s.times.ValueAtQuantile(50); got < 990 || got > 1010 {
					t.Errorf("p50 is %d µs, want 1,000", got)
				}
				if s.cpu != time.Second || s.client != time.Second/2 {
					t.Errorf("CPU %v and %v, want 1 s and 500 ms", s.cpu, s.client)
				}
				if s.faults.any() || s.faults.first != nil {
					t.Errorf("faults %+v, want none", s.faults)
				}
				if writes := w == put || w == incr; (s.faults.read >= 1000) != writes {
					t.Errorf("%d keys were read again after %s", s.faults.read, w)
				}
				if w != get && len(f.keys) != fakeKeys {
					t.Errorf("%d keys were written, want all %d", len(f.keys), fakeKeys)
				}
			})
		})
	}
}

func TestLoadNoticesLostWrites(t *testing.T) {
	for _, w := range []workload{put, incr} {
		t.Run(string(w), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, b := preloaded(newFake())
				if f.loses = true; w == incr {
					b = newBook(fakeKeys)
				}
				s := drive(t, f, w, b)
				if s.faults.lost == 0 || s.faults.first == nil {
					t.Errorf("faults %+v, want lost writes", s.faults)
				}
				if s.faults.errors > 0 {
					t.Errorf("%d errors, want none", s.faults.errors)
				}
			})
		})
	}
}

func TestLoadTellsLateFromLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := preloaded(newFake())
		f.stale = 50 * time.Millisecond
		s := drive(t, f, put, b)
		if s.faults.late == 0 || s.faults.lost > 0 || s.faults.first == nil {
			t.Errorf("faults %+v, want late writes and none lost", s.faults)
		}
	})
}

func TestLoadCountsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := preloaded(newFake())
		f.refuses = true
		s := drive(t, f, put, b)
		if s.faults.errors == 0 || !errors.Is(s.faults.first, errRefused) {
			t.Errorf("faults %+v, want errors, the first refused", s.faults)
		}
		// What was refused may hold either value: nothing is lost.
		if s.faults.lost > 0 || s.faults.late > 0 {
			t.Errorf("faults %+v, want nothing lost or late", s.faults)
		}
	})
}

func TestLoadJudgesReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := preloaded(newFake())
		wrong := f.values["key-00000042"]
		binary.LittleEndian.PutUint64(wrong[8:], 7)
		s := drive(t, f, get, b)
		if s.faults.wrong < 50 || s.faults.wrong > 200 { // one read of a hundred
			t.Errorf("%d of %d reads wrong, want about 100", s.faults.wrong, s.ops)
		}
	})
}

func TestLoadEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := preloaded(newFake())
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		l := load{
			session: f, workload: put, concurrency: 3, each: time.Hour, value: 32, keys: newKeyNames(fakeKeys).registers, book: b,
			cpu: func() (servers, client time.Duration, err error) { return 0, 0, nil },
		}
		began := time.Now()
		if _, err := l.run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want context.DeadlineExceeded", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("ended after %v", took)
		}
	})
}
