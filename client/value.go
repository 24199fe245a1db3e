package client

import (
	"fmt"
	"time"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Value is what a read found under a key.
type Value struct {
	Kind     Kind
	Bytes    []byte   // register, mvregister: the winning value
	Integer  int64    // counter
	Elements []string // set: one page of it, sorted
	Total    uint64   // set: elements of the whole
	Siblings []Sibling
	Conflict bool   // concurrent writes wait for one that observed them all
	Context  []byte // what this read observed, for WithContext
	NextPage []byte // continues the elements; empty after the last page
	Answer   Answer
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
	Integer int64  // the value after the change, of a counter
	Changed uint64 // elements added or removed; 1 or 0 otherwise
	Context []byte // what was observed and written, for WithContext
	Dot     Dot    // of the event; zero if there was nothing to change
	Tries   int    // attempts made; 1 unless something went wrong
	Answer  Answer
}

func dotOf(d *pb.Dot) Dot { return Dot{Actor: d.GetActor(), Seq: d.GetSeq()} }

func answerOf(a *pb.Answer) Answer {
	return Answer{Copies: int(a.GetCopies()), Replicas: int(a.GetReplicas()), DC: a.GetDc(), Node: a.GetNode()}
}

func valueOf(r *pb.GetResponse) *Value {
	v := &Value{
		Kind: Kind(r.GetKind()), Bytes: r.GetValue().GetBytes(), Integer: r.GetValue().GetInteger(),
		Elements: stringsOf(r.GetValue().GetSet().GetElements()), Total: r.GetValue().GetSet().GetTotal(),
		Conflict: r.GetConflict(), Context: r.GetContext(), NextPage: r.GetNextPage(), Answer: answerOf(r.GetAnswer()),
	}
	for _, s := range r.GetSiblings() {
		v.Siblings = append(v.Siblings, Sibling{Value: s.GetValue(), Stamp: time.UnixMicro(int64(s.GetStamp())), Dot: dotOf(s.GetDot())})
	}
	return v
}

func resultOf(r *pb.UpdateResponse, tries int) *Result {
	return &Result{
		Kind: Kind(r.GetKind()), Integer: r.GetValue().GetInteger(), Changed: r.GetChanged(),
		Context: r.GetContext(), Dot: dotOf(r.GetDot()), Tries: tries, Answer: answerOf(r.GetAnswer()),
	}
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
