package dc

import (
	"errors"
	"fmt"

	"github.com/godwitdb/godwit/replication"
	"github.com/godwitdb/godwit/storage"
)

// Root implements replication.Local.
func (r Remote) Root(id replication.Replica, salt uint64) (clock, root uint64, err error) {
	return r.n.store.Replica(replicaOf(id)).Root(salt)
}

// Answer implements replication.Local.
func (r Remote) Answer(id replication.Replica, ask []byte, maxBytes int) ([]byte, error) {
	if err := r.n.mine(wireID(replicaOf(id))); err != nil {
		return nil, err
	}
	return r.n.store.Replica(replicaOf(id)).Answer(ask, maxBytes)
}

// Compare implements replication.Local. The co-owners follow by catch-up.
func (r Remote) Compare(id replication.Replica) (replication.Comparison, error) {
	if err := r.n.mine(wireID(replicaOf(id))); err != nil {
		return nil, err
	}
	j, err := r.n.store.Replica(replicaOf(id)).BeginJoin()
	if errors.Is(err, storage.ErrJoining) {
		err = errors.Join(replication.ErrJoining, err)
	}
	if err != nil {
		return nil, fmt.Errorf("compare %s: %w", replicaOf(id), err)
	}
	if err := j.Descend(); err != nil {
		j.Abandon()
		return nil, err
	}
	return &comparison{Join: j, n: r.n, id: replicaOf(id)}, nil
}

// comparison is a storage.Join as replication drives it.
type comparison struct {
	*storage.Join

	n  *Node
	id storage.ReplicaID
}

// Step implements replication.Comparison.
func (c *comparison) Step() (replication.StepKind, []byte) {
	step, ask := c.Join.Step()
	switch step {
	case storage.StepTree:
		return replication.StepTree, ask
	case storage.StepKeys:
		return replication.StepDigest, ask
	case storage.StepCells, storage.StepPage:
	}
	return replication.StepCells, ask
}

// Take implements replication.Comparison.
func (c *comparison) Take(answer []byte) error {
	commit, err := c.Join.Take(answer)
	if err != nil {
		return err
	}
	c.n.ahead.note(c.id, c.Clock())
	return commit.Wait()
}

// Finish implements replication.Comparison.
func (c *comparison) Finish() error {
	commit, err := c.Join.Finish()
	if err != nil {
		return err
	}
	return commit.Wait()
}
