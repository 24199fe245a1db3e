package client

import (
	"context"
	"iter"
	"slices"

	"google.golang.org/grpc/codes"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// SAdd adds elements to a set and returns how many were not yet in it.
func (c *Client) SAdd(ctx context.Context, key string, elements []string, opts ...CallOption) (int, error) {
	r, err := c.Update(ctx, SAddOp(key, elements...), opts...)
	if err != nil {
		return 0, err
	}
	return int(r.Changed), nil
}

// SRem removes elements from a set and returns how many were in it. Removing
// what is absent is fine.
func (c *Client) SRem(ctx context.Context, key string, elements []string, opts ...CallOption) (int, error) {
	r, err := c.Update(ctx, SRemOp(key, elements...), opts...)
	if err != nil {
		return 0, err
	}
	return int(r.Changed), nil
}

// SIsMember tells whether an element is in a set; in an absent set nothing is.
func (c *Client) SIsMember(ctx context.Context, key, element string, opts ...CallOption) (bool, error) {
	v, err := c.get(ctx, "SIsMember", &pb.GetRequest{Key: []byte(key), Limit: 1, Element: []byte(element)}, opts)
	switch {
	case IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	}
	if err := wantSet("SIsMember", v.Kind); err != nil {
		return false, err
	}
	return slices.Contains(v.Elements, element), nil
}

// SCard is the number of elements of a set, 0 if it is absent.
func (c *Client) SCard(ctx context.Context, key string, opts ...CallOption) (uint64, error) {
	v, err := c.get(ctx, "SCard", &pb.GetRequest{Key: []byte(key), Limit: 1}, opts)
	switch {
	case IsNotFound(err):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return v.Total, wantSet("SCard", v.Kind)
}

// SMembers collects the elements of a set, sorted, asking for page after page.
// A set of more than Options.MaxMembers is RESOURCE_EXHAUSTED: use Members.
// IsNotFound tells that the set is absent or empty. Pages are read one after
// another, so what changes meanwhile may be in the answer or not.
func (c *Client) SMembers(ctx context.Context, key string, opts ...CallOption) ([]string, error) {
	var all []string
	for e, err := range c.Members(ctx, key, opts...) {
		if err != nil {
			return nil, err
		}
		if len(all) == c.opts.MaxMembers {
			return nil, refuse("SMembers", codes.ResourceExhausted, "SET_TOO_LARGE",
				"the set has more than %d elements: range over Members", c.opts.MaxMembers)
		}
		all = append(all, e)
	}
	return all, nil
}

// Members ranges over the elements of a set in order. An error ends it. The
// timeout of the call holds for each page.
func (c *Client) Members(ctx context.Context, key string, opts ...CallOption) iter.Seq2[string, error] {
	limit := uint32(pageLimit)
	return pages("SMembers", func(page []byte) ([]string, []byte, error) {
		v, err := c.page(ctx, "SMembers", &pb.GetRequest{Key: []byte(key), Page: page}, &limit, opts)
		if err != nil || v == nil {
			return nil, nil, err
		}
		return v.Elements, v.NextPage, wantSet("SMembers", v.Kind)
	})
}

// page reads one page of a collection, with smaller limits while elements are
// too large for a message. It returns nil if the key was removed behind what
// earlier pages had listed.
func (c *Client) page(ctx context.Context, op string, req *pb.GetRequest, limit *uint32, opts []CallOption) (*Value, error) {
	req.Limit = *limit
	v, err := c.get(ctx, op, req, opts)
	for ReasonOf(err) == reasonAnswerTooLarge && *limit > 1 {
		*limit /= 2
		req.Limit = *limit
		v, err = c.get(ctx, op, req, opts)
	}
	if IsNotFound(err) && len(req.GetPage()) > 0 {
		return nil, nil //nolint:nilnil // the end of the listing
	}
	return v, err
}

// wantSet refuses an answer about a key of another kind.
func wantSet(op string, k Kind) error { return wantKind(op, k, Set, GSet, RWSet) }

// wantKind refuses an answer about a key that is of none of some kinds.
func wantKind(op string, have Kind, want ...Kind) error {
	if slices.Contains(want, have) {
		return nil
	}
	e := refuse(op, codes.FailedPrecondition, "WRONG_KIND", "the key holds a %s, not a %s", have, want[0])
	e.Metadata = map[string]string{"have": have.String(), "want": want[0].String()}
	return e
}
