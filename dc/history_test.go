package dc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/internal/history"
)

// player is one session that puts and reads a few keys at random nodes.
type player struct {
	ctx     context.Context
	name    string
	nodes   []*Node
	rand    *rand.Rand
	tokens  map[string]*v1.Session // by key; nil: it carries nothing
	quorum  bool
	all     []*history.Record
	unknown int
}

func (p *player) step(i int) {
	n := p.nodes[p.rand.IntN(len(p.nodes))]
	key := fmt.Sprint("k", p.rand.IntN(3))
	var s *v1.Session
	if p.tokens != nil {
		s = &v1.Session{Tokens: p.tokens[key].GetTokens()}
	}
	rec := &history.Record{Client: p.name, Session: p.name, DC: "here", Node: n.ID(), Key: key, Op: history.Get, Outcome: history.OK, Start: time.Now().UnixNano()}
	var seen *v1.Session
	var err error
	if p.rand.IntN(3) == 0 {
		rec.Op, rec.Arg = history.Put, []string{fmt.Sprint(p.name, "/", i)}
		req := put(key, rec.Arg[0])
		req.Options = &v1.WriteOptions{Session: s, Strict: true}
		var resp *v1.UpdateResponse
		resp, err = n.Update(p.ctx, req)
		seen = resp.GetSession()
	} else {
		req := get(key)
		req.Options = &v1.ReadOptions{Session: s, Consistency: v1.Consistency_CONSISTENCY_ONE}
		if p.quorum {
			req.Options.Consistency = v1.Consistency_CONSISTENCY_QUORUM
		}
		var resp *v1.GetResponse
		resp, err = n.Get(p.ctx, req)
		seen = resp.GetSession()
		if err == nil {
			rec.Result = []string{string(resp.GetValue().GetBytes())}
		}
		if reason(err) == "NOT_FOUND" {
			seen, err = err.(*Error).Session, nil //nolint:errorlint,forcetypeassert // reason has looked
		}
	}
	rec.End = time.Now().UnixNano()
	if err != nil {
		rec.Outcome = history.Unknown
		p.unknown++
	} else if p.tokens != nil {
		p.tokens[key] = seen
	}
	p.all = append(p.all, rec)
}

// play has sessions work while the third node comes and goes.
func play(t *testing.T, withTokens, quorum bool) []*history.Record {
	t.Helper()
	w, nodes := startDCEvery(t, 3, 3, time.Second)
	stop := make(chan struct{})
	var work, flap sync.WaitGroup
	flap.Go(func() {
		for down := true; ; down = !down {
			select {
			case <-stop:
				return
			case <-time.After(15 * time.Millisecond):
				w.setDown("c", down)
			}
		}
	})
	players := make([]*player, 4)
	for i := range players {
		p := &player{ctx: t.Context(), name: fmt.Sprint("s", i), nodes: nodes, rand: rand.New(rand.NewPCG(7, uint64(i))), quorum: quorum}
		if withTokens {
			p.tokens = map[string]*v1.Session{}
		}
		players[i] = p
		work.Go(func() {
			for i := range 150 {
				p.step(i)
			}
		})
	}
	work.Wait()
	close(stop)
	flap.Wait()
	var all []*history.Record
	for _, p := range players {
		all = append(all, p.all...)
		if p.unknown > 120 {
			t.Errorf("%s: %d of 150 operations have no answer", p.name, p.unknown)
		}
	}
	return all
}

func TestSessionsKeepTheirPromisesWhileANodeComesAndGoes(t *testing.T) {
	if r := history.CheckSessions(play(t, true, false)); !r.OK() {
		t.Errorf("with what answers gave: %v", r)
	}
	if r := history.CheckSessions(play(t, false, false)); r.OK() {
		t.Error("without it no promise was broken: the test shows nothing")
	}
}
