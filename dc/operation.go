package dc

import (
	"math"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
)

// operation turns a request into crdt's words.
func (n *Node) operation(t *target, req *v1.UpdateRequest) (*crdt.Op, error) {
	op, err := n.words(t, req, 0)
	if err != nil {
		return nil, err
	}
	op.Default, _ = crdt.ParseKind(t.bucket.Kind)
	op.Allowed = t.bucket.allowed()
	if err := t.bucket.takes(op); err != nil {
		return nil, err
	}
	if err := n.lifetime(t, req, op); err != nil {
		return nil, err
	}
	opts := req.GetOptions()
	op.Context, err = n.openContext(t.key, opts.GetContext(), opts != nil && opts.Context != nil)
	return op, err
}

// words is operation for the key itself or, at some depth, for a field of a map.
func (n *Node) words(t *target, req *v1.UpdateRequest, depth int) (*crdt.Op, error) {
	op := &crdt.Op{Kind: crdt.Kind(req.GetKind()), Bound: req.GetBound()}
	if op.Kind != crdt.NoKind && !op.Kind.Supported() {
		return nil, refuse(InvalidArgument, "UNKNOWN_KIND", "unknown kind %d (kinds: %v)", req.GetKind(), crdt.SupportedKinds())
	}
	var err error
	switch o := req.GetOp().(type) {
	case *v1.UpdateRequest_Assign:
		op.Code, op.Value = crdt.OpAssign, o.Assign.GetValue()
	case *v1.UpdateRequest_Remove:
		op.Code = crdt.OpDelete
	case *v1.UpdateRequest_CounterAdd:
		op.Code, op.N = crdt.OpAdd, o.CounterAdd.GetDelta()
	case *v1.UpdateRequest_CounterReset:
		op.Code = crdt.OpReset
	case *v1.UpdateRequest_SetAdd:
		op.Code, op.Elements = crdt.OpInsert, elements(o.SetAdd.GetElements())
	case *v1.UpdateRequest_SetRemove:
		op.Code, op.Elements = crdt.OpRemove, elements(o.SetRemove.GetElements())
	case *v1.UpdateRequest_FlagSet:
		op.Code, op.On = crdt.OpSwitch, o.FlagSet.GetOn()
	case *v1.UpdateRequest_HllAdd:
		op.Code, op.Elements = crdt.OpObserve, elements(o.HllAdd.GetElements())
	case *v1.UpdateRequest_Expire:
		op.Code, op.At = crdt.OpExpire, int64(o.Expire.GetAtUnixMs())
	case *v1.UpdateRequest_Keep:
		op.Code, op.Kind = crdt.OpKeep, crdt.Kind(o.Keep.GetKind())
	case *v1.UpdateRequest_MapUpdate, *v1.UpdateRequest_MapRemove:
		err = n.mapWords(t, op, req, depth)
	case *v1.UpdateRequest_Zadd, *v1.UpdateRequest_Zincr, *v1.UpdateRequest_Zremove:
		err = zsetWords(op, req)
	case *v1.UpdateRequest_Transfer:
		err = n.transferWords(t, op, o.Transfer)
	default:
		err = refuse(InvalidArgument, "NO_OPERATION", "update names no operation that this version knows")
	}
	if err != nil {
		return nil, err
	}
	return op, checkOp(t.bucket, op)
}

func elements(in [][]byte) []string {
	out := make([]string, len(in))
	for i, e := range in {
		out[i] = string(e)
	}
	return out
}

func (n *Node) mapWords(t *target, op *crdt.Op, req *v1.UpdateRequest, depth int) error {
	if depth >= crdt.MaxDepth {
		return refuse(InvalidArgument, "TOO_DEEP", "maps nest %d deep at the most", crdt.MaxDepth)
	}
	if r := req.GetMapRemove(); r != nil {
		op.Code = crdt.OpDiscard
		for _, f := range r.GetFields() {
			op.Names = append(op.Names, crdt.FieldName{Name: string(f.GetName()), Kind: crdt.Kind(f.GetKind())})
		}
		return checkCount("fields", len(op.Names))
	}
	op.Code = crdt.OpUpdate
	for _, f := range req.GetMapUpdate().GetFields() {
		sub, err := n.words(t, f.GetUpdate(), depth+1)
		if err != nil {
			return err
		}
		if sub.Code == crdt.OpKeep || sub.Code == crdt.OpTransfer || sub.Code == crdt.OpExpire {
			return refuse(InvalidArgument, "NOT_IN_A_MAP", "this operation is for keys, not for fields of maps")
		}
		op.Fields = append(op.Fields, crdt.FieldOp{Name: string(f.GetName()), Op: *sub})
	}
	return checkCount("fields", len(op.Fields))
}

