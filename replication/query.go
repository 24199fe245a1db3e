package replication

import (
	"cmp"
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"github.com/godwitdb/godwit/crdt"
)

// Kinds of questions between datacenters. They are on the wire for ever.
const (
	queryVersion = 1

	askClocks  = 1
	askMissing = 2 // 3 was a page of a snapshot

	maxAsked      = 4096    // replicas of one clocksQuery
	pageBytes     = 1 << 20 // of what one answer carries, more or less
	maxClockBytes = 4 << 20
	maxDeltas     = 64 << 10
	maxRelayed    = 64 // datacenters that one report tells of besides
)

// query is one question. Exactly the fields of its kind are used.
type query struct {
	kind    byte
	clocks  []clockHash   // askClocks: in order of the replicas
	of      []string      // askClocks: datacenters of which the asker hears nothing itself, in order
	replica Replica       // askMissing
	have    crdt.Clock    // askMissing
	parts   []stepPart    // askSteps
	salt    uint64        // askRoots
	roots   []rootOf      // askRoots: in order of the replicas
	notices []noticeStamp // askNotices: what the asker has, in order of their names
	dc      string        // askHolds: the datacenter that is meant, beside replica and have
}

// clockHash says what the asker knows of one replica: the hash of the last
// report, 0 when there was none.
type clockHash struct {
	replica Replica
	hash    uint64
}

// clockReport is where one replica stands.
type clockReport struct {
	replica Replica
	standing
	others []relayed // in order of their names
}

// standing is a clock, and what all replicas of a datacenter have of it.
type standing struct{ clock, least crdt.Clock }

// relayed is where a datacenter stands of which the asker hears nothing itself.
type relayed struct {
	dc string
	standing
}

func (r Replica) compare(o Replica) int {
	return cmp.Or(cmp.Compare(r.Placement, o.Placement), cmp.Compare(r.Partition, o.Partition))
}

// hash names a report; never 0.
func (c *clockReport) hash() uint64 {
	return max(xxh3.Hash(c.appendStandings(make([]byte, 0, 256))), 1)
}

func (c *clockReport) appendStandings(b []byte) []byte {
	b = c.standing.append(b)
	b = binary.AppendUvarint(b, uint64(len(c.others)))
	for i := range c.others {
		b = appendBytes(b, c.others[i].dc)
		b = c.others[i].standing.append(b)
	}
	return b
}

func (s *standing) append(b []byte) []byte {
	b = appendBytes(b, crdt.AppendClock(nil, &s.clock))
	if same := s.clock.Equal(&s.least); same { // the usual case when nothing is under way
		return appendBytes(b, "")
	}
	return appendBytes(b, crdt.AppendClock(nil, &s.least))
}

func (r *reader) standing() standing {
	s := standing{clock: r.clock("clock")}
	if len(r.b) > 0 && r.b[0] == 0 {
		r.b = r.b[1:]
		s.least = s.clock.Clone()
	} else if s.least = r.clock("least clock"); s.least.Equal(&s.clock) && r.err == nil {
		r.fail("least clock is repeated")
	}
	return s
}

// names reads names of datacenters in their order.
func (r *reader) names(limit int) []string {
	var out []string
	for range r.count("number of datacenters", 1, limit) {
		dc := string(r.bytes("datacenter", maxNameBytes))
		if len(out) > 0 && out[len(out)-1] >= dc && r.err == nil {
			r.fail("datacenters are not in order")
		}
		out = append(out, dc)
	}
	return out
}

func (r *reader) relayed() []relayed {
	n := r.count("number of other datacenters", 4, maxRelayed)
	if n == 0 {
		return nil
	}
	out := make([]relayed, n)
	for i := range out {
		out[i] = relayed{string(r.bytes("datacenter", maxNameBytes)), r.standing()}
		if i > 0 && out[i-1].dc >= out[i].dc && r.err == nil {
			r.fail("datacenters are not in order")
		}
	}
	return out
}

func appendReplica(b []byte, r Replica) []byte {
	b = binary.AppendUvarint(b, uint64(r.Placement))
	return binary.AppendUvarint(b, uint64(r.Partition))
}

func (r *reader) replica() Replica {
	return Replica{r.uint32("placement"), r.uint32("partition")}
}

func (r *reader) clock(what string) crdt.Clock {
	c, err := crdt.DecodeClock(r.bytes(what, maxClockBytes))
	if err != nil {
		r.fail(what + ": " + err.Error())
	}
	return c
}

