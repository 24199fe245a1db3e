package replication

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What clocks show and no stream brings is asked for, from the log of a node or,
// where that no longer reaches back, by a comparison.

func (a *asker) startRepair(ctx context.Context, r Replica) {
	node := a.candidate(r)
	if node == "" {
		return
	}
	a.mu.Lock()
	a.known[r].repairing = true
	a.mu.Unlock()
	a.x.spawn(func() { // one for each led replica at the most
		if a.slots.Acquire(ctx, 1) != nil {
			return // closing
		}
		err := a.repair(ctx, r, Peer{a.dc, node})
		a.slots.Release(1)
		if errors.Is(err, errTrimmed) {
			err = a.takeOver(ctx, r, node)
		}
		a.repaired(ctx, r, err)
	})
}

func (a *asker) repaired(ctx context.Context, r Replica, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.known[r]
	k.repairing = false
	if err == nil || ctx.Err() != nil {
		return
	}
	if errors.Is(err, ErrJoining) { // no failure: what that brings may be all that is missing
		k.notBefore = time.Now().Add(repairRetryMin)
		return
	}
	k.tries++
	k.failures++
	k.notBefore = time.Now().Add(min(repairRetryMin<<min(k.failures-1, 10), repairRetryMax))
	a.x.remote(a.dc).exchangeErrors.Add(1)
	a.x.opts.Logger.Warn("missing events not repaired, next attempt follows", "datacenter", a.dc,
		"placement", r.Placement, "partition", r.Partition, "failures", k.failures, "error", err)
}

var (
	errNothingNew = errors.New("node has no more of what its clock shows")
	errTrimmed    = errors.New("log no longer reaches back")
)

// repair asks one node for the events of r that are not here, page by page.
func (a *asker) repair(ctx context.Context, r Replica, from Peer) error {
	remote := a.x.remote(a.dc)
	remote.repairs.Add(1)
	for range repairPages {
		clock, _, err := a.x.opts.Local.Standing(r)
		if err != nil {
			return fmt.Errorf("read the own clock: %w", err)
		}
		raw, err := a.request(ctx, from, &query{kind: askMissing, replica: r, have: clock}, missingTimeout)
		if err != nil {
			return err
		}
		m, err := decodeMissing(raw)
		if err != nil {
			return err
		}
		if m.trimmed {
			if a.stillOwed(r) == nil {
				return nil // it came meanwhile by another way, and then the log was rightly trimmed
			}
			return errTrimmed
		}
		if len(m.deltas) == 0 {
			return a.stillOwed(r)
		}
		remote.repairedBytes.Add(uint64(len(raw)))
		if err := a.x.applyTo(ctx, r, m.deltas, Parked{From: from, Placement: r.Placement}); err != nil {
			return fmt.Errorf("apply missing events: %w", err)
		}
		if !m.more {
			return a.stillOwed(r)
		}
	}
	return nil
}

// stillOwed is an error when all that a node gave is not what its clock showed.
func (a *asker) stillOwed(r Replica) error {
	clock, _, err := a.x.opts.Local.Standing(r)
	if err != nil {
		return fmt.Errorf("read the own clock: %w", err)
	}
	if !a.covered(r, &clock) {
		return errNothingNew
	}
	return nil
}

// takeOver compares the replicas themselves, because the log no longer holds
// what is missing. When its turn comes it may have come from another datacenter.
func (a *asker) takeOver(ctx context.Context, r Replica, node string) error {
	cost, err := a.compare(ctx, r, node, func() bool {
		if a.stillOwed(r) == nil {
			return false
		}
		a.x.remote(a.dc).joins.Add(1)
		return true
	})
	if err != nil || cost.Partitions == 0 {
		return err
	}
	a.x.opts.Logger.Info("replica compared because the log no longer reached back", "datacenter", a.dc, "placement", r.Placement,
		"partition", r.Partition, "keys", cost.Keys, "bytes", cost.TreeBytes+cost.DigestBytes+cost.CellBytes)
	return a.stillOwed(r)
}
