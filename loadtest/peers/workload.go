package main

import (
	"context"
	"slices"
)

// workload is what is asked of a system.
type workload string

// The workloads.
const (
	put  workload = "put"  // assign a value to a key
	get  workload = "get"  // read a key
	incr workload = "incr" // add one to a counter
	echo workload = "echo" // send a value to a server that does nothing with it
)

// session is the clients of one system, as many as make sense for the goroutines
// that use them. Safe for concurrent use.
type session interface {
	// put assigns a value and returns when the system calls it safe.
	put(ctx context.Context, key string, value []byte) error
	// get reads a value; the caller does not change it.
	get(ctx context.Context, key string) ([]byte, error)
	// incr adds one to a counter, which need not be there.
	incr(ctx context.Context, key string) error
	// total reads a counter, which is 0 if it is not there.
	total(ctx context.Context, key string) (int64, error)
	// close ends the clients.
	close() error
}

// way is one way of asking a system: through one client or another.
type way struct {
	name      string
	system    *system
	workloads []workload
	only      int // concurrency at which it is measured; 0: at all
	open      func(ctx context.Context, goroutines int) (session, error)
}

// system is the servers of one system, all started and ended together.
type system struct {
	name     string
	version  string
	settings []string // what a reader must know to judge the figures, a line each
	servers  []*server
	ways     []*way
	book     *book // of registers
	counters *book
}

// turn is one measurement of each round.
type turn struct {
	way         *way
	workload    workload
	concurrency int
	order       int // of rows in the table of one concurrency
}

// turns lists what one round measures, in the order of tables: for each
// concurrency and workload all systems after each other.
func turns(systems []*system, loads []workload, concurrency []int) []turn {
	var out []turn
	for _, c := range concurrency {
		n := 0
		for _, w := range append([]workload{echo}, loads...) {
			for _, s := range systems {
				for _, way := range s.ways {
					if way.does(w) && (way.only == 0 || way.only == c) {
						out = append(out, turn{way: way, workload: w, concurrency: c, order: n})
						n++
					}
				}
			}
		}
	}
	return out
}

func (w *way) does(load workload) bool { return slices.Contains(w.workloads, load) }

// rotated returns the turns of a round: those of one concurrency and workload
// keep together, and each round another of them begins, so that nobody always
// runs behind the same neighbour.
func rotated(all []turn, round int) []turn {
	var out []turn
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].workload == all[i].workload && all[j].concurrency == all[i].concurrency {
			j++
		}
		k := i + round%(j-i)
		out = append(append(out, all[k:j]...), all[i:k]...)
		i = j
	}
	return out
}
