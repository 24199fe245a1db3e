package replication

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	lagWindow  = time.Minute
	lagSamples = 1024             // of the last minute; nine nodes at four a second fit
	silentFor  = 2 * time.Second  // without a beacon, before the next one is news
	peersKept  = 4096             // of one datacenter, whose beacons are told apart
	forgotten  = 10 * time.Minute // without a beacon, before a node is
)

// Lag is what this node knows of its link to one remote datacenter. Each node
// pulls a part of the lanes, so the datacenter's picture is the union of its nodes'.
type Lag struct {
	DC string
	// Newest is the time since the last message arrived, which is a beacon at
	// the latest; negative when none ever did.
	Newest time.Duration
	// Oldest is the time since the last beacon of the node that has been silent
	// for longest, among those heard of in the last 10 minutes.
	Oldest time.Duration
	// P50 and P99 are from sending to arrival, by the wall clocks of both ends,
	// of the beacons of the last minute; 0 when there were none.
	P50, P99 time.Duration
	Samples  int

	ReceivedMessages, ReceivedBytes uint64
	Refused                         uint64 // deliveries that came again because they could not be applied yet
	Gaps                            uint64 // jumps in a lane's sequence
	Repairs                         uint64 // times that missing events were asked for
	RepairedBytes                   uint64
	Joins                           uint64 // full joins, because the log no longer reached back
	Parked                          uint64
	Reconnects                      uint64
	Rebuilt                         uint64 // lanes that stood still and were offered anew
	ExchangeErrors                  uint64
}

// Totals is what this node did toward all datacenters.
type Totals struct {
	ShippedMessages, ShippedBytes, ShippedEvents uint64
	PublishErrors                                uint64
	Parked                                       uint64
}

// Totals returns what this node did toward all datacenters since its start.
func (x *Replicator) Totals() Totals {
	x.parking.mu.Lock()
	parked := x.parking.count
	x.parking.mu.Unlock()
	return Totals{
		ShippedMessages: x.totals.shippedMessages.Load(), ShippedBytes: x.totals.shippedBytes.Load(),
		ShippedEvents: x.totals.shippedEvents.Load(), PublishErrors: x.totals.publishErrors.Load(), Parked: parked,
	}
}

// Lag returns the state of the link to each remote datacenter, in order.
func (x *Replicator) Lag() []Lag {
	view := x.view.Load()
	out := make([]Lag, 0, len(view.shared))
	for _, dc := range slices.Sorted(maps.Keys(view.shared)) {
		out = append(out, x.remote(dc).lag(dc, time.Now()))
	}
	return out
}

// remoteDC is what is measured of one remote datacenter.
type remoteDC struct {
	receivedMessages, receivedBytes, refused, gaps atomic.Uint64
	repairs, repairedBytes, joins, parked          atomic.Uint64
	reconnects, rebuilt, exchangeErrors            atomic.Uint64

	mu      sync.Mutex
	heard   map[Peer]time.Time // the last beacon's arrival
	newest  time.Time
	samples [lagSamples]lagSample // a ring
	next    int

	messages map[Peer]uint64 // with events
}

type lagSample struct {
	at  time.Time
	lag time.Duration
}

func (x *Replicator) remote(dc string) *remoteDC {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.remotes[dc]
	if r == nil {
		r = &remoteDC{heard: map[Peer]time.Time{}, messages: map[Peer]uint64{}}
		x.remotes[dc] = r
	}
	return r
}

// arrived notes a message, now by the wall and at by the timer's clock. It
// reports whether the datacenter had been silent. Only beacons are measured:
// data may have waited to be coalesced; and only when they come for the first
// time, or the time until the second delivery would be taken for the link's.
func (r *remoteDC) arrived(now, at time.Time, b *batch, deliveries int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	silent := at.Sub(r.newest) > silentFor
	r.newest = at
	if len(b.Sections) > 0 {
		r.count(b.From)
	}
	if len(b.Sections) > 0 || deliveries > 1 {
		return silent
	}
	if _, known := r.heard[b.From]; known || len(r.heard) < peersKept {
		r.heard[b.From] = at
	}
	r.samples[r.next] = lagSample{at, max(now.Sub(b.Sent), 0)}
	r.next = (r.next + 1) % lagSamples
	return silent
}

func (r *remoteDC) lag(dc string, now time.Time) Lag {
	out := Lag{
		DC: dc, Newest: -1, Oldest: -1,
		ReceivedMessages: r.receivedMessages.Load(), ReceivedBytes: r.receivedBytes.Load(), Refused: r.refused.Load(),
		Gaps: r.gaps.Load(), Repairs: r.repairs.Load(), RepairedBytes: r.repairedBytes.Load(), Joins: r.joins.Load(),
		Parked: r.parked.Load(), Reconnects: r.reconnects.Load(), Rebuilt: r.rebuilt.Load(), ExchangeErrors: r.exchangeErrors.Load(),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.newest.IsZero() {
		out.Newest = now.Sub(r.newest)
	}
	maps.DeleteFunc(r.heard, func(_ Peer, at time.Time) bool { return now.Sub(at) > forgotten })
	for _, at := range r.heard {
		out.Oldest = max(out.Oldest, now.Sub(at))
	}
	var lags []time.Duration
	for _, s := range r.samples {
		if !s.at.IsZero() && now.Sub(s.at) <= lagWindow {
			lags = append(lags, s.lag)
		}
	}
	slices.SortFunc(lags, cmp.Compare[time.Duration])
	if n := len(lags); n > 0 {
		out.Samples, out.P50, out.P99 = n, lags[(n-1)/2], lags[(n-1)*99/100]
	}
	return out
}

// beacons publishes one beacon every BeaconEvery, to each lane in turn, so that
// a lane that stands still is seen as well.
func (x *Replicator) beacons(ctx context.Context) {
	if !pause(ctx, x.phase(x.opts.BeaconEvery, "beacon")) {
		return
	}
	tick := time.NewTicker(x.opts.BeaconEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		b := batch{
			From: x.opts.Self, Incarnation: x.opts.Incarnation, Lane: uint8(n % Lanes), Placement: Everyone,
			Sent: x.opts.Now(),
		}
		if err := x.opts.Link.Publish(ctx, Everyone, n%Lanes, x.packer.pack(b.append(nil))); err != nil && ctx.Err() == nil {
			x.totals.publishErrors.Add(1)
		}
		x.shipper.lane.Add(1)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
