package web

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/godwitdb/godwit/dc"
)

// inboundFamilies tell of the streams from other datacenters, as far as this
// node pulls them.
func inboundFamilies() []family {
	pair := []string{"from", "to"}
	var out []family
	times := func(name, help string, of func(f *dc.Figures, i int) time.Duration) {
		out = append(out, family{name: prefix + name, help: help, kind: prometheus.GaugeValue, labels: pair, read: func(f *dc.Figures, emit emit) {
			for i, l := range f.Inbound {
				if d := of(f, i); d >= 0 { // negative: never heard
					emit(d.Seconds(), l.DC, f.DC)
				}
			}
		}})
	}
	times("replication_beacon_age_seconds", "Time since the last message of the other datacenter arrived; none before the first.",
		func(f *dc.Figures, i int) time.Duration { return f.Inbound[i].Newest })
	times("replication_lag_p50_seconds", "Median of the time from sending to arrival, over the last minute.",
		func(f *dc.Figures, i int) time.Duration { return f.Inbound[i].P50 })
	times("replication_lag_p99_seconds", "Time within which 99 of 100 beacons arrived, over the last minute.",
		func(f *dc.Figures, i int) time.Duration { return f.Inbound[i].P99 })
	count := func(name, help string, of func(f *dc.Figures, i int) uint64) {
		out = append(out, family{name: prefix + name + "_total", help: help, kind: prometheus.CounterValue, labels: pair, read: func(f *dc.Figures, emit emit) {
			for i, l := range f.Inbound {
				emit(float64(of(f, i)), l.DC, f.DC)
			}
		}})
	}
	count("replication_received_messages", "Messages received.", func(f *dc.Figures, i int) uint64 { return f.Inbound[i].ReceivedMessages })
	count("replication_received_bytes", "Bytes received.", func(f *dc.Figures, i int) uint64 { return f.Inbound[i].ReceivedBytes })
	count("replication_refused", "Deliveries that came again because they could not be applied yet.", func(f *dc.Figures, i int) uint64 { return f.Inbound[i].Refused })
	count("replication_gaps", "Jumps in the sequence of a stream.", func(f *dc.Figures, i int) uint64 { return f.Inbound[i].Gaps })
	count("replication_repairs", "Times that missing events were asked for.", func(f *dc.Figures, i int) uint64 { return f.Inbound[i].Repairs })
	count("replication_repaired_bytes", "Bytes of events that were asked for.", func(f *dc.Figures, i int) uint64 { return f.Inbound[i].RepairedBytes })
	count("replication_joins", "Joins of a whole partition, because the log no longer reached back.", func(f *dc.Figures, i int) uint64 { return f.Inbound[i].Joins })
	count("replication_parked", "Batches that could not be applied and were set aside.", func(f *dc.Figures, i int) uint64 { return f.Inbound[i].Parked })
	count("replication_reconnects", "Times that a stream was connected again.", func(f *dc.Figures, i int) uint64 { return f.Inbound[i].Reconnects })
	count("replication_rebuilt", "Streams that stood still and were rebuilt.", func(f *dc.Figures, i int) uint64 { return f.Inbound[i].Rebuilt })
	count("replication_exchange_errors", "Comparisons of clocks that failed.", func(f *dc.Figures, i int) uint64 { return f.Inbound[i].ExchangeErrors })
	return out
}
