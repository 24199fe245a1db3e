package dc

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"golang.org/x/sync/errgroup"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/storage"
)

const (
	scanPage  = 1000 // keys of one page of a scan
	scanAhead = 8    // partitions that are read at once
)

// Scan lists the keys of a bucket in the order of their hashes, a page at a
// time, each read from a quorum of its partition's owners. It is no snapshot:
// keys that change meanwhile may be listed or not, but none whose removal was
// acknowledged before and can be read from as many owners.
func (n *Node) Scan(ctx context.Context, req *v1.ScanRequest, emit func(*v1.ScanResponse) error) error {
	if err := n.open(); err != nil {
		return err
	}
	t, err := n.target(req.GetBucket(), []byte{0}) // any key: it is the bucket that is checked
	if err != nil {
		return err
	}
	r, err := copies(req.GetOptions().GetConsistency(), req.GetOptions().GetR(), t.bucket.Read, len(t.owners))
	if err != nil {
		return err
	}
	s := &scan{n: n, bucket: t.bucket, prefix: req.GetPrefix(), r: r(len(t.owners)), strict: req.GetOptions().GetStrict(), left: int(req.GetLimit()), emit: emit}
	if s.left == 0 {
		s.left = -1
	}
	var behind []byte
	if page := req.GetPage(); len(page) > 0 {
		if len(page) < 4 {
			return refuse(InvalidArgument, "BAD_PAGE", "page token is damaged")
		}
		s.partition, behind = binary.BigEndian.Uint32(page), page[4:]
		if int(s.partition) >= n.opts.Topology.Partitions {
			return refuse(InvalidArgument, "BAD_PAGE", "page token is of another cluster")
		}
	}
	return s.run(ctx, behind)
}

type scan struct {
	n         *Node
	bucket    *bucket
	prefix    []byte
	r         int
	strict    bool // replicas that are recovering do not count
	left      int  // keys still to be listed; negative is all
	partition uint32
	emit      func(*v1.ScanResponse) error
}

type scanned struct {
	items []*peerv1.ScanItem
	end   []byte // the position up to which it was read; nil if there is no more
}

