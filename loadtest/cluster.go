package loadtest

import (
	"context"
	"errors"
	"time"
)

// LinkState is what an emulated link does with bytes; "" leaves it as it is.
type LinkState string

// The states of links.
const (
	LinkUp     LinkState = "up"
	LinkCut    LinkState = "cut"    // bytes are lost, nobody is told
	LinkReset  LinkState = "reset"  // connections are reset and refused
	LinkFrozen LinkState = "frozen" // bytes are held back
)

// Link is one direction between two datacenters.
type Link struct {
	From, To        string
	Latency, Jitter time.Duration // one way
	Bandwidth       int64         // bytes a second; 0 is unlimited
}

// LinkChange changes links; what is nil or empty stays as it is. From and To may
// be empty for every datacenter. Both directions change unless OneWay.
type LinkChange struct {
	From, To        string
	OneWay          bool
	State           LinkState
	Latency, Jitter *time.Duration
	Bandwidth       *int64
}

// Cluster is what a run may ask of the cluster under it, beside the operations
// of clients. Safe for concurrent use.
type Cluster interface {
	// Links are the links between datacenters; none where they are not emulated
	// and nobody said how long they take.
	Links(ctx context.Context) ([]Link, error)
	// SetLink changes emulated links; ErrNotEmulated where they are real.
	SetLink(ctx context.Context, change LinkChange) error
	// StopNode and StartNode end a node and start it again on its data.
	StopNode(ctx context.Context, node string) error
	StartNode(ctx context.Context, node string) error
	// Equal tells whether all replicas in all datacenters are equal now.
	Equal(ctx context.Context) (bool, error)
}

// ErrNotEmulated reports a fault that only an emulated cluster can have.
var ErrNotEmulated = errors.New("only an emulated cluster can have this fault")
