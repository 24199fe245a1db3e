package rpc

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
)

// seedOf makes a client of an introducer without a network. spoil may change
// what is sent.
type seedOf struct {
	v1.ClusterClient

	i     *introducer
	from  string
	spoil func(*v1.IntroduceRequest)
	later func(*v1.IntroduceResponse)
}

func (s seedOf) Introduce(ctx context.Context, req *v1.IntroduceRequest, _ ...grpc.CallOption) (*v1.IntroduceResponse, error) {
	if s.spoil != nil {
		s.spoil(req)
	}
	ctx = peer.NewContext(ctx, &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP(s.from), Port: 1}})
	resp, err := s.i.introduce(ctx, req)
	if err == nil && s.later != nil {
		s.later(resp)
	}
	return resp, err
}

func TestIntroduction(t *testing.T) {
	one, two := bytes.Repeat([]byte{1}, KeyBytes), bytes.Repeat([]byte{2}, KeyBytes)
	now := time.Unix(1000, 0)
	tests := []struct {
		name      string
		key, seed []byte
		from      string
		spoil     func(*v1.IntroduceRequest)
		later     func(*v1.IntroduceResponse)
		want      string
	}{
		{name: "with the key", key: one, seed: one, from: "10.0.0.9"},
		{name: "without a key on loopback", from: "127.0.0.1"},
		{name: "without a key from elsewhere", from: "10.0.0.9", want: "the cluster has no key: nodes join it from the same machine only"},
		{name: "another key", key: two, seed: one, from: "127.0.0.1", want: "does not prove that it has the cluster's key"},
		{name: "no key for a cluster with one", seed: one, from: "127.0.0.1", want: "the cluster has a key: give --cluster-key-file"},
		{name: "a key for a cluster without", key: one, from: "127.0.0.1", want: "the cluster there asks for none"},
		{name: "another name than the proof is for", key: one, seed: one, from: "127.0.0.1", spoil: func(r *v1.IntroduceRequest) { r.Node = "x" }, want: "node x does not prove"},
		{name: "a seed that changes what was told", key: one, seed: one, from: "127.0.0.1", later: func(r *v1.IntroduceResponse) { r.Topology = append(r.Topology, '!') }, want: "does not prove"},
		{name: "a nonce of another length", from: "127.0.0.1", spoil: func(r *v1.IntroduceRequest) { r.Nonce = []byte{1} }, want: "nonce of 1 bytes, want 16"},
		{name: "too late", key: one, seed: one, from: "127.0.0.1", later: func(*v1.IntroduceResponse) { now = now.Add(challengeLasts + time.Millisecond) }, want: "took longer than 1m0s"},
		{name: "a challenge of the caller's making", key: one, seed: one, from: "127.0.0.1", later: func(r *v1.IntroduceResponse) { r.Challenge = append(r.Challenge, 0) }, want: "does not prove"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i := &introducer{key: tt.seed, now: func() time.Time { return now }, tell: func() (*Introduction, error) {
				return &Introduction{Topology: []byte("t"), Document: []byte("d"), Seeds: []string{"h:1"}}, nil
			}}
			spoil := tt.spoil
			if spoil != nil && len(tt.seed) > 0 { // only what has been proved
				spoil = func(r *v1.IntroduceRequest) {
					if len(r.GetProof()) > 0 {
						tt.spoil(r)
					}
				}
			}
			told, err := askIntroduction(t.Context(), seedOf{i: i, from: tt.from, spoil: spoil, later: tt.later}, tt.key, "eu", "n4")
			if tt.want == "" {
				if err != nil || string(told.Topology) != "t" || string(told.Document) != "d" || told.Seeds[0] != "h:1" {
					t.Errorf("told %+v, %v", told, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
	var refused *dc.Error
	if _, err := (&introducer{}).introduce(t.Context(), &v1.IntroduceRequest{}); !errors.As(err, &refused) || refused.Reason != "JOIN_REFUSED" {
		t.Errorf("a node that introduces nobody: %v", err)
	}
}
