package dc

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// during makes a read of one replica, of a session.
func during(s *v1.Session, key string) *v1.GetRequest {
	req := get(key)
	req.Options = &v1.ReadOptions{Consistency: v1.Consistency_CONSISTENCY_ONE, Session: s}
	return req
}

func inSession(s *v1.Session, req *v1.UpdateRequest) *v1.UpdateRequest {
	req.Options = &v1.WriteOptions{Session: s}
	return req
}

// onlyAB has a write coordinated by the first node while the third is away.
func onlyAB(t *testing.T, w *wire, nodes []*Node, req *v1.UpdateRequest) *v1.UpdateResponse {
	t.Helper()
	w.setDown("c", true)
	resp, err := nodes[0].Update(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	w.setDown("c", false)
	return resp
}

func seen(err error) *v1.Session {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Session
	}
	return nil
}

func TestSessionReadsItsWrites(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, 3*time.Second)
	resp := onlyAB(t, w, nodes, inSession(&v1.Session{}, put("k", "v")))
	if _, err := nodes[2].Get(t.Context(), during(&v1.Session{}, "k")); reason(err) != "NOT_FOUND" {
		t.Fatalf("without what the session carries the laggard answers %v; the test shows nothing", err)
	}
	got, err := nodes[2].Get(t.Context(), during(resp.GetSession(), "k"))
	if err != nil || string(got.GetValue().GetBytes()) != "v" {
		t.Fatalf("with it: %v, %v", got, err)
	}
	c := nodes[2].Counters()
	if c.SessionWaits.Load() != 1 || c.SessionPulls.Load() == 0 || c.SessionsBehind.Load() != 0 {
		t.Errorf("%d waits, %d pulls, %d behind; want 1, some, 0", c.SessionWaits.Load(), c.SessionPulls.Load(), c.SessionsBehind.Load())
	}
	if _, err := nodes[2].Get(t.Context(), during(got.GetSession(), "k")); err != nil || c.SessionWaits.Load() != 1 {
		t.Errorf("the next read: %v, %d waits, want no more", err, c.SessionWaits.Load())
	}
}

func TestSessionKeepsADeleteInSight(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, 3*time.Second)
	if _, err := nodes[0].Update(t.Context(), &v1.UpdateRequest{
		Bucket: "default", Key: []byte("k"), Op: put("k", "v").GetOp(), Options: &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL},
	}); err != nil {
		t.Fatal(err)
	}
	onlyAB(t, w, nodes, remove("k"))
	_, err := nodes[1].Get(t.Context(), during(&v1.Session{}, "k"))
	if reason(err) != "NOT_FOUND" || seen(err) == nil {
		t.Fatalf("after the delete: %v, session %v", err, seen(err))
	}
	if _, err := nodes[2].Get(t.Context(), during(&v1.Session{}, "k")); err != nil {
		t.Fatalf("the laggard answers %v; the test shows nothing", err)
	}
	if _, err := nodes[2].Get(t.Context(), during(seen(err), "k")); reason(err) != "NOT_FOUND" {
		t.Errorf("a session that saw the delete: %v, want NOT_FOUND", err)
	}
}

// What read repair brings stands ahead of the replica's clock, and a removal
// among it leaves no dot.
func TestSessionSeesWhatRepairBroughtAheadOfTheClock(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, 3*time.Second)
	if _, err := nodes[0].Update(t.Context(), &v1.UpdateRequest{
		Bucket: "default", Key: []byte("k"), Op: put("k", "v").GetOp(), Options: &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_ALL},
	}); err != nil {
		t.Fatal(err)
	}
	w.setDown("b", true)
	w.setDown("c", true)
	if _, err := nodes[0].Update(t.Context(), remove("k")); reason(err) != "TOO_FEW_REPLICAS" && reason(err) != "WRITE_INDETERMINATE" {
		t.Fatal(err)
	}
	blind := remove("k")
	blind.Options = &v1.WriteOptions{W: 1}
	if _, err := nodes[0].Update(t.Context(), blind); err != nil {
		t.Fatal(err)
	}
	w.setDown("b", false)
	all := get("k")
	all.Options = &v1.ReadOptions{R: 2}
	eventually(t, "a and b are read, and b is repaired", func() bool {
		if _, err := nodes[0].Get(t.Context(), all); reason(err) != "NOT_FOUND" {
			return false
		}
		_, err := nodes[1].Get(t.Context(), during(nil, "k"))
		return reason(err) == "NOT_FOUND"
	})
	_, err := nodes[1].Get(t.Context(), during(&v1.Session{}, "k"))
	if reason(err) != "NOT_FOUND" {
		t.Fatal(err)
	}
	w.setDown("c", false)
	if _, err := nodes[2].Get(t.Context(), during(seen(err), "k")); reason(err) != "NOT_FOUND" {
		t.Errorf("a session that saw the delete at b: %v at c, want NOT_FOUND", err)
	}
}

