package ring

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// member is one node of a history: what it knows, and what its disk holds of it.
type member struct {
	id        string
	doc       *Document
	votes     Votes
	diskDoc   *Document
	diskVotes Votes
	proposer  *Proposer
	proposals int
}

// packet is a message that may be delivered now, later, twice or never.
type packet struct {
	from, to string
	ask      *Ask
	reply    *Reply
	decided  *Document
}

// history is one random run of the agreement of a few nodes.
type history struct {
	rng     *rand.Rand
	members map[string]*member
	ids     []string
	net     []packet
	decided map[uint64]*Document // by epoch: what any proposer found to be decided
	lost    int                  // proposals of which another's came first
	joined  int                  // number of the next node
	// stuck histories never get beyond the first decision: who finds it out
	// crashes before it can tell. So proposers come again and again.
	stuck bool
}

func newHistory(seed uint64) *history {
	h := &history{rng: rand.New(rand.NewPCG(seed, 1)), stuck: seed%2 == 0, members: map[string]*member{}, decided: map[uint64]*Document{}}
	var entries []Entry
	size := 1 + h.rng.IntN(5)
	if h.stuck {
		size = 3
	}
	for i := range size {
		entries = append(entries, entry(fmt.Sprintf("n%d", i)))
	}
	first, err := First(entries)
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		h.add(e.ID, first)
	}
	return h
}

func (h *history) add(id string, doc *Document) {
	h.members[id] = &member{id: id, doc: doc, diskDoc: doc}
	h.ids = append(h.ids, id)
}

func (h *history) step() error {
	m := h.members[h.ids[h.rng.IntN(len(h.ids))]]
	switch n := h.rng.IntN(20); {
	case n < 1 || h.stuck && n < 3:
		h.propose(m)
	case n < 4:
		h.ask(m)
	case n < 5 && m.proposer != nil && h.rng.IntN(4) == 0:
		m.proposer.Again(h.rng.Uint64())
	case n < 6 && (h.stuck || h.rng.IntN(3) == 0): // it crashes, and forgets what is not on its disk
		m.doc, m.votes, m.proposer = m.diskDoc, m.diskVotes, nil
	case n < 7 && m.doc.Epoch > 1: // gossip
		h.send(packet{from: m.id, to: h.ids[h.rng.IntN(len(h.ids))], decided: m.doc})
	default:
		return h.deliver()
	}
	return nil
}

// propose begins to propose a change that nobody else proposes.
func (h *history) propose(m *member) {
	if m.proposer != nil || !m.doc.Voter(m.id) {
		return
	}
	c := Weight(m.id, 1+h.rng.Uint32N(999))
	switch h.rng.IntN(4) {
	case 0:
		h.joined++
		c = Join(entry(fmt.Sprintf("x%d-%d", h.joined, h.rng.Uint64())))
	case 1:
		c = Drain(m.doc.Members[h.rng.IntN(len(m.doc.Members))].ID)
	}
	switch {
	case m.doc.Turned:
		c = Settle(m.doc.Epoch)
	case m.doc.Moving() && h.rng.IntN(2) == 0:
		c = Turn(m.doc.Epoch)
	}
	want, err := m.doc.Apply(c)
	if err != nil || len(want.All()) > 7 {
		return
	}
	m.proposals++
	want.By, want.Note = m.id, fmt.Sprintf("%s %d", m.id, h.rng.Uint64())
	m.proposer = NewProposer(m.doc, want, h.rng.Uint64())
}

func (h *history) ask(m *member) {
	if m.proposer == nil || m.proposer.Phase() > Accepting {
		return
	}
	q := m.proposer.Ask()
	for _, e := range m.proposer.base.Members {
		h.send(packet{from: m.id, to: e.ID, ask: &q})
	}
}

func (h *history) send(p packet) {
	switch h.rng.IntN(10) {
	case 0: // lost
	case 1:
		h.net = append(h.net, p, p)
	default:
		h.net = append(h.net, p)
	}
	if len(h.net) > 200 {
		h.net = slices.Delete(h.net, 0, 50)
	}
}

