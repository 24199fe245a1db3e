package emulated

import (
	"fmt"

	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/internal/node"
	"github.com/godwitdb/godwit/internal/wan"
)

// Info is the content of demo.json: where everything listens.
type Info struct {
	Dashboard string   `json:"dashboard"`
	DCs       []DCInfo `json:"dcs"`
}

// DCInfo is one datacenter of Info.
type DCInfo struct {
	Name  string     `json:"name"`
	GRPC  []string   `json:"grpc"` // of its nodes, in order
	Nodes []NodeInfo `json:"nodes"`
}

// NodeInfo is one node of Info.
type NodeInfo struct {
	ID string `json:"id"`
	node.Addrs
}

// Info tells where everything listens.
func (c *Cluster) Info() Info {
	var info Info
	for _, d := range c.Topology().Datacenters {
		di := DCInfo{Name: d.Name}
		for _, n := range d.Nodes {
			a := c.Addrs(n.ID)
			di.GRPC = append(di.GRPC, a.GRPC)
			di.Nodes = append(di.Nodes, NodeInfo{n.ID, a})
		}
		info.DCs = append(info.DCs, di)
	}
	return info
}

// control lets a node's API change the emulated links.
type control struct{ net *wan.Network }

var states = map[string]wan.State{"up": wan.Up, "cut": wan.Cut, "reset": wan.Reset, "frozen": wan.Frozen}

// Links is a method of dc.LinkControl.
func (c control) Links() []dc.Link {
	var out []dc.Link
	for _, l := range c.net.Links() {
		out = append(out, dc.Link{
			From: l.From, To: l.To, Latency: l.Profile.Latency, Jitter: l.Profile.Jitter,
			Bandwidth: l.Profile.Bandwidth, State: l.State.String(), Bytes: l.Bytes,
		})
	}
	return out
}

// SetLink is a method of dc.LinkControl.
func (c control) SetLink(ch dc.LinkChange) error {
	found := false
	for _, l := range c.net.Links() {
		ahead := matches(ch.From, l.From) && matches(ch.To, l.To)
		back := ch.BothWays && matches(ch.From, l.To) && matches(ch.To, l.From)
		if !ahead && !back {
			continue
		}
		found = true
		change := wan.Change{State: states[ch.State]}
		if ch.Latency != nil || ch.Jitter != nil || ch.Bandwidth != nil {
			p := l.Profile
			set(&p.Latency, ch.Latency)
			set(&p.Jitter, ch.Jitter)
			set(&p.Bandwidth, ch.Bandwidth)
			change.Profile = &p
		}
		if err := c.net.Set(l.From, l.To, change); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("there is no link from %q to %q", ch.From, ch.To)
	}
	return nil
}

func matches(want, have string) bool { return want == "" || want == have }

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}
