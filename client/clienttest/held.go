package clienttest

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// held is the value of one key, or of one field of a map.
type held struct {
	kind    pb.Kind
	reg     []byte
	n       int64
	bound   int64
	rights  map[string]int64 // of a bcounter, by datacenter
	set     map[string]bool  // of a set, and what an hll has seen
	on      bool
	fields  map[fieldKey]*held
	scores  map[string]float64
	expires uint64 // milliseconds since 1970; 0 is never
}

type fieldKey struct {
	name string
	kind pb.Kind
}

func newHeld(kind pb.Kind, bound int64) *held {
	return &held{
		kind: kind, bound: bound, rights: map[string]int64{}, set: map[string]bool{},
		fields: map[fieldKey]*held{}, scores: map[string]float64{},
	}
}

// absent tells whether nothing is left of the value.
func (h *held) absent() bool {
	switch h.kind {
	case pb.Kind_KIND_SET, pb.Kind_KIND_RWSET:
		return len(h.set) == 0
	case pb.Kind_KIND_FLAG, pb.Kind_KIND_DWFLAG:
		return !h.on
	case pb.Kind_KIND_MAP:
		return len(h.fields) == 0
	case pb.Kind_KIND_ZSET:
		return len(h.scores) == 0
	case pb.Kind_KIND_UNSPECIFIED, pb.Kind_KIND_REGISTER, pb.Kind_KIND_MVREGISTER, pb.Kind_KIND_COUNTER,
		pb.Kind_KIND_GCOUNTER, pb.Kind_KIND_BCOUNTER, pb.Kind_KIND_GSET, pb.Kind_KIND_HLL:
	}
	return false
}

// kindsOf are the kinds that take an operation, the one that it implies first.
func kindsOf(req *pb.UpdateRequest) []pb.Kind {
	switch req.GetOp().(type) {
	case *pb.UpdateRequest_CounterAdd:
		return []pb.Kind{pb.Kind_KIND_COUNTER, pb.Kind_KIND_GCOUNTER, pb.Kind_KIND_BCOUNTER}
	case *pb.UpdateRequest_CounterReset:
		return []pb.Kind{pb.Kind_KIND_COUNTER}
	case *pb.UpdateRequest_SetAdd:
		return []pb.Kind{pb.Kind_KIND_SET, pb.Kind_KIND_GSET, pb.Kind_KIND_RWSET}
	case *pb.UpdateRequest_SetRemove:
		return []pb.Kind{pb.Kind_KIND_SET, pb.Kind_KIND_RWSET}
	case *pb.UpdateRequest_FlagSet:
		return []pb.Kind{pb.Kind_KIND_FLAG, pb.Kind_KIND_DWFLAG}
	case *pb.UpdateRequest_MapUpdate, *pb.UpdateRequest_MapRemove:
		return []pb.Kind{pb.Kind_KIND_MAP}
	case *pb.UpdateRequest_Zadd, *pb.UpdateRequest_Zincr, *pb.UpdateRequest_Zremove:
		return []pb.Kind{pb.Kind_KIND_ZSET}
	case *pb.UpdateRequest_HllAdd:
		return []pb.Kind{pb.Kind_KIND_HLL}
	case *pb.UpdateRequest_Transfer:
		return []pb.Kind{pb.Kind_KIND_BCOUNTER}
	}
	return []pb.Kind{pb.Kind_KIND_REGISTER, pb.Kind_KIND_MVREGISTER}
}

// pick is the value that an operation is for: h if there is one, else a new one.
func pick(h *held, req *pb.UpdateRequest) (*held, error) {
	takes, want := kindsOf(req), req.GetKind()
	if h == nil {
		want = cmp.Or(want, takes[0])
	} else {
		want = cmp.Or(want, h.kind)
	}
	if !slices.Contains(takes, want) || h != nil && h.kind != want {
		return nil, Refuse(codes.FailedPrecondition, "WRONG_KIND", "key holds another kind")
	}
	if h == nil {
		return newHeld(want, req.GetBound()), nil
	}
	return h, nil
}

