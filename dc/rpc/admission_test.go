package rpc

import (
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// served lets so many requests arrive and be answered each millisecond, for a
// while, and returns how many were refused.
func served(a *admission, arrive, answer int, lasts time.Duration) (refused int) {
	for range lasts / time.Millisecond {
		time.Sleep(time.Millisecond)
		for range arrive {
			if !a.enter() {
				refused++
			}
		}
		for range min(answer, int(a.open.Load())) {
			a.leave()
		}
	}
	return refused
}

func TestAdmission(t *testing.T) {
	const most = 4096
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, a *admission)
	}{
		{"as many as are answered", func(t *testing.T, a *admission) {
			if n := served(a, 3, 3, 10*time.Second); n > 0 {
				t.Errorf("%d were refused", n)
			}
		}},
		{"a burst is no overload", func(t *testing.T, a *admission) {
			n := 0
			for range 10 {
				n += served(a, 2000, 10, time.Millisecond) + served(a, 0, 10, 300*time.Millisecond)
			}
			if n > 0 {
				t.Errorf("%d were refused", n)
			}
		}},
		{"a pause is no overload", func(t *testing.T, a *admission) {
			n := served(a, 1, 2, time.Second) + served(a, 1, 0, 2*time.Second) + served(a, 1, 50, 10*time.Second)
			if n > 0 {
				t.Errorf("%d were refused", n)
			}
		}},
		{"ten times too many wait half a second", func(t *testing.T, a *admission) {
			served(a, 10, 1, 5*time.Second)
			if n, open := served(a, 10, 1, 10*time.Second), a.open.Load(); n < 89_000 || open < 350 || open > 550 {
				t.Errorf("%d of 100,000 were refused, and %d wait", n, open)
			}
		}},
		{"slow ones are few", func(t *testing.T, a *admission) {
			for range 600 { // 10 a second, and 1,000 come
				served(a, 1, 0, 99*time.Millisecond)
				served(a, 1, 1, time.Millisecond)
			}
			if open := a.open.Load(); open > admissionLeast {
				t.Errorf("%d wait", open)
			}
		}},
		{"it ends with the overload", func(t *testing.T, a *admission) {
			served(a, 10, 1, 5*time.Second)
			served(a, 1, 10, 3*time.Second)
			if n := served(a, 3000, 3000, time.Millisecond); n > 0 {
				t.Errorf("%d of 3,000 were refused", n)
			}
		}},
		{"after a while nothing is known", func(t *testing.T, a *admission) {
			served(a, 10, 1, 5*time.Second)
			served(a, 0, 5000, time.Millisecond)
			time.Sleep(time.Minute)
			served(a, 1, 1, time.Millisecond)
			if limit := a.limit.Load(); limit != most {
				t.Errorf("at most %d are taken", limit)
			}
		}},
		{"never more than the most", func(t *testing.T, a *admission) {
			if n := served(a, most+1, 0, time.Millisecond); n != 1 {
				t.Errorf("%d were refused", n)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tt.run(t, newAdmission(most)) })
		})
	}
}

// What a request counts as is the same by whichever way it comes.
func TestWhatIsAdmitted(t *testing.T) {
	put, waits := &v1.UpdateRequest{}, &v1.UpdateRequest{Options: &v1.WriteOptions{AcksDc: 1}}
	for _, tt := range []struct {
		name          string
		req           any
		reads, writes int64
	}{
		{"get", &v1.GetRequest{}, 1, 0},
		{"get by a pipeline", &v1.PipelineRequest_Get{}, 1, 0},
		{"gets", &v1.BatchGetRequest{}, 1, 0},
		{"put", &v1.PutRequest{}, 0, 1},
		{"delete", &v1.DeleteRequest{}, 0, 1},
		{"update", put, 0, 1},
		{"update by a pipeline", &v1.PipelineRequest_Update{Update: put}, 0, 1},
		{"updates", &v1.BatchUpdateRequest{Updates: []*v1.UpdateRequest{put}}, 0, 1},
		{"updates by a pipeline", &v1.PipelineRequest_BatchUpdate{BatchUpdate: &v1.BatchUpdateRequest{Updates: []*v1.UpdateRequest{put}}}, 0, 1},
		{"update that waits for another datacenter", waits, 0, 0},
		{"one of updates that waits", &v1.BatchUpdateRequest{Updates: []*v1.UpdateRequest{put, waits}}, 0, 0},
		{"a question of an operator", &v1.StatusRequest{}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &Server{reads: newAdmission(1), writes: newAdmission(1)}
			done, err := s.admit(tt.req)
			if err != nil || s.reads.open.Load() != tt.reads || s.writes.open.Load() != tt.writes {
				t.Fatalf("%v, %d reads, %d writes", err, s.reads.open.Load(), s.writes.open.Load())
			}
			if _, err := s.admit(tt.req); (err != nil) != (tt.reads+tt.writes > 0) {
				t.Errorf("a second one beside it: %v", err)
			}
			done()
			if s.reads.open.Load()+s.writes.open.Load() != 0 {
				t.Error("it is still counted")
			}
		})
	}
}