func (h *history) deliver() error {
	if len(h.net) == 0 {
		return nil
	}
	i := h.rng.IntN(len(h.net))
	p := h.net[i]
	h.net[i] = h.net[len(h.net)-1]
	h.net = h.net[:len(h.net)-1]
	m := h.members[p.to]
	if m == nil { // a node that has joined
		h.add(p.to, h.members[p.from].diskDoc)
		m = h.members[p.to]
	}
	switch {
	case p.decided != nil:
		m.learn(p.decided)
	case p.ask != nil:
		next, keep, r := Answer(m.doc, m.votes, *p.ask)
		m.votes = next
		if keep {
			m.diskVotes = next
		}
		if r.Behind {
			h.send(packet{from: p.from, to: p.to, decided: h.members[p.from].doc})
		}
		h.send(packet{from: p.to, to: p.from, reply: &r})
	case m.proposer != nil:
		m.proposer.Take(p.from, *p.reply)
		return h.look(m)
	}
	return nil
}

// learn is what a node does with a decided document: durable, then in force.
func (m *member) learn(d *Document) {
	if d.Epoch > m.doc.Epoch {
		m.doc, m.diskDoc = d, d
	}
}

func (h *history) look(m *member) error {
	switch m.proposer.Phase() {
	case Preparing, Accepting:
	case Outbid:
		m.proposer.Again(h.rng.Uint64())
	case Split:
		return errors.New("two documents of one epoch were met")
	case Decided:
		d := m.proposer.Result()
		if !d.Equal(m.proposer.want) {
			h.lost++
		}
		if have := h.decided[d.Epoch]; have != nil && !have.Equal(d) {
			return fmt.Errorf("epoch %d was decided twice: %q and %q", d.Epoch, have.Note, d.Note)
		}
		h.decided[d.Epoch] = d
		m.proposer = nil
		if !h.stuck {
			m.learn(d)
		}
	}
	return nil
}

// TestOneDocumentForEachEpoch runs proposers against each other while messages
// are lost, doubled and late and nodes crash; there must never be two decided
// documents for an epoch.
func TestOneDocumentForEachEpoch(t *testing.T) {
	histories, epochs, lost, members := 3000, 0, 0, 0
	if testing.Short() {
		histories = 300
	}
	for seed := range histories {
		h := newHistory(uint64(seed))
		for range 1500 {
			if err := h.step(); err != nil {
				t.Fatalf("history %d: %v", seed, err)
			}
		}
		epochs, lost, members = epochs+len(h.decided), lost+h.lost, max(members, len(h.members))
	}
	t.Logf("%d histories, %d epochs decided, %d proposals that came too late", histories, epochs, lost)
	if epochs < 2*histories || lost < histories || members < 5 {
		t.Errorf("histories of too little: %d epochs, %d late proposals, %d members", epochs, lost, members)
	}
}

// TestAProposerFinishesWhatItFinds: a proposer that crashed had its document
// accepted by one node; the next proposer must finish that.
func TestAProposerFinishesWhatItFinds(t *testing.T) {
	base := first(t, "a", "b", "c")
	votes := map[string]Votes{}
	answer := func(id string, q Ask) Reply {
		next, _, r := Answer(base, votes[id], q)
		votes[id] = next
		return r
	}
	dead := NewProposer(base, mustApply(t, base, Weight("a", 2000)), 1)
	for _, id := range []string{"a", "b"} {
		dead.Take(id, answer(id, dead.Ask()))
	}
	if dead.Phase() != Accepting {
		t.Fatalf("phase %d after two promises of three, want Accepting", dead.Phase())
	}
	answer("a", dead.Ask())

	want := mustApply(t, base, Weight("b", 3000))
	p := NewProposer(base, want, 0)
	p.Take("a", answer("a", p.Ask()))
	if p.Phase() != Outbid {
		t.Fatalf("phase %d below the promise, want Outbid", p.Phase())
	}
	p.Again(7)
	p.Take("c", answer("c", p.Ask()))
	p.Take("c", answer("c", p.Ask()))
	p.Take("x", Reply{OK: true, Ballot: p.Ask().Ballot})
	if p.Phase() != Preparing {
		t.Fatal("a member counted twice, or a stranger did")
	}
	p.Take("a", answer("a", p.Ask()))
	for _, id := range []string{"c", "a"} {
		p.Take(id, answer(id, p.Ask()))
	}
	if p.Phase() != Decided || p.Result().Equal(want) || p.Result().Note != "weight a 2" {
		t.Fatalf("phase %d, decided %+v, want the document that was found", p.Phase(), p.Result())
	}
	late := NewProposer(base, want, 9)
	next, keep, r := Answer(p.Result(), votes["b"], late.Ask())
	if keep || next != votes["b"] {
		t.Error("what is decided is voted on again")
	}
	late.Take("b", r)
	if late.Phase() != Decided || late.Result() != p.Result() {
		t.Error("a proposer that comes late is not told what was decided")
	}
}

