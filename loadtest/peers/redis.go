package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

const (
	redisName = "redis"
	// redisWait is how long WAIT waits for the replica.
	redisWait = 5 * time.Second
)

// startRedis starts a server and its replica.
func startRedis(ctx context.Context, l *lab) (*system, error) {
	binary, version, err := l.binary(ctx, redisName, "--version")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 2)
	if err != nil {
		return nil, err
	}
	s := &system{name: redisName, version: version, settings: []string{
		"a master and one replica, both with appendonly yes, appendfsync always, save \"\"",
		"WAIT 1 tells that the replica has received a write, not that it has synced it",
		"client: github.com/redis/go-redis/v9, a pool with a connection for every goroutine",
		"put: SET and WAIT 1 in one pipeline; get: GET of the master; incr: INCR and WAIT 1 in one pipeline",
	}}
	for i, name := range []string{"redis-master", "redis-replica"} {
		p, data, err := l.server(name, binary)
		if err != nil {
			return nil, err
		}
		conf := []string{
			"bind 127.0.0.1", fmt.Sprintf("port %d", ports[i]), fmt.Sprintf("dir %q", data), "daemonize no",
			"appendonly yes", "appendfsync always", `save ""`,
		}
		if i > 0 {
			conf = append(conf, fmt.Sprintf("replicaof 127.0.0.1 %d", ports[0]))
		}
		file := filepath.Join(data, "redis.conf")
		if err := os.WriteFile(file, []byte(strings.Join(conf, "\n")+"\n"), 0o600); err != nil {
			return nil, fmt.Errorf("configure %s: %w", name, err)
		}
		p.args = []string{file}
		s.servers = append(s.servers, p)
	}
	logging.Disable()
	master := loopback(ports[0])
	s.ways = []*way{{name: redisName, system: s, workloads: workloads(), open: func(_ context.Context, goroutines int) (session, error) {
		return openRedis(master, goroutines), nil
	}}}
	return s, s.start(ctx, func(ctx context.Context) error { return redisReady(ctx, master) })
}

// redisReady reports why the master does not serve yet, with its replica.
func redisReady(ctx context.Context, addr string) error {
	r := openRedis(addr, 1)
	defer func() { _ = r.close() }() // it was only asked
	info, err := r.client.Info(ctx, "replication").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "state=online") {
		return errors.New("the replica is not online yet")
	}
	return nil
}

type redisSession struct{ client *redis.Client }

func openRedis(addr string, goroutines int) *redisSession {
	return &redisSession{redis.NewClient(&redis.Options{
		Addr: addr, PoolSize: goroutines, MinIdleConns: goroutines, ReadTimeout: redisWait + time.Second, WriteTimeout: redisWait,
		MaxRetries: -1, // a retry would hide an error, and count an increment twice
	})}
}

// waited runs one write with WAIT 1 behind it.
func (r *redisSession) waited(ctx context.Context, write func(redis.Pipeliner)) error {
	pipe := r.client.Pipeline()
	write(pipe)
	copies := pipe.Do(ctx, "WAIT", 1, redisWait.Milliseconds())
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	n, err := copies.Int()
	if err == nil && n < 1 {
		err = errors.New("redis: the replica did not acknowledge the write")
	}
	return err
}

func (r *redisSession) put(ctx context.Context, key string, value []byte) error {
	return r.waited(ctx, func(p redis.Pipeliner) { p.Set(ctx, key, value, 0) })
}

func (r *redisSession) get(ctx context.Context, key string) ([]byte, error) {
	return r.client.Get(ctx, key).Bytes()
}

func (r *redisSession) incr(ctx context.Context, key string) error {
	return r.waited(ctx, func(p redis.Pipeliner) { p.Incr(ctx, key) })
}

func (r *redisSession) total(ctx context.Context, key string) (int64, error) {
	n, err := r.client.Get(ctx, key).Int64()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return n, err
}

func (r *redisSession) close() error { return r.client.Close() }
