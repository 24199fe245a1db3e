package client

import (
	"bytes"
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"sync"
	"time"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/ring"
)

// Limits of a session.
const (
	sessionPartitions = 1024 // that NewSession remembers by default
	sessionBuckets    = 1024
	sessionTokens     = 256 // of one partition, left by requests that ran at once
	sessionBytes      = 64 << 20
	maxTokenBytes     = 64 << 10
	maxNameBytes      = 255
)

// Session collects what its calls have seen and written, so that later ones see
// no less: each call of WithSession sees, of every key, what earlier calls wrote
// and read, whatever node and whatever datacenter answers it, and what it writes
// comes after that. A call that would have to wait too long fails with the reason
// CAUSALITY_BEHIND and did nothing.
//
// A session is bounded: beyond the partitions it may remember it drops those
// that were used least recently, and Dropped tells. Safe for concurrent use;
// calls that run at once are in no order.
type Session struct {
	mu         sync.Mutex
	max        int
	partitions uint32
	placements map[string]uint32 // of buckets
	parts      map[partID]*list.Element
	used       *list.List // of *part, the least recent first
	dropped    uint64
	by         any       // whose cache its calls went past last; nil: none, and it has seen nothing elsewhere
	since      time.Time // when they began to
}

// elsewhere stands for all that a decoded session may have passed by.
type elsewhere struct{}

// visit notes that a call of the session begins or ends at a client, and tells
// since when all of them went through that one. A token does not tell what the
// session has seen once every replica has it, so a client's cache may answer
// only what it was given after that moment.
func (s *Session) visit(by any) time.Time {
	if s == nil {
		return time.Time{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by != nil && s.by != by {
		s.since = time.Now()
	}
	s.by = by
	return s.since
}

// partID names a partition of a placement.
type partID struct{ placement, partition uint32 }

// part is what a session carries for one partition.
type part struct {
	id        partID
	tokens    [][]byte
	truncated bool
}

// NewSession makes a session that has seen nothing. It remembers so many
// partitions; 0 means 1024.
func NewSession(maxPartitions int) *Session {
	if maxPartitions <= 0 {
		maxPartitions = sessionPartitions
	}
	return &Session{max: maxPartitions, placements: map[string]uint32{}, parts: map[partID]*list.Element{}, used: list.New()}
}

// Dropped counts what the session could not remember: partitions that were used
// least recently, and tokens that were too long. While it is 0 the guarantees
// hold for all that the session has seen.
func (s *Session) Dropped() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// Partitions is the number of partitions that the session remembers. What every
// replica has need not be remembered, so a session that rests has few.
func (s *Session) Partitions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used.Len()
}

// WithSession makes a call one of a session. Listing keys and the calls of
// operators take no part in sessions.
func WithSession(s *Session) CallOption { return func(o *callOptions) { o.session = s } }

// carry is what a request for a key carries; nil without a session.
func (s *Session) carry(bucket string, key []byte) *pb.Session {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	placement, known := s.placements[bucket]
	if !known {
		return &pb.Session{} // the session has seen nothing of the bucket
	}
	id := partID{placement, uint32(ring.PartitionOf(ring.KeyHash(bucket, key), int(s.partitions)))}
	e := s.parts[id]
	if e == nil {
		return &pb.Session{}
	}
	s.used.MoveToBack(e)
	return &pb.Session{Placement: id.placement, Partition: id.partition, Tokens: slices.Clone(partOf(e).tokens)}
}

func partOf(e *list.Element) *part { return e.Value.(*part) } //nolint:errcheck,forcetypeassert // the list holds nothing else

// take notes what an answer gave in the place of what its request carried.
func (s *Session) take(bucket string, sent, got *pb.Session) {
	if s == nil || got == nil || got.GetPartitions() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.partitions != 0 && s.partitions != got.GetPartitions() { // another cluster
		s.dropped += uint64(s.used.Len())
		clear(s.parts)
		clear(s.placements)
		s.used.Init()
	}
	s.partitions = got.GetPartitions()
	if _, known := s.placements[bucket]; !known {
		if len(s.placements) >= sessionBuckets {
			s.dropped++
			return
		}
		s.placements[bucket] = got.GetPlacement()
	}
	id := partID{got.GetPlacement(), got.GetPartition()}
	p := &part{id: id}
	e := s.parts[id]
	if e != nil {
		p = partOf(e)
	}
	if got.GetTruncated() && !p.truncated {
		p.truncated = true
		s.dropped++
	}
	p.tokens = slices.DeleteFunc(p.tokens, func(t []byte) bool { return contains(sent.GetTokens(), t) })
	for _, t := range got.GetTokens() {
		if !contains(p.tokens, t) {
			p.tokens = append(p.tokens, t)
		}
	}
	if over := len(p.tokens) - sessionTokens; over > 0 {
		p.tokens = p.tokens[over:]
		s.dropped++
	}
	s.keep(e, p)
}

// keep puts a part back, or forgets it when it is empty. The caller holds the lock.
func (s *Session) keep(e *list.Element, p *part) {
	switch {
	case len(p.tokens) == 0 && e != nil:
		s.used.Remove(e)
		delete(s.parts, p.id)
	case len(p.tokens) == 0:
	case e != nil:
		s.used.MoveToBack(e)
	default:
		s.parts[p.id] = s.used.PushBack(p)
		if s.used.Len() > s.max {
			oldest := s.used.Front()
			delete(s.parts, partOf(oldest).id)
			s.used.Remove(oldest)
			s.dropped++
		}
	}
}

func contains(tokens [][]byte, t []byte) bool {
	return slices.ContainsFunc(tokens, func(o []byte) bool { return bytes.Equal(o, t) })
}

const sessionMagic = "gws\x01" // of an encoded session, with its version

// Marshal encodes the session, to be continued elsewhere or later.
func (s *Session) Marshal() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := binary.AppendUvarint([]byte(sessionMagic), uint64(s.partitions))
	b = binary.AppendUvarint(b, s.dropped)
	b = binary.AppendUvarint(b, uint64(s.max))
	b = binary.AppendUvarint(b, uint64(len(s.placements)))
	for name, placement := range s.placements {
		b = appendSized(b, []byte(name))
		b = binary.BigEndian.AppendUint32(b, placement)
	}
	b = binary.AppendUvarint(b, uint64(s.used.Len()))
	for e := s.used.Front(); e != nil; e = e.Next() {
		p := partOf(e)
		b = binary.BigEndian.AppendUint32(b, p.id.placement)
		b = binary.BigEndian.AppendUint32(b, p.id.partition)
		b = append(b, 0)
		if p.truncated {
			b[len(b)-1] = 1
		}
		b = binary.AppendUvarint(b, uint64(len(p.tokens)))
		for _, t := range p.tokens {
			b = appendSized(b, t)
		}
	}
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func appendSized(b, field []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(field))), field...)
}

