package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/loadtest"
)

// What a load test asks of the cluster under it: loadTest is a loadtest.Cluster.

// Links are the emulated links, or what --rtt says of real ones.
func (lt *loadTest) Links(ctx context.Context) ([]loadtest.Link, error) {
	resp, err := askAny(lt, func(c *client.Client) (*pb.LinksResponse, error) { return c.Links(ctx) })
	if err != nil {
		return nil, err
	}
	var out []loadtest.Link
	if !resp.GetEmulated() {
		for _, from := range lt.dcs {
			for _, to := range lt.dcs {
				if lt.rtts != nil && from.name != to.name {
					out = append(out, loadtest.Link{From: from.name, To: to.name, Latency: lt.rtts.Between(from.name, to.name) / 2})
				}
			}
		}
		return out, nil
	}
	for _, l := range resp.GetLinks() {
		out = append(out, loadtest.Link{
			From: l.GetFrom(), To: l.GetTo(), Latency: micros(l.GetLatencyUs()), Jitter: micros(l.GetJitterUs()), Bandwidth: int64(l.GetBandwidthBytes()),
		})
	}
	return out, nil
}

func micros(n uint64) time.Duration { return time.Duration(n) * time.Microsecond }

// SetLink changes emulated links.
func (lt *loadTest) SetLink(ctx context.Context, ch loadtest.LinkChange) error {
	req := &pb.SetLinkRequest{From: ch.From, To: ch.To, BothWays: !ch.OneWay}
	switch ch.State {
	case loadtest.LinkUp:
		req.State = pb.LinkState_LINK_STATE_UP
	case loadtest.LinkCut:
		req.State = pb.LinkState_LINK_STATE_CUT
	case loadtest.LinkReset:
		req.State = pb.LinkState_LINK_STATE_RESET
	case loadtest.LinkFrozen:
		req.State = pb.LinkState_LINK_STATE_FROZEN
	}
	if ch.Latency != nil {
		req.LatencyUs = new(uint64(ch.Latency.Microseconds()))
	}
	if ch.Jitter != nil {
		req.JitterUs = new(uint64(ch.Jitter.Microseconds()))
	}
	if ch.Bandwidth != nil {
		req.BandwidthBytes = new(uint64(*ch.Bandwidth))
	}
	_, err := askAny(lt, func(c *client.Client) (*pb.LinksResponse, error) { return c.SetLink(ctx, req) })
	if client.IsPrecondition(err) {
		return fmt.Errorf("%w: %w", loadtest.ErrNotEmulated, err)
	}
	return err
}

// askAny asks one datacenter after the other until one answers.
func askAny[T any](lt *loadTest, ask func(*client.Client) (T, error)) (out T, err error) {
	for _, c := range lt.clients {
		if out, err = ask(c); err == nil || !client.IsUnavailable(err) && !client.IsTimeout(err) {
			return out, err
		}
	}
	return out, err
}

// errNoNodes reports a node that is not this process's to stop.
var errNoNodes = errors.New("nodes of a cluster that runs elsewhere cannot be stopped from here")

// StopNode stops a node of an emulated cluster.
func (lt *loadTest) StopNode(_ context.Context, node string) error {
	if lt.own == nil {
		return errNoNodes
	}
	return lt.own.StopNode(node)
}

// StartNode starts it again; one that runs stays as it is.
func (lt *loadTest) StartNode(ctx context.Context, node string) error {
	switch {
	case lt.own == nil:
		return errNoNodes
	case lt.own.Node(node) != nil:
		return nil
	}
	return lt.own.StartNode(ctx, node)
}

// Equal compares the replicas of all datacenters, as verify does. An interrupted
// run asks it too: ctx is that of the run, not of the command.
func (lt *loadTest) Equal(ctx context.Context) (bool, error) {
	views, err := lt.in.surveyWhile(ctx, lt.members, nil, 0)
	if err != nil {
		return false, err
	}
	for _, v := range views {
		if v.err != nil {
			return false, v.err
		}
	}
	return compare(views, lt.in.s.placementName).Equal, nil
}
