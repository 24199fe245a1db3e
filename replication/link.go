package replication

import (
	"context"
	"errors"
	"math"
	"time"
)

// Errors of links. Test with errors.Is.
var (
	// ErrUnreachable reports a node that could not be reached, or did not
	// answer in time.
	ErrUnreachable = errors.New("node is unreachable")
	// ErrClosed reports the use of something that was closed.
	ErrClosed = errors.New("replication: closed")
)

// Lanes is the number of independent streams of messages that a node sends. Any
// event may travel in any of them.
const Lanes = 4

// Everyone is the placement of messages that hold no data and are for every
// datacenter: beacons.
const Everyone uint32 = math.MaxUint32

// MaxMessageBytes is the size of the largest message, request or answer that a
// link carries.
const MaxMessageBytes = 4 << 20

// Peer names a node of a datacenter.
type Peer struct{ DC, Node string }

// String prints the peer as datacenter/node.
func (p Peer) String() string { return p.DC + "/" + p.Node }

// Message is one message out of a peer's lane. Whoever is handed one must
// settle it, by Ack or Nak, once and from any goroutine; one that is not
// settled in time comes again. Data must not be changed.
type Message struct {
	From       Peer
	Lane       int
	Placement  uint32
	Deliveries int // how often it was delivered, this time included; at least 1
	Data       []byte
	// Settle is how the link is told. A message that is not taken comes again
	// after retry or later.
	Settle func(taken bool, retry time.Duration)
}

// Ack says that the message is durably dealt with.
func (m Message) Ack() { m.Settle(true, 0) }

// Nak asks for the message again, not before retry has passed.
func (m Message) Nak(retry time.Duration) { m.Settle(false, retry) }

// Link is how a node talks to the nodes of other datacenters. Its methods are
// safe for concurrent use. A link delivers at least once: what is published is
// kept, within bounds, until every datacenter it was offered to has taken it;
// it may come twice, out of order after a failure, and not at all once the
// bound is passed.
type Link interface {
	// Offer lets a datacenter pull what this node publishes under these
	// placements (and under Everyone), and nothing else. No placements: it
	// may pull nothing any more. What was published before counts as well, as
	// far as it is still kept.
	Offer(ctx context.Context, dc string, placements []uint32) error
	// Publish appends to the node's own lane. It returns when the message is
	// kept. Retention is bounded by bytes and age.
	Publish(ctx context.Context, placement uint32, lane int, data []byte) error
	// Backlog returns how many messages of the node's own lane even the most
	// advanced of the datacenters it was offered to has not taken yet. It may
	// trail what was just published.
	Backlog(ctx context.Context, lane int) (int, error)
	// Pull hands the messages of a peer's lane to handle, one call at a time,
	// until ctx ends; it reconnects by itself. A handle that blocks holds back
	// the peer, which keeps the rest. Nodes of one datacenter that pull the
	// same lane share its messages.
	Pull(ctx context.Context, from Peer, lane int, handle func(ctx context.Context, m Message)) error
	// Request asks a peer and returns its answer. It returns an error that is
	// ErrUnreachable when the peer cannot be reached, a RemoteError when it
	// refuses.
	Request(ctx context.Context, to Peer, data []byte) ([]byte, error)
	// Respond answers the requests of peers from now on. The handler is called
	// concurrently, a bounded number of times.
	Respond(handler func(ctx context.Context, from Peer, data []byte) ([]byte, error)) error
	// OnUp calls fn whenever a peer can be reached again. fn must not block.
	OnUp(fn func(p Peer))
	// Close ends pulls and requests and returns when nothing is under way.
	Close()
}

// RemoteError is what a peer answered instead of what it was asked for.
type RemoteError struct {
	Peer    Peer
	Message string
}

func (e *RemoteError) Error() string { return "node " + e.Peer.String() + " refused: " + e.Message }