func TestSessionThatNobodyCanSatisfyIsRefused(t *testing.T) {
	w, nodes := startDCEvery(t, 3, 3, 3*time.Second)
	nodes[2].opts.SessionWait = 50 * time.Millisecond
	resp := onlyAB(t, w, nodes, inSession(&v1.Session{}, incr("hits", 1)))
	w.setDown("a", true)
	w.setDown("b", true)
	began := time.Now()
	_, err := nodes[2].Get(t.Context(), during(resp.GetSession(), "hits"))
	e, _ := errors.AsType[*Error](err)
	if e == nil || e.Code != FailedPrecondition || e.Reason != "CAUSALITY_BEHIND" {
		t.Fatalf("error = %v, want CAUSALITY_BEHIND", err)
	}
	if e.Metadata["datacenters"] != "here" || e.Metadata["nodes"] != "here/a" || e.Metadata["missing"] != "here/a:1-1" {
		t.Errorf("it names %v, want a's first event", e.Metadata)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	if got := nodes[2].Counters().SessionsBehind.Load(); got != 1 {
		t.Errorf("SessionsBehind = %d, want 1", got)
	}
	if _, err := nodes[2].Update(t.Context(), inSession(resp.GetSession(), incr("hits", 1))); reason(err) != "CAUSALITY_BEHIND" {
		t.Errorf("a write: %v, want CAUSALITY_BEHIND", err)
	}
	w.setDown("a", false)
	w.setDown("b", false)
	eventually(t, "the session goes on once a node is back", func() bool {
		got, err := nodes[2].Get(t.Context(), during(resp.GetSession(), "hits"))
		return err == nil && got.GetValue().GetInteger() == 1
	})
}

func TestSessionCarriesNothingThatAllReplicasHave(t *testing.T) {
	w, nodes := startDC(t, 3, 3)
	w.setDown("c", true) // or c may have it before the answer is made
	resp, err := nodes[0].Update(t.Context(), inSession(&v1.Session{}, put("k", "v")))
	if err != nil {
		t.Fatal(err)
	}
	w.setDown("c", false)
	s := resp.GetSession()
	if len(s.GetTokens()) != 1 || s.GetPartitions() != 16 || s.GetTruncated() {
		t.Errorf("session after a write: %v", s)
	}
	eventually(t, "there is nothing to carry", func() bool {
		got, err := nodes[1].Get(t.Context(), during(s, "k"))
		return err == nil && len(got.GetSession().GetTokens()) == 0
	})
}

func TestSessionThroughANodeThatOwnsNothing(t *testing.T) {
	_, nodes := startDC(t, 5, 3)
	for _, n := range nodes {
		resp, err := n.Update(t.Context(), inSession(&v1.Session{}, put("k", "v")))
		if err != nil || resp.GetSession() == nil {
			t.Fatalf("write at %s: session %v, %v", n.ID(), resp.GetSession(), err)
		}
		if _, err := n.Get(t.Context(), during(resp.GetSession(), "k")); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Get(t.Context(), during(&v1.Session{}, "absent")); seen(err) == nil {
			t.Errorf("an absent key at %s shows nothing to the session: %v", n.ID(), err)
		}
	}
}

func TestForgedSessionsAreRefused(t *testing.T) {
	_, nodes := startDC(t, 1, 1)
	n := nodes[0]
	resp, err := n.Update(t.Context(), put("k", "v"))
	if err != nil {
		t.Fatal(err)
	}
	tgt, err := n.target("default", []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	actor := crdt.Actor(resp.GetDot().GetActor())
	sealed := func(id storage.ReplicaID, seq uint64) []byte {
		var tok token
		tok.clock.AddRange(actor, 1, seq)
		return n.sealToken(id, &tok)
	}
	good := sealed(tgt.id, 1)
	if _, err := n.Get(t.Context(), during(&v1.Session{Tokens: [][]byte{good}}, "k")); err != nil {
		t.Fatalf("a good token: %v", err)
	}
	other := storage.ReplicaID{Placement: tgt.id.Placement, Partition: tgt.id.Partition ^ 1}
	stranger := &Node{contextKey: contextKey("another cluster")}
	foreign := &token{}
	foreign.clock.AddRange(actor, 1, 1)
	version := bytes.Clone(good)
	version[macBytes] = 9
	copy(version, n.tokenMAC(version[macBytes:]))
	tests := map[string][]byte{
		"empty":             {},
		"short":             good[:tokenHead-1],
		"another partition": sealed(other, 1),
		"another cluster":   stranger.sealToken(tgt.id, foreign),
		"a later version":   version,
		"events to come":    sealed(tgt.id, 2),
		"too long":          append(bytes.Clone(good), make([]byte, maxToken)...),
	}
	for name, b := range tests {
		if _, err := n.Get(t.Context(), during(&v1.Session{Tokens: [][]byte{b}}, "k")); reason(err) != "BAD_SESSION" {
			t.Errorf("%s: %v, want BAD_SESSION", name, err)
		}
	}
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 1
		if _, err := n.openToken(tgt.id, b); err == nil {
			t.Errorf("a token with byte %d changed is taken", i)
		}
	}
	many := slices.Repeat([][]byte{good}, maxTokens+1)
	if _, err := n.Get(t.Context(), during(&v1.Session{Tokens: many}, "k")); reason(err) != "BAD_SESSION" {
		t.Errorf("too many tokens: %v, want BAD_SESSION", err)
	}
}

func TestTokenThatIsTooLongSaysSo(t *testing.T) {
	_, nodes := startDC(t, 1, 1)
	n := nodes[0]
	id := storage.ReplicaID{Placement: 1, Partition: 2}
	own := storage.NodeActor("here", "a")<<32 | 7
	var tok token
	for a := range crdt.Actor(1000) {
		tok.clock.AddRange(a+1, 1<<40, 1<<40+5)
	}
	tok.clock.AddRange(own, 3, 9)
	b := n.sealToken(id, &tok)
	if len(b) > maxToken {
		t.Errorf("%d bytes, at most %d are allowed", len(b), maxToken)
	}
	got, err := n.openToken(id, b)
	if err != nil || !got.truncated || !got.clock.ContainsRange(own, 3, 9) || got.clock.Actors() < 100 {
		t.Errorf("opened: %v, truncated %v, %d actors", err, got.truncated, got.clock.Actors())
	}
	again := *got
	if got, err := n.openToken(id, n.sealToken(id, &again)); err != nil || !got.truncated {
		t.Errorf("once truncated it is so for good: %v, %v", got, err)
	}
}

func TestSessionsOfABatchBecomeOne(t *testing.T) {
	_, nodes := startDC(t, 1, 1)
	n := nodes[0]
	part := func(partition uint32, seq uint64) *v1.Session {
		var tok token
		tok.clock.Add(crdt.Dot{Actor: 5, Seq: seq})
		id := storage.ReplicaID{Placement: 1, Partition: partition}
		return &v1.Session{Placement: 1, Partition: partition, Tokens: [][]byte{n.sealToken(id, &tok)}}
	}
	parts := []*v1.Session{part(1, 3), nil, part(1, 4), part(2, 9), {Placement: 1, Partition: 1}}
	if err := n.UniteSessions(parts); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(parts[0].Tokens[0], parts[2].Tokens[0]) || bytes.Equal(parts[0].Tokens[0], parts[3].Tokens[0]) || len(parts[4].Tokens) != 0 {
		t.Errorf("united: %v", parts)
	}
	got, err := n.openToken(storage.ReplicaID{Placement: 1, Partition: 1}, parts[0].Tokens[0])
	if err != nil || !got.clock.ContainsRange(5, 3, 4) {
		t.Errorf("token of both: %v, %v", got, err)
	}
}

func FuzzOpenToken(f *testing.F) {
	n := &Node{contextKey: contextKey("test")}
	id := storage.ReplicaID{Placement: 1, Partition: 2}
	f.Add([]byte(strings.Repeat("x", 40)))
	f.Fuzz(func(t *testing.T, payload []byte) {
		b := append(make([]byte, macBytes), payload...)
		copy(b, n.tokenMAC(payload)) // past the MAC, where only a bug of ours gets
		tok, err := n.openToken(id, b)
		if err != nil {
			return
		}
		if again := n.sealToken(id, tok); !bytes.Equal(again, b) {
			t.Fatalf("opened %x, sealed %x", b, again)
		}
	})
}
