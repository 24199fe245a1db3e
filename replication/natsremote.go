package replication

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	dialTimeout   = 1500 * time.Millisecond // of a dial and of the handshake after it
	reconnectMin  = 100 * time.Millisecond
	reconnectMax  = 500 * time.Millisecond
	monitorEvery  = 500 * time.Millisecond
	silence       = time.Second             // without a message, before a connection is probed
	probeTimeout  = 1500 * time.Millisecond // without an answer, before it is dialled again
	idleClose     = time.Minute             // without pulls and requests, before it is closed
	pullBytes     = 2 * MaxMessageBytes     // asked for at once; never less than a message
	pullExpiry    = 5 * time.Minute         // from a peer's broker, which soon notices that this node is gone
	pullExpiryOut = 30 * time.Second        // from an external one
	pullHeartbeat = 5 * time.Second
	giveBackFor   = 500 * time.Millisecond
	bindTimeout   = 3 * time.Second
	bindRetryMin  = 100 * time.Millisecond
	bindRetryMax  = time.Second
)

// remote is the connection to one peer's broker.
type remote struct {
	peer  Peer
	ready chan struct{} // closed when nc or err is set
	nc    *nats.Conn
	js    jetstream.JetStream
	err   error

	mu   sync.Mutex
	lost chan struct{} // closed when the connection is lost, and replaced

	users   atomic.Int64 // pulls and requests under way
	probing atomic.Bool

	// Of the monitor alone.
	seen    uint64    // messages received, when it last looked
	alive   time.Time // when that last changed or a probe was answered
	lastUse time.Time
}

func (r *remote) close() {
	<-r.ready
	if r.nc != nil {
		r.nc.Close()
	}
}

// use returns the connection to a peer, dialling it if there is none. The
// caller calls done when it needs it no longer.
func (l *NATSLink) use(ctx context.Context, p Peer) (r *remote, done func(), err error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, nil, ErrClosed
	}
	r = l.remotes[p]
	if r == nil {
		fresh := &remote{peer: p, ready: make(chan struct{}), lost: make(chan struct{})}
		l.remotes[p] = fresh
		l.wg.Go(func() { l.dial(fresh) })
		r = fresh
	}
	r.users.Add(1)
	l.mu.Unlock()
	select {
	case <-r.ready:
	case <-ctx.Done():
		r.users.Add(-1)
		return nil, nil, fmt.Errorf("dial node %s: %w", p, errors.Join(ErrUnreachable, ctx.Err()))
	}
	if r.err != nil {
		r.users.Add(-1)
		return nil, nil, fmt.Errorf("dial node %s: %w", p, r.err)
	}
	return r, func() { r.users.Add(-1) }, nil
}

// dial connects, now or in the background: a connection exists from now on and
// comes and goes by itself.
func (l *NATSLink) dial(r *remote) {
	defer close(r.ready)
	tell := func(*nats.Conn) { l.tellUp(r.peer) }
	opts := append(steady(l.self),
		nats.NoCallbacksAfterClientClose(),
		nats.ReconnectHandler(tell),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { r.disconnected() }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			l.log.Debug("connection to a peer", "peer", r.peer.String(), "error", err)
		}),
	)
	to := "nats://127.0.0.1:4222" // where to is the dialer's business
	if ext := l.opts.External(r.peer.DC); ext != nil {
		to, opts = ext.address(), append(opts, ext.credentials()...)
	} else {
		opts = append(opts, nats.SetCustomDialer(&dialer{ctx: l.ctx, peer: r.peer, addr: l.opts.Addr}))
	}
	r.nc, r.err = nats.Connect(to, opts...)
	if r.err == nil {
		r.js, r.err = jetstream.New(r.nc)
	}
}

// steady are the options of a connection that comes and goes by itself.
func steady(self Peer) []nats.Option {
	return []nats.Option{
		nats.Name(self.String()),
		nats.Timeout(dialTimeout),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(reconnectDelay()),
		nats.ReconnectBufSize(-1), // fail at once while there is no connection
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.IgnoreDiscoveredServers(),
	}
}

// connection returns a channel that is closed when the connection as it is now
// is lost.
func (r *remote) connection() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

func (r *remote) disconnected() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.lost)
	r.lost = make(chan struct{})
}

// reconnectDelay grows from reconnectMin to reconnectMax.
func reconnectDelay() nats.ReconnectDelayHandler {
	return func(attempts int) time.Duration {
		return min(reconnectMin*time.Duration(max(attempts, 1)), reconnectMax)
	}
}

// dialer asks for the peer's address at every dial, so that a node that moved
// is found again.
type dialer struct {
	ctx  context.Context //nolint:containedctx // net.Dialer's interface for this has none
	peer Peer
	addr func(Peer) string
}

// Dial is a method of nats.CustomDialer.
func (d *dialer) Dial(network, _ string) (net.Conn, error) {
	addr := d.addr(d.peer)
	if addr == "" {
		return nil, fmt.Errorf("address of node %s is not known", d.peer)
	}
	return (&net.Dialer{Timeout: dialTimeout}).DialContext(d.ctx, network, addr)
}

// SkipTLSHandshake keeps the client from looking at the host name.
func (*dialer) SkipTLSHandshake() bool { return false }

