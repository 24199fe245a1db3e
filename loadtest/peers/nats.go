package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	natsName    = "nats"
	natsServers = 3

	natsBucket   = "registers"
	natsCounters = "counters"
	natsCounting = natsCounters + "."
	natsIncr     = "Nats-Incr" // the header of an increment
)

// startNATS starts three servers with JetStream and makes a bucket and a stream
// of counters.
func startNATS(ctx context.Context, l *lab) (*system, error) {
	binary, version, err := l.binary(ctx, natsName, "--version")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 2*natsServers)
	if err != nil {
		return nil, err
	}
	s := &system{name: natsName, version: version, settings: []string{
		"3 servers, JetStream with sync_interval: always; one KV bucket in files, 3 replicas, history 1",
		fmt.Sprintf("client: github.com/nats-io/nats.go/jetstream, a connection for every %d goroutines, the servers in turn", l.opts.perClient),
		"put: KeyValue.Put; get: KeyValue.Get, which any one replica answers (direct get): it may be stale",
		"incr: a message with Nats-Incr to a stream with counters (allow_msg_counter), 3 replicas, one message kept of each",
	}}
	var routes, urls []string
	for i := range natsServers {
		urls = append(urls, "nats://"+loopback(ports[2*i]))
		routes = append(routes, strconv.Quote("nats://"+loopback(ports[2*i+1])))
	}
	for i := range natsServers {
		p, data, err := l.server(fmt.Sprintf("nats-%d", i), binary)
		if err != nil {
			return nil, err
		}
		conf := fmt.Sprintf(`server_name: n%d
listen: %q
cluster { name: peers, listen: %q, routes: [%s] }
jetstream { store_dir: %q, sync_interval: always, max_file_store: 32GB, max_memory_store: 256MB }
`, i, loopback(ports[2*i]), loopback(ports[2*i+1]), strings.Join(routes, ", "), data)
		file := filepath.Join(data, "nats.conf")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return nil, fmt.Errorf("configure nats-%d: %w", i, err)
		}
		p.args = []string{"--config", file}
		p.end = syscall.SIGINT // by SIGTERM it ends with an exit code of 1
		s.servers = append(s.servers, p)
	}
	s.ways = []*way{{name: natsName, system: s, workloads: workloads(), open: func(ctx context.Context, goroutines int) (session, error) {
		return openNATS(ctx, urls, l.opts.clients(goroutines))
	}}}
	return s, s.start(ctx, func(ctx context.Context) error { return natsReady(ctx, urls) })
}

// natsReady makes the streams, if they are not there, and reports why they do
// not serve yet.
func natsReady(ctx context.Context, urls []string) error {
	conn, err := nats.Connect(urls[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: natsBucket, Replicas: natsServers, Storage: jetstream.FileStorage}); err != nil {
		return err
	}
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: natsCounters, Subjects: []string{natsCounting + ">"}, Storage: jetstream.FileStorage, Replicas: natsServers,
		MaxMsgsPerSubject: 1, AllowMsgCounter: true, AllowDirect: true,
	}); err != nil {
		return err
	}
	for _, name := range []string{"KV_" + natsBucket, natsCounters} {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		cluster := stream.CachedInfo().Cluster
		if cluster == nil || cluster.Leader == "" || len(cluster.Replicas) != natsServers-1 {
			return fmt.Errorf("stream %s has no leader yet, or too few replicas", name)
		}
		for _, r := range cluster.Replicas {
			if !r.Current || r.Offline {
				return fmt.Errorf("replica of %s on %s is not current yet", name, r.Name)
			}
		}
	}
	return nil
}

// natsLink is one connection and what is asked through it.
type natsLink struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	bucket   jetstream.KeyValue
	counters jetstream.Stream
}

// natsSession is several connections that take turns.
type natsSession struct {
	links []natsLink
	next  atomic.Uint64
}

func openNATS(ctx context.Context, urls []string, conns int) (*natsSession, error) {
	n := &natsSession{}
	for i := range max(conns, 1) {
		link, err := openNATSLink(ctx, urls[i%len(urls)])
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open a client of nats: %w", err), n.close())
		}
		n.links = append(n.links, link)
	}
	return n, nil
}

func openNATSLink(ctx context.Context, url string) (natsLink, error) {
	conn, err := nats.Connect(url)
	if err != nil {
		return natsLink{}, err
	}
	link := natsLink{conn: conn}
	if link.js, err = jetstream.New(conn); err == nil {
		link.bucket, err = link.js.KeyValue(ctx, natsBucket)
	}
	if err == nil {
		link.counters, err = link.js.Stream(ctx, natsCounters)
	}
	if err != nil {
		conn.Close()
	}
	return link, err
}

func (n *natsSession) one() *natsLink { return &n.links[n.next.Add(1)%uint64(len(n.links))] }

func (n *natsSession) put(ctx context.Context, key string, value []byte) error {
	_, err := n.one().bucket.Put(ctx, key, value)
	return err
}

func (n *natsSession) get(ctx context.Context, key string) ([]byte, error) {
	e, err := n.one().bucket.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return e.Value(), nil
}

func (n *natsSession) incr(ctx context.Context, key string) error {
	msg := nats.NewMsg(natsCounting + key)
	msg.Header.Set(natsIncr, "1")
	_, err := n.one().js.PublishMsg(ctx, msg)
	return err
}

func (n *natsSession) total(ctx context.Context, key string) (int64, error) {
	msg, err := n.one().counters.GetLastMsgForSubject(ctx, natsCounting+key)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var counter struct {
		Val string `json:"val"`
	}
	if err := json.Unmarshal(msg.Data, &counter); err != nil {
		return 0, fmt.Errorf("read counter %s: %w", key, err)
	}
	return strconv.ParseInt(counter.Val, 10, 64)
}

func (n *natsSession) close() error {
	for _, l := range n.links {
		l.conn.Close()
	}
	return nil
}
