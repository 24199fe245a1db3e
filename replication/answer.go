package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// respond returns what answers the questions of other datacenters until ctx ends.
func (x *Replicator) respond(ctx context.Context) func(context.Context, Peer, []byte) ([]byte, error) {
	return func(call context.Context, from Peer, data []byte) ([]byte, error) {
		x.mu.Lock()
		if x.closed {
			x.mu.Unlock()
			return nil, ErrClosed
		}
		x.wg.Add(1)
		x.mu.Unlock()
		defer x.wg.Done()
		call, cancel := context.WithCancel(call)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()

		raw, err := x.packer.unpack(data)
		if err != nil {
			return nil, err
		}
		q, err := decodeQuery(raw)
		if err != nil {
			return nil, err
		}
		out, err := x.answer(call, from.DC, q)
		if err != nil {
			return nil, err
		}
		return x.packer.pack(out), nil
	}
}

// ErrResidency reports data of a placement that one of two datacenters does not
// hold. Such data are not kept, not even parked.
var ErrResidency = errors.New("placement is not one that both datacenters hold")

func (x *Replicator) answer(ctx context.Context, dc string, q *query) ([]byte, error) {
	switch q.kind {
	case askClocks:
		return x.answerClocks(dc, q.clocks, q.of), nil
	case askNotices:
		return x.answerNotices(q.notices), nil
	case askSteps:
		return x.answerSteps(ctx, dc, q.parts), nil
	case askRebuild:
		return x.answerRebuild(ctx, dc)
	case askRoots:
		return x.answerRoots(dc, q.salt, q.roots), nil
	}
	if !x.view.Load().shares(dc, q.replica.Placement) {
		return nil, ErrResidency
	}
	if q.kind == askHolds {
		return x.answerHolds(ctx, dc, q)
	}
	var m missing
	var err error
	m.deltas, m.more, m.trimmed, err = x.opts.Local.Missing(q.replica, &q.have, pageBytes)
	if err != nil {
		return nil, fmt.Errorf("look for missing events: %w", err)
	}
	return m.encode(), nil
}

// answerClocks reports where the asked replicas stand, except where the asker
// knows, and those that are not here or not the asker's business.
func (x *Replicator) answerClocks(dc string, asked []clockHash, of []string) []byte {
	view := x.view.Load()
	var reports []clockReport
	more, size := false, 0
	for _, a := range asked {
		if !view.shares(dc, a.replica.Placement) {
			continue
		}
		report, err := x.report(dc, a.replica, of)
		if err != nil || report.hash() == a.hash {
			continue
		}
		if size > pageBytes {
			more = true
			break
		}
		size += report.size()
		reports = append(reports, report)
	}
	return encodeReports(reports, more)
}

// report tells a datacenter where a replica stands here, and what is known here
// of others that hold it.
func (x *Replicator) report(dc string, r Replica, of []string) (clockReport, error) {
	c := clockReport{replica: r}
	var err error
	if c.clock, c.least, err = x.opts.Local.Standing(r); err != nil {
		return c, err
	}
	for _, other := range of {
		if other == dc || !slices.Contains(x.opts.Placements(other), r.Placement) {
			continue
		}
		if clock, least, ok := x.opts.Local.Told(other, r); ok {
			c.others = append(c.others, relayed{other, standing{clock, least}})
		}
	}
	return c, nil
}

// size is about how many bytes a report takes.
func (c *clockReport) size() int {
	n := c.clock.Actors() + c.least.Actors() + 1
	for i := range c.others {
		n += c.others[i].clock.Actors() + c.others[i].least.Actors() + 1
	}
	return 32 * n
}
