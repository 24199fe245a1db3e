package client

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/internal/frame"
)

// TestWhatWaitedInVainWasNotSent: a write whose time ended while it waited to be sent
// was applied nowhere, and will not be sent later. One that was sent may be applied.
func TestWhatWaitedInVainWasNotSent(t *testing.T) {
	for _, sent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := newPipe(nil, &node{}, 1<<20, 1<<20)
			p.open, p.zero = true, time.Now() // a stream that takes nothing by itself
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if sent {
				time.AfterFunc(time.Millisecond, func() {
					p.mu.Lock()
					defer p.mu.Unlock()
					p.out.Take()
				})
			}
			a := &attempt{write: true}
			_, err := p.ask(ctx, a, &pb.PipelineRequest{Of: &pb.PipelineRequest_Update{Update: &pb.UpdateRequest{Key: []byte("k")}}}, nil)
			if !errors.Is(err, context.DeadlineExceeded) || a.sent.Load() != sent {
				t.Errorf("ask() = %v, sent: %v, want %v", err, a.sent.Load(), sent)
			}
			if left := p.out.Take(); left != nil || len(p.pending) != 0 {
				t.Errorf("%v is left to be sent, %d wait for an answer", left, len(p.pending))
			}
		})
	}
}

// TestStreamsThatCountApartBeginAnew: a node that stood still, or whose client did, no
// longer counts as the other end. Requests that were long on their way do not say that.
func TestStreamsThatCountApartBeginAnew(t *testing.T) {
	for _, tt := range []struct {
		reason  string
		after   time.Duration
		restart bool
	}{
		{"TOO_LATE", 100 * time.Millisecond, true},
		{"TOO_LATE", 400 * time.Millisecond, false},
		{"NOT_BEGUN", 100 * time.Millisecond, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPipe(&Client{}, &node{}, 1<<20, 1<<20)
			restarted := false
			p.open, p.zero, p.restart = true, time.Now(), func() { restarted = true }
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			time.AfterFunc(tt.after, func() {
				body, err := proto.Marshal(&pb.PipelineAnswer{Code: int32(codes.Unavailable), Reason: tt.reason})
				if err == nil {
					err = p.answered(frame.Message{ID: 1, Field: frame.Response, Body: body})
				}
				if err != nil {
					t.Error(err)
				}
			})
			a := &attempt{write: true, begin: 250 * time.Millisecond}
			_, err := p.ask(ctx, a, &pb.PipelineRequest{Of: &pb.PipelineRequest_Update{Update: &pb.UpdateRequest{Key: []byte("k")}}}, nil)
			if ReasonOf(err) != tt.reason || restarted != tt.restart {
				t.Errorf("%s after %v: %v, begun anew: %v, want %v", tt.reason, tt.after, err, restarted, tt.restart)
			}
		})
	}
}
