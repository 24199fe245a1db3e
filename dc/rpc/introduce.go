package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
)

// Introduction is what a node tells one that wants to join.
type Introduction struct {
	Topology []byte   // the file
	Document []byte   // ring.Document, encoded
	Seeds    []string // host:port of gossip
}

// challengeLasts is how long a node that wants to join may take for its proof.
const challengeLasts = time.Minute

// introducer is the answering side. It remembers nothing: a challenge carries
// the time it was made at and proves by itself who made it.
type introducer struct {
	key  []byte // none: on loopback only
	tell func() (*Introduction, error)
	now  func() time.Time
}

func (i *introducer) introduce(ctx context.Context, req *v1.IntroduceRequest) (*v1.IntroduceResponse, error) {
	if i.tell == nil {
		return nil, refuse(dc.PermissionDenied, "JOIN_REFUSED", "this node lets nobody join")
	}
	switch {
	case len(req.GetNonce()) != nonceBytes:
		return nil, refuse(dc.InvalidArgument, reasonMalformed, "nonce of %d bytes, want %d", len(req.GetNonce()), nonceBytes)
	case len(i.key) == 0 && !fromLoopback(ctx):
		return nil, refuse(dc.PermissionDenied, "JOIN_REFUSED", "the cluster has no key: nodes join it from the same machine only; start all nodes with --cluster-key-file")
	case len(i.key) > 0 && len(req.GetProof()) == 0:
		return &v1.IntroduceResponse{Challenge: i.challenge(req.GetNonce())}, nil
	case len(i.key) > 0 && !i.admits(req):
		return nil, refuse(dc.PermissionDenied, "JOIN_REFUSED", "node %s %s, or took longer than %v", clip(req.GetNode(), 80), errNoKey, challengeLasts)
	}
	told, err := i.tell()
	if err != nil {
		return nil, err
	}
	resp := &v1.IntroduceResponse{Topology: told.Topology, Document: told.Document, Seeds: told.Seeds}
	if len(i.key) > 0 {
		resp.Proof = prove(i.key, provesSeed, answerParts(req, resp)...)
	}
	return resp, nil
}

// challenge is a nonce, the time, and a proof that this cluster made them for
// the caller's nonce.
func (i *introducer) challenge(nonce []byte) []byte {
	b := binary.BigEndian.AppendUint64(newNonce(), uint64(i.now().UnixMilli()))
	return append(b, prove(i.key, provesChallenge, nonce, b)...)
}

func (i *introducer) admits(req *v1.IntroduceRequest) bool {
	c := req.GetChallenge()
	const head = nonceBytes + 8
	if len(c) <= head || !proves(i.key, c[head:], provesChallenge, req.GetNonce(), c[:head]) {
		return false
	}
	age := i.now().Sub(time.UnixMilli(int64(binary.BigEndian.Uint64(c[nonceBytes:head]))))
	return age >= 0 && age <= challengeLasts && proves(i.key, req.GetProof(), provesJoiner, requestParts(req)...)
}

func requestParts(req *v1.IntroduceRequest) [][]byte {
	return [][]byte{req.GetNonce(), req.GetChallenge(), []byte(req.GetCluster()), []byte(req.GetDc()), []byte(req.GetNode())}
}

func answerParts(req *v1.IntroduceRequest, resp *v1.IntroduceResponse) [][]byte {
	parts := [][]byte{req.GetNonce(), req.GetChallenge(), resp.GetTopology(), resp.GetDocument()}
	for _, s := range resp.GetSeeds() {
		parts = append(parts, []byte(s))
	}
	return parts
}

func fromLoopback(ctx context.Context) bool {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return false
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	return err == nil && net.ParseIP(host).IsLoopback()
}

// AskIntroduction asks the node that serves clients at addr what a node needs to
// know that is to join its datacenter. With a key, both sides prove to have it;
// without, the other side must be on this machine and of a cluster without one.
func AskIntroduction(ctx context.Context, addr string, key []byte, dcName, node string) (*Introduction, error) {
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxIntroduction)))
	if err != nil {
		return nil, fmt.Errorf("seed %s: %w", addr, err)
	}
	defer func() { _ = conn.Close() }() // all has been read
	told, err := askIntroduction(ctx, v1.NewClusterClient(conn), key, dcName, node)
	if err != nil {
		return nil, fmt.Errorf("seed %s: %w", addr, err)
	}
	return told, nil
}

const maxIntroduction = 16 << 20

func askIntroduction(ctx context.Context, seed v1.ClusterClient, key []byte, dcName, node string) (*Introduction, error) {
	req := &v1.IntroduceRequest{Dc: dcName, Node: node, Nonce: newNonce()}
	resp, err := seed.Introduce(ctx, req)
	if err != nil {
		return nil, errors.New(status.Convert(err).Message())
	}
	switch asked := len(resp.GetChallenge()) > 0; {
	case asked && len(key) == 0:
		return nil, errors.New("the cluster has a key: give --cluster-key-file")
	case !asked && len(key) > 0:
		return nil, errors.New("a key was given, and the cluster there asks for none: it is not the one meant")
	case asked:
		req.Challenge = resp.GetChallenge()
		req.Proof = prove(key, provesJoiner, requestParts(req)...)
		if resp, err = seed.Introduce(ctx, req); err != nil {
			return nil, errors.New(status.Convert(err).Message())
		}
		if !proves(key, resp.GetProof(), provesSeed, answerParts(req, resp)...) {
			return nil, errNoKey
		}
	}
	return &Introduction{Topology: resp.GetTopology(), Document: resp.GetDocument(), Seeds: resp.GetSeeds()}, nil
}
