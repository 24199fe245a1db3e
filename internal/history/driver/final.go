package driver

import (
	"context"
	"fmt"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/history"
)

// FinalState reads keys of a bucket in every datacenter at consistency quorum.
// An absent key is left out of the state.
func FinalState(ctx context.Context, clients []*client.Client, bucket string, keys []string) (history.State, error) {
	state := history.State{}
	for _, c := range clients {
		values := map[history.Key]history.Value{}
		for _, key := range keys {
			v, err := read(ctx, c, bucket, key)
			if client.IsNotFound(err) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read %s in %s: %w", key, c.DC(), err)
			}
			values[history.Key{Bucket: bucket, Key: key}] = v
		}
		state[c.DC()] = values
	}
	return state, nil
}

func read(ctx context.Context, c *client.Client, bucket, key string) (history.Value, error) {
	opts := []client.CallOption{client.WithBucket(bucket), client.WithConsistency(client.Quorum)}
	v, err := c.Get(ctx, key, opts...)
	if err != nil {
		return history.Value{}, err
	}
	out := history.Value{Integer: v.Integer, Elements: v.Elements}
	if len(v.NextPage) > 0 {
		if out.Elements, err = c.SMembers(ctx, key, opts...); err != nil {
			return history.Value{}, err
		}
	}
	if v.Kind == client.Register || v.Kind == client.MVRegister {
		out.Live = []string{string(v.Bytes)}
		for i, s := range v.Siblings {
			if i > 0 { // the first is the winner again
				out.Live = append(out.Live, string(s.Value))
			}
		}
	}
	return out, nil
}

// WaitEqual reads the final state again and again, with a pause between, until
// all datacenters agree or ctx ends; then it returns what it read last, and an
// error only if it could not read. Writers must have stopped.
func WaitEqual(ctx context.Context, clients []*client.Client, bucket string, keys []string, pause time.Duration) (history.State, error) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	var last history.State
	for {
		state, err := FinalState(ctx, clients, bucket, keys)
		switch {
		case err == nil:
			last = state
		case ctx.Err() == nil || last == nil:
			return nil, err
		}
		if ctx.Err() != nil || err == nil && history.CheckEqual(nil, state).OK() {
			return last, nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return last, nil
		}
	}
}