func TestTheGreatestBallotIsFinished(t *testing.T) {
	base := first(t, "a", "b", "c")
	older, newer := mustApply(t, base, Weight("a", 2000)), mustApply(t, base, Weight("a", 3000))
	p := NewProposer(base, mustApply(t, base, Weight("b", 3000)), 1)
	found := func(round uint64, d *Document) Reply {
		return Reply{OK: true, Ballot: p.Ask().Ballot, Accepted: Ballot{Round: round}, Document: d}
	}
	p.Take("a", found(3, older))
	p.Take("b", found(5, newer))
	if p.Ask().Document != newer {
		t.Error("of two documents that were accepted not that of the greater ballot is finished: it may be decided")
	}
}

func TestAnswerRefuses(t *testing.T) {
	base := first(t, "a", "b", "c")
	q := NewProposer(base, mustApply(t, base, Drain("a")), 1).Ask()
	if _, keep, r := Answer(base, Votes{}, Ask{Epoch: 3, Base: q.Base, Ballot: q.Ballot}); keep || r.OK || !r.Behind {
		t.Errorf("asked for an epoch it cannot know of: %+v", r)
	}
	if _, keep, r := Answer(first(t, "a", "b"), Votes{}, q); keep || r.OK || !r.Another {
		t.Errorf("asked to follow another document: %+v", r)
	}
	old := Votes{Epoch: 1, Promised: Ballot{Round: 99}, Accepted: Ballot{Round: 99}, Document: base}
	if next, keep, r := Answer(base, old, q); !keep || !r.OK || r.Document != nil || next.Promised != q.Ballot {
		t.Errorf("votes on an epoch that is decided hold up the next: %+v", r)
	}
	if _, keep, _ := Answer(base, Votes{Epoch: 2, Promised: q.Ballot}, q); keep {
		t.Error("a promise given again is made durable again")
	}
	q.Document = mustApply(t, base, Drain("a"))
	if _, keep, _ := Answer(base, Votes{Epoch: 2, Promised: q.Ballot}, q); !keep {
		t.Error("what is accepted is not made durable")
	}
}

func TestVotesAreKeptAsTheyAre(t *testing.T) {
	base := first(t, "a")
	for _, v := range []Votes{
		{},
		{Epoch: 5, Promised: Ballot{Round: 3, ID: 1<<64 - 1}},
		{Epoch: 2, Promised: Ballot{Round: 9, ID: 8}, Accepted: Ballot{Round: 7, ID: 6}, Document: mustApply(t, base, Weight("a", 5))},
	} {
		b := AppendVotes(nil, v)
		got, err := DecodeVotes(b)
		if err != nil || !bytes.Equal(AppendVotes(nil, got), b) || got.Promised != v.Promised || got.Accepted != v.Accepted || got.Epoch != v.Epoch {
			t.Errorf("decoded %+v from %+v: %v", got, v, err)
		}
		for _, bad := range [][]byte{nil, b[:3], append([]byte{9}, b[1:]...), append(bytes.Clone(b), 0)} {
			if _, err := DecodeVotes(bad); !errors.Is(err, ErrMalformed) {
				t.Errorf("DecodeVotes(%x): %v, want ErrMalformed", bad, err)
			}
		}
	}
}

func FuzzDecodeVotes(f *testing.F) {
	f.Add(AppendVotes(nil, Votes{Epoch: 2, Document: first(f, "a")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := DecodeVotes(b); err == nil && !bytes.Equal(AppendVotes(nil, v), b) {
			t.Fatalf("decoded %x, encoded %x", b, AppendVotes(nil, v))
		}
	})
}