func zsetWords(op *crdt.Op, req *v1.UpdateRequest) error {
	switch {
	case req.GetZadd() != nil:
		op.Code = crdt.OpScore
		for _, m := range req.GetZadd().GetMembers() {
			op.Members = append(op.Members, crdt.Member{Member: string(m.GetMember()), Score: m.GetScore()})
		}
	case req.GetZincr() != nil:
		op.Code = crdt.OpBump
		op.Members = []crdt.Member{{Member: string(req.GetZincr().GetMember()), Score: req.GetZincr().GetBy()}}
	default:
		op.Code, op.Elements = crdt.OpRemove, elements(req.GetZremove().GetMembers())
		if op.Kind == crdt.NoKind {
			op.Kind = crdt.ZSet
		}
		return nil
	}
	for _, m := range op.Members {
		if math.IsNaN(m.Score) || math.IsInf(m.Score, 0) {
			return refuse(InvalidArgument, "BAD_SCORE", "score of member %.80q is not a finite number", m.Member)
		}
	}
	return checkCount("members", len(op.Members))
}

// transferWords moves rights to a replica of another datacenter. Rights given to
// an actor of an earlier start would be lost, so of a node of which several are
// known it is the one that was heard last.
func (n *Node) transferWords(t *target, op *crdt.Op, req *v1.Transfer) error {
	op.Code, op.N, op.Kind = crdt.OpTransfer, req.GetAmount(), crdt.BCounter
	clock := n.store.Replica(t.id).Clock()
	byNode := map[string][]crdt.Actor{}
	for a := range clock.All() {
		if dcName, node := n.who(a); dcName == req.GetTo() {
			byNode[node] = append(byNode[node], a)
		}
	}
	for _, owner := range n.owners(req.GetTo(), t.id) {
		if actors := byNode[owner]; len(actors) > 0 {
			if to, ok := n.rights.present(t.id, actors); ok {
				op.To = to
				return nil
			}
		}
	}
	if len(byNode) > 0 {
		return refuse(FailedPrecondition, "NO_ACTOR", "replicas of datacenter %q have been restarted, and this node, started later, has not heard of a bounded counter from there since: which of their actors is the present one cannot be told; write to the key there first, adding 0 will do", req.GetTo())
	}
	return refuse(FailedPrecondition, "NO_ACTOR", "no replica of datacenter %q has written to this partition yet; write to the key there first, adding 0 will do", req.GetTo())
}

func checkCount(what string, n int) error {
	if n == 0 {
		return refuse(InvalidArgument, "NO_ELEMENTS", "operation names no %s", what)
	}
	if n > maxElements {
		return refuse(InvalidArgument, "TOO_MANY_ELEMENTS", "%d %s in one operation, at most %d are allowed", n, what, maxElements)
	}
	return nil
}

func checkOp(b *bucket, op *crdt.Op) error {
	if int64(len(op.Value)) > b.MaxValue {
		return refuse(InvalidArgument, "VALUE_TOO_LARGE", "value has %d bytes, bucket %q allows %d", len(op.Value), b.Name, b.MaxValue)
	}
	if op.Code == crdt.OpInsert || op.Code == crdt.OpRemove || op.Code == crdt.OpObserve {
		if err := checkCount("elements", len(op.Elements)); err != nil {
			return err
		}
	}
	for _, e := range op.Elements {
		if err := checkElement(e); err != nil {
			return err
		}
	}
	for _, m := range op.Members {
		if err := checkElement(m.Member); err != nil {
			return err
		}
	}
	return nil
}

func checkElement(e string) error {
	if len(e) > crdt.MaxElementBytes {
		return refuse(InvalidArgument, "ELEMENT_TOO_LARGE", "element has %d bytes, at most %d are allowed", len(e), crdt.MaxElementBytes)
	}
	return nil
}
