package replication

import (
	"context"
	"sync/atomic"
	"time"
)

// askRebuild is the kind of a question, see query.go: the asked node is to offer
// its lanes to the asker's datacenter anew.
const askRebuild = 18

const (
	stalledBeacons = 10               // of a lane that do not come, before it counts as stalled
	stalledLeast   = 10 * time.Second // and at least so long
	rebuildTimeout = 5 * time.Second
	rebuildMost    = 5 * time.Minute // between two attempts at one lane
)

// pulse is when a lane last showed life. Each lane carries a beacon every
// Lanes x BeaconEvery, so one that is silent while its node answers questions
// stands still in the broker, whatever the broker says of it.
type pulse struct {
	heard   atomic.Int64 // nanoseconds since began
	busy    atomic.Bool  // a message is being taken in, which may have to wait
	began   time.Time
	pausing time.Duration // before the next attempt; of the keeper alone
	tried   time.Time     // likewise
	trying  atomic.Bool
}

func newPulse() *pulse { return &pulse{began: time.Now()} }

func (p *pulse) beat() { p.heard.Store(int64(time.Since(p.began))) }

// silent is for how long nothing has come, 0 while something is being taken in.
func (p *pulse) silent() time.Duration {
	if p.busy.Load() {
		p.beat()
		return 0
	}
	return time.Since(p.began) - time.Duration(p.heard.Load())
}

func (x *Replicator) stalledAfter() time.Duration {
	return max(stalledLeast, stalledBeacons*Lanes*x.opts.BeaconEvery)
}

// reviveStalled has lanes rebuilt that stand still. It forgets nothing: what a
// node still keeps comes again, and the clocks ask for the rest.
func (k *keeper) reviveStalled(ctx context.Context) {
	for id, p := range k.pulls {
		limit := k.x.stalledAfter()
		if p.pulse.silent() < limit {
			p.pulse.pausing = 0
			continue
		}
		if time.Since(p.pulse.tried) < max(limit, p.pulse.pausing) || !p.pulse.trying.CompareAndSwap(false, true) {
			continue
		}
		p.pulse.tried, p.pulse.pausing = time.Now(), min(max(2*p.pulse.pausing, limit), rebuildMost)
		if !k.x.spawn(func() { defer p.pulse.trying.Store(false); k.x.rebuild(ctx, id, p) }) {
			return
		}
	}
}

// rebuild asks the node of a lane to offer its lanes anew. One that cannot be
// reached has not stalled, nor has one that can be again and now sends.
func (x *Replicator) rebuild(ctx context.Context, id pullID, p *pulling) {
	for _, kind := range []byte{askClocks, askRebuild} { // the first about nothing
		if kind == askRebuild && (!pause(ctx, 2*Lanes*x.opts.BeaconEvery) || p.pulse.silent() < x.stalledAfter()) {
			return
		}
		q := query{kind: kind}
		asking, cancel := context.WithTimeout(ctx, rebuildTimeout)
		_, err := x.opts.Link.Request(asking, id.peer, x.packer.pack(q.encode()))
		cancel()
		if err != nil {
			x.opts.Logger.Debug("silent lane not rebuilt", "peer", id.peer.String(), "lane", id.lane, "error", err)
			return
		}
	}
	x.remote(id.peer.DC).rebuilt.Add(1)
	x.opts.Logger.Warn("lane rebuilt because it stood still", "peer", id.peer.String(), "lane", id.lane, "silent_for", p.pulse.silent())
	p.again()
	x.wakeAsker(id.peer.DC)
}

// answerRebuild takes back what is offered to a datacenter, and offers it again.
func (x *Replicator) answerRebuild(ctx context.Context, dc string) ([]byte, error) {
	placements, ok := x.view.Load().shared[dc]
	if !ok {
		return nil, ErrResidency
	}
	x.rebuilding.Lock()
	defer x.rebuilding.Unlock()
	if time.Since(x.rebuiltAt[dc]) < stalledLeast {
		return []byte{queryVersion}, nil // for another lane, just now
	}
	if err := x.opts.Link.Offer(ctx, dc, nil); err != nil {
		return nil, err
	}
	if err := x.opts.Link.Offer(ctx, dc, placements); err != nil {
		return nil, err
	}
	x.rebuiltAt[dc] = time.Now()
	return []byte{queryVersion}, nil
}
