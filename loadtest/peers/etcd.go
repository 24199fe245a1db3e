package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	etcdName    = "etcd"
	etcdMembers = 3
)

// startEtcd starts three members.
func startEtcd(ctx context.Context, l *lab) (*system, error) {
	binary, version, err := l.binary(ctx, etcdName, "--version")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 2*etcdMembers)
	if err != nil {
		return nil, err
	}
	s := &system{name: etcdName, version: version, settings: []string{
		"3 members, defaults otherwise: every put is in the synced log of two members before it is answered (Raft)",
		"--quota-backend-bytes 8 GiB; no compaction of old revisions during the run",
		fmt.Sprintf("client: go.etcd.io/etcd/client/v3, a client for every %d goroutines, each with all members as endpoints", l.opts.perClient),
		"put: Put; get: Get, linearizable; etcd has no counters",
	}}
	var peers, clients []string
	for i := range etcdMembers {
		clients = append(clients, "http://"+loopback(ports[2*i]))
		peers = append(peers, fmt.Sprintf("m%d=http://%s", i, loopback(ports[2*i+1])))
	}
	for i := range etcdMembers {
		p, data, err := l.server(fmt.Sprintf("etcd-%d", i), binary)
		if err != nil {
			return nil, err
		}
		_, peer, _ := strings.Cut(peers[i], "=")
		p.args = []string{
			"--name", fmt.Sprintf("m%d", i), "--data-dir", data, "--log-level", "warn",
			"--listen-client-urls", clients[i], "--advertise-client-urls", clients[i],
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--initial-cluster", strings.Join(peers, ","), "--initial-cluster-state", "new",
			"--initial-cluster-token", "bench-peers", "--quota-backend-bytes", "8589934592",
		}
		s.servers = append(s.servers, p)
	}
	s.ways = []*way{{name: etcdName, system: s, workloads: []workload{put, get}, open: func(_ context.Context, goroutines int) (session, error) {
		return openEtcd(clients, l.opts.clients(goroutines))
	}}}
	return s, s.start(ctx, func(ctx context.Context) error { return etcdReady(ctx, clients) })
}

// etcdReady reports why the members do not serve yet.
func etcdReady(ctx context.Context, endpoints []string) error {
	e, err := openEtcd(endpoints, 1)
	if err != nil {
		return err
	}
	defer func() { _ = e.close() }() // it was only asked
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, endpoint := range endpoints {
		status, err := e.clients[0].Status(ctx, endpoint)
		if err != nil {
			return err
		}
		if status.Leader == 0 {
			return errors.New("there is no leader yet")
		}
	}
	return nil
}

// etcdSession is several clients that take turns.
type etcdSession struct {
	clients []*clientv3.Client
	next    atomic.Uint64
}

func openEtcd(endpoints []string, clients int) (*etcdSession, error) {
	e := &etcdSession{}
	for range clients {
		c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open a client of etcd: %w", err), e.close())
		}
		e.clients = append(e.clients, c)
	}
	return e, nil
}

func (e *etcdSession) one() *clientv3.Client {
	return e.clients[e.next.Add(1)%uint64(len(e.clients))]
}

func (e *etcdSession) put(ctx context.Context, key string, value []byte) error {
	_, err := e.one().Put(ctx, key, string(value))
	return err
}

func (e *etcdSession) get(ctx context.Context, key string) ([]byte, error) {
	r, err := e.one().Get(ctx, key)
	if err != nil {
		return nil, err
	}
	if len(r.Kvs) != 1 {
		return nil, fmt.Errorf("etcd has no %s", key)
	}
	return r.Kvs[0].Value, nil
}

func (e *etcdSession) incr(context.Context, string) error { return errors.ErrUnsupported }

func (e *etcdSession) total(context.Context, string) (int64, error) {
	return 0, errors.ErrUnsupported
}

func (e *etcdSession) close() error {
	var errs []error
	for _, c := range e.clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
