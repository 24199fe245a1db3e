package dc

import (
	"slices"
	"strings"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/storage"
)

// query turns a request into what to read of the key.
func query(t *target, req *v1.GetRequest) (storage.Query, error) {
	q := storage.Query{Key: t.key, After: string(req.GetPage()), Limit: limit(req), Bytes: pageBytes}
	switch {
	case len(req.GetFields()) > 0: // told from all of it
		q.Limit, q.Bytes, q.After = 0, 0, ""
	case req.GetRange() != nil:
		var err error
		q.Order, err = order(req)
		q.After = ""
		return q, err
	}
	if len(req.GetFields()) > crdt.MaxDepth {
		return q, refuse(InvalidArgument, "TOO_DEEP", "the way to the field has %d names, maps nest %d deep", len(req.GetFields()), crdt.MaxDepth)
	}
	var path []byte
	for i, f := range req.GetFields() {
		path = crdt.AppendPath(path, f.GetName())
		switch last := i == len(req.GetFields())-1; {
		case f.GetKind() != 0:
			path = append(path, byte(f.GetKind()))
		case !last:
			path = append(path, byte(crdt.Map))
		}
	}
	if req.Element != nil && req.GetRange() == nil { // a rank is told from all members
		path = crdt.AppendPath(path, req.GetElement())
	}
	q.Under = string(path)
	return q, nil
}

// limit is how many elements the answer to a request holds at the most.
func limit(req *v1.GetRequest) int {
	if l := int(req.GetLimit()); l > 0 && l < defaultLimit {
		return l
	}
	return defaultLimit
}

// answer turns cells into what a client sees.
func (n *Node) answer(t *target, a *storage.Answer, req *v1.GetRequest) (*v1.GetResponse, error) {
	kind, cells, err := n.found(t, a, req)
	if err != nil {
		return nil, err
	}
	v := crdt.ReadValue(kind, cells)
	observed := crdt.ObservedContext(observable(a, req), &a.Clock)
	expires, _ := crdt.ExpiresAt(a.Cells)
	resp := &v1.GetResponse{
		Kind: v1.Kind(kind), Conflict: v.Conflict(), Context: n.sealContext(t.key, &observed),
		Value: value(&v, a.Total), Siblings: siblings(v.Siblings), Bound: v.Bound,
		ExpiresUnixMs: uint64(expires),
	}
	for _, r := range v.Rights {
		dcName, node := n.who(r.Actor)
		resp.Rights = append(resp.Rights, &v1.Rights{Actor: uint64(r.Actor), Dc: dcName, Node: node, Amount: r.Amount})
	}
	switch {
	case req.GetRange() != nil:
		return resp, rangeOf(resp, a, v.Members, req)
	case a.More:
		resp.NextPage = []byte(a.End)
	}
	return resp, nil
}

// rangeOf puts into an answer what a request selects of a zset: what the index
// told or, where that was not asked, a part of all members.
func rangeOf(resp *v1.GetResponse, a *storage.Answer, all []crdt.Member, req *v1.GetRequest) error {
	found, more, total := a.Members, a.More, a.Total
	if !a.Ranked {
		o, err := order(req)
		if err != nil {
			return err
		}
		found, more = ranked(all, o, limit(req))
		total = uint64(len(all))
	}
	resp.Value = rankedValue(found, total)
	if more {
		resp.NextPage = pageBehind(&found[len(found)-1])
	}
	return nil
}

// found picks the kind that the key, or the field asked for, exists as, and
// returns its cells with paths of their own.
func (n *Node) found(t *target, a *storage.Answer, req *v1.GetRequest) (crdt.Kind, []crdt.CellState, error) {
	kinds, cells := a.Kinds()
	have := slices.Clone(a.Present)
	for _, k := range kinds {
		live := slices.ContainsFunc(cells[k], func(c crdt.CellState) bool { return crdt.PresentCell(c.ID, c.Live) })
		if live && !slices.Contains(have, k) {
			have = append(have, k)
		}
	}
	switch {
	case len(have) == 0 || a.Expired(n.now()):
		return 0, nil, refuse(NotFound, "NOT_FOUND", "key is not in bucket %q", t.key.Bucket)
	case len(have) > 1:
		names := kindNames(have)
		return 0, nil, refuse(FailedPrecondition, "KIND_CONFLICT", "key was created under several kinds at once: %s; keep one of them", names).with("kinds", names)
	case len(req.GetFields()) > 0:
		return field(have[0], cells[have[0]], req)
	}
	return have[0], cells[have[0]], nil
}

