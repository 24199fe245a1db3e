package loadtest

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/godwitdb/godwit/client"
)

// pace says when operations of a datacenter are due. In an open loop they are
// due at a constant rate, whoever is free or not; in a closed one when a worker
// is free. Safe for concurrent use.
type pace struct {
	begin, end time.Time
	rate       float64 // a second; 0: a closed loop
	taken      atomic.Int64
}

// next waits for the next operation that is due and returns that time. It
// returns false at the end. Operations that were due and could not be begun
// before the end stay undone; late counts them.
func (p *pace) next(stop <-chan struct{}) (due time.Time, ok bool) {
	now := time.Now()
	if !now.Before(p.end) {
		return now, false
	}
	select {
	case <-stop:
		return now, false
	default:
	}
	if p.rate == 0 {
		return now, true
	}
	due = p.begin.Add(time.Duration(float64(p.taken.Add(1)-1) / p.rate * float64(time.Second)))
	if !due.Before(p.end) {
		return due, false
	}
	wait := due.Sub(now)
	if wait <= 0 {
		return due, true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return due, true
	case <-stop:
		return due, false
	}
}

// late is how many operations were due by the end, or by now if that is
// earlier, and not begun.
func (p *pace) late(now time.Time) int64 {
	if p.rate == 0 {
		return 0
	}
	if now.After(p.end) {
		now = p.end
	}
	return max(0, int64(now.Sub(p.begin).Seconds()*p.rate)-p.taken.Load())
}

// mix chooses operations by their weights.
type mix struct {
	sums    []float64
	actions []action
	opts    [][]client.CallOption
}

func newMix(o *Options) (*mix, error) {
	m := &mix{}
	sum := 0.0
	for _, op := range o.Workload.Operations {
		sum += op.Weight
		m.sums = append(m.sums, sum)
		act, _ := actionOf(op.Op) // Check has seen it
		m.actions = append(m.actions, act)
		level, err := client.ParseConsistency(op.Consistency)
		if err != nil {
			return nil, err
		}
		opts := []client.CallOption{client.WithBucket(o.Bucket), client.WithTimeout(o.Timeout), client.WithConsistency(level)}
		if act.write && o.AcksDC > 0 {
			opts = append(opts, client.WithAcksDC(o.AcksDC))
		}
		m.opts = append(m.opts, append(opts, o.CallOptions...))
	}
	return m, nil
}

func (m *mix) choose(r *rand.Rand) int {
	at := r.Float64() * m.sums[len(m.sums)-1]
	for i, sum := range m.sums {
		if at < sum {
			return i
		}
	}
	return len(m.sums) - 1
}
