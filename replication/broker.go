package replication

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// outbox is the name of the one stream of a node.
const outbox = "outbox"

const (
	brokerStartTimeout = 10 * time.Second
	healthEvery        = 5 * time.Second
	restartPause       = 10 * time.Second // at least, between two restarts
	unhealthyChecks    = 2                // in a row, before a restart
	failedPublishes    = 3                // in a row, before a check at once
)

// BrokerOptions configures StartBroker. Zero fields take the default named
// beside them.
type BrokerOptions struct {
	Cluster, DC, Node string        // required: letters, digits, dashes and underscores
	Dir               string        // required: holds the outbox; made when missing
	Addr              string        // loopback host:port to listen on; 127.0.0.1:0, a port of the kernel's choice
	MaxBytes          int64         // of the outbox on disk, the oldest goes first; 256 MiB
	MaxAge            time.Duration // of a message in the outbox; 24 hours
	SyncAlways        bool          // fsync every message; false: every second
	Logger            *slog.Logger  // nowhere
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)

func checkNames(names ...string) error {
	for _, n := range names {
		if !namePattern.MatchString(n) {
			return fmt.Errorf("replication: name %q must be 1 to 63 letters, digits, dashes or underscores", n)
		}
	}
	return nil
}

func (o BrokerOptions) withDefaults() (BrokerOptions, error) {
	if err := checkNames(o.Cluster, o.DC, o.Node); err != nil {
		return o, err
	}
	if o.Dir == "" {
		return o, errors.New("replication: Dir is required")
	}
	o.Addr = cmp.Or(o.Addr, "127.0.0.1:0")
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return o, fmt.Errorf("replication: address %q: %w", o.Addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return o, fmt.Errorf("replication: address %q is not on loopback, and the link has no TLS", o.Addr)
	}
	o.MaxBytes = cmp.Or(o.MaxBytes, 256<<20)
	o.MaxAge = cmp.Or(o.MaxAge, 24*time.Hour)
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return o, nil
}

// Broker is a node's outbox toward other datacenters: an embedded, standalone
// nats-server with one stream on disk. The data in it is a copy; when it cannot
// be opened it is thrown away, and the clocks tell what the others lack. Safe
// for concurrent use.
type Broker struct {
	opts     BrokerOptions
	restarts atomic.Uint64
	failed   atomic.Int64  // publishes in a row
	suspect  chan struct{} // asks for a check at once; capacity 1
	stop     context.CancelFunc
	done     chan struct{}

	mu    sync.Mutex
	srv   *server.Server // nil while restarting and after Close
	addr  string         // known after the first start, and kept
	onNew []func()
}

// StartBroker starts the broker and returns when its stream is ready.
func StartBroker(opts BrokerOptions) (*Broker, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Broker{opts: opts, addr: opts.Addr, suspect: make(chan struct{}, 1), done: make(chan struct{})}
	if err := b.start(); err != nil {
		return nil, fmt.Errorf("start the broker of node %s: %w", opts.Node, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	go b.watch(ctx)
	return b, nil
}

// Addr is the host:port on which other datacenters reach the broker.
func (b *Broker) Addr() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.addr
}

// Restarts counts how often the broker was restarted because it was stuck.
func (b *Broker) Restarts() uint64 { return b.restarts.Load() }

// InProcessConn connects to the server without a socket, to whichever server
// runs now: it lets a client outlive a restart.
func (b *Broker) InProcessConn() (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.srv == nil {
		return nil, ErrClosed
	}
	return b.srv.InProcessConn()
}

// Close stops the broker. What is in the outbox stays on disk.
func (b *Broker) Close() {
	b.stop()
	<-b.done
	b.shutdown()
}

// start opens the outbox and, when that fails, throws it away and opens a new one.
func (b *Broker) start() error {
	err := b.startOnce()
	if err == nil || errors.Is(err, errListen) {
		return err
	}
	b.opts.Logger.Error("outbox thrown away because it could not be opened", "error", err)
	if rm := os.RemoveAll(b.dir()); rm != nil {
		return errors.Join(err, rm)
	}
	return b.startOnce()
}

// errListen reports an address that cannot be listened on.
var errListen = errors.New("cannot listen")

func (b *Broker) dir() string { return filepath.Join(b.opts.Dir, "jetstream") }

func (b *Broker) startOnce() error {
	host, port, err := net.SplitHostPort(b.Addr())
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("port %q: %w", port, err)
	}
	if n == 0 {
		n = server.RANDOM_PORT
	}
	srv, err := server.NewServer(b.serverOptions(host, n))
	if err != nil {
		return err
	}
	log := &brokerLog{log: b.opts.Logger}
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	ready := false
	for deadline := time.Now().Add(brokerStartTimeout); !ready && log.fatal() == nil && time.Now().Before(deadline); {
		ready = srv.ReadyForConnections(100 * time.Millisecond)
	}
	if !ready || log.fatal() != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return cmp.Or(log.fatal(), errors.New("broker did not become ready"))
	}
	b.mu.Lock()
	b.srv, b.addr = srv, srv.Addr().String()
	b.mu.Unlock()
	if err := b.ensureStream(); err != nil {
		b.shutdown()
		return fmt.Errorf("make the outbox: %w", err)
	}
	return nil
}

