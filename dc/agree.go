package dc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/ring"
)

const (
	metaVotes = "votes" // what this node must not forget of a decision under way

	askTimeout = 2 * time.Second        // for one round of a proposal
	bidPause   = 20 * time.Millisecond  // after a proposal was outbid, doubling
	mostPause  = 500 * time.Millisecond // ... up to this
)

// agreement is this node's part in deciding on ring documents.
type agreement struct {
	turn chan struct{} // held by the one proposal of this node that is under way

	mu    sync.Mutex // held until what was promised is durable
	votes ring.Votes
}

func (n *Node) newAgreement() (*agreement, error) {
	a := &agreement{turn: make(chan struct{}, 1)}
	b, err := n.store.Meta(metaVotes)
	if err != nil || b == nil {
		return a, err
	}
	if a.votes, err = ring.DecodeVotes(b); err != nil {
		return nil, fmt.Errorf("votes on disk: %w", err)
	}
	return a, nil
}

// propose has the members decide on a change of the ring, adopts what they
// decided and tells everybody. It returns RING_CHANGED if another change was
// committed first, unless that comes to the same.
func (n *Node) propose(ctx context.Context, c ring.Change) (*ring.Document, error) {
	return n.proposeAfter(ctx, c, 0)
}

// proposeAfter is propose for a change that was made for one epoch; 0 is any.
func (n *Node) proposeAfter(ctx context.Context, c ring.Change, epoch uint64) (*ring.Document, error) {
	select {
	case n.agree.turn <- struct{}{}:
		defer func() { <-n.agree.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another change of the ring: %w", ctx.Err())
	}
	base := n.Document()
	switch {
	case epoch != 0 && base.Epoch == epoch+1 && base.Note == c.String():
		return base, nil // it came before: this is a retry, or another operator wants the same
	case epoch != 0 && base.Epoch != epoch:
		return nil, changedFirst(base)
	}
	want, err := base.Apply(c)
	if err != nil {
		return nil, err
	}
	want.By = n.id
	decided, err := n.decide(ctx, base, want)
	if err != nil {
		return nil, err
	}
	if err := n.adopt(decided); err != nil {
		return nil, err
	}
	n.spreadDocument(base, decided)
	if !decided.Equal(want) && !decided.Same(want) {
		return nil, changedFirst(decided)
	}
	return decided, nil
}

// changedFirst refuses a change because another was committed before it.
func changedFirst(d *ring.Document) *Error {
	by := ""
	if d.By != "" {
		by = fmt.Sprintf(" by %s (%s)", d.By, d.Note)
	}
	return refuse(FailedPrecondition, "RING_CHANGED", "another change was committed first: epoch %d%s; look at it, plan again, then commit", d.Epoch, by).
		with("epoch", strconv.FormatUint(d.Epoch, 10)).with("by", d.By).with("note", d.Note)
}

// decide runs a proposal until the document after base is known.
func (n *Node) decide(ctx context.Context, base, want *ring.Document) (*ring.Document, error) {
	p := ring.NewProposer(base, want, rand.Uint64())
	accepting := false // some member may have accepted
	for pause := bidPause; ; pause = min(2*pause, mostPause) {
		before := p.Phase()
		silent := n.askMembers(ctx, base, p)
		switch p.Phase() {
		case ring.Decided:
			return p.Result(), nil
		case ring.Split:
			return nil, refuse(FailedPrecondition, "RING_SPLIT",
				"another member knows epoch %d as another ring: the nodes were not started with one topology file; start all with the same, then try again", base.Epoch)
		case ring.Preparing, ring.Accepting:
			if p.Phase() == before {
				return nil, noMajority(base, silent, accepting)
			}
			accepting = true
			continue
		case ring.Outbid:
		}
		select {
		case <-time.After(rand.N(pause)):
			p.Again(rand.Uint64())
		case <-ctx.Done():
			return nil, fmt.Errorf("agree on epoch %d while others propose as well: %w", base.Epoch+1, ctx.Err())
		}
	}
}

func noMajority(base *ring.Document, silent []string, unknown bool) *Error {
	outcome := "nothing was changed"
	if unknown {
		outcome = "the change may yet be committed: look at the members before you try again"
	}
	slices.Sort(silent)
	return refuse(Unavailable, "NO_MAJORITY", "a change of the ring takes %d of its %d members, and these do not answer: %s; %s. Start them again: no change is possible without a majority",
		base.Majority(), len(base.Members), clipNames(silent), outcome)
}

func clipNames(names []string) string {
	const most = 20
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], " "), len(names)-most)
	}
	return strings.Join(names, " ")
}

// askMembers asks all members what the proposer wants to know, until that is
// another question or all have answered. It returns who did not.
func (n *Node) askMembers(ctx context.Context, base *ring.Document, p *ring.Proposer) (silent []string) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	type answer struct {
		from  string
		reply ring.Reply
		err   error
	}
	ask, phase := p.Ask(), p.Phase()
	ch := make(chan answer, len(base.Members))
	for _, m := range base.Members {
		go func() {
			r, err := n.askMember(ctx, base, m.ID, ask)
			ch <- answer{m.ID, r, err}
		}()
	}
	for range base.Members {
		a := <-ch
		if a.err != nil {
			n.opts.Logger.Debug("member did not vote", "member", a.from, "epoch", ask.Epoch, "error", a.err)
			silent = append(silent, a.from)
			continue
		}
		if p.Take(a.from, a.reply); p.Phase() != phase {
			return nil
		}
	}
	return silent
}