// field picks one field of a map.
func field(have crdt.Kind, cells []crdt.CellState, req *v1.GetRequest) (crdt.Kind, []crdt.CellState, error) {
	if have != crdt.Map {
		return 0, nil, refuse(FailedPrecondition, "WRONG_KIND", "key holds a %s, which has no fields", have).with("have", have.String()).with("want", "map")
	}
	for range req.GetFields()[1:] {
		for i := range cells {
			_, rest, _ := crdt.CutPath(cells[i].ID.Path)
			cells[i].ID.Path = strings.TrimPrefix(rest, string([]byte{byte(crdt.Map)}))
		}
	}
	v := crdt.ReadValue(crdt.Map, cells)
	switch {
	case len(v.Fields) == 0:
		return 0, nil, refuse(NotFound, "NOT_FOUND", "map has no such field")
	case len(v.Fields) > 1:
		var kinds []crdt.Kind
		for _, f := range v.Fields {
			kinds = append(kinds, f.Value.Kind)
		}
		return 0, nil, refuse(InvalidArgument, "AMBIGUOUS_FIELD", "map has fields of that name and several kinds: %s; name the kind", kindNames(kinds))
	}
	kind := v.Fields[0].Value.Kind
	var own []crdt.CellState
	for _, c := range cells {
		if _, rest, ok := crdt.CutPath(c.ID.Path); ok && rest != "" && crdt.Kind(rest[0]) == kind {
			c.ID.Kind, c.ID.Path = kind, rest[1:]
			own = append(own, c)
		}
	}
	return kind, own, nil
}

// value puts a value into the words of the API. Total is the number of
// elements of the whole collection, of which the value may be a page.
func value(v *crdt.Value, total uint64) *v1.Value {
	switch v.Kind {
	case crdt.Register, crdt.MVRegister:
		if len(v.Siblings) == 0 {
			return nil
		}
		return &v1.Value{Of: &v1.Value_Bytes{Bytes: v.Siblings[0].Value}}
	case crdt.Counter, crdt.GCounter, crdt.BCounter:
		return &v1.Value{Of: &v1.Value_Integer{Integer: v.Int}}
	case crdt.Set, crdt.GSet, crdt.RWSet:
		return &v1.Value{Of: &v1.Value_Set{Set: &v1.Elements{Elements: byteSlices(v.Elements), Total: max(total, uint64(len(v.Elements)))}}}
	case crdt.Flag, crdt.DWFlag:
		return &v1.Value{Of: &v1.Value_Flag{Flag: v.Flag}}
	case crdt.HLL:
		return &v1.Value{Of: &v1.Value_Estimate{Estimate: v.Estimate}}
	case crdt.ZSet:
		all := make([]storage.Ranked, len(v.Members))
		for i, m := range v.Members {
			all[i] = storage.Ranked{Member: m.Member, Score: m.Score, Rank: uint64(i)}
		}
		return rankedValue(all, max(total, uint64(len(all))))
	case crdt.Map:
		fields := &v1.Fields{}
		for i := range v.Fields {
			f := &v.Fields[i]
			fields.Fields = append(fields.Fields, &v1.Field{
				Name: []byte(f.Name), Kind: v1.Kind(f.Value.Kind), Value: value(&f.Value, 0), Siblings: siblings(f.Value.Siblings),
			})
		}
		return &v1.Value{Of: &v1.Value_Map{Map: fields}}
	case crdt.NoKind, crdt.Expiry:
	}
	return nil
}

// who names the node that minted an actor.
func (n *Node) who(a crdt.Actor) (dcName, node string) {
	for _, d := range n.topology().Datacenters {
		for _, m := range d.Nodes {
			if storage.NodeActor(d.Name, m.ID) == a>>32 {
				return d.Name, m.ID
			}
		}
	}
	for _, node := range n.layout().nodes { // one that joined since
		if storage.NodeActor(n.dc, node) == a>>32 {
			return n.dc, node
		}
	}
	for dcName, doc := range n.world().docs {
		for _, e := range doc.All() {
			if storage.NodeActor(dcName, e.ID) == a>>32 {
				return dcName, e.ID
			}
		}
	}
	return "", ""
}

func kindNames(kinds []crdt.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.String()
	}
	return strings.Join(names, ", ")
}

func siblings(in []crdt.Sibling) []*v1.Sibling {
	if len(in) < 2 {
		return nil
	}
	out := make([]*v1.Sibling, len(in))
	for i, s := range in {
		out[i] = &v1.Sibling{Value: s.Value, Stamp: uint64(s.Stamp), Dot: &v1.Dot{Actor: uint64(s.Dot.Actor), Seq: s.Dot.Seq}}
	}
	return out
}

func byteSlices(in []string) [][]byte {
	out := make([][]byte, len(in))
	for i, s := range in {
		out[i] = []byte(s)
	}
	return out
}