// change applies an operation of the right kind and counts what it did.
func (h *held) change(dc string, req *pb.UpdateRequest) (changed uint64, err error) {
	switch op := req.GetOp().(type) {
	case *pb.UpdateRequest_Assign:
		h.reg = bytes.Clone(op.Assign.GetValue())
		return 1, nil
	case *pb.UpdateRequest_CounterAdd:
		return 1, h.add(dc, op.CounterAdd.GetDelta())
	case *pb.UpdateRequest_CounterReset:
		h.n = 0
		return 1, nil
	case *pb.UpdateRequest_SetAdd:
		return h.put(op.SetAdd.GetElements()), nil
	case *pb.UpdateRequest_SetRemove:
		return take(h.set, op.SetRemove.GetElements()), nil
	case *pb.UpdateRequest_FlagSet:
		if h.on != op.FlagSet.GetOn() {
			h.on, changed = op.FlagSet.GetOn(), 1
		}
	case *pb.UpdateRequest_HllAdd:
		return min(1, h.put(op.HllAdd.GetElements())), nil
	case *pb.UpdateRequest_Zadd:
		for _, m := range op.Zadd.GetMembers() {
			if _, ok := h.scores[string(m.GetMember())]; !ok {
				changed++
			}
			h.scores[string(m.GetMember())] = m.GetScore()
		}
	case *pb.UpdateRequest_Zincr:
		h.scores[string(op.Zincr.GetMember())] += op.Zincr.GetBy()
		return 1, nil
	case *pb.UpdateRequest_Zremove:
		return take(h.scores, op.Zremove.GetMembers()), nil
	case *pb.UpdateRequest_MapUpdate:
		return h.update(dc, op.MapUpdate.GetFields())
	case *pb.UpdateRequest_MapRemove:
		return h.discard(op.MapRemove.GetFields()), nil
	case *pb.UpdateRequest_Transfer:
		return 1, h.transfer(dc, op.Transfer)
	}
	return changed, nil
}

// add counts; a datacenter takes from a bcounter only what it has rights to.
func (h *held) add(dc string, by int64) error {
	if h.kind == pb.Kind_KIND_GCOUNTER && by < 0 {
		return Refuse(codes.FailedPrecondition, "ONLY_GROWS", "a gcounter only grows")
	}
	if h.kind == pb.Kind_KIND_BCOUNTER {
		if len(h.rights) == 0 {
			h.rights[dc] = -h.bound
		}
		if h.rights[dc]+by < 0 {
			return noRights()
		}
		h.rights[dc] += by
	}
	h.n += by
	return nil
}

func (h *held) transfer(dc string, req *pb.Transfer) error {
	if req.GetAmount() > h.rights[dc] {
		return noRights()
	}
	h.rights[dc] -= req.GetAmount()
	h.rights[req.GetTo()] += req.GetAmount()
	return nil
}

func noRights() error {
	return Refuse(codes.FailedPrecondition, "NO_RIGHTS", "too few rights")
}

func (h *held) put(elements [][]byte) (changed uint64) {
	for _, e := range elements {
		if !h.set[string(e)] {
			h.set[string(e)] = true
			changed++
		}
	}
	return changed
}

func take[V any](from map[string]V, elements [][]byte) (changed uint64) {
	for _, e := range elements {
		if _, ok := from[string(e)]; ok {
			delete(from, string(e))
			changed++
		}
	}
	return changed
}

// update changes fields one after another; one that is refused leaves those
// before it changed, unlike a real node.
func (h *held) update(dc string, fields []*pb.FieldUpdate) (changed uint64, err error) {
	for _, f := range fields {
		name, takes := string(f.GetName()), kindsOf(f.GetUpdate())
		want := cmp.Or(f.GetUpdate().GetKind(), takes[0])
		for _, k := range takes {
			if f.GetUpdate().GetKind() == pb.Kind_KIND_UNSPECIFIED && h.fields[fieldKey{name, k}] != nil {
				want = k
			}
		}
		at := fieldKey{name, want}
		field, err := pick(h.fields[at], f.GetUpdate())
		if err != nil {
			return changed, err
		}
		n, err := field.change(dc, f.GetUpdate())
		if err != nil {
			return changed, err
		}
		changed += n
		if h.fields[at] = field; field.absent() {
			delete(h.fields, at)
		}
	}
	return changed, nil
}

func (h *held) discard(names []*pb.FieldName) (changed uint64) {
	for _, f := range names {
		before := len(h.fields)
		maps.DeleteFunc(h.fields, func(k fieldKey, _ *held) bool {
			return k.name == string(f.GetName()) && (f.GetKind() == pb.Kind_KIND_UNSPECIFIED || f.GetKind() == k.kind)
		})
		if len(h.fields) < before {
			changed++
		}
	}
	return changed
}