func (s *scan) run(ctx context.Context, behind []byte) error {
	last := uint32(s.n.opts.Topology.Partitions)
	for s.partition < last {
		pages := make([]scanned, min(scanAhead, last-s.partition))
		g, gctx := errgroup.WithContext(ctx)
		for i := range pages {
			g.Go(func() (err error) {
				var after []byte
				if i == 0 {
					after = behind
				}
				pages[i], err = s.page(gctx, s.partition+uint32(i), after)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		behind = nil
		for _, p := range pages {
			stop, err := s.send(p)
			if err != nil || stop {
				return err
			}
			if p.end != nil { // read on behind it before the partitions after it
				behind = p.end
				break
			}
			s.partition++
		}
	}
	return nil
}

// send emits a page, and says whether the limit is reached.
func (s *scan) send(p scanned) (stop bool, err error) {
	if len(p.items) == 0 {
		return false, nil
	}
	cut := s.left >= 0 && len(p.items) >= s.left
	if cut {
		p.items = p.items[:s.left]
	}
	s.left -= len(p.items)
	resp := &v1.ScanResponse{}
	for _, it := range p.items {
		resp.Items = append(resp.Items, &v1.ScanResponse_Item{Key: it.GetKey(), Kind: it.GetKind()})
	}
	resp.NextPage = append(binary.BigEndian.AppendUint32(nil, s.partition), p.items[len(p.items)-1].GetPosition()...)
	return cut, s.emit(resp)
}

// page reads the keys of one partition from r owners and unites them, as far
// as all of them have told.
func (s *scan) page(ctx context.Context, partition uint32, behind []byte) (scanned, error) {
	id := storage.ReplicaID{Placement: s.bucket.placement.id, Partition: partition}
	owners := s.n.byHealth(s.n.owners(s.n.dc, id))
	if i := slices.Index(owners, s.n.id); i > 0 {
		owners[0], owners[i] = owners[i], owners[0] // this node costs nothing to ask
	}
	var got, spare []*peerv1.ScanDone // those that count, and those of replicas that are recovering
	var last error
	for _, owner := range owners {
		if len(got) == s.r {
			break
		}
		done, err := s.ask(ctx, owner, id, behind)
		switch {
		case err != nil:
			last = err
		case done.GetRecovering():
			spare = append(spare, done)
		default:
			got = append(got, done)
		}
	}
	counted := len(got)
	if counted < s.r && (!s.strict || counted >= provenOf(s.r, len(owners))) {
		got = append(got, spare[:min(s.r-counted, len(spare))]...)
	}
	if len(got) < s.r {
		return scanned{}, refuse(Unavailable, "TOO_FEW_REPLICAS", "%d of %d replicas of partition %d answered that count (and %d that lost a disk and may not have all back), %d were asked for: %v",
			counted, len(owners), partition, len(spare), s.r, last)
	}
	var out scanned
	for _, done := range got {
		if done.GetMore() {
			if p := done.GetItems()[len(done.GetItems())-1].GetPosition(); out.end == nil || bytes.Compare(p, out.end) < 0 {
				out.end = p
			}
		}
		out.items = append(out.items, done.GetItems()...)
	}
	if out.end != nil {
		out.items = slices.DeleteFunc(out.items, func(it *peerv1.ScanItem) bool { return bytes.Compare(it.GetPosition(), out.end) > 0 })
	}
	slices.SortFunc(out.items, func(a, b *peerv1.ScanItem) int { return bytes.Compare(a.GetPosition(), b.GetPosition()) })
	var err error
	out.items, err = s.settle(ctx, out.items)
	return out, err
}

// settle takes keys in order, each as often as an owner lists it, and returns those
// that are there. Where not all owners list a key, one of them has not heard of its
// birth or of its end: a read of it, from as many, tells.
func (s *scan) settle(ctx context.Context, listed []*peerv1.ScanItem) ([]*peerv1.ScanItem, error) {
	items, gone := make([]*peerv1.ScanItem, 0, len(listed)), make([]bool, len(listed))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(scanAhead)
	for from := 0; from < len(listed); {
		it, to := listed[from], from+1
		for to < len(listed) && bytes.Equal(listed[to].GetPosition(), it.GetPosition()) {
			to++
		}
		if at := len(items); to-from < s.r {
			g.Go(func() error {
				there, err := s.there(gctx, it.GetKey())
				gone[at] = !there
				return err
			})
		}
		items, from = append(items, it), to
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	kept := items[:0]
	for at, it := range items {
		if !gone[at] {
			kept = append(kept, it)
		}
	}
	return kept, nil
}

// there tells whether a read finds a key.
func (s *scan) there(ctx context.Context, key []byte) (bool, error) {
	_, err := s.n.Get(ctx, &v1.GetRequest{Bucket: s.bucket.Name, Key: key, Limit: 1, Options: &v1.ReadOptions{R: uint32(s.r), Strict: s.strict}})
	switch e := AsError(err); {
	case err == nil, e.Code == FailedPrecondition: // of two kinds: it is there
		return true, nil
	case e.Code == NotFound:
		return false, nil
	default:
		return false, err
	}
}

func (s *scan) ask(ctx context.Context, owner string, id storage.ReplicaID, behind []byte) (*peerv1.ScanDone, error) {
	req := &peerv1.ScanPage{Replica: wireID(id), Bucket: s.bucket.Name, Prefix: s.prefix, After: behind, Limit: scanPage}
	if owner == s.n.id {
		return s.n.serveScan(req)
	}
	resp, err := s.n.call(ctx, owner, &peerv1.Request{Of: &peerv1.Request_Scan{Scan: req}})
	return resp.GetScan(), err
}

func (n *Node) serveScan(req *peerv1.ScanPage) (*peerv1.ScanDone, error) {
	limit := int(req.GetLimit())
	if limit <= 0 || limit > scanPage {
		limit = scanPage
	}
	recovering := n.recovery.lacks(replicaID(req.GetReplica())) // before it is read
	items, more, err := n.store.Replica(replicaID(req.GetReplica())).Scan(req.GetBucket(), string(req.GetPrefix()), req.GetAfter(), limit)
	if err != nil {
		return nil, err
	}
	done := &peerv1.ScanDone{More: more, Recovering: recovering}
	for _, it := range items {
		done.Items = append(done.Items, &peerv1.ScanItem{Position: it.Position, Key: []byte(it.Key.Key), Kind: v1.Kind(it.Kind)})
	}
	return done, nil
}

func replicaID(r *peerv1.Replica) storage.ReplicaID {
	return storage.ReplicaID{Placement: r.GetPlacement(), Partition: r.GetPartition()}
}
