package dc

import (
	"context"
	"slices"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/replication"
)

// lag answers for this node: what it heard from other datacenters, and what
// the partitions for which it speaks still have to send to each.
func (n *Node) lag() (*v1.LagResponse, error) {
	resp := &v1.LagResponse{Dc: n.dc}
	if r := n.replicator(); r != nil {
		for _, l := range r.Lag() {
			resp.Inbound = append(resp.Inbound, &v1.Inbound{
				From: l.DC, BeaconAgeMs: max(ms(l.Newest), -1), LagP50Ms: ms(l.P50), LagP99Ms: ms(l.P99), Parked: l.Parked,
			})
		}
		if r, ok := r.(verifier); ok {
			addVerified(resp.GetInbound(), r.Verified())
		}
	}
	out := map[string]*v1.Outbound{}
	for _, id := range n.Remote().Led() {
		if err := n.oweAll(out, id); err != nil {
			return nil, err
		}
	}
	for _, d := range n.topology().Datacenters {
		if o := out[d.Name]; o != nil {
			resp.Outbound = append(resp.Outbound, o)
		}
	}
	return resp, nil
}

// oweAll adds what every other datacenter lacks of one replica.
func (n *Node) oweAll(out map[string]*v1.Outbound, id replication.Replica) error {
	for dcName := range n.placement(id.Placement).rings {
		if dcName == n.dc {
			continue
		}
		if out[dcName] == nil {
			out[dcName] = &v1.Outbound{To: dcName}
		}
		if err := n.owe(out[dcName], id); err != nil {
			return err
		}
	}
	return nil
}

// owe adds what a datacenter lacks of one replica.
func (n *Node) owe(o *v1.Outbound, id replication.Replica) error {
	have := n.peers.remoteClock(o.GetTo(), id)
	owed, err := n.store.Replica(replicaOf(id)).Owed(&have)
	o.PendingEvents += owed.Events
	o.PendingBytes += uint64(max(owed.Bytes, 0))
	if owed.Trimmed {
		o.RepairDebt++
	}
	return err
}

// verifier is what a Replicator can tell besides.
type verifier interface{ Verified() []replication.Verified }

func addVerified(inbound []*v1.Inbound, all []replication.Verified) {
	for _, v := range all {
		i := slices.IndexFunc(inbound, func(i *v1.Inbound) bool { return i.GetFrom() == v.DC })
		if i < 0 {
			continue
		}
		inbound[i].Unequal = v.Unequal
		if !v.At.IsZero() {
			inbound[i].VerifiedUnixMs = uint64(max(v.At.UnixMilli(), 0))
		}
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Lag answers for the datacenter: the newest beacon that any node heard, and
// the sum of what waits.
func (n *Node) Lag(ctx context.Context) *v1.LagResponse {
	resp := &v1.LagResponse{Dc: n.dc}
	in, out := map[string]*v1.Inbound{}, map[string]*v1.Outbound{}
	n.everywhere(ctx, inspectTimeout, &peerv1.Inspect{Of: &peerv1.Inspect_Lag{}}, func(_ string, a *peerv1.InspectDone) {
		for _, i := range a.GetLag().GetInbound() {
			mergeInbound(in, i)
		}
		for _, o := range a.GetLag().GetOutbound() {
			if have := out[o.GetTo()]; have == nil {
				out[o.GetTo()] = o
			} else {
				have.PendingEvents += o.GetPendingEvents()
				have.PendingBytes += o.GetPendingBytes()
				have.RepairDebt += o.GetRepairDebt()
			}
		}
	})
	for _, d := range n.topology().Datacenters {
		if i := in[d.Name]; i != nil {
			resp.Inbound = append(resp.Inbound, i)
		}
		if o := out[d.Name]; o != nil {
			resp.Outbound = append(resp.Outbound, o)
		}
	}
	return resp
}

func mergeInbound(in map[string]*v1.Inbound, i *v1.Inbound) {
	have := in[i.GetFrom()]
	if have != nil {
		have.Unequal += i.GetUnequal()
		have.Parked += i.GetParked()
		if verified := i.GetVerifiedUnixMs(); verified < have.GetVerifiedUnixMs() { // the node that is behind the others
			have.VerifiedUnixMs = verified
		}
	}
	switch {
	case have == nil:
		in[i.GetFrom()] = i
	case i.GetBeaconAgeMs() >= 0:
		if have.GetBeaconAgeMs() < 0 || i.GetBeaconAgeMs() < have.GetBeaconAgeMs() {
			have.BeaconAgeMs = i.GetBeaconAgeMs()
		}
		have.LagP50Ms = max(have.GetLagP50Ms(), i.GetLagP50Ms())
		have.LagP99Ms = max(have.GetLagP99Ms(), i.GetLagP99Ms())
	}
}

// Link is one direction between two datacenters, and what is emulated on it.
type Link struct {
	From, To        string
	Latency, Jitter time.Duration
	Bandwidth       int64  // bytes a second; 0 is unlimited
	State           string // up, cut, reset, frozen
	Bytes           int64  // carried so far
}

// LinkChange changes emulated links. Empty names stand for every datacenter;
// zero fields and nil pointers leave things as they are.
type LinkChange struct {
	From, To        string
	BothWays        bool
	State           string
	Latency, Jitter *time.Duration
	Bandwidth       *int64
}

// Links shows the links between datacenters.
func (n *Node) Links() *v1.LinksResponse {
	if n.opts.Links == nil {
		return &v1.LinksResponse{}
	}
	resp := &v1.LinksResponse{Emulated: true}
	for _, l := range n.opts.Links.Links() {
		resp.Links = append(resp.Links, &v1.Link{
			From: l.From, To: l.To, LatencyUs: uint64(l.Latency.Microseconds()), JitterUs: uint64(l.Jitter.Microseconds()),
			BandwidthBytes: uint64(l.Bandwidth), Bytes: uint64(l.Bytes),
			State: v1.LinkState(slices.Index(linkStates, l.State)),
		})
	}
	return resp
}

// linkStates are the names of v1.LinkState, in its order.
var linkStates = []string{"", "up", "cut", "reset", "frozen"}

// SetLink changes emulated links.
func (n *Node) SetLink(req *v1.SetLinkRequest) (*v1.LinksResponse, error) {
	if n.opts.Links == nil {
		return nil, refuse(FailedPrecondition, "LINKS_ARE_REAL", "the links of this cluster are not emulated; only a demo or a load test can change them")
	}
	if int(req.GetState()) >= len(linkStates) || req.GetState() < 0 {
		return nil, refuse(InvalidArgument, "UNKNOWN_STATE", "unknown link state %d", req.GetState())
	}
	c := LinkChange{From: req.GetFrom(), To: req.GetTo(), BothWays: req.GetBothWays(), State: linkStates[req.GetState()]}
	if req.LatencyUs != nil {
		d := time.Duration(min(req.GetLatencyUs(), 60_000_000)) * time.Microsecond
		c.Latency = &d
	}
	if req.JitterUs != nil {
		d := time.Duration(min(req.GetJitterUs(), 60_000_000)) * time.Microsecond
		c.Jitter = &d
	}
	if req.BandwidthBytes != nil {
		b := int64(min(req.GetBandwidthBytes(), 1<<50))
		c.Bandwidth = &b
	}
	if err := n.opts.Links.SetLink(c); err != nil {
		return nil, refuse(InvalidArgument, "BAD_LINK", "%s", err)
	}
	return n.Links(), nil
}
