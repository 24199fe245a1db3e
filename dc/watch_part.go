package dc

import (
	"time"

	"google.golang.org/protobuf/proto"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
)

// part carries out what was answered of one partition.
func (w *watching) part(p *watchPart, d *peerv1.TailPartDone) error {
	switch {
	case d.GetBehind():
		w.lacking(p)
		return nil
	case d.GetTrimmed():
		if p.tried++; p.tried < len(w.l.readers(p.id)) {
			w.giveUp(p)
		} else {
			p.clock, p.tried, p.list = nil, 0, &watchList{reason: v1.ResyncReason_RESYNC_REASON_TRIMMED}
			w.moved = true
		}
		return nil
	}
	var clock crdt.Clock
	if p.list == nil || len(d.GetClock()) > 0 {
		var err error
		if clock, err = crdt.DecodeClock(d.GetClock()); err != nil {
			return err
		}
	}
	if len(d.GetSeen()) > 0 {
		seen, err := crdt.DecodeClock(d.GetSeen())
		if err != nil {
			return err
		}
		p.seen = seen
	}
	p.failed, p.behind, p.tried = false, time.Time{}, 0
	if p.list != nil {
		return w.listed(p, d, clock)
	}
	if err := w.changes(p, d); err != nil {
		return err
	}
	w.moved = w.moved || p.clock == nil || !p.clock.Equal(&clock)
	if p.clock = &clock; clock.Covers(&p.seen) {
		p.seen = crdt.Clock{}
	}
	if w.told >= watchEvery {
		return w.progress()
	}
	return nil
}

// lacking deals with an owner that does not hold what was told. If none comes to
// hold it, it is lost, and what is there now is told instead.
func (w *watching) lacking(p *watchPart) {
	now := time.Now()
	if p.behind.IsZero() {
		p.behind = now
	}
	if now.Sub(p.behind) >= watchBehind {
		p.clock, p.seen, p.behind = nil, crdt.Clock{}, time.Time{}
		p.list = &watchList{reason: v1.ResyncReason_RESYNC_REASON_LOST}
		w.moved = true
	}
	w.giveUp(p)
}

// listed carries out a page of a resync.
func (w *watching) listed(p *watchPart, d *peerv1.TailPartDone, clock crdt.Clock) error {
	say := &v1.Resync{Reason: p.list.reason, Partition: p.id.Partition, Partitions: uint32(len(w.parts))}
	if len(d.GetClock()) > 0 {
		p.list.clock, p.list.begun = clock, true
		if err := w.emit(&v1.WatchResponse{Of: &v1.WatchResponse_Resync{Resync: say}}); err != nil {
			return err
		}
	}
	if !p.list.begun {
		return nil
	}
	if err := w.changes(p, d); err != nil {
		return err
	}
	if p.list.after = d.GetAfter(); d.GetMore() {
		return nil
	}
	p.clock, p.list, w.moved = &p.list.clock, nil, true
	return w.emit(&v1.WatchResponse{Of: &v1.WatchResponse_Resync{Resync: &v1.Resync{
		Reason: say.GetReason(), Partition: say.GetPartition(), Partitions: say.GetPartitions(), Over: true,
	}}})
}

// changes tells changes, in messages that are not too large.
func (w *watching) changes(p *watchPart, d *peerv1.TailPartDone) error {
	var session *v1.Session
	if len(d.GetToken()) > 0 {
		session = &v1.Session{
			Placement: p.id.Placement, Partition: p.id.Partition, Partitions: uint32(len(w.parts)),
			Tokens: [][]byte{d.GetToken()}, Truncated: d.GetTruncated(),
		}
	}
	w.told += len(d.GetChanges())
	for all := d.GetChanges(); len(all) > 0; {
		n, size := 0, 0
		for n < len(all) && (n == 0 || size < watchChunk) {
			size += proto.Size(all[n])
			n++
		}
		if err := w.emit(&v1.WatchResponse{Of: &v1.WatchResponse_Changes{Changes: &v1.Changes{Changes: all[:n], Session: session}}}); err != nil {
			return err
		}
		all = all[n:]
	}
	return nil
}

// beat turns away from nodes that fell silent, follows the ring, and says from
// time to time how far the watch is.
func (w *watching) beat() error {
	if w.n.layout() != w.l {
		w.relay()
	}
	for node, o := range w.polls {
		if o.alive && !w.n.alive(node) {
			o.cancel()
			o.alive = false
			for _, p := range o.parts {
				if p.source == node {
					w.giveUp(p)
				}
			}
		}
	}
	if w.beats++; w.beats%watchBeats != 0 {
		return nil
	}
	if err := w.n.open(); err != nil {
		return err
	}
	if _, err := w.n.target(w.bucket.Name, []byte{0}); err != nil { // it is no longer there, or not here
		return err
	}
	return w.progress()
}

// progress says how far the watch is. The first cursor is told once every
// partition has begun: what happens from then on is not missed.
func (w *watching) progress() error {
	say := &v1.Progress{}
	ready := true
	clocks := make([]*crdt.Clock, len(w.parts))
	for i, p := range w.parts {
		clocks[i] = p.clock
		if p.failed || p.clock == nil {
			say.Waiting++
		}
		ready = ready && (p.clock != nil || p.list != nil)
	}
	w.told = 0
	if ready && (w.moved || !w.began) {
		say.Cursor = w.n.sealCursor(w.bucket, w.req.GetPrefix(), clocks)
		w.began, w.moved = true, false
	}
	return w.emit(&v1.WatchResponse{Of: &v1.WatchResponse_Progress{Progress: say}})
}
