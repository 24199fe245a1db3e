package replication

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	nakMin        = 100 * time.Millisecond
	nakMax        = 5 * time.Second
	partitionsPer = 8           // partitions of one message applied at once
	heldBeacons   = 3           // of one lane, before they are acknowledged,
	heldBeaconFor = ackWait / 4 // ... if they come at least this often
)

// intake takes one lane of one peer in.
type intake struct {
	x    *Replicator
	id   pullID
	last map[uint32]arrival // by placement; of handle alone
	held []Message          // beacons to acknowledge; of handle alone

	pulse *pulse // of the lane; it outlives a pull
}

// arrival is the last message of a placement.
type arrival struct{ incarnation, seq uint64 }

func (in *intake) run(ctx context.Context) {
	err := in.x.opts.Link.Pull(ctx, in.id.peer, in.id.lane, in.handle)
	in.release()
	if err != nil && ctx.Err() == nil {
		in.x.opts.Logger.Warn("lane no longer pulled", "peer", in.id.peer.String(), "lane", in.id.lane, "error", err)
	}
}

// handle checks a message and applies it beside others, as long as memory
// allows: the peer keeps what is not taken.
func (in *intake) handle(ctx context.Context, m Message) {
	in.pulse.busy.Store(true)
	defer in.pulse.busy.Store(false)
	in.pulse.beat()
	defer in.pulse.beat()
	x := in.x
	remote := x.remote(m.From.DC)
	remote.receivedMessages.Add(1)
	remote.receivedBytes.Add(uint64(len(m.Data)))
	b, err := in.decode(m)
	if err != nil {
		x.park(Parked{From: m.From, Lane: m.Lane, Placement: m.Placement, Whole: true, Reason: err.Error(), Cut: errors.Is(err, ErrResidency)}, m.Data)
		m.Ack()
		return
	}
	if remote.arrived(x.opts.Now(), time.Now(), b, m.Deliveries) {
		x.wakeAsker(m.From.DC)
	}
	if len(b.Sections) == 0 {
		in.hold(m)
		return
	}
	in.release()
	if in.gap(b) {
		remote.gaps.Add(1)
		x.wakeAsker(m.From.DC)
	}
	size := int64(0)
	for _, s := range b.Sections {
		size += int64(len(s.Delta))
	}
	if x.inbound.Acquire(ctx, size) != nil {
		m.Nak(0) // no longer this node's to pull
		return
	}
	if x.throttle(ctx, m.From.DC, len(m.Data)) != nil {
		x.inbound.Release(size)
		m.Nak(0)
		return
	}
	started := x.spawn(func() {
		defer x.inbound.Release(size)
		x.settle(ctx, m, x.apply(ctx, b))
	})
	if !started {
		x.inbound.Release(size)
	}
}

// hold acknowledges beacons a few at a time, well before they would come
// again: the broker writes a file after each acknowledgement, and on an idle
// node that is most of what it does.
func (in *intake) hold(m Message) {
	in.held = append(in.held, m)
	if len(in.held) >= heldBeacons || in.x.opts.BeaconEvery*Lanes > heldBeaconFor {
		in.release()
	}
}

func (in *intake) release() {
	for _, m := range in.held {
		m.Ack()
	}
	clear(in.held)
	in.held = in.held[:0]
}

// decode takes a message apart and checks that it is what the way it came says.
func (in *intake) decode(m Message) (*batch, error) {
	raw, err := in.x.packer.unpack(m.Data)
	if err != nil {
		return nil, err
	}
	b, err := decodeBatch(raw)
	switch {
	case err != nil:
		return nil, err
	case b.From != m.From || int(b.Lane) != m.Lane || b.Placement != m.Placement:
		return nil, errors.New("message is not from where it came")
	case len(b.Sections) > 0 && !in.x.view.Load().shares(m.From.DC, b.Placement):
		return nil, ErrResidency
	}
	return b, nil
}

// gap reports whether messages before b are missing. They may only be late:
// what is really missing, the clocks know.
func (in *intake) gap(b *batch) bool {
	last, known := in.last[b.Placement]
	if !known || last.incarnation != b.Incarnation {
		in.last[b.Placement] = arrival{b.Incarnation, b.Seq}
		return false
	}
	if b.Seq > last.seq {
		in.last[b.Placement] = arrival{b.Incarnation, b.Seq}
	}
	return b.Seq > last.seq+1
}

// apply applies every partition of a message; it returns what can be tried
// again. What cannot is parked.
func (x *Replicator) apply(ctx context.Context, b *batch) error {
	var g errgroup.Group // without its context: one failure does not undo the work of the others
	g.SetLimit(partitionsPer)
	for from := 0; from < len(b.Sections); {
		to := from + 1
		for to < len(b.Sections) && b.Sections[to].Partition == b.Sections[from].Partition {
			to++
		}
		r := Replica{b.Placement, b.Sections[from].Partition}
		deltas := make([][]byte, 0, to-from)
		for _, s := range b.Sections[from:to] {
			deltas = append(deltas, s.Delta)
		}
		note := Parked{From: b.From, Lane: int(b.Lane), Placement: b.Placement, Seq: b.Seq}
		g.Go(func() error { return x.applyTo(ctx, r, deltas, note) })
		from = to
	}
	return g.Wait()
}

// applyTo applies deltas to one replica. If one of them is bad for good, it is
// parked and the others are applied without it.
func (x *Replicator) applyTo(ctx context.Context, r Replica, deltas [][]byte, note Parked) error {
	err := x.applyOnce(ctx, r, deltas)
	if !errors.Is(err, ErrPermanent) {
		return err
	}
	if len(deltas) == 1 {
		note.Partition, note.Reason, note.Cut = r.Partition, err.Error(), errors.Is(err, ErrResidency)
		x.park(note, deltas[0])
		return nil
	}
	for _, d := range deltas {
		if err := x.applyTo(ctx, r, [][]byte{d}, note); err != nil {
			return err
		}
	}
	return nil
}

func (x *Replicator) applyOnce(ctx context.Context, r Replica, deltas [][]byte) error {
	if err := x.appliers.Acquire(ctx, 1); err != nil {
		return err
	}
	defer x.appliers.Release(1)
	ctx, cancel := context.WithTimeout(ctx, x.opts.ApplyTimeout)
	defer cancel()
	return x.opts.Local.Apply(ctx, r, deltas)
}

func (x *Replicator) settle(ctx context.Context, m Message, err error) {
	remote := x.remote(m.From.DC)
	switch {
	case err == nil:
		m.Ack()
	case ctx.Err() == nil:
		remote.refused.Add(1)
		x.opts.Logger.Debug("message not applied, it comes again", "peer", m.From.String(), "lane", m.Lane, "error", err)
		m.Nak(min(nakMin<<min(m.Deliveries-1, 10), nakMax))
	}
}
