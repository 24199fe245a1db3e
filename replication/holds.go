package replication

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/godwitdb/godwit/crdt"
)

const (
	// askHolds is the kind of a question, see query.go.
	askHolds = 17

	holdsWait    = 500 * time.Millisecond // that a question whether events have arrived waits for them
	holdsTimeout = 3 * time.Second        // of one such question, with the way there and back
	holdsAtOnce  = 24                     // that wait here; fewer than the requests that a link answers at once
)

// errNoWay reports a datacenter to which no link leads.
var errNoWay = errors.New("no link leads there")

// Holds asks another datacenter whether it holds events of a replica durably, at
// a write quorum. The question waits there a moment for those that are on their
// way, so false says nothing about later. A datacenter without a link to this one
// is asked through one that has it.
func (x *Replicator) Holds(ctx context.Context, dc string, r Replica, clock *crdt.Clock) (bool, error) {
	return x.holds(ctx, dc, r, clock, true)
}

func (x *Replicator) holds(ctx context.Context, dc string, r Replica, clock *crdt.Clock, relay bool) (bool, error) {
	view := x.view.Load()
	var to []Peer
	switch _, linked := view.shared[dc]; {
	case linked:
		to = x.candidates(dc, r)
	case relay:
		for _, via := range slices.Sorted(maps.Keys(view.shared)) {
			if view.shares(via, r.Placement) {
				to = append(to, x.candidates(via, r)...)
			}
		}
	}
	err := fmt.Errorf("datacenter %s: %w", dc, errNoWay)
	for _, peer := range to {
		var held bool
		if held, err = x.askHolds(ctx, peer, &query{kind: askHolds, replica: r, have: *clock, dc: dc}); err == nil {
			return held, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return false, err
}

func (x *Replicator) candidates(dc string, r Replica) []Peer {
	var out []Peer
	for _, node := range x.opts.Local.Candidates(dc, r) {
		out = append(out, Peer{dc, node})
	}
	return out
}

func (x *Replicator) askHolds(ctx context.Context, to Peer, q *query) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, holdsTimeout)
	defer cancel()
	answer, err := x.opts.Link.Request(ctx, to, x.packer.pack(q.encode()))
	if err != nil {
		return false, err
	}
	raw, err := x.packer.unpack(answer)
	if err != nil {
		return false, err
	}
	return decodeHolds(raw)
}

// answerHolds answers for this datacenter, or asks the one that is meant.
func (x *Replicator) answerHolds(ctx context.Context, from string, q *query) ([]byte, error) {
	if x.opts.Holds == nil {
		return nil, errors.New("this node does not tell what it holds")
	}
	if !x.holding.TryAcquire(1) {
		return encodeHolds(false), nil // it is asked again
	}
	defer x.holding.Release(1)
	if q.dc != x.opts.Self.DC {
		if !x.view.Load().shares(q.dc, q.replica.Placement) || q.dc == from {
			return nil, fmt.Errorf("datacenter %s: %w", q.dc, errNoWay)
		}
		held, err := x.holds(ctx, q.dc, q.replica, &q.have, false)
		return encodeHolds(held), err
	}
	ctx, cancel := context.WithTimeout(ctx, holdsWait)
	defer cancel()
	return encodeHolds(x.opts.Holds(ctx, q.replica, &q.have)), nil
}

// encodeHolds makes the answer to askHolds.
func encodeHolds(held bool) []byte { return appendBool([]byte{queryVersion}, held) }

func decodeHolds(b []byte) (held bool, err error) {
	r := reader{b: b}
	r.answerVersion()
	held = r.bool("held")
	return held, r.done("answer whether events are held")
}