// askMember asks one member; one that is behind is told of the present document first.
func (n *Node) askMember(ctx context.Context, base *ring.Document, to string, q ring.Ask) (ring.Reply, error) {
	for range 2 {
		r, err := n.askOnce(ctx, to, q)
		if err != nil || !r.Behind {
			return r, err
		}
		if _, err := n.call(ctx, to, learn(base)); err != nil {
			return ring.Reply{}, err
		}
	}
	return ring.Reply{}, fmt.Errorf("%s does not learn of epoch %d", to, base.Epoch)
}

func (n *Node) askOnce(ctx context.Context, to string, q ring.Ask) (ring.Reply, error) {
	if to == n.id {
		return n.vote(q)
	}
	req := &peerv1.Agree{Epoch: q.Epoch, Base: q.Base[:], Ballot: wireBallot(q.Ballot)}
	if q.Document != nil {
		req.Document = ring.AppendDocument(nil, q.Document)
	}
	resp, err := n.call(ctx, to, &peerv1.Request{Of: &peerv1.Request_Agree{Agree: req}})
	if err != nil {
		return ring.Reply{}, err
	}
	done := resp.GetAgree()
	r := ring.Reply{
		Ballot: q.Ballot, Accepting: q.Document != nil, OK: done.GetOk(), Promised: ballot(done.GetPromised()),
		Accepted: ballot(done.GetAccepted()), Behind: done.GetBehind(), Another: done.GetAnother(),
	}
	if r.Document, err = optionalDocument(done.GetDocument()); err != nil {
		return ring.Reply{}, err
	}
	r.Decided, err = optionalDocument(done.GetDecided())
	return r, err
}

func optionalDocument(b []byte) (*ring.Document, error) {
	if len(b) == 0 {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	return ring.DecodeDocument(b)
}

func wireBallot(b ring.Ballot) *peerv1.Ballot { return &peerv1.Ballot{Round: b.Round, Id: b.ID} }

func ballot(b *peerv1.Ballot) ring.Ballot { return ring.Ballot{Round: b.GetRound(), ID: b.GetId()} }

func learn(d *ring.Document) *peerv1.Request {
	return &peerv1.Request{Of: &peerv1.Request_Learn{Learn: &peerv1.Learn{Document: ring.AppendDocument(nil, d)}}}
}

// vote answers a proposer; what is promised is durable before the answer.
func (n *Node) vote(q ring.Ask) (ring.Reply, error) {
	n.agree.mu.Lock()
	defer n.agree.mu.Unlock()
	next, keep, r := ring.Answer(n.Document(), n.agree.votes, q)
	if keep {
		if err := n.store.SetMeta(metaVotes, ring.AppendVotes(nil, next)); err != nil {
			return ring.Reply{}, err
		}
	}
	n.agree.votes = next
	return r, nil
}

// serveAgree answers a proposer on another node.
func (n *Node) serveAgree(req *peerv1.Agree) (*peerv1.AgreeDone, error) {
	q := ring.Ask{Epoch: req.GetEpoch(), Ballot: ballot(req.GetBallot())}
	if len(req.GetBase()) != len(q.Base) || q.Epoch < 2 {
		return nil, refuse(InvalidArgument, "MALFORMED", "question about epoch %d after a document with a hash of %d bytes", q.Epoch, len(req.GetBase()))
	}
	copy(q.Base[:], req.GetBase())
	var err error
	if q.Document, err = optionalDocument(req.GetDocument()); err != nil {
		return nil, err
	}
	if q.Document != nil && q.Document.Epoch != q.Epoch {
		return nil, refuse(InvalidArgument, "MALFORMED", "document of epoch %d in the place of that of %d", q.Document.Epoch, q.Epoch)
	}
	r, err := n.vote(q)
	if err != nil {
		return nil, err
	}
	done := &peerv1.AgreeDone{Ok: r.OK, Promised: wireBallot(r.Promised), Accepted: wireBallot(r.Accepted), Behind: r.Behind, Another: r.Another}
	if r.Document != nil {
		done.Document = ring.AppendDocument(nil, r.Document)
	}
	if r.Decided != nil {
		done.Decided = ring.AppendDocument(nil, r.Decided)
	}
	return done, nil
}

// spreadDocument tells a decided document to all whom it concerns. Who misses
// it hears of it from gossip, or when its requests are refused as stale.
func (n *Node) spreadDocument(before, after *ring.Document) {
	req := learn(after)
	told := map[string]bool{n.id: true}
	for _, e := range append(before.All(), after.All()...) {
		if told[e.ID] {
			continue
		}
		told[e.ID] = true
		req := &peerv1.Request{TimeoutMs: uint64(askTimeout.Milliseconds()), Of: req.GetOf()}
		n.opts.Transport.Send(e.ID, req, time.Time{}, func(_ *peerv1.Response, err error) {
			if err != nil {
				n.opts.Logger.Debug("node not told of the ring", "to", e.ID, "epoch", after.Epoch, "error", err)
			}
		})
	}
}

// serveLearn takes over a document that another node tells of.
func (n *Node) serveLearn(req *peerv1.Learn) error {
	if len(req.GetTopology()) > 0 {
		return n.takeTopology(req.GetTopology())
	}
	doc, err := ring.DecodeDocument(req.GetDocument())
	if err != nil {
		return err
	}
	return n.Learn(doc)
}

// Learn takes over a decided document that came by another way, such as gossip.
// An older one than the present is ignored.
func (n *Node) Learn(doc *ring.Document) error {
	now := n.Document()
	if doc.Epoch == now.Epoch && !doc.Equal(now) {
		return fmt.Errorf("%w: epoch %d has hash %x here and %x there: start all nodes with one topology file", errSplit, doc.Epoch, now.Hash(), doc.Hash())
	}
	return n.adopt(doc)
}

var errSplit = errors.New("two ring documents of one epoch")
