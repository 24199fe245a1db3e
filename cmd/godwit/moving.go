package main

import (
	"fmt"
	"time"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// movingJSON is how far a node is with the replicas that it is to own.
type movingJSON struct {
	Epoch           uint64 `json:"epoch"`
	Turned          bool   `json:"turned"` // reads go to the new owners already
	Partitions      uint32 `json:"partitions"`
	PartitionsDone  uint32 `json:"partitions_done"`
	Bytes           uint64 `json:"bytes"` // taken from other nodes
	ElapsedMS       uint64 `json:"elapsed_ms"`
	BytesPerSecond  uint64 `json:"bytes_per_second"`       // since the epoch began
	RemainingMillis *int64 `json:"estimated_remaining_ms"` // null while it cannot be told
}

func movingOf(m *pb.Moving) *movingJSON {
	if m == nil {
		return nil
	}
	out := &movingJSON{
		Epoch: m.GetEpoch(), Turned: m.GetTurned(), Partitions: m.GetPartitions(), PartitionsDone: m.GetPartitionsDone(),
		Bytes: m.GetBytes(), ElapsedMS: m.GetElapsedMs(), BytesPerSecond: m.GetBytes() * 1000 / max(m.GetElapsedMs(), 1),
	}
	if left, known := remaining(m); known {
		ms := left.Milliseconds()
		out.RemainingMillis = &ms
	}
	return out
}

// remaining estimates how long a node has yet to take replicas over, from how
// long the ones that it has took.
func remaining(m *pb.Moving) (left time.Duration, known bool) {
	done, all := m.GetPartitionsDone(), m.GetPartitions()
	if done >= all {
		return 0, true
	}
	if done == 0 {
		return 0, false
	}
	return time.Duration(m.GetElapsedMs()) * time.Millisecond * time.Duration(all-done) / time.Duration(done), true
}

// movingShown is the same in few words, "" of a node that takes nothing over.
func movingShown(m *pb.Moving) string {
	if m.GetPartitions() == 0 {
		return ""
	}
	text := fmt.Sprintf("takes over %d of %d", m.GetPartitionsDone(), m.GetPartitions())
	if m.GetPartitionsDone() == m.GetPartitions() {
		return text
	}
	text += ", " + bytesShown(m.GetBytes()*1000/max(m.GetElapsedMs(), 1)) + "/s"
	if left, known := remaining(m); known {
		text += ", about " + left.Round(time.Second).String() + " left"
	}
	return text
}
