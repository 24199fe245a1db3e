package ring

import (
	"cmp"
	"encoding/binary"
	"fmt"
)

// The members of epoch k decide on the document of epoch k+1 by single-decree
// Paxos: a Proposer asks all of them, in two rounds, and Answer is what each
// says. One decree for each epoch needs no log and no leader, and a change of
// members is no special case: who decides on epoch k+1 is read in the document
// of epoch k, of which there is only one.
//
// Source: Lamport, Paxos Made Simple, ACM SIGACT News 32(4), 2001.

// Ballot names one attempt of one proposer. The zero Ballot is before all others.
type Ballot struct {
	Round uint64
	ID    uint64 // drawn at random for every attempt, so that no two are the same
}

// Less tells whether a is overruled by b.
func (a Ballot) Less(b Ballot) bool {
	return cmp.Or(cmp.Compare(a.Round, b.Round), cmp.Compare(a.ID, b.ID)) < 0
}

// Ask is what a proposer asks a member: to promise that it takes no older
// ballot any more, or, with a Document, to accept that.
type Ask struct {
	Epoch    uint64   // that is to be decided on
	Base     [16]byte // hash of the document of the epoch before
	Ballot   Ballot
	Document *Document // nil asks for the promise
}

// Reply is a member's answer to an Ask. Without OK one of Decided, Behind,
// Another or a Promised that is not less than the ballot asked for says why.
type Reply struct {
	Ballot    Ballot // of the Ask
	Accepting bool   // the Ask had a document

	OK       bool
	Promised Ballot    // the greatest that the member has promised
	Accepted Ballot    // of Document
	Document *Document // that the member has accepted, if any

	Decided *Document // the member knows this to be decided already
	Behind  bool      // the member does not know the epoch before yet: tell it
	Another bool      // the member knows the epoch before as another document
}

// Votes is what a member must not forget. It has to be durable before the
// answer that it belongs to is given. The zero Votes has promised nothing.
type Votes struct {
	Epoch    uint64 // that is being decided on
	Promised Ballot
	Accepted Ballot    // of Document
	Document *Document // accepted, if any
}

// Answer is what a member says to an ask. current is the decided document that
// it knows, v what it has promised and accepted; keep says that next must be
// made durable before the reply is sent.
func Answer(current *Document, v Votes, q Ask) (next Votes, keep bool, r Reply) {
	r = Reply{Ballot: q.Ballot, Accepting: q.Document != nil}
	switch {
	case current.Epoch >= q.Epoch:
		r.Decided = current
		return v, false, r
	case current.Epoch+1 < q.Epoch:
		r.Behind = true
		return v, false, r
	case current.Hash() != q.Base:
		r.Another = true
		return v, false, r
	}
	if v.Epoch != q.Epoch {
		v = Votes{Epoch: q.Epoch} // what was decided before needs no votes any more
	}
	if q.Ballot.Less(v.Promised) {
		r.Promised = v.Promised
		return v, false, r
	}
	keep = v.Promised != q.Ballot
	v.Promised = q.Ballot
	if r.Accepting {
		keep = true
		v.Accepted, v.Document = q.Ballot, q.Document
	}
	r.OK, r.Promised, r.Accepted, r.Document = true, v.Promised, v.Accepted, v.Document
	return v, keep, r
}

// Phase is how far a Proposer has come.
type Phase uint8

const (
	// Preparing waits for promises of a majority.
	Preparing Phase = iota
	// Accepting waits for a majority to accept.
	Accepting
	// Outbid has met a greater ballot: begin again, with Again.
	Outbid
	// Decided knows the document of the epoch; see Proposer.Result.
	Decided
	// Split has met a member with another document of the epoch before.
	Split
)

// Proposer brings the members of a document to decide on the next. It is made
// by NewProposer, sends nothing itself, and is not safe for concurrent use.
type Proposer struct {
	base, want *Document
	ballot     Ballot
	phase      Phase
	value      *Document // accepted by a member under the ballot accepted, else nil; once Accepting, what is asked for
	accepted   Ballot
	greatest   Ballot          // that a member told of
	agreed     map[string]bool // members, in this phase
	result     *Document
}