func (b *Broker) serverOptions(host string, port int) *server.Options {
	return &server.Options{
		ServerName:             b.opts.Cluster + "-" + b.opts.DC + "-" + b.opts.Node,
		Host:                   host,
		Port:                   port,
		NoSigs:                 true,
		JetStream:              true,
		JetStreamMaxStore:      b.opts.MaxBytes + 64<<20,
		JetStreamMaxMemory:     16 << 20,
		StoreDir:               b.opts.Dir,
		SyncInterval:           time.Second,
		SyncAlways:             b.opts.SyncAlways,
		PingInterval:           5 * time.Second,
		MaxPingsOut:            2,
		WriteDeadline:          10 * time.Second,
		MaxPayload:             MaxMessageBytes,
		DisableJetStreamBanner: true,
	}
}

func (b *Broker) ensureStream() error {
	nc, err := nats.Connect("", nats.InProcessServer(b), nats.Timeout(brokerStartTimeout))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), brokerStartTimeout)
	defer cancel()
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:        outbox,
		Subjects:    []string{subjects{b.opts.Cluster}.all(Peer{b.opts.DC, b.opts.Node})},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		Storage:     jetstream.FileStorage,
		Replicas:    1,
		MaxBytes:    b.opts.MaxBytes,
		MaxAge:      b.opts.MaxAge,
		Duplicates:  min(b.opts.MaxAge, 100*time.Millisecond), // merges are idempotent
		AllowMsgTTL: true,
	})
	return err
}

func (b *Broker) shutdown() {
	b.mu.Lock()
	srv := b.srv
	b.srv = nil
	b.mu.Unlock()
	if srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

// onRestart calls fn after each restart.
func (b *Broker) onRestart(fn func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.onNew = append(b.onNew, fn)
}

// published is told how each publish went.
func (b *Broker) published(err error) {
	if err == nil {
		b.failed.Store(0)
		return
	}
	if b.failed.Add(1) >= failedPublishes {
		select {
		case b.suspect <- struct{}{}:
		default:
		}
	}
}

// watch restarts a server that is stuck. A stream whose disk was full stays
// wedged after there is room again, and only a restart helps.
func (b *Broker) watch(ctx context.Context) {
	defer close(b.done)
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	bad := 0
	var last time.Time
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-b.suspect:
			asked = true
		}
		why := b.unhealthy()
		if why == "" && b.failed.Load() >= failedPublishes {
			why, bad = "publishing fails", unhealthyChecks
		}
		if why == "" {
			bad = 0
			continue
		}
		if bad++; !asked && bad < unhealthyChecks || time.Since(last) < restartPause {
			continue
		}
		last, bad = time.Now(), 0
		b.restart(why)
	}
}

func (b *Broker) unhealthy() string {
	b.mu.Lock()
	srv := b.srv
	b.mu.Unlock()
	if srv == nil {
		return "not running"
	}
	h := srv.Healthz(&server.HealthzOptions{Account: server.DEFAULT_GLOBAL_ACCOUNT, Stream: outbox})
	if h.Status != "ok" {
		return h.Error
	}
	return ""
}

func (b *Broker) restart(why string) {
	b.opts.Logger.Warn("broker restarted because it was stuck", "reason", why)
	b.restarts.Add(1)
	b.failed.Store(0)
	b.shutdown()
	if err := b.start(); err != nil {
		b.opts.Logger.Error("broker did not start again, next attempt follows", "error", err)
		return
	}
	b.mu.Lock()
	fns := b.onNew
	b.mu.Unlock()
	for _, fn := range fns {
		fn()
	}
}
