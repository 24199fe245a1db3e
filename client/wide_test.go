package client_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/client/clienttest"
)

// TestLargeWritesAndBatchesAreBegunInTimeOrNever: what does not go by the pipeline of
// small requests tells its node as well how soon it is to be begun, and is not taken
// to another node before that is over: the first might carry it out later than what
// comes next.
func TestLargeWritesAndBatchesAreBegunInTimeOrNever(t *testing.T) {
	tests := []struct {
		name   string
		method string
		write  func(ctx context.Context, c *client.Client) error
	}{
		{"a value that fits no frame", "Update", func(ctx context.Context, c *client.Client) error {
			_, err := c.Put(ctx, "k", bytes.Repeat([]byte("v"), 200<<10))
			return err
		}},
		{"a value of the greatest size", "Update", func(ctx context.Context, c *client.Client) error {
			_, err := c.Put(ctx, "k", bytes.Repeat([]byte("v"), 1<<20))
			return err
		}},
		{"a batch", "BatchUpdate", func(ctx context.Context, c *client.Client) error {
			done, err := c.BatchUpdate(ctx, []client.Op{client.PutOp("k", []byte("v"))})
			if err == nil {
				err = done[0].Err
			}
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, cluster := open(t, 3, func(o *client.Options) { o.Transport = client.Pipelined })
			type came struct {
				clienttest.Call
				at time.Time
			}
			var mu sync.Mutex
			var all []came
			for i := range 3 {
				cluster.Node("use1", i).Misbehave(func(call clienttest.Call) clienttest.Fault {
					if call.Method == "Pipeline" {
						return clienttest.Fault{}
					}
					mu.Lock()
					defer mu.Unlock()
					all = append(all, came{call, time.Now()})
					return clienttest.Fault{Break: len(all) == 1}
				})
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			began := time.Now() // before it is sent, from when its node counts
			if err := tt.write(ctx, c); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(all) != 2 || all[0].Method != tt.method || all[1].Method != tt.method {
				t.Fatalf("calls: %s, want two of %s", fmt.Sprint(all), tt.method)
			}
			if all[0].Begin < 10*time.Millisecond || all[1].Begin == 0 {
				t.Fatalf("to be begun within %v and %v, want that both tell", all[0].Begin, all[1].Begin)
			}
			if all[0].Begin > time.Second {
				t.Errorf("to be begun within %v: as long a connection that breaks keeps the call waiting", all[0].Begin)
			}
			if waited := all[1].at.Sub(began); waited < all[0].Begin {
				t.Errorf("the second node was asked after %v, when the first might begin for %v", waited, all[0].Begin)
			}
		})
	}
}

// TestBatchesThatWereNotBegunGetLonger: of how long batches take nothing is known yet,
// so they are to be begun soon, and less soon at a node that says it could not.
func TestBatchesThatWereNotBegunGetLonger(t *testing.T) {
	c, cluster := open(t, 2, func(o *client.Options) { o.Transport = client.Pipelined })
	var mu sync.Mutex
	var told []time.Duration
	for i := range 2 {
		cluster.Node("use1", i).Misbehave(func(call clienttest.Call) clienttest.Fault {
			if call.Method != "BatchUpdate" {
				return clienttest.Fault{}
			}
			mu.Lock()
			defer mu.Unlock()
			if told = append(told, call.Begin); len(told) < 3 {
				return clienttest.Fault{Before: clienttest.Refuse(codes.Unavailable, "NOT_BEGUN", "the time for it is over")}
			}
			return clienttest.Fault{}
		})
	}
	done, err := c.BatchUpdate(t.Context(), []client.Op{client.PutOp("k", []byte("v"))}, client.WithTimeout(20*time.Second))
	if err != nil || done[0].Err != nil {
		t.Fatal(err, done)
	}
	want := []time.Duration{250 * time.Millisecond, 500 * time.Millisecond, time.Second}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(told, want) {
		t.Errorf("to be begun within %v, want %v", told, want)
	}
}

// TestLargeWritesKeepNobodyWaiting: large ones have a stream of their own.
func TestLargeWritesKeepNobodyWaiting(t *testing.T) {
	c, cluster := open(t, 1, func(o *client.Options) { o.Transport = client.Pipelined })
	var pipelines, alone int
	for _, size := range []int{1, 200 << 10, 1, 300 << 10} {
		must[*client.Result](t)(c.Put(t.Context(), "k", make([]byte, size)))
	}
	for _, call := range cluster.Node("use1", 0).Calls() {
		switch call.Method {
		case "Pipeline":
			pipelines++
		case "Update": // in one of them
		default:
			alone++
		}
	}
	if pipelines != 2 || alone != 0 {
		t.Errorf("%d pipelines, want one for small values and one for large ones; %d calls of their own, want none", pipelines, alone)
	}
}
