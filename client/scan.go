package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc/codes"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// KeyInfo is one key of a listing.
type KeyInfo struct {
	Key  string
	Kind Kind
}

// KeysPage is one page of a listing and the token that continues it, empty
// after the last.
type KeysPage struct {
	Keys []KeyInfo
	Next []byte
}

// Keys ranges over the keys of a bucket that begin with prefix, in the order of
// their hash. An error ends it. The timeout of the call holds for each page; a
// page that breaks off is asked for again, also at another node.
func (c *Client) Keys(ctx context.Context, prefix string, opts ...CallOption) iter.Seq2[KeyInfo, error] {
	return pages("Keys", func(page []byte) ([]KeyInfo, []byte, error) {
		p, err := c.KeysAfter(ctx, prefix, page, pageLimit, opts...)
		if err != nil {
			return nil, nil, err
		}
		return p.Keys, p.Next, nil
	})
}

// pages ranges over the items of page after page until none is named as next.
// It refuses a page that names itself, which would never end.
func pages[T any](op string, read func(page []byte) (items []T, next []byte, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var page []byte
		for {
			items, next, err := read(page)
			if err == nil && len(next) > 0 && bytes.Equal(next, page) {
				err = refuse(op, codes.DataLoss, "SAME_PAGE", "the server names the page after this one as this one")
			}
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if page = next; len(page) == 0 {
				return
			}
		}
	}
}

// KeysAfter lists up to limit keys (1000 at most; 0 means 1000) behind page, the
// Next of an earlier answer or nil.
func (c *Client) KeysAfter(ctx context.Context, prefix string, page []byte, limit int, opts ...CallOption) (*KeysPage, error) {
	o, err := c.options("Keys", opts)
	if err != nil {
		return nil, err
	}
	if limit <= 0 || limit > pageLimit {
		limit = pageLimit
	}
	req := &pb.ScanRequest{Bucket: o.bucket, Prefix: []byte(prefix), Limit: uint32(limit), Page: page, Options: o.read()}
	var p *KeysPage
	err = c.do(ctx, o.readCall("Keys"), func(ctx context.Context, a *attempt) error {
		p, err = a.scan(ctx, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// scan reads one stream to its end, which is at most one page long.
func (a *attempt) scan(ctx context.Context, req *pb.ScanRequest) (*KeysPage, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := a.kv.Scan(ctx, req)
	if err != nil {
		return nil, err
	}
	p := &KeysPage{}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err != nil {
			return nil, err
		}
		if len(p.Keys)+len(resp.GetItems()) > int(req.GetLimit()) {
			return nil, refuse(a.op, codes.DataLoss, "PAGE_TOO_LONG", "the server sent more than the %d keys asked for", req.GetLimit())
		}
		for _, item := range resp.GetItems() {
			p.Keys = append(p.Keys, KeyInfo{Key: string(item.GetKey()), Kind: Kind(item.GetKind())})
		}
		p.Next = resp.GetNextPage()
	}
}
