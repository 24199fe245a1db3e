package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/freeport"
)

const (
	moveTime = 5 * time.Minute
)

// churned: a node joins and another is killed while data move, and then the
// first leaves and one more is killed.
func churned(ctx context.Context, r *run, victim string) error {
	r.joined++
	id := fmt.Sprintf("%s-join%d", dcName, r.joined)
	if err := r.cluster.join(ctx, id); err != nil {
		return err
	}
	if err := r.cluster.change(ctx, joining(id)); err != nil {
		return err
	}
	if err := errors.Join(r.away(ctx, victim, nil), r.cluster.settled(ctx), r.cluster.ready(ctx), r.cluster.level(ctx)); err != nil {
		return err
	}
	if err := r.cluster.change(ctx, leaving(id)); err != nil {
		return err
	}
	victim = r.cluster.ids[r.rnd.IntN(len(r.cluster.ids))]
	err := errors.Join(r.away(ctx, victim, nil), r.cluster.settled(ctx))
	p := r.cluster.procs[id]
	delete(r.cluster.procs, id)
	return errors.Join(err, p.stop())
}

func joining(ids ...string) *v1.RingChange {
	return &v1.RingChange{Of: &v1.RingChange_Join{Join: &v1.NodeList{Ids: ids}}}
}

func leaving(ids ...string) *v1.RingChange {
	return &v1.RingChange{Of: &v1.RingChange_Leave{Leave: &v1.NodeList{Ids: ids}}}
}

// join starts a node that the topology does not name, and returns when the
// others have heard of it. It owns nothing yet.
func (c *cluster) join(ctx context.Context, id string) error {
	port, err := freeport.Campaigns().Row(ctx, rand.New(rand.NewPCG(rand.Uint64(), 1)), portsOf)
	if err != nil {
		return err
	}
	p := &process{
		id: id, binary: c.opts.Binary, dir: filepath.Join(c.opts.Dir, id), log: filepath.Join(c.opts.Dir, "logs", id+".log"),
		args: []string{"--join", c.addrs()[0], "--dc", dcName, "--node", id, "--rack", id, "--advertise", addr(port)}, http: addr(port + portsOf - 1),
	}
	c.procs[id] = p
	if err := p.start(); err != nil {
		return err
	}
	return c.until(ctx, readyTime, id+" is heard of", func() error {
		nodes, err := c.admin.Nodes(ctx, client.WithTimeout(2*time.Second))
		if err != nil {
			return err
		}
		for _, n := range nodes.GetNodes() {
			if n.GetId() == id && n.GetRole() == v1.NodeRole_NODE_ROLE_CANDIDATE {
				return nil
			}
		}
		return errors.Join(errors.New("it is no candidate"), p.died())
	})
}

// change has a change of the members decided.
func (c *cluster) change(ctx context.Context, change *v1.RingChange) error {
	nodes, err := c.admin.Nodes(ctx)
	if err != nil {
		return err
	}
	return c.until(ctx, readyTime, fmt.Sprintf("%v is decided", change), func() error {
		_, err := c.admin.CommitChange(ctx, change, nodes.GetEpoch(), client.WithTimeout(5*time.Second))
		return err
	})
}

// settled waits until no owners change any more.
func (c *cluster) settled(ctx context.Context) error {
	return c.until(ctx, moveTime, "the data have moved", func() error {
		nodes, err := c.admin.Nodes(ctx, client.WithTimeout(2*time.Second))
		if err != nil {
			return err
		}
		if nodes.GetMoving() {
			return fmt.Errorf("epoch %d: %s: turned %t; %s", nodes.GetEpoch(), nodes.GetNote(), nodes.GetTurned(), c.progress(ctx))
		}
		return nil
	})
}

// progress tells how far every node is with the replicas that it is to own.
func (c *cluster) progress(ctx context.Context) string {
	s, err := c.admin.Status(ctx, client.WithTimeout(2*time.Second))
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, n := range s.GetNodes() {
		m := n.GetMoving()
		out = append(out, fmt.Sprintf("%s %d/%d", n.GetId(), m.GetPartitionsDone(), m.GetPartitions()))
	}
	return strings.Join(out, ", ")
}
