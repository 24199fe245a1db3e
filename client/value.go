package client

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Value is what a read found under a key, or in a field of a map. Of the fields
// from Bytes to Bound, those that its kind names are meaningful.
type Value struct {
	Kind      Kind
	Bytes     []byte   // register, mvregister: the winning value
	Integer   int64    // counter, gcounter, bcounter
	Elements  []string // set, gset, rwset: one page of it, sorted
	Flag      bool     // flag, dwflag
	Fields    []Field  // map: one page of it, by name and kind
	Members   []Member // zset: one page of it, by score and member, or in the order asked for
	Total     uint64   // set, gset, rwset, zset: elements or members of the whole
	Estimate  uint64   // hll: how many elements it has seen, more or less
	Rights    []Rights // bcounter
	Bound     int64    // bcounter: the least value
	Siblings  []Sibling
	Conflict  bool      // concurrent writes wait for one that observed them all
	ExpiresAt time.Time // of the key; zero: never
	Context   []byte    // what this read observed, for WithContext
	NextPage  []byte    // continues the elements; empty after the last page
	Answer    Answer
}

// Sibling is one of several live values of a register, the winner first.
type Sibling struct {
	Value []byte
	Stamp time.Time // hybrid logical time
	Dot   Dot
}

// Dot names one event for ever. The zero Dot names none.
type Dot struct {
	Actor uint64
	Seq   uint64
}

// String is "actor:seq", the actor in hexadecimal.
func (d Dot) String() string { return fmt.Sprintf("%016x:%d", d.Actor, d.Seq) }

// Answer tells who answered and with how many copies.
type Answer struct {
	Copies   int // replicas that answered, or durable copies at that time
	Replicas int // replicas that the datacenter keeps
	DC       string
	Node     string // the coordinating node
}

// Result is the answer to a write.
type Result struct {
	Kind    Kind
	Integer int64    // the value after the change, of a counter
	Score   float64  // the score after the change, of the last member of a zset that it named
	Told    bool     // the server gave Integer or Score
	Members []Member // of a zset: those that the change named, with their scores after it
	Fields  []Field  // of a map: the counters and zsets that the change named, after it; see Field
	Changed uint64   // elements, members or fields added or removed; 1 or 0 otherwise
	Context []byte   // what was observed and written, for WithContext
	Dot     Dot      // of the event; zero if there was nothing to change
	Tries   int      // attempts made; 1 unless something went wrong
	Answer  Answer
	// DCs are the other datacenters that are known to hold the write durably, of
	// DCsWanted that WithAcksDC asked for.
	DCs       []string
	DCsWanted int
}

func dotOf(d *pb.Dot) Dot { return Dot{Actor: d.GetActor(), Seq: d.GetSeq()} }

func answerOf(a *pb.Answer) Answer {
	return Answer{Copies: int(a.GetCopies()), Replicas: int(a.GetReplicas()), DC: a.GetDc(), Node: a.GetNode()}
}

func valueOf(r *pb.GetResponse) *Value {
	v := contentOf(Kind(r.GetKind()), r.GetValue(), r.GetSiblings())
	v.Conflict, v.Bound, v.Context, v.NextPage, v.Answer = r.GetConflict(), r.GetBound(), r.GetContext(), r.GetNextPage(), answerOf(r.GetAnswer())
	if ms := r.GetExpiresUnixMs(); ms != 0 {
		v.ExpiresAt = time.UnixMilli(int64(ms))
	}
	for _, x := range r.GetRights() {
		v.Rights = append(v.Rights, Rights{Actor: x.GetActor(), DC: x.GetDc(), Node: x.GetNode(), Amount: x.GetAmount()})
	}
	return v
}

// contentOf makes a Value of what keys and fields of maps have in common.
func contentOf(kind Kind, p *pb.Value, siblings []*pb.Sibling) *Value {
	v := &Value{
		Kind: kind, Bytes: p.GetBytes(), Integer: p.GetInteger(), Flag: p.GetFlag(), Estimate: p.GetEstimate(),
		Elements: stringsOf(p.GetSet().GetElements()), Total: max(p.GetSet().GetTotal(), p.GetZset().GetTotal()),
	}
	for _, m := range p.GetZset().GetMembers() {
		v.Members = append(v.Members, Member{Member: string(m.GetMember()), Score: m.GetScore(), Rank: m.GetRank()})
	}
	for _, f := range p.GetMap().GetFields() {
		inner := contentOf(Kind(f.GetKind()), f.GetValue(), f.GetSiblings())
		v.Fields = append(v.Fields, Field{Name: string(f.GetName()), Kind: inner.Kind, Value: *inner})
	}
	for _, s := range siblings {
		v.Siblings = append(v.Siblings, Sibling{Value: s.GetValue(), Stamp: time.UnixMicro(int64(s.GetStamp())), Dot: dotOf(s.GetDot())})
	}
	v.Conflict = slices.ContainsFunc(v.Siblings, func(s Sibling) bool { return !bytes.Equal(s.Value, v.Siblings[0].Value) })
	return v
}

func resultOf(r *pb.UpdateResponse, tries int) *Result {
	out := &Result{
		Kind: Kind(r.GetKind()), Integer: r.GetValue().GetInteger(), Changed: r.GetChanged(),
		Context: r.GetContext(), Dot: dotOf(r.GetDot()), Tries: tries, Answer: answerOf(r.GetAnswer()),
		DCs: r.GetAnswer().GetDcs(), DCsWanted: int(r.GetAnswer().GetDcsWanted()),
	}
	if r.GetValue() == nil {
		return out
	}
	content := contentOf(out.Kind, r.GetValue(), nil)
	out.Members, out.Fields = content.Members, content.Fields
	for _, m := range out.Members {
		out.Score = m.Score
	}
	out.Told = len(out.Fields) == 0
	return out
}

// Field is what the server told of a field of a map, which lies in other maps
// where the way to it has several names; nil where it told nothing, or of
// several fields of that name. Of a zset it tells those members that the change
// named.
func (r *Result) Field(way ...string) *Value {
	fields := r.Fields
	for i, name := range way {
		last := i == len(way)-1
		var found *Value
		for j := range fields {
			f := &fields[j]
			switch {
			case f.Name != name || !last && f.Kind != Map:
			case found != nil:
				return nil
			default:
				found = &f.Value
			}
		}
		if found == nil || last {
			return found
		}
		fields = found.Fields
	}
	return nil
}

func stringsOf(in [][]byte) []string {
	if len(in) == 0 {
		return nil
	}
	out := make([]string, len(in))
	for i, b := range in {
		out[i] = string(b)
	}
	return out
}

func bytesOf(in []string) [][]byte {
	out := make([][]byte, len(in))
	for i, s := range in {
		out[i] = []byte(s)
	}
	return out
}
