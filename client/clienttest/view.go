package clienttest

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"google.golang.org/grpc/codes"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// value is what a reader sees, of a set, a map or a zset one page.
func (h *held) value(req *pb.GetRequest) (v *pb.Value, next []byte) {
	switch h.kind {
	case pb.Kind_KIND_COUNTER, pb.Kind_KIND_GCOUNTER, pb.Kind_KIND_BCOUNTER:
		return &pb.Value{Of: &pb.Value_Integer{Integer: h.n}}, nil
	case pb.Kind_KIND_SET, pb.Kind_KIND_GSET, pb.Kind_KIND_RWSET:
		elements, next := h.page(req)
		return &pb.Value{Of: &pb.Value_Set{Set: &pb.Elements{Elements: elements, Total: uint64(len(h.set))}}}, next
	case pb.Kind_KIND_FLAG, pb.Kind_KIND_DWFLAG:
		return &pb.Value{Of: &pb.Value_Flag{Flag: h.on}}, nil
	case pb.Kind_KIND_HLL:
		return &pb.Value{Of: &pb.Value_Estimate{Estimate: uint64(len(h.set))}}, nil
	case pb.Kind_KIND_MAP:
		fields, next := h.fieldsAfter(req)
		return &pb.Value{Of: &pb.Value_Map{Map: &pb.Fields{Fields: fields}}}, next
	case pb.Kind_KIND_ZSET:
		found := h.members(req)
		return &pb.Value{Of: &pb.Value_Zset{Zset: found}}, rangePage(found, req)
	case pb.Kind_KIND_UNSPECIFIED, pb.Kind_KIND_REGISTER, pb.Kind_KIND_MVREGISTER:
	}
	return &pb.Value{Of: &pb.Value_Bytes{Bytes: h.reg}}, nil
}

func (h *held) page(req *pb.GetRequest) (elements [][]byte, next []byte) {
	if req.Element != nil {
		if h.set[string(req.GetElement())] {
			elements = [][]byte{req.GetElement()}
		}
		return elements, nil
	}
	for _, e := range slices.Sorted(maps.Keys(h.set)) {
		if e <= string(req.GetPage()) && len(req.GetPage()) > 0 {
			continue
		}
		if len(elements) == pageOf(req.GetLimit()) {
			return elements, elements[len(elements)-1]
		}
		elements = append(elements, []byte(e))
	}
	return elements, nil
}

func pageOf(limit uint32) int {
	if limit == 0 || limit > defaultPage {
		return defaultPage
	}
	return int(limit)
}

// fieldsAfter gives a page of fields; a page ends with a name and its kind.
func (h *held) fieldsAfter(req *pb.GetRequest) (fields []*pb.Field, next []byte) {
	token := func(k fieldKey) string { return k.name + "\x00" + string(rune(k.kind)) }
	for _, k := range slices.SortedFunc(maps.Keys(h.fields), func(a, b fieldKey) int { return cmp.Compare(token(a), token(b)) }) {
		if token(k) <= string(req.GetPage()) && len(req.GetPage()) > 0 {
			continue
		}
		if len(fields) == pageOf(req.GetLimit()) {
			return fields, next
		}
		v, _ := h.fields[k].value(&pb.GetRequest{})
		fields, next = append(fields, &pb.Field{Name: []byte(k.name), Kind: k.kind, Value: v}), []byte(token(k))
	}
	return fields, nil
}

func (h *held) members(req *pb.GetRequest) *pb.Members {
	r := req.GetRange()
	if r == nil {
		r = &pb.ZRange{Stop: -1}
	}
	var all []*pb.Member
	for m, score := range h.scores {
		all = append(all, &pb.Member{Member: []byte(m), Score: score})
	}
	slices.SortFunc(all, func(a, b *pb.Member) int {
		return cmp.Or(cmp.Compare(a.GetScore(), b.GetScore()), cmp.Compare(string(a.GetMember()), string(b.GetMember())))
	})
	if r.GetReverse() {
		slices.Reverse(all)
	}
	at := func(i int64) uint64 {
		if i < 0 {
			i += int64(len(all))
		}
		return uint64(max(0, i))
	}
	out := &pb.Members{Total: uint64(len(all))}
	for i, m := range all {
		m.Rank = uint64(i)
		in := m.GetRank() >= at(r.GetStart()) && m.GetRank() <= at(r.GetStop()) && r.GetStop() >= -int64(len(all))
		switch {
		case req.Element != nil:
			in = string(m.GetMember()) == string(req.GetElement())
		case r.GetByScore():
			in = m.GetScore() >= r.GetMin() && m.GetScore() <= r.GetMax()
		}
		if in {
			out.Members = append(out.Members, m)
		}
	}
	return out
}

// rangePage leaves one page of a range, behind as many members as its token says.
func rangePage(found *pb.Members, req *pb.GetRequest) (next []byte) {
	all := found.GetMembers()
	limit := int(req.GetLimit())
	if req.GetRange() == nil || limit == 0 {
		limit = defaultPage
	}
	seen, _ := strconv.Atoi(string(req.GetPage()))
	end := min(seen+limit, len(all))
	if found.Members = all[min(seen, end):end]; end < len(all) {
		next = strconv.AppendInt(nil, int64(end), 10)
	}
	return next
}

// field follows the way to a field.
func (h *held) field(way []*pb.FieldName) (*held, error) {
	for i, f := range way {
		if h.kind != pb.Kind_KIND_MAP {
			return nil, Refuse(codes.FailedPrecondition, "WRONG_KIND", "key holds no fields")
		}
		var found []*held
		for k, v := range h.fields {
			inner := i == len(way)-1 || k.kind == pb.Kind_KIND_MAP
			if k.name == string(f.GetName()) && (f.GetKind() == k.kind || f.GetKind() == pb.Kind_KIND_UNSPECIFIED) && inner {
				found = append(found, v)
			}
		}
		switch len(found) {
		case 0:
			return nil, Refuse(codes.NotFound, "NOT_FOUND", "map has no such field")
		case 1:
			h = found[0]
		default:
			return nil, Refuse(codes.InvalidArgument, "AMBIGUOUS_FIELD", "map has fields of that name and several kinds; name the kind")
		}
	}
	return h, nil
}