// ErrSession reports bytes that Marshal did not make, or that were damaged.
var ErrSession = errors.New("not an encoded session, or a damaged one")

// UnmarshalSession decodes what Marshal made.
func UnmarshalSession(b []byte) (*Session, error) {
	body := len(b) - crc32.Size
	if body < len(sessionMagic) || len(b) > sessionBytes || string(b[:len(sessionMagic)]) != sessionMagic ||
		crc32.ChecksumIEEE(b[:body]) != binary.BigEndian.Uint32(b[body:]) {
		return nil, fmt.Errorf("%w: %d bytes", ErrSession, len(b))
	}
	r := sessionReader{b: b[len(sessionMagic):body]}
	partitions := r.uvarint(1 << 31)
	dropped := r.uvarint(1 << 62)
	s := NewSession(int(r.uvarint(1 << 20)))
	s.by = elsewhere{}
	s.partitions, s.dropped = uint32(partitions), dropped
	for n := r.uvarint(sessionBuckets); n > 0 && !r.bad; n-- {
		name := string(r.field(maxNameBytes))
		s.placements[name] = r.fixed()
	}
	for n := r.uvarint(uint64(s.max)); n > 0 && !r.bad; n-- {
		p := &part{id: partID{r.fixed(), r.fixed()}}
		p.truncated = len(r.take(1)) == 1 && r.last == 1
		for m := r.uvarint(sessionTokens); m > 0 && !r.bad; m-- {
			p.tokens = append(p.tokens, bytes.Clone(r.field(maxTokenBytes)))
		}
		if s.parts[p.id] != nil || len(p.tokens) == 0 {
			r.bad = true
		}
		s.parts[p.id] = s.used.PushBack(p)
	}
	if r.bad || len(r.b) > 0 || partitions == 0 && s.used.Len() > 0 {
		return nil, fmt.Errorf("%w: %d bytes", ErrSession, len(b))
	}
	return s, nil
}

// sessionReader takes an encoded session apart; bad is set where it ends early
// or a limit is passed.
type sessionReader struct {
	b    []byte
	last byte // the last byte that was taken
	bad  bool
}

func (r *sessionReader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	if n > 0 {
		r.last = out[n-1]
	}
	return out
}

func (r *sessionReader) uvarint(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most {
		r.bad = true
		return 0
	}
	r.take(n)
	return v
}

func (r *sessionReader) field(most uint64) []byte { return r.take(int(r.uvarint(most))) }

func (r *sessionReader) fixed() uint32 {
	b := r.take(4)
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}
