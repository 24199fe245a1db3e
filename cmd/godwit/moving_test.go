package main

import (
	"encoding/json"
	"testing"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Status tells how far a node is with a move, how fast it goes, and how long it
// will take where that can be told.
func TestMoving(t *testing.T) {
	tests := []struct {
		name  string
		m     *pb.Moving
		shown string
		json  string
	}{
		{"nothing moves", nil, "", `null`},
		{
			"a node that gives away only", &pb.Moving{Epoch: 2, ElapsedMs: 10}, "",
			`{"epoch":2,"turned":false,"partitions":0,"partitions_done":0,"bytes":0,"elapsed_ms":10,"bytes_per_second":0,"estimated_remaining_ms":0}`,
		},
		{
			"just begun", &pb.Moving{Epoch: 2, Partitions: 8, ElapsedMs: 500, Bytes: 1 << 20}, "takes over 0 of 8, 2.0MiB/s",
			`{"epoch":2,"turned":false,"partitions":8,"partitions_done":0,"bytes":1048576,"elapsed_ms":500,"bytes_per_second":2097152,"estimated_remaining_ms":null}`,
		},
		{
			"under way", &pb.Moving{Epoch: 2, Partitions: 8, PartitionsDone: 2, ElapsedMs: 4000, Bytes: 8 << 20}, "takes over 2 of 8, 2.0MiB/s, about 12s left",
			`{"epoch":2,"turned":false,"partitions":8,"partitions_done":2,"bytes":8388608,"elapsed_ms":4000,"bytes_per_second":2097152,"estimated_remaining_ms":12000}`,
		},
		{
			"done, the others are not", &pb.Moving{Epoch: 3, Turned: true, Partitions: 8, PartitionsDone: 8, ElapsedMs: 4000}, "takes over 8 of 8",
			`{"epoch":3,"turned":true,"partitions":8,"partitions_done":8,"bytes":0,"elapsed_ms":4000,"bytes_per_second":0,"estimated_remaining_ms":0}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := movingShown(tt.m); got != tt.shown {
				t.Errorf("shown %q, want %q", got, tt.shown)
			}
			b, err := json.Marshal(movingOf(tt.m))
			if err != nil || string(b) != tt.json {
				t.Errorf("JSON %s, %v; want %s", b, err, tt.json)
			}
		})
	}
}