// NewProposer begins to propose want as the document that follows base. id is
// drawn at random for every attempt.
func NewProposer(base, want *Document, id uint64) *Proposer {
	p := &Proposer{base: base, want: want}
	p.Again(id)
	return p
}

// Again begins another attempt, above every ballot that was met.
func (p *Proposer) Again(id uint64) {
	p.ballot = Ballot{Round: max(p.ballot.Round, p.greatest.Round) + 1, ID: id}
	p.phase, p.value, p.accepted, p.agreed = Preparing, nil, Ballot{}, map[string]bool{}
}

// Phase tells how far the proposer has come.
func (p *Proposer) Phase() Phase { return p.phase }

// Result is the document that was decided on, once the phase is Decided. It is
// another proposer's if that came first.
func (p *Proposer) Result() *Document { return p.result }

// Ask is what is to be asked of every member now, until the phase changes.
func (p *Proposer) Ask() Ask {
	q := Ask{Epoch: p.base.Epoch + 1, Base: p.base.Hash(), Ballot: p.ballot}
	if p.phase == Accepting {
		q.Document = p.value
	}
	return q
}

// Take takes a member's reply, in any order and any number of times.
func (p *Proposer) Take(from string, r Reply) {
	switch {
	case p.phase == Decided:
		return
	case r.Decided != nil && r.Decided.Epoch > p.base.Epoch:
		p.phase, p.result = Decided, r.Decided
		return
	}
	if p.greatest.Less(r.Promised) {
		p.greatest = r.Promised
	}
	if p.phase > Accepting || r.Ballot != p.ballot || r.Accepting != (p.phase == Accepting) || !p.base.Voter(from) {
		return
	}
	switch {
	case r.OK:
		p.agree(from, r)
	case r.Another:
		p.phase = Split
	case p.ballot.Less(r.Promised):
		p.phase = Outbid
	}
}

func (p *Proposer) agree(from string, r Reply) {
	p.agreed[from] = true
	if !r.Accepting && r.Document != nil && p.accepted.Less(r.Accepted) {
		p.accepted, p.value = r.Accepted, r.Document
	}
	if len(p.agreed) < p.base.Majority() {
		return
	}
	if r.Accepting {
		p.phase, p.result = Decided, p.value
		return
	}
	if p.value == nil {
		p.value = p.want
	}
	p.phase, p.agreed = Accepting, map[string]bool{}
}

const votesFormat = 1

// AppendVotes appends the encoding of votes to b; equal votes have equal ones.
func AppendVotes(b []byte, v Votes) []byte {
	b = append(b, votesFormat)
	b = binary.AppendUvarint(b, v.Epoch)
	for _, ballot := range []Ballot{v.Promised, v.Accepted} {
		b = binary.AppendUvarint(b, ballot.Round)
		b = binary.AppendUvarint(b, ballot.ID)
	}
	if v.Document == nil {
		return b
	}
	return AppendDocument(b, v.Document)
}

// DecodeVotes is the reverse of AppendVotes. It returns ErrMalformed for what
// is no encoding of votes.
func DecodeVotes(b []byte) (Votes, error) {
	r := reader{rest: b}
	if format := r.byte(); r.err == nil && format != votesFormat {
		return Votes{}, fmt.Errorf("%w: votes of format %d, want %d", ErrMalformed, format, votesFormat)
	}
	v := Votes{Epoch: r.uvarint(1<<64 - 1)}
	for _, ballot := range []*Ballot{&v.Promised, &v.Accepted} {
		ballot.Round, ballot.ID = r.uvarint(1<<64-1), r.uvarint(1<<64-1)
	}
	if r.err != nil {
		return Votes{}, r.err
	}
	if len(r.rest) > 0 {
		var err error
		if v.Document, err = DecodeDocument(r.rest); err != nil {
			return Votes{}, err
		}
	}
	return v, nil
}
