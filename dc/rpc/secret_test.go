package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/dc/rpc"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, rpc.KeyBytes) }

func TestPeersProveTheKey(t *testing.T) {
	for _, tt := range []struct {
		name string
		a, b []byte
		want string // of the error; empty: they talk
	}{
		{name: "the same key", a: key(1), b: key(1)},
		{name: "another key", a: key(1), b: key(2), want: "node b does not prove that it has the cluster's key"},
		{name: "who calls has none", b: key(2), want: "node a does not prove that it has the cluster's key"},
		{name: "who answers has none", a: key(1), want: "node b does not prove that it has the cluster's key"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPair(t, func(ctx context.Context, from string, req *peerv1.Request) *peerv1.Response {
				if tt.want != "" {
					t.Error("a request of who has not the key was served")
				}
				return echo(ctx, from, req)
			}, func(a, b *rpc.PeerOptions) { a.Key, b.Key = tt.a, tt.b })
			a := wait(t, p.send(request("k")))
			if tt.want == "" && (a.err != nil || a.digest != "k") {
				t.Errorf("answer = %+v", a)
			}
			if tt.want != "" && (!errors.Is(a.err, dc.ErrNotSent) || !strings.Contains(a.err.Error(), tt.want)) {
				t.Errorf("answer = %v, want %q", a.err, tt.want)
			}
		})
	}
}
