package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
)

// load is one kind of operation, from so many goroutines at once.
type load struct {
	op      string // what a figure is called, such as "put"
	way     string // how it travels: "unary" or "client"
	workers int
	do      func(ctx context.Context, worker int, r *rand.Rand) error
}

// name is how a load is asked for and shown.
func (l *load) name() string { return fmt.Sprintf("%s/%s/%d", l.op, l.way, l.workers) }

// Ways in which operations travel.
const (
	unary    = "unary"  // one gRPC call each, by the generated stubs, over one connection to each node
	pipeline = "client" // godwit's own client
)

// key and value are those of an index. Values do not compress.
func key(i int) string { return "key-" + strconv.Itoa(i) }

func value(i int) []byte {
	r := rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(i >> 16), byte(i >> 24)})
	v := make([]byte, ValueBytes)
	_, _ = r.Read(v) // never fails
	return v
}

// half marks operations that are asked for at half of the best rate of the round
// so far, whether answers come or not.
const half = "-half"

// pacedLoads are a put and a get at half of the top rate.
func pacedLoads(c *client.Client, keys, workers int) []load {
	var out []load
	for _, l := range clientLoads(c, keys, workers)[:2] { // put, get
		l.op += half
		out = append(out, l)
	}
	return out
}

// elements is how many different ones are added to a set.
const elements = 1000

// echoLoad is what everything is compared with.
func echoLoad(kv []pb.KVClient, keys int) load {
	v := value(1)
	return load{"echo", unary, 64, func(ctx context.Context, worker int, r *rand.Rand) error {
		_, err := kv[worker%len(kv)].Put(ctx, &pb.PutRequest{Bucket: "default", Key: []byte(key(r.IntN(keys))), Value: v})
		return err
	}}
}

// unaryLoads are operations as a stub sends them, which knows no owners.
func unaryLoads(kv []pb.KVClient, keys, workers int) []load {
	v := value(1)
	at := func(worker int) pb.KVClient { return kv[worker%len(kv)] }
	sets := max(keys/100, 1)
	return []load{
		{"put", unary, workers, func(ctx context.Context, worker int, r *rand.Rand) error {
			_, err := at(worker).Put(ctx, &pb.PutRequest{Bucket: "default", Key: []byte(key(r.IntN(keys))), Value: v})
			return err
		}},
		{"get", unary, workers, func(ctx context.Context, worker int, r *rand.Rand) error {
			_, err := at(worker).Get(ctx, &pb.GetRequest{Bucket: "default", Key: []byte(key(r.IntN(keys)))})
			return err
		}},
		{"incr", unary, workers, func(ctx context.Context, worker int, r *rand.Rand) error {
			_, err := at(worker).Update(ctx, &pb.UpdateRequest{
				Bucket: "default", Key: []byte("n" + key(r.IntN(keys))), Op: &pb.UpdateRequest_CounterAdd{CounterAdd: &pb.CounterAdd{Delta: 1}},
			})
			return err
		}},
		{"sadd", unary, workers, func(ctx context.Context, worker int, r *rand.Rand) error {
			_, err := at(worker).Update(ctx, &pb.UpdateRequest{
				Bucket: "default", Key: []byte("s" + key(r.IntN(sets))),
				Op: &pb.UpdateRequest_SetAdd{SetAdd: &pb.SetAdd{Elements: [][]byte{[]byte(strconv.Itoa(r.IntN(elements)))}}},
			})
			return err
		}},
	}
}

// clientLoads are operations of godwit's own client.
func clientLoads(c *client.Client, keys, workers int) []load {
	v := value(1)
	sets := max(keys/100, 1)
	return []load{
		{"put", pipeline, workers, func(ctx context.Context, _ int, r *rand.Rand) error {
			_, err := c.Put(ctx, key(r.IntN(keys)), v)
			return err
		}},
		{"get", pipeline, workers, func(ctx context.Context, _ int, r *rand.Rand) error {
			_, err := c.Get(ctx, key(r.IntN(keys)))
			return err
		}},
		{"incr", pipeline, workers, func(ctx context.Context, _ int, r *rand.Rand) error {
			_, err := c.Incr(ctx, "n"+key(r.IntN(keys)), 1)
			return err
		}},
		{"sadd", pipeline, workers, func(ctx context.Context, _ int, r *rand.Rand) error {
			_, err := c.Update(ctx, client.SAddOp("s"+key(r.IntN(sets)), strconv.Itoa(r.IntN(elements))))
			return err
		}},
		{"hot-incr", pipeline, workers, func(ctx context.Context, _ int, _ *rand.Rand) error {
			_, err := c.Incr(ctx, "hot", 1)
			return err
		}},
	}
}

// Figure is what a load came to in one round.
type Figure struct {
	Rate     float64       // operations a second
	CPU      time.Duration // of all servers, for one operation; 0: not known
	P50, P99 time.Duration
}

// run runs a load for a while and measures it. CPU tells what the servers used,
// rate is how many are asked for a second, 0 as many as are answered.
func (l *load) run(ctx context.Context, d time.Duration, rate float64, cpu func() time.Duration) (Figure, error) {
	warm, cancel := context.WithTimeout(ctx, d/10)
	_, err := l.drive(ctx, warm, rate)
	cancel()
	if err != nil {
		return Figure{}, err
	}
	end, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	used, began := cpu(), time.Now()
	all, err := l.drive(ctx, end, rate)
	took, used := time.Since(began), cpu()-used
	n := len(all)
	if err != nil || n == 0 {
		return Figure{}, err
	}
	slices.Sort(all)
	return Figure{Rate: float64(n) / took.Seconds(), CPU: used / time.Duration(n), P50: all[n/2], P99: all[n*99/100]}, nil
}

// drive repeats the operation until end does, and returns how long each took:
// with a pace, from when it was due, so that what waits for a slow answer
// counts too.
func (l *load) drive(ctx, end context.Context, rate float64) ([]time.Duration, error) {
	var all []time.Duration
	var mu sync.Mutex
	var failed error
	var work sync.WaitGroup
	turns := pace{began: time.Now()}
	if rate > 0 {
		turns.every = time.Duration(float64(time.Second) / rate)
	}
	for w := range l.workers {
		work.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 7))
			var mine []time.Duration
			var err error
			for err == nil {
				due, ok := turns.next(end)
				if !ok {
					break
				}
				err = l.do(ctx, w, r)
				mine = append(mine, time.Since(due))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			if err != nil {
				failed = fmt.Errorf("%s: %w", l.name(), err)
			}
		})
	}
	work.Wait()
	return all, failed
}

// pace hands out when operations are due. Its methods may be called from any
// goroutine.
type pace struct {
	began time.Time
	every time.Duration // 0: at once
	given atomic.Int64
}

// next waits for a turn and returns when it was due, or false if end comes
// first.
func (p *pace) next(end context.Context) (time.Time, bool) {
	if p.every == 0 {
		return time.Now(), end.Err() == nil
	}
	due := p.began.Add(time.Duration(p.given.Add(1)-1) * p.every)
	wait := time.NewTimer(time.Until(due))
	defer wait.Stop()
	select {
	case <-wait.C:
		return due, true
	case <-end.Done():
		return due, false
	}
}
