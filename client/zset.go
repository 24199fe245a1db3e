package client

import (
	"context"
	"slices"

	"google.golang.org/grpc/codes"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// Member is a member of a zset.
type Member struct {
	Member string
	Score  float64 // a finite number
	Rank   uint64  // its place in the order asked for, from 0; ignored by writes
}

// Range selects members of a zset in the order of their scores, and of their
// names where scores are equal. The zero Range is the member of the least score.
type Range struct {
	Start, Stop int64 // ranks, both included; negative ones count from the end: 0, -1 is everything
	ByScore     bool  // take Min and Max in place of Start and Stop
	Min, Max    float64
	Reverse     bool // begin with the greatest score
}

// ZAddOp sets the scores of members of a zset. It takes back the increments that
// the coordinating replica holds of them; concurrent ones add to the new score.
func ZAddOp(key string, members ...Member) Op {
	return Op{Key: key, name: "ZAdd", fill: func(u *pb.UpdateRequest) {
		z := &pb.ZAdd{}
		for _, m := range members {
			z.Members = append(z.Members, &pb.Member{Member: []byte(m.Member), Score: m.Score})
		}
		u.Op = &pb.UpdateRequest_Zadd{Zadd: z}
	}}
}

// ZIncrOp adds by, which may be negative, to the score of a member of a zset.
func ZIncrOp(key, member string, by float64) Op {
	return Op{Key: key, name: "ZIncr", fill: func(u *pb.UpdateRequest) {
		u.Op = &pb.UpdateRequest_Zincr{Zincr: &pb.ZIncr{Member: []byte(member), By: by}}
	}}
}

// ZRemOp removes members from a zset.
func ZRemOp(key string, members ...string) Op {
	return Op{Key: key, name: "ZRem", movable: true, fill: func(u *pb.UpdateRequest) {
		u.Op = &pb.UpdateRequest_Zremove{Zremove: &pb.ZRemove{Members: bytesOf(members)}}
	}}
}

// ZAdd sets the scores of members of a zset and returns how many were not yet
// in it.
func (c *Client) ZAdd(ctx context.Context, key string, members []Member, opts ...CallOption) (int, error) {
	r, err := c.Update(ctx, ZAddOp(key, members...), opts...)
	if err != nil {
		return 0, err
	}
	return int(r.Changed), nil
}

// ZIncr adds to the score of a member of a zset, which becomes one if it is
// absent, and returns the score as the coordinating replica knows it afterwards.
func (c *Client) ZIncr(ctx context.Context, key, member string, by float64, opts ...CallOption) (float64, error) {
	r, err := c.Update(ctx, ZIncrOp(key, member, by), opts...)
	if err != nil {
		return 0, err
	}
	return r.Score, nil
}

// ZRem removes members from a zset and returns how many were in it. Removing
// what is absent is fine.
func (c *Client) ZRem(ctx context.Context, key string, members []string, opts ...CallOption) (int, error) {
	r, err := c.Update(ctx, ZRemOp(key, members...), opts...)
	if err != nil {
		return 0, err
	}
	return int(r.Changed), nil
}

// ZRange reads a part of a zset, in pages where it is large: ranks count from
// the first page, whatever changes meanwhile. IsNotFound tells that the zset is
// absent; a range without members is none and no error. A range of more than
// Options.MaxMembers is RESOURCE_EXHAUSTED: read it by parts.
func (c *Client) ZRange(ctx context.Context, key string, part Range, opts ...CallOption) ([]Member, error) {
	var all []Member
	req := &pb.GetRequest{Key: []byte(key), Limit: pageLimit, Range: part.message()}
	for {
		v, err := c.get(ctx, "ZRange", req, opts)
		if IsNotFound(err) && len(req.GetPage()) > 0 { // it was removed behind the earlier pages
			return all, nil
		}
		if err == nil {
			err = wantKind("ZRange", v.Kind, ZSet)
		}
		if err != nil {
			return nil, err
		}
		if all = append(all, v.Members...); len(all) > c.opts.MaxMembers {
			return nil, refuse("ZRange", codes.ResourceExhausted, "SET_TOO_LARGE",
				"the range has more than %d members: read it by parts", c.opts.MaxMembers)
		}
		if len(v.NextPage) == 0 {
			return all, nil
		}
		req.Page = v.NextPage
	}
}

func (part *Range) message() *pb.ZRange {
	return &pb.ZRange{
		Start: part.Start, Stop: part.Stop, ByScore: part.ByScore, Min: part.Min, Max: part.Max, Reverse: part.Reverse,
	}
}

// ZScore reads the score of a member of a zset. found is false if it is not in
// it, or the zset is absent.
func (c *Client) ZScore(ctx context.Context, key, member string, opts ...CallOption) (score float64, found bool, err error) {
	v, err := c.get(ctx, "ZScore", &pb.GetRequest{Key: []byte(key), Limit: 1, Element: []byte(member)}, opts)
	switch {
	case IsNotFound(err):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	}
	i := slices.IndexFunc(v.Members, func(m Member) bool { return m.Member == member })
	if i < 0 {
		return 0, false, wantKind("ZScore", v.Kind, ZSet)
	}
	return v.Members[i].Score, true, nil
}

// ZRank reads the place of a member of a zset, 0 for the least score or, in
// reverse, for the greatest. found is false if it is not in it, or the zset is
// absent.
func (c *Client) ZRank(ctx context.Context, key, member string, reverse bool, opts ...CallOption) (rank uint64, found bool, err error) {
	v, err := c.get(ctx, "ZRank", &pb.GetRequest{Key: []byte(key), Element: []byte(member), Range: &pb.ZRange{Reverse: reverse}}, opts)
	switch {
	case IsNotFound(err):
		return 0, false, nil
	case err != nil:
		return 0, false, err
	}
	if err := wantKind("ZRank", v.Kind, ZSet); err != nil || len(v.Members) == 0 {
		return 0, false, err
	}
	return v.Members[0].Rank, true, nil
}
