package sim

import (
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
)

// other writes a key of a kind that no checker of histories knows: such keys
// must converge, and their dots name one event each.
func (c *client) other() {
	key, op, kind := c.otherOp()
	o, _ := c.writeLevel()
	req := &v1.UpdateRequest{Bucket: bucketSync, Key: []byte(key), Kind: kind, Options: o}
	setOp(req, op)
	if c.run.plan.has("async") && c.rnd.IntN(3) == 0 {
		req.Bucket = bucketAsync
	}
	abroad := false
	if len(c.run.cluster.DCs) > 1 && c.rnd.IntN(4) == 0 {
		req.Bucket, abroad = bucketHome, c.home.index > 0
	}
	if c.rnd.IntN(6) == 0 {
		if got, _, err := c.read(&v1.GetRequest{Bucket: req.GetBucket(), Key: req.GetKey()}); err == nil {
			req.Options.Context = got.GetContext()
		}
	}
	_, _, out, _, err := c.write(req, false)
	if err != nil {
		c.run.count(string(out))
	} else if abroad {
		c.run.cluster.watch.fail("%s took a write of a bucket that it does not hold", c.home.Name)
	}
}

// otherOp draws an operation: an UpdateRequest with nothing but its operation.
func (c *client) otherOp() (key string, op *v1.UpdateRequest, kind v1.Kind) {
	member := []byte(pick(c.rnd, []string{"a", "b", "c", "d"}))
	some := [][]byte{member}
	switch c.rnd.IntN(9) {
	case 0:
		members := []*v1.Member{{Member: member, Score: float64(c.rnd.IntN(100))}}
		op = pick(c.rnd, []*v1.UpdateRequest{
			{Op: &v1.UpdateRequest_Zadd{Zadd: &v1.ZAdd{Members: members}}},
			{Op: &v1.UpdateRequest_Zincr{Zincr: &v1.ZIncr{Member: member, By: 3}}},
			{Op: &v1.UpdateRequest_Zremove{Zremove: &v1.ZRemove{Members: some}}},
		})
		return c.key("zset"), op, v1.Kind_KIND_ZSET
	case 1:
		return c.key("map"), c.mapOp(member), v1.Kind_KIND_MAP
	case 2:
		kind = pick(c.rnd, []v1.Kind{v1.Kind_KIND_FLAG, v1.Kind_KIND_DWFLAG})
		return c.key("flag" + kind.String()), &v1.UpdateRequest{Op: &v1.UpdateRequest_FlagSet{FlagSet: &v1.FlagSet{On: c.rnd.IntN(2) == 0}}}, kind
	case 3:
		op = &v1.UpdateRequest{Op: &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: some}}}
		if c.rnd.IntN(3) == 0 {
			op = &v1.UpdateRequest{Op: &v1.UpdateRequest_SetRemove{SetRemove: &v1.SetRemove{Elements: some}}}
		}
		return c.key("rwset"), op, v1.Kind_KIND_RWSET
	case 4:
		return c.key("hll"), &v1.UpdateRequest{Op: &v1.UpdateRequest_HllAdd{HllAdd: &v1.HllAdd{Elements: bytesOf([]string{c.unique()})}}}, v1.Kind_KIND_HLL
	case 5:
		return c.key("mv"), assign(c.unique()), v1.Kind_KIND_MVREGISTER
	case 6:
		return c.key("bcounter"), &v1.UpdateRequest{Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: int64(c.rnd.IntN(20) - 6)}}}, v1.Kind_KIND_BCOUNTER
	case 7: // the one kind of key that has everything that can happen to a key
		return c.brief()
	}
	return c.key("gset"), &v1.UpdateRequest{Op: &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: some}}}, v1.Kind_KIND_GSET
}

// brief is about keys that expire.
func (c *client) brief() (key string, op *v1.UpdateRequest, kind v1.Kind) {
	key = c.key("brief")
	switch c.rnd.IntN(4) {
	case 0:
		at := time.Now().Add(time.Duration(c.rnd.IntN(4000)) * time.Millisecond)
		return key, &v1.UpdateRequest{Op: &v1.UpdateRequest_Expire{Expire: &v1.Expire{AtUnixMs: uint64(at.UnixMilli())}}}, v1.Kind_KIND_UNSPECIFIED
	case 1:
		return key, &v1.UpdateRequest{Op: &v1.UpdateRequest_Remove{Remove: &v1.Remove{}}}, v1.Kind_KIND_UNSPECIFIED
	case 2:
		op = assign(c.unique())
		op.TtlMs = uint64(100 + c.rnd.IntN(3000))
		return key, op, v1.Kind_KIND_REGISTER
	}
	op = assign(c.unique())
	op.KeepTtl = c.rnd.IntN(2) == 0
	return key, op, v1.Kind_KIND_REGISTER
}

func (c *client) mapOp(field []byte) *v1.UpdateRequest {
	if c.rnd.IntN(4) == 0 {
		return &v1.UpdateRequest{Op: &v1.UpdateRequest_MapRemove{MapRemove: &v1.MapRemove{Fields: []*v1.FieldName{{Name: field}}}}}
	}
	sub := pick(c.rnd, []*v1.UpdateRequest{
		assign(c.unique()),
		{Op: &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: 1}}},
		{Op: &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: bytesOf([]string{c.unique()})}}},
	})
	return &v1.UpdateRequest{Op: &v1.UpdateRequest_MapUpdate{MapUpdate: &v1.MapUpdate{Fields: []*v1.FieldUpdate{{Name: field, Update: sub}}}}}
}

func assign(value string) *v1.UpdateRequest {
	return &v1.UpdateRequest{Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: []byte(value)}}}
}

// setOp takes over the operation of another request.
func setOp(req, from *v1.UpdateRequest) {
	req.Op, req.TtlMs, req.KeepTtl = from.GetOp(), from.GetTtlMs(), from.GetKeepTtl()
}