func (q *query) encode() []byte {
	b := []byte{queryVersion, q.kind}
	switch q.kind {
	case askClocks:
		b = binary.AppendUvarint(b, uint64(len(q.clocks)))
		for _, c := range q.clocks {
			b = appendReplica(b, c.replica)
			b = binary.BigEndian.AppendUint64(b, c.hash)
		}
		b = binary.AppendUvarint(b, uint64(len(q.of)))
		for _, dc := range q.of {
			b = appendBytes(b, dc)
		}
	case askMissing:
		b = appendReplica(b, q.replica)
		b = appendBytes(b, crdt.AppendClock(nil, &q.have))
	case askSteps:
		b = appendParts(b, q.parts)
	case askRoots:
		b = appendRoots(b, q.salt, q.roots)
	case askNotices:
		b = appendStamps(b, q.notices)
	case askHolds:
		b = appendReplica(b, q.replica)
		b = appendBytes(b, crdt.AppendClock(nil, &q.have))
		b = appendBytes(b, q.dc)
	}
	return b
}

// decodeQuery decodes what encode made, and nothing else.
func decodeQuery(b []byte) (*query, error) {
	r := reader{b: b}
	if r.byte("version") != queryVersion && r.err == nil {
		r.fail("unknown version of a question")
	}
	q := &query{kind: r.byte("kind of question")}
	switch q.kind {
	case askClocks:
		q.clocks = make([]clockHash, r.count("number of replicas", 10, maxAsked))
		for i := range q.clocks {
			q.clocks[i] = clockHash{r.replica(), r.fixed64("hash")}
			if i > 0 && q.clocks[i-1].replica.compare(q.clocks[i].replica) >= 0 && r.err == nil {
				r.fail("replicas are not in order")
			}
		}
		q.of = r.names(maxRelayed)
	case askMissing:
		q.replica = r.replica()
		q.have = r.clock("clock")
	case askSteps:
		q.parts = r.parts()
	case askRoots:
		q.salt, q.roots = r.fixed64("salt"), r.roots()
	case askNotices:
		q.notices = r.stamps()
	case askHolds:
		q.replica = r.replica()
		q.have = r.clock("clock")
		q.dc = string(r.bytes("datacenter", maxNameBytes))
	case askRebuild:
	default:
		if r.err == nil {
			r.fail("unknown kind of question")
		}
	}
	if err := r.done("question"); err != nil {
		return nil, err
	}
	return q, nil
}

// encodeReports makes the answer to askClocks: reports in order of their
// replicas, and whether there are more that did not fit.
func encodeReports(reports []clockReport, more bool) []byte {
	b := []byte{queryVersion}
	b = appendBool(b, more)
	b = binary.AppendUvarint(b, uint64(len(reports)))
	for i := range reports {
		c := &reports[i]
		b = c.appendStandings(appendReplica(b, c.replica))
	}
	return b
}

func decodeReports(b []byte) (reports []clockReport, more bool, err error) {
	r := reader{b: b}
	r.answerVersion()
	more = r.bool("more")
	n := r.count("number of reports", 6, maxAsked)
	for i := range n {
		c := clockReport{replica: r.replica(), standing: r.standing(), others: r.relayed()}
		if i > 0 && reports[i-1].replica.compare(c.replica) >= 0 && r.err == nil {
			r.fail("replicas are not in order")
		}
		if r.err != nil {
			break
		}
		reports = append(reports, c)
	}
	if err := r.done("reports"); err != nil {
		return nil, false, err
	}
	return reports, more, nil
}

// missing is the answer to askMissing.
type missing struct {
	more, trimmed bool
	deltas        [][]byte
}

func (m *missing) encode() []byte {
	b := []byte{queryVersion}
	b = appendBool(b, m.more)
	b = appendBool(b, m.trimmed)
	b = binary.AppendUvarint(b, uint64(len(m.deltas)))
	for _, d := range m.deltas {
		b = appendBytes(b, d)
	}
	return b
}

func decodeMissing(b []byte) (*missing, error) {
	r := reader{b: b}
	r.answerVersion()
	m := &missing{more: r.bool("more"), trimmed: r.bool("trimmed")}
	n := r.count("number of deltas", 1, maxDeltas)
	for range n {
		m.deltas = append(m.deltas, r.bytes("delta", maxUnpacked))
	}
	if err := r.done("missing events"); err != nil {
		return nil, err
	}
	return m, nil
}

func (r *reader) answerVersion() {
	if r.byte("version") != queryVersion && r.err == nil {
		r.fail("unknown version of an answer")
	}
}