// Request is a method of Link.
func (l *NATSLink) Request(ctx context.Context, to Peer, data []byte) ([]byte, error) {
	r, done, err := l.use(ctx, to)
	if err != nil {
		return nil, err
	}
	defer done()
	m := nats.NewMsg(l.names.request(to))
	m.Data = data
	m.Header.Set(headerDC, l.self.DC)
	m.Header.Set(headerNode, l.self.Node)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func(lost <-chan struct{}) { // its answer would come over the connection that asked
		select {
		case <-lost:
			cancel()
		case <-ctx.Done():
		}
	}(r.connection())
	reply, err := r.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("ask node %s: %w", to, errors.Join(ErrUnreachable, err))
	}
	if text := reply.Header.Get(headerError); text != "" {
		return nil, &RemoteError{to, text}
	}
	return reply.Data, nil
}

// Pull is a method of Link.
func (l *NATSLink) Pull(ctx context.Context, from Peer, lane int, handle func(ctx context.Context, m Message)) error {
	if lane < 0 || lane >= Lanes {
		return fmt.Errorf("pull from node %s: lane %d is not one of %d", from, lane, Lanes)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	retry := bindRetryMin
	for ctx.Err() == nil {
		began := time.Now()
		err := l.pullOnce(ctx, from, lane, handle)
		if ctx.Err() != nil {
			break
		}
		if time.Since(began) > bindTimeout {
			retry = bindRetryMin
		}
		l.log.Debug("pull broke off", "peer", from.String(), "lane", lane, "error", err)
		if !pause(ctx, retry) {
			break
		}
		retry = min(2*retry, bindRetryMax)
	}
	if l.ctx.Err() != nil {
		return ErrClosed
	}
	return ctx.Err()
}

// pullOnce binds to the durable consumer that the peer made for this
// datacenter and pulls until something breaks. Reconnects do not: the client
// pulls again after them.
func (l *NATSLink) pullOnce(ctx context.Context, from Peer, lane int, handle func(ctx context.Context, m Message)) error {
	bind, cancel := context.WithTimeout(ctx, bindTimeout)
	defer cancel()
	r, done, err := l.use(bind, from)
	if err != nil {
		return err
	}
	defer done()
	c, err := r.js.Consumer(bind, l.stream(from), l.durable(l.self.DC, from, lane))
	if err != nil {
		return err
	}
	// Where one request ran out, what is sent before the next one has arrived waits
	// for a round trip. Beacons alone use one up in less than pullExpiry.
	expiry := pullExpiry
	if l.opts.External(from.DC) != nil {
		expiry = pullExpiryOut
	}
	msgs, err := c.Messages(jetstream.PullMaxMessagesWithBytesLimit(maxAckPending, pullBytes),
		jetstream.PullExpiry(expiry), jetstream.PullHeartbeat(pullHeartbeat))
	if err != nil {
		return err
	}
	defer msgs.Stop()
	for {
		m, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			if ctx.Err() != nil {
				l.giveBack(msgs)
			}
			return err
		}
		out, err := l.message(from, m)
		if err != nil {
			l.log.Warn("message refused", "peer", from.String(), "error", err)
			_ = m.Term() // nobody can ever make sense of it
			continue
		}
		handle(ctx, out)
	}
}

// giveBack refuses what was on its way to a pull that ends, so that whoever
// pulls the lane next need not wait for it.
func (l *NATSLink) giveBack(msgs jetstream.MessagesContext) {
	if l.ctx.Err() != nil {
		return
	}
	msgs.Drain()
	for began := time.Now(); time.Since(began) < giveBackFor; {
		m, err := msgs.Next(jetstream.NextMaxWait(giveBackFor))
		if err != nil {
			return
		}
		_ = m.NakWithDelay(0)
	}
}

func (l *NATSLink) message(from Peer, m jetstream.Msg) (Message, error) {
	placement, lane, err := l.names.parse(from, m.Subject())
	if err != nil {
		return Message{}, err
	}
	deliveries := 1
	if meta, err := m.Metadata(); err == nil {
		deliveries = int(min(meta.NumDelivered, 1<<20))
	}
	var once sync.Once
	settle := func(taken bool, retry time.Duration) {
		once.Do(func() { // a lost answer means that the message comes again
			if taken {
				_ = m.Ack()
			} else {
				_ = m.NakWithDelay(retry)
			}
		})
	}
	return Message{From: from, Lane: lane, Placement: placement, Deliveries: deliveries, Data: m.Data(), Settle: settle}, nil
}

// monitor probes connections that fell silent, because a black hole is
// otherwise noticed only after 10 seconds, and closes those that nobody uses.
func (l *NATSLink) monitor() {
	tick := time.NewTicker(monitorEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case now := <-tick.C:
			l.look(now)
		}
	}
}

func (l *NATSLink) look(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, r := range l.remotes {
		select {
		case <-r.ready:
		default:
			continue
		}
		if r.users.Load() > 0 || r.lastUse.IsZero() {
			r.lastUse = now
		}
		if r.err != nil || now.Sub(r.lastUse) > idleClose {
			delete(l.remotes, p)
			if r.nc != nil {
				l.wg.Go(r.nc.Close)
			}
			continue
		}
		l.probe(r, now)
	}
}

func (l *NATSLink) probe(r *remote, now time.Time) {
	if in := r.nc.Stats().InMsgs; in != r.seen || r.alive.IsZero() || !r.nc.IsConnected() {
		r.seen, r.alive = in, now
		return
	}
	if now.Sub(r.alive) < silence || !r.probing.CompareAndSwap(false, true) {
		return
	}
	r.alive = now
	l.wg.Go(func() {
		defer r.probing.Store(false)
		if err := r.nc.FlushTimeout(probeTimeout); errors.Is(err, nats.ErrTimeout) {
			l.log.Debug("peer is silent, dialling again", "peer", r.peer.String())
			_ = r.nc.ForceReconnect()
		}
	})
}

// pause waits and reports whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
