package rpc_test

import (
	"errors"
	"testing"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/dc/rpc"
)

// twin makes another process of node a; told gets what it is told of its twin.
func (p *pair) twin(opening uint64, key []byte) (twin *rpc.Peers, told chan error) {
	told = make(chan error, 100)
	o := p.options("a")
	o.Opening, o.TwinAfter, o.Key = opening, 100*time.Millisecond, key
	o.Twin = func(err error) {
		select {
		case told <- err:
		default: // it was told often enough
		}
	}
	twin = rpc.NewPeers(o)
	p.t.Cleanup(twin.Close)
	return twin, told
}

// ask has some process ask b.
func (p *pair) ask(from *rpc.Peers, ch chan<- answer) {
	from.Send("b", request("hi"), time.Time{}, func(resp *peerv1.Response, err error) {
		ch <- answer{digest: string(resp.GetRead().GetDigest()), err: err}
	})
}

func (p *pair) introduced(twin *rpc.Peers) error {
	return twin.Introduce(p.t.Context(), map[string]string{"b": p.addr("b")})
}

// A second process of one name is refused for as long as the first one is
// heard, and not for longer; with a key or without.
func TestSecondProcessOfANodeIsRefused(t *testing.T) {
	for name, key := range map[string][]byte{"no key": nil, "a key": make([]byte, rpc.KeyBytes)} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, echo, func(a, b *rpc.PeerOptions) { a.Key, b.Key = key, key })
			p.connected()
			clone, _ := p.twin(2, key)
			if err := p.introduced(clone); !errors.Is(err, rpc.ErrTwin) {
				t.Errorf("beside the first process, Introduce = %v, want ErrTwin", err)
			}
			if got := wait(t, p.send(request("still"))); got.err != nil {
				t.Errorf("the first process is no longer answered: %v", got.err)
			}
			p.a.Close()
			until(t, "the clone is let in", func() bool { return p.introduced(clone) == nil })
		})
	}
}

// A process that was replaced while nobody heard of it is told so when it is back.
func TestProcessThatWasReplacedIsTold(t *testing.T) {
	p := newPair(t, echo, nil)
	clone, cloneTold := p.twin(2, nil)
	if err := p.introduced(clone); err != nil {
		t.Fatalf("Introduce = %v", err)
	}
	until(t, "the clone asks b", func() bool {
		ch := make(chan answer, 1)
		p.ask(clone, ch)
		return wait(t, ch).err == nil
	})
	back, told := p.twin(1, nil)
	var err error
	until(t, "the first process is told", func() bool {
		ch := make(chan answer, 1)
		p.ask(back, ch)
		wait(t, ch)
		select {
		case err = <-told:
			return true
		default:
			return false
		}
	})
	if !errors.Is(err, rpc.ErrTwin) {
		t.Errorf("it was told %v, want ErrTwin", err)
	}
	if len(cloneTold) > 0 {
		t.Errorf("the process that is heard was told %v", <-cloneTold)
	}
}

// A node at the address that this one had last refuses a second process of its
// own name: so a copy of a directory is noticed where there is no other node.
func TestProcessRefusesItsTwin(t *testing.T) {
	p := newPair(t, echo, nil)
	o := p.options("b")
	o.TwinAfter = 100 * time.Millisecond
	clone := rpc.NewPeers(o)
	defer clone.Close()
	if err := p.introduced(clone); !errors.Is(err, rpc.ErrTwin) {
		t.Errorf("Introduce = %v, want ErrTwin", err)
	}
}

// Nodes that are away do not keep a process from starting.
func TestIntroduceToNobody(t *testing.T) {
	p := newPair(t, echo, nil)
	if err := p.a.Introduce(t.Context(), map[string]string{"b": "127.0.0.1:1", "c": "127.0.0.1:1"}); err != nil {
		t.Errorf("Introduce = %v", err)
	}
}
