package web

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/godwitdb/godwit/dc"
)

// each makes a family with a value for each of some items.
func each[T any](name, help string, kind prometheus.ValueType, labels []string, items func(f *dc.Figures) []T, read func(f *dc.Figures, item T, emit emit)) family {
	return family{name: prefix + name, help: help, kind: kind, labels: labels, read: func(f *dc.Figures, emit emit) {
		for _, item := range items(f) {
			read(f, item, emit)
		}
	}}
}

// peer is another node of the datacenter, as v1.PeerHealth tells of it.
type peer interface {
	GetId() string
	GetAlive() bool
	GetPhi() float64
	GetOutstanding() uint32
	GetReadMeanMs() float64
	GetReadP95Ms() float64
}

func peerFamilies() []family {
	of := func(name, help string, value func(p peer) float64) family {
		return each(name, help, prometheus.GaugeValue, []string{"peer"}, func(f *dc.Figures) []peer {
			var out []peer
			for _, p := range f.Status.GetPeers() {
				out = append(out, p)
			}
			return out
		}, func(_ *dc.Figures, p peer, emit emit) { emit(value(p), p.GetId()) })
	}
	return []family{
		of("peer_alive", "1 if the node of the datacenter answers and is asked.", func(p peer) float64 { return truth(p.GetAlive()) }),
		of("peer_phi", "Suspicion that the node no longer answers, at most 1000.", peer.GetPhi),
		of("peer_outstanding_requests", "Requests that the node has yet to answer.", func(p peer) float64 { return float64(p.GetOutstanding()) }),
		of("peer_read_mean_seconds", "Mean time of the node's answers to reads, of late.", func(p peer) float64 { return p.GetReadMeanMs() / 1e3 }),
		of("peer_read_p95_seconds", "Time within which the node answers 95 of 100 reads; 0 while there are too few.", func(p peer) float64 { return p.GetReadP95Ms() / 1e3 }),
	}
}

func outboundFamilies() []family {
	type outbound interface {
		GetTo() string
		GetPendingEvents() uint64
		GetPendingBytes() uint64
		GetRepairDebt() uint64
	}
	of := func(name, help string, value func(o outbound) uint64) family {
		return each(name, help, prometheus.GaugeValue, []string{"from", "to"}, func(f *dc.Figures) []outbound {
			var out []outbound
			for _, o := range f.Outbound {
				out = append(out, o)
			}
			return out
		}, func(f *dc.Figures, o outbound, emit emit) { emit(float64(value(o)), f.DC, o.GetTo()) })
	}
	shipped := func(name, help string, value func(f *dc.Figures) uint64) family {
		return counter(name, help, func(f *dc.Figures) float64 {
			if f.Shipped == nil {
				return 0
			}
			return float64(value(f))
		})
	}
	return []family{
		of("replication_pending_events", "Events that the other datacenter, as last heard, lacks of what this node speaks for.", outbound.GetPendingEvents),
		of("replication_pending_bytes", "Bytes of the events that the other datacenter lacks.", outbound.GetPendingBytes),
		of("replication_repair_debt_partitions", "Partitions whose log no longer reaches back to the other datacenter's clock.", outbound.GetRepairDebt),
		shipped("replication_shipped_messages", "Messages shipped to other datacenters.", func(f *dc.Figures) uint64 { return f.Shipped.ShippedMessages }),
		shipped("replication_shipped_events", "Events shipped to other datacenters.", func(f *dc.Figures) uint64 { return f.Shipped.ShippedEvents }),
		shipped("replication_shipped_bytes", "Bytes shipped to other datacenters.", func(f *dc.Figures) uint64 { return f.Shipped.ShippedBytes }),
		shipped("replication_publish_errors", "Messages that the broker did not take at once.", func(f *dc.Figures) uint64 { return f.Shipped.PublishErrors }),
	}
}
