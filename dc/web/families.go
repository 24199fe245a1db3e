package web

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/godwitdb/godwit/dc"
)

// family is one metric, of one value or one for each combination of labels.
type family struct {
	name   string
	help   string
	kind   prometheus.ValueType
	labels []string
	read   func(f *dc.Figures, emit emit)
}

// emit takes one value, with as many labels as the family names.
type emit func(value float64, labels ...string)

const prefix = "godwit_"

func gauge(name, help string, of func(f *dc.Figures) float64) family {
	return family{name: prefix + name, help: help, kind: prometheus.GaugeValue, read: func(f *dc.Figures, emit emit) { emit(of(f)) }}
}

func counter(name, help string, of func(f *dc.Figures) float64) family {
	x := gauge(name+"_total", help, of)
	x.kind = prometheus.CounterValue
	return x
}

// families lists everything that is measured when it is asked for.
func families() []family {
	var out []family
	for _, some := range [][]family{nodeFamilies(), storageFamilies(), counterFamilies(), peerFamilies(), inboundFamilies(), outboundFamilies()} {
		out = append(out, some...)
	}
	return out
}

func nodeFamilies() []family {
	return []family{
		{
			name: prefix + "node_info", help: "Always 1; the labels tell the datacenter, the node and its version.", kind: prometheus.GaugeValue,
			labels: []string{"dc", "node", "version"}, read: func(f *dc.Figures, emit emit) { emit(1, f.DC, f.Node, f.Version) },
		},
		gauge("uptime_seconds", "Time since the node was opened.", func(f *dc.Figures) float64 { return float64(f.Status.GetUptimeMs()) / 1e3 }),
		gauge("keys", "Keys on the replicas of this node.", func(f *dc.Figures) float64 { return float64(f.Status.GetKeys()) }),
		gauge("replicas", "Replicas on this node, those held for others included.", func(f *dc.Figures) float64 { return float64(f.Held) }),
		gauge("partitions_owned", "Partitions, of all placements, that are read from this node.", func(f *dc.Figures) float64 { return float64(f.Status.GetPartitions()) }),
		gauge("guests", "Replicas that this node holds for owners and is to hand over.", func(f *dc.Figures) float64 { return float64(f.Status.GetGuests()) }),
		gauge("recovering_replicas", "Replicas that do not count for reads: the directory is new, and they may lack what they held in one before it.", func(f *dc.Figures) float64 { return float64(f.Status.GetRecovering()) }),
		gauge("moving_replicas", "Replicas that this node is to own and has yet to catch up with.", func(f *dc.Figures) float64 {
			return float64(f.Status.GetMoving().GetPartitions()) - float64(f.Status.GetMoving().GetPartitionsDone())
		}),
		gauge("ring_epoch", "Number of the ring document that the node acts under.", func(f *dc.Figures) float64 { return float64(f.Status.GetEpoch()) }),
		gauge("parked_batches", "Batches from other datacenters that this node has set aside for an operator.", func(f *dc.Figures) float64 { return float64(f.Status.GetParked()) }),
		gauge("topology_version", "Version of the topology that the node acts under.", func(f *dc.Figures) float64 { return float64(f.TopologyVersion) }),
		{
			name: prefix + "topology_differs", help: "1 while the other datacenter, as last heard, acts under another topology than this node.", kind: prometheus.GaugeValue,
			labels: []string{"dc", "other"}, read: func(f *dc.Figures, emit emit) {
				for _, o := range f.Elsewhere {
					if o.GetVersion() != 0 { // else it has not told
						emit(truth(o.GetHash() != f.TopologyHash), f.DC, o.GetDc())
					}
				}
			},
		},
		{
			name: prefix + "datacenter_state", help: "Always 1; the label state tells how far the other datacenter takes part: joined, joining, fenced, removed.", kind: prometheus.GaugeValue,
			labels: []string{"dc", "other", "state"}, read: func(f *dc.Figures, emit emit) {
				for _, d := range f.Datacenters {
					emit(1, f.DC, d.GetName(), d.GetState())
				}
			},
		},
		{
			name: prefix + "datacenter_behind_partitions", help: "Partitions that dc has yet to catch up with, of what all others had or, where other is fenced, of what that had.", kind: prometheus.GaugeValue,
			labels: []string{"dc", "other"}, read: func(f *dc.Figures, emit emit) {
				for _, d := range f.Datacenters {
					for _, c := range d.GetCaught() {
						if c.GetDc() == f.DC {
							emit(float64(c.GetPartitions()-c.GetPartitionsDone()), f.DC, d.GetName())
						}
					}
				}
			},
		},
		gauge("buckets", "Buckets that the node knows.", func(f *dc.Figures) float64 { return float64(f.Buckets) }),
		gauge("log_events", "Events kept in the log.", func(f *dc.Figures) float64 { return float64(f.Status.GetLogEvents()) }),
		gauge("stable_lag_seconds", "Age of the oldest event in the log, which not every replica is known to have.", func(f *dc.Figures) float64 {
			return float64(f.Status.GetStableLagMs()) / 1e3
		}),
		gauge("conflicts", "Conflicts on the replicas of this node that wait for a decision.", func(f *dc.Figures) float64 { return float64(f.Status.GetConflicts()) }),
		gauge("read_only", "1 while the disk is nearly full and writes are refused.", func(f *dc.Figures) float64 { return truth(f.Status.GetReadOnly()) }),
	}
}

func storageFamilies() []family {
	return []family{
		gauge("storage_disk_bytes", "Size of the database on disk.", func(f *dc.Figures) float64 { return float64(f.Storage.DiskBytes) }),
		gauge("storage_log_bytes", "Size of the event log, before compression.", func(f *dc.Figures) float64 { return float64(f.Storage.LogBytes) }),
		gauge("storage_cache_bytes", "Block cache in use.", func(f *dc.Figures) float64 { return float64(f.Storage.CacheBytes) }),
		counter("storage_cache_hits", "Blocks found in the cache.", func(f *dc.Figures) float64 { return float64(f.Storage.CacheHits) }),
		counter("storage_cache_misses", "Blocks read from disk.", func(f *dc.Figures) float64 { return float64(f.Storage.CacheMisses) }),
		gauge("storage_memtable_bytes", "Size of the memtables.", func(f *dc.Figures) float64 { return float64(f.Storage.MemTableBytes) }),
		gauge("storage_wal_bytes", "Size of the live write-ahead log.", func(f *dc.Figures) float64 { return float64(f.Storage.WALBytes) }),
		counter("storage_wal_written_bytes", "Bytes written to the write-ahead log.", func(f *dc.Figures) float64 { return float64(f.Storage.WALWrittenBytes) }),
		counter("storage_flushes", "Memtables written to disk.", func(f *dc.Figures) float64 { return float64(f.Storage.Flushes) }),
		counter("storage_compactions", "Compactions.", func(f *dc.Figures) float64 { return float64(f.Storage.Compactions) }),
		counter("storage_compactions_failed", "Compactions that failed.", func(f *dc.Figures) float64 { return float64(f.Storage.CompactionsFailed) }),
		gauge("storage_compaction_debt_bytes", "Bytes that compactions have yet to rewrite, as estimated.", func(f *dc.Figures) float64 { return float64(f.Storage.CompactionDebtBytes) }),
		gauge("storage_read_amplification", "Sorted runs that a read may have to look into.", func(f *dc.Figures) float64 { return float64(f.Storage.ReadAmplification) }),
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
