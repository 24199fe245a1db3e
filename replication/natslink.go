package replication

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	ackWait        = 5 * time.Second
	maxAckPending  = 128              // messages in flight of one lane to one datacenter
	beaconTTL      = time.Minute      // a beacon that is older says nothing
	handlers       = 64               // requests answered at once
	answerTimeout  = 10 * time.Second // of one request's handler
	respondWait    = time.Second      // for the broker to confirm that it passes requests on
	publishTimeout = 2 * time.Second

	headerDC    = "Godwit-Dc"
	headerNode  = "Godwit-Node"
	headerError = "Godwit-Error"
)

// LinkOptions configures NewNATSLink. Zero fields take the default named
// beside them.
type LinkOptions struct {
	Broker *Broker             // this node's outbox, which outlives the link; required where External has none for it
	Addr   func(p Peer) string // required: where a peer's broker listens now, as host:port; "" when not known
	// External tells whose brokers an operator runs, of this datacenter and of
	// others; nil: nobody's. Without a Broker, Cluster and Self say who this is.
	External func(dc string) *External
	Cluster  string
	Self     Peer
	Logger   *slog.Logger // nowhere
}

func (o LinkOptions) withDefaults() (LinkOptions, error) {
	if o.External == nil {
		o.External = func(string) *External { return nil }
	}
	if o.Broker != nil {
		o.Cluster, o.Self = o.Broker.opts.Cluster, Peer{o.Broker.opts.DC, o.Broker.opts.Node}
	}
	if o.Addr == nil || o.Broker == nil && o.External(o.Self.DC) == nil {
		return o, errors.New("replication: Addr and a broker, the node's own or an external one, are required")
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	return o, checkNames(o.Cluster, o.Self.DC, o.Self.Node)
}

// NATSLink is a Link over plain client connections to the brokers of the
// peers. It dials a peer when it first needs it.
type NATSLink struct {
	opts   LinkOptions
	self   Peer
	names  subjects
	log    *slog.Logger
	local  *nats.Conn
	js     jetstream.JetStream
	ctx    context.Context //nolint:containedctx // ends with Close; every call's own context is honoured besides
	cancel context.CancelFunc
	wg     sync.WaitGroup
	slots  chan struct{} // a place for each handler
	home   *External     // where the own outbox is, if not in the own broker

	offering atomic.Bool // again, in the background

	mu      sync.Mutex
	closed  bool
	offers  map[string][]uint32
	remotes map[Peer]*remote
	up      []func(Peer)
}

var _ Link = (*NATSLink)(nil)

// NewNATSLink returns a link for the node whose broker is given.
func NewNATSLink(opts LinkOptions) (*NATSLink, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &NATSLink{
		opts: opts, self: opts.Self, names: subjects{opts.Cluster}, log: opts.Logger,
		slots: make(chan struct{}, handlers), offers: map[string][]uint32{}, remotes: map[Peer]*remote{},
	}
	l.home = opts.External(l.self.DC)
	if l.home != nil {
		l.local, err = l.home.connect(l.self, l.log)
	} else {
		l.local, err = nats.Connect("", nats.InProcessServer(opts.Broker), nats.Name(l.self.String()), nats.MaxReconnects(-1),
			nats.ReconnectWait(50*time.Millisecond), nats.ReconnectBufSize(-1), nats.IgnoreDiscoveredServers())
	}
	if err != nil {
		return nil, fmt.Errorf("connect to the own broker: %w", err)
	}
	if l.js, err = jetstream.New(l.local); err != nil {
		l.local.Close()
		return nil, fmt.Errorf("use the own broker: %w", err)
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	if l.home == nil {
		opts.Broker.onRestart(func() { l.spawn(l.offerAgain) })
	}
	l.spawn(l.monitor)
	return l, nil
}

// spawn runs fn on a goroutine that Close waits for, unless closed.
func (l *NATSLink) spawn(fn func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.wg.Go(fn)
	return true
}

// Close is a method of Link. The broker goes on.
func (l *NATSLink) Close() {
	l.mu.Lock()
	l.closed = true
	remotes := slices.Collect(maps.Values(l.remotes))
	clear(l.remotes)
	l.mu.Unlock()
	l.cancel()
	for _, r := range remotes {
		r.close()
	}
	l.local.Close()
	l.wg.Wait()
}

// OnUp is a method of Link.
func (l *NATSLink) OnUp(fn func(p Peer)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = append(l.up, fn)
}

func (l *NATSLink) tellUp(p Peer) {
	l.mu.Lock()
	fns := slices.Clone(l.up)
	l.mu.Unlock()
	for _, fn := range fns {
		fn(p)
	}
}

// Offer is a method of Link. The datacenter pulls through one durable consumer
// a lane, whose filter is where residency is enforced.
func (l *NATSLink) Offer(ctx context.Context, dc string, placements []uint32) error {
	if err := checkNames(dc); err != nil {
		return err
	}
	l.mu.Lock()
	if len(placements) == 0 {
		delete(l.offers, dc)
	} else {
		l.offers[dc] = slices.Clone(placements)
	}
	l.mu.Unlock()
	if l.home != nil && len(placements) > 0 {
		if err := l.home.ensureStream(ctx, l.js, l.names, l.self.DC); err != nil {
			return err
		}
	}
	for lane := range Lanes {
		if err := l.offerLane(ctx, dc, placements, lane); err != nil {
			return fmt.Errorf("offer lane %d to datacenter %s: %w", lane, dc, err)
		}
	}
	return nil
}

func (l *NATSLink) offerLane(ctx context.Context, dc string, placements []uint32, lane int) error {
	if len(placements) == 0 {
		err := l.js.DeleteConsumer(ctx, l.stream(l.self), l.durable(dc, l.self, lane))
		if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		return err
	}
	filters := []string{l.names.update(l.self, Everyone, lane)}
	for _, p := range placements {
		filters = append(filters, l.names.update(l.self, p, lane))
	}
	_, err := l.js.CreateOrUpdateConsumer(ctx, l.stream(l.self), jetstream.ConsumerConfig{
		Durable:        l.durable(dc, l.self, lane),
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		AckPolicy:      jetstream.AckExplicitPolicy, // AckAll loses messages silently after a black hole
		AckWait:        ackWait,
		MaxDeliver:     -1,
		MaxAckPending:  maxAckPending,
		FilterSubjects: filters,
	})
	return err
}

// offerAgain renews the consumers, in case the outbox had to be thrown away. The
// connection to a broker that was just started comes back a little later than that.
func (l *NATSLink) offerAgain() {
	for retry := retryMin; ; retry = min(2*retry, retryMax) {
		err := l.offerAll()
		if err == nil || !pause(l.ctx, retry) {
			return
		}
		l.log.Warn("lanes not offered after a restart of the broker, next attempt follows", "error", err)
	}
}

func (l *NATSLink) offerAll() error {
	l.mu.Lock()
	offers := maps.Clone(l.offers)
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(l.ctx, answerTimeout)
	defer cancel()
	var errs []error
	for dc, placements := range offers {
		errs = append(errs, l.Offer(ctx, dc, placements))
	}
	return errors.Join(errs...)
}

// Publish is a method of Link.
func (l *NATSLink) Publish(ctx context.Context, placement uint32, lane int, data []byte) error {
	if len(data) > MaxMessageBytes-1024 { // room for headers
		return fmt.Errorf("publish %d bytes: more than the %d of a message", len(data), MaxMessageBytes-1024)
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	opts := []jetstream.PublishOpt{jetstream.WithRetryAttempts(0)}
	if placement == Everyone {
		opts = append(opts, jetstream.WithMsgTTL(beaconTTL))
	}
	_, err := l.js.Publish(ctx, l.names.update(l.self, placement, lane), data, opts...)
	if l.home != nil && errors.Is(err, jetstream.ErrNoStreamResponse) { // not made yet, or lost with its store
		if l.ctx.Err() == nil {
			l.published(err)
		}
		if err = l.home.ensureStream(ctx, l.js, l.names, l.self.DC); err == nil {
			_, err = l.js.Publish(ctx, l.names.update(l.self, placement, lane), data, opts...)
		}
	}
	if l.ctx.Err() == nil {
		l.published(err)
	}
	if err != nil {
		return fmt.Errorf("publish to the outbox: %w", err)
	}
	return nil
}

// published tells whoever keeps the outbox alive how a publish went: an own
// broker is restarted, in an external one the stream is made again.
func (l *NATSLink) published(err error) {
	switch {
	case l.home == nil:
		l.opts.Broker.published(err)
	case errors.Is(err, jetstream.ErrNoStreamResponse) && l.offering.CompareAndSwap(false, true):
		if !l.spawn(func() { defer l.offering.Store(false); l.offerAgain() }) {
			l.offering.Store(false)
		}
	}
}

// stream is the name of the stream that holds the messages of a node.
func (l *NATSLink) stream(p Peer) string {
	if l.opts.External(p.DC) != nil {
		return l.names.stream(p.DC)
	}
	return outbox
}

// durable is the name of the consumer by which a datacenter takes a lane of a node.
func (l *NATSLink) durable(to string, of Peer, lane int) string {
	if l.opts.External(of.DC) != nil {
		return durableShared(to, of.Node, lane)
	}
	return durable(to, lane)
}

// Backlog is a method of Link.
func (l *NATSLink) Backlog(ctx context.Context, lane int) (int, error) {
	l.mu.Lock()
	dcs := slices.Collect(maps.Keys(l.offers))
	l.mu.Unlock()
	least := -1
	for _, dc := range dcs {
		c, err := l.js.Consumer(ctx, l.stream(l.self), l.durable(dc, l.self, lane))
		if err != nil {
			return 0, fmt.Errorf("look at lane %d to datacenter %s: %w", lane, dc, err)
		}
		info := c.CachedInfo()
		if n := int(info.NumPending) + info.NumAckPending; least < 0 || n < least {
			least = n
		}
	}
	return max(least, 0), nil
}

// Respond is a method of Link.
func (l *NATSLink) Respond(handler func(ctx context.Context, from Peer, data []byte) ([]byte, error)) error {
	_, err := l.local.Subscribe(l.names.request(l.self), func(m *nats.Msg) {
		select {
		case l.slots <- struct{}{}:
		case <-l.ctx.Done():
			return
		}
		if !l.spawn(func() { defer func() { <-l.slots }(); l.answer(handler, m) }) {
			<-l.slots
		}
	})
	if err != nil {
		return fmt.Errorf("listen for requests: %w", err)
	}
	// So that whoever asks next is heard. A broker that cannot be reached now is
	// told once it can.
	if !l.local.IsConnected() {
		return nil
	}
	if err := l.local.FlushTimeout(respondWait); err != nil {
		l.log.Debug("subscription for requests not confirmed yet", "error", err)
	}
	return nil
}

func (l *NATSLink) answer(handler func(ctx context.Context, from Peer, data []byte) ([]byte, error), m *nats.Msg) {
	ctx, cancel := context.WithTimeout(l.ctx, answerTimeout)
	defer cancel()
	from := Peer{m.Header.Get(headerDC), m.Header.Get(headerNode)}
	out := nats.NewMsg(m.Reply)
	err := checkNames(from.DC, from.Node)
	if err == nil {
		out.Data, err = handler(ctx, from, m.Data)
	}
	if err == nil && len(out.Data) > MaxMessageBytes-1024 {
		err = fmt.Errorf("answer of %d bytes is more than the %d of a message", len(out.Data), MaxMessageBytes-1024)
	}
	if err != nil {
		out.Data = nil
		out.Header.Set(headerError, err.Error())
	}
	if err := m.RespondMsg(out); err != nil && l.ctx.Err() == nil {
		l.log.Debug("answer not sent", "peer", from.String(), "error", err)
	}
}
