package client

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Field is one field of a map.
type Field struct {
	Name  string
	Kind  Kind
	Value Value
}

// FieldName names a field of a map. Fields of one name and different kinds are
// different fields; Kind may be left out where the name is unambiguous, and
// means every kind where fields are removed.
type FieldName struct {
	Name string
	Kind Kind
}

// Way is the way to a field: its name or, for one inside other maps, the names
// of those, the outermost first, and then its own.
func Way(names ...string) []FieldName {
	out := make([]FieldName, len(names))
	for i, name := range names {
		out[i].Name = name
	}
	return out
}

// MapOp changes several fields of a map in one event. Each field is an Op whose
// Key is the field's name: PutOp, IncrOp, SAddOp, ..., or MapOp for a map in it.
//
//	client.MapOp("user:7", client.PutOp("name", []byte("Ada")), client.IncrOp("visits", 1))
func MapOp(key string, fields ...Op) Op {
	op := Op{Key: key, name: "MapUpdate", movable: true}
	for i := range fields {
		f := &fields[i]
		switch {
		case f.fill == nil:
			op.err = noOperation(op.name)
		case f.err != nil:
			op.err = f.err
		}
		op.movable = op.movable && f.mayRepeat(&pb.UpdateRequest{Kind: pb.Kind(f.Kind)})
	}
	op.fill = func(u *pb.UpdateRequest) {
		m := &pb.MapUpdate{}
		for i := range fields {
			sub := &pb.UpdateRequest{Kind: pb.Kind(fields[i].Kind)}
			fields[i].fill(sub)
			m.Fields = append(m.Fields, &pb.FieldUpdate{Name: []byte(fields[i].Key), Update: sub})
		}
		u.Op = &pb.UpdateRequest_MapUpdate{MapUpdate: m}
	}
	return op
}

// HDelOp removes what the coordinating replica holds of fields of a map.
func HDelOp(key string, fields ...FieldName) Op {
	return Op{Key: key, name: "HDel", fill: func(u *pb.UpdateRequest) {
		u.Op = &pb.UpdateRequest_MapRemove{MapRemove: &pb.MapRemove{Fields: namesOf(fields)}}
	}}
}

func namesOf(fields []FieldName) []*pb.FieldName {
	var out []*pb.FieldName
	for _, f := range fields {
		out = append(out, &pb.FieldName{Name: []byte(f.Name), Kind: pb.Kind(f.Kind)})
	}
	return out
}

// MapUpdate changes several fields of a map in one event; see MapOp.
func (c *Client) MapUpdate(ctx context.Context, key string, fields []Op, opts ...CallOption) (*Result, error) {
	return c.Update(ctx, MapOp(key, fields...), opts...)
}

// HSet assigns registers in fields of a map, in one event, and returns how many
// fields it changed. For other kinds see MapUpdate.
func (c *Client) HSet(ctx context.Context, key string, values map[string]string, opts ...CallOption) (int, error) {
	var fields []Op
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fields = append(fields, PutOp(name, []byte(values[name])))
	}
	r, err := c.Update(ctx, MapOp(key, fields...), opts...)
	if err != nil {
		return 0, err
	}
	return int(r.Changed), nil
}

// HIncr adds n to a counter in a field of a map and returns its value
// afterwards, as the coordinating replica knows it. Where the answer to the
// write does not tell, as that to a retry whose field was removed since, it is
// read by a second call.
func (c *Client) HIncr(ctx context.Context, key, field string, n int64, opts ...CallOption) (int64, error) {
	r, err := c.Update(ctx, MapOp(key, IncrOp(field, n)), opts...)
	if err != nil {
		return 0, err
	}
	if told := r.Field(field); told != nil {
		return told.Integer, nil
	}
	v, err := c.HGet(ctx, key, Way(field), opts...)
	if err != nil {
		return 0, carriedOut(err)
	}
	return v.Integer, nil
}

// carriedOut is the error of reading back what was written: of the write, which
// was acknowledged, nobody must conclude that it failed.
func carriedOut(err error) error {
	e := refuse("HIncr", CodeOf(err), "NOT_READ_BACK", "the increment was acknowledged, its value could not be read: %s", err)
	e.Outcome, e.cause = OK, err
	return e
}

// HDel removes fields of a map and returns how many were there. Removing what
// is absent is fine.
func (c *Client) HDel(ctx context.Context, key string, fields []FieldName, opts ...CallOption) (int, error) {
	r, err := c.Update(ctx, HDelOp(key, fields...), opts...)
	if err != nil {
		return 0, err
	}
	return int(r.Changed), nil
}

// HGet reads one field of a map; Way("name") leads to one of its own, Way("a",
// "b") to one of the map in field a. IsNotFound tells that the key or the field
// is absent, the reason AMBIGUOUS_FIELD that the kind must be named.
func (c *Client) HGet(ctx context.Context, key string, way []FieldName, opts ...CallOption) (*Value, error) {
	if len(way) == 0 {
		return nil, refuse("HGet", codes.InvalidArgument, "NO_FIELD", "the way to the field names none")
	}
	return c.get(ctx, "HGet", &pb.GetRequest{Key: []byte(key), Limit: pageLimit, Fields: namesOf(way)}, opts)
}

// HGetAll reads all fields of a map, by name and kind, asking for page after
// page. A map of more than Options.MaxMembers fields is RESOURCE_EXHAUSTED.
// IsNotFound tells that the map is absent. Pages are read one after another, so
// what changes meanwhile may be in the answer or not.
func (c *Client) HGetAll(ctx context.Context, key string, opts ...CallOption) ([]Field, error) {
	limit := uint32(pageLimit)
	var all []Field
	for f, err := range pages("HGetAll", func(page []byte) ([]Field, []byte, error) {
		v, err := c.page(ctx, "HGetAll", &pb.GetRequest{Key: []byte(key), Page: page}, &limit, opts)
		if err != nil || v == nil {
			return nil, nil, err
		}
		return v.Fields, v.NextPage, wantKind("HGetAll", v.Kind, Map)
	}) {
		if err != nil {
			return nil, err
		}
		if len(all) == c.opts.MaxMembers {
			return nil, refuse("HGetAll", codes.ResourceExhausted, "MAP_TOO_LARGE", "the map has more than %d fields: read single ones", c.opts.MaxMembers)
		}
		all = appendField(all, f)
	}
	return all, nil
}

// appendField appends f to the fields of earlier pages. A page may end within a
// field: then the rest of it comes first on the next.
func appendField(all []Field, f Field) []Field {
	if n := len(all); n > 0 && all[n-1].Name == f.Name && all[n-1].Kind == f.Kind {
		v := &all[n-1].Value
		v.Elements = append(v.Elements, f.Value.Elements...)
		v.Members = append(v.Members, f.Value.Members...)
		v.Total = max(uint64(len(v.Elements)), uint64(len(v.Members)))
		for _, inner := range f.Value.Fields {
			v.Fields = appendField(v.Fields, inner)
		}
		return all
	}
	return append(all, f)
}
