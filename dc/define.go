package dc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/topology"
)

// CreateBucket defines a bucket beside those of the topology. Where it is
// defined already as asked for, nothing changes.
func (n *Node) CreateBucket(ctx context.Context, req *v1.CreateBucketRequest) (*v1.CreateBucketResponse, error) {
	b, warnings, err := n.checked(req.GetBucket())
	if err != nil {
		return nil, err
	}
	made, err := n.buckets.fresh(ctx)
	if err != nil {
		return nil, err
	}
	want := &v1.BucketVersion{Bucket: toWire(&b)}
	switch have := made[b.Name]; {
	case n.buckets.base()[b.Name] != nil:
		return nil, refuse(AlreadyExists, "BUCKET_EXISTS", "bucket %q is in the topology", b.Name).with("bucket", b.Name)
	case have.GetDeleting():
		return nil, deleting(b.Name)
	case have != nil && proto.Equal(have.GetBucket(), want.GetBucket()):
		return &v1.CreateBucketResponse{Bucket: have, Warnings: warnings}, nil
	case have != nil:
		return nil, refuse(AlreadyExists, "BUCKET_EXISTS", "bucket %q is there already; bucket show tells how it is, bucket alter changes it", b.Name).with("bucket", b.Name)
	case len(made) >= maxBuckets:
		return nil, refuse(ResourceExhausted, "TOO_MANY_BUCKETS", "there are %d buckets beside those of the topology, %d are allowed; use keys with a prefix, or delete some", len(made), maxBuckets)
	}
	info, err := n.define(ctx, want)
	if err != nil {
		return nil, err
	}
	return &v1.CreateBucketResponse{Bucket: info, Warnings: warnings}, nil
}

// GetBucket shows one bucket.
func (n *Node) GetBucket(ctx context.Context, req *v1.GetBucketRequest) (*v1.GetBucketResponse, error) {
	info, err := n.buckets.show(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	return &v1.GetBucketResponse{Bucket: info}, nil
}

// ListBuckets shows all buckets by name.
func (n *Node) ListBuckets(ctx context.Context) (*v1.ListBucketsResponse, error) {
	if err := n.buckets.learn(ctx); err != nil && n.buckets.base()[systemBucket] != nil {
		return nil, err
	}
	now := n.buckets.now.Load()
	all := maps.Clone(now.made)
	if all == nil {
		all = map[string]*v1.BucketInfo{}
	}
	for name, b := range n.buckets.base() {
		if !topology.SystemBucket(name) {
			all[name] = inTopology(b)
		}
	}
	resp := &v1.ListBucketsResponse{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		resp.Buckets = append(resp.Buckets, all[name])
	}
	return resp, nil
}

// AlterBucket changes a bucket that the topology does not name.
func (n *Node) AlterBucket(ctx context.Context, req *v1.AlterBucketRequest) (*v1.AlterBucketResponse, error) {
	have, err := n.buckets.own(ctx, req.GetName())
	if err != nil {
		return nil, err
	}
	if have.GetDeleting() && !req.GetKeep() {
		return nil, deleting(req.GetName())
	}
	want, err := altered(have.GetBucket(), req)
	if err != nil {
		return nil, err
	}
	b, warnings, err := n.checked(want)
	if err != nil {
		return nil, err
	}
	info, err := n.define(ctx, &v1.BucketVersion{Bucket: toWire(&b)})
	if err != nil {
		return nil, err
	}
	return &v1.AlterBucketResponse{Bucket: info, Warnings: warnings}, nil
}

// altered is a definition with the changes that a request asks for.
func altered(have *v1.Bucket, req *v1.AlterBucketRequest) (*v1.Bucket, error) {
	if k := req.GetKind(); k != 0 && k != have.GetKind() {
		return nil, refuse(FailedPrecondition, "BUCKET_FIXED", "bucket %q is of kind %s, and a bucket keeps its kind; make another bucket", have.GetName(), crdt.Kind(have.GetKind()))
	}
	if p := req.GetPlacement(); p != "" && p != have.GetPlacement() {
		return nil, refuse(FailedPrecondition, "BUCKET_FIXED", "bucket %q is of placement %q, and a bucket keeps its placement; make another bucket", have.GetName(), have.GetPlacement())
	}
	out, ok := proto.Clone(have).(*v1.Bucket)
	if !ok {
		return nil, fmt.Errorf("clone %T", have)
	}
	orSet(&out.Read, req.GetRead())
	orSet(&out.Write, req.GetWrite())
	orSet(&out.Durability, req.GetDurability())
	if req.TtlMs != nil {
		out.TtlMs = req.GetTtlMs()
	}
	if req.MaxValue != nil {
		if out.MaxValue = req.GetMaxValue(); out.GetMaxValue() == 0 {
			return nil, refuse(InvalidArgument, "BAD_BUCKET", "bucket %q: max_value must be at least 1 byte", have.GetName())
		}
	}
	switch {
	case req.GetAllowAll():
		out.KindsAllowed = nil
	case len(out.GetKindsAllowed()) > 0: // one that takes all kinds takes these as well
		out.KindsAllowed = union(out.GetKindsAllowed(), req.GetAllow())
	}
	return out, nil
}

func orSet[T ~int32](field *T, to T) {
	if to != 0 {
		*field = to
	}
}

func union(a, b []v1.Kind) []v1.Kind {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// define writes a definition to a quorum.
func (n *Node) define(ctx context.Context, v *v1.BucketVersion) (*v1.BucketInfo, error) {
	v.ChangedUnixMs = uint64(max(n.now().UnixMilli(), 1))
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode bucket: %w", err)
	}
	name := v.GetBucket().GetName()
	err = n.changeBuckets(ctx, &v1.UpdateRequest{Op: &v1.UpdateRequest_MapUpdate{MapUpdate: &v1.MapUpdate{Fields: []*v1.FieldUpdate{
		{Name: []byte(name), Update: &v1.UpdateRequest{Kind: v1.Kind_KIND_REGISTER, Op: &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: value}}}},
	}}}})
	if err != nil {
		return nil, err
	}
	return n.buckets.show(ctx, name)
}

// undefine removes a definition.
func (n *Node) undefine(ctx context.Context, name string) error {
	return n.changeBuckets(ctx, &v1.UpdateRequest{Op: &v1.UpdateRequest_MapRemove{MapRemove: &v1.MapRemove{Fields: []*v1.FieldName{
		{Name: []byte(name), Kind: v1.Kind_KIND_REGISTER},
	}}}})
}

func (n *Node) changeBuckets(ctx context.Context, req *v1.UpdateRequest) error {
	req.Bucket, req.Key, req.Kind = systemBucket, []byte(bucketsKey), v1.Kind_KIND_MAP
	req.Options = &v1.WriteOptions{Consistency: v1.Consistency_CONSISTENCY_QUORUM}
	if _, err := n.updateAnywhere(ctx, req); err != nil {
		return err
	}
	return n.buckets.learn(ctx)
}

// fresh looks at the definitions and returns them.
func (c *catalog) fresh(ctx context.Context) (map[string]*v1.BucketInfo, error) {
	if c.base()[systemBucket] == nil {
		return nil, refuse(FailedPrecondition, "NO_COMMON_PLACEMENT", "the topology has no placement that every datacenter keeps, which buckets made at run time need; add one, or the bucket, to the topology")
	}
	if err := c.learn(ctx); err != nil {
		return nil, err
	}
	return c.now.Load().made, nil
}

// own returns a bucket that the topology does not name.
func (c *catalog) own(ctx context.Context, name string) (*v1.BucketInfo, error) {
	if err := forClients(name); err != nil {
		return nil, err
	}
	if c.base()[name] != nil {
		return nil, refuse(FailedPrecondition, "BUCKET_IN_TOPOLOGY", "bucket %q is in the topology: it is changed there", name).with("bucket", name)
	}
	made, err := c.fresh(ctx)
	if err != nil {
		return nil, err
	}
	if made[name] == nil {
		return nil, refuse(NotFound, "NO_SUCH_BUCKET", "there is no bucket %.80q", name)
	}
	return made[name], nil
}

// show returns any bucket.
func (c *catalog) show(ctx context.Context, name string) (*v1.BucketInfo, error) {
	if b := c.base()[name]; b != nil && !topology.SystemBucket(name) {
		return inTopology(b), nil
	}
	return c.own(ctx, name)
}

func deleting(name string) error {
	return refuse(FailedPrecondition, "BUCKET_DELETING", "bucket %q is being deleted: delete it again to bring that to its end, or alter it with keep", name).with("bucket", name)
}

// checked completes a definition and judges it by the rules of the topology.
func (n *Node) checked(w *v1.Bucket) (topology.Bucket, []string, error) {
	for _, k := range append([]v1.Kind{w.GetKind()}, w.GetKindsAllowed()...) {
		if k != 0 && !crdt.Kind(k).Supported() {
			return topology.Bucket{}, nil, refuse(InvalidArgument, "UNKNOWN_KIND", "unknown kind %d (kinds: %v)", k, crdt.SupportedKinds())
		}
	}
	const longestTTL = uint64(maxMoment)
	if w.GetTtlMs() > longestTTL/uint64(time.Millisecond) || w.GetMaxValue() > topology.MaxValue {
		return topology.Bucket{}, nil, refuse(InvalidArgument, "BAD_BUCKET", "bucket %.80q: a ttl is %d ms at the most, a value %d bytes", w.GetName(), longestTTL/uint64(time.Millisecond), topology.MaxValue)
	}
	b, problems := n.topology().CheckBucket(fromWire(w))
	var wrong, warnings []string
	for _, p := range problems {
		if p.Severity == topology.Error {
			wrong = append(wrong, p.Message)
		} else {
			warnings = append(warnings, p.Message)
		}
	}
	if len(wrong) > 0 {
		return b, nil, refuse(InvalidArgument, "BAD_BUCKET", "%s", strings.Join(wrong, "; "))
	}
	return b, warnings, nil
}

// info is what a field of the definitions says; nil of what is no definition.
func (c *catalog) info(f *v1.Field) *v1.BucketInfo {
	values := [][]byte{f.GetValue().GetBytes()}
	if len(f.GetSiblings()) > 0 {
		values = nil
		for _, s := range f.GetSiblings() {
			values = append(values, s.GetValue())
		}
	}
	var out *v1.BucketInfo
	for _, value := range values {
		v := &v1.BucketVersion{}
		if err := proto.Unmarshal(value, v); err != nil || v.GetBucket().GetName() != string(f.GetName()) {
			c.n.opts.Logger.Warn("definition of a bucket cannot be read", "error", err)
			continue
		}
		switch {
		case out == nil: // the latest comes first
			out = &v1.BucketInfo{Bucket: v.GetBucket(), Deleting: v.GetDeleting(), ChangedUnixMs: v.GetChangedUnixMs()}
		case proto.Equal(v.GetBucket(), out.GetBucket()) && v.GetDeleting() == out.GetDeleting():
		default:
			out.Conflicts = append(out.Conflicts, v)
		}
	}
	if out == nil {
		return nil
	}
	for _, v := range out.GetConflicts() { // a kind that was taken somewhere goes on being taken
		if len(v.GetBucket().GetKindsAllowed()) == 0 || len(out.GetBucket().GetKindsAllowed()) == 0 {
			out.Bucket.KindsAllowed = nil
		} else {
			out.Bucket.KindsAllowed = union(out.GetBucket().GetKindsAllowed(), v.GetBucket().GetKindsAllowed())
		}
	}
	if p, ok := c.n.topology().Placement(out.GetBucket().GetPlacement()); ok {
		out.Datacenters = p.DCs()
	}
	return out
}

func inTopology(b *bucket) *v1.BucketInfo {
	return &v1.BucketInfo{Bucket: toWire(&b.Bucket), InTopology: true, Datacenters: b.dcs}
}

// The names that a topology has for the enumerations of the API, in their order.
var (
	levels       = []string{"", "one", "quorum", "all"}
	durabilities = []string{"", "sync", "async"}
)

func toWire(b *topology.Bucket) *v1.Bucket {
	kind, _ := crdt.ParseKind(b.Kind)
	out := &v1.Bucket{
		Name: b.Name, Placement: b.Placement, Kind: v1.Kind(kind),
		Read: v1.Consistency(slices.Index(levels, b.Read)), Write: v1.Consistency(slices.Index(levels, b.Write)),
		Durability: v1.Durability(slices.Index(durabilities, b.Durability)),
		TtlMs:      uint64(b.TTL.Milliseconds()), MaxValue: uint64(b.MaxValue),
	}
	for _, name := range b.KindsAllowed {
		k, _ := crdt.ParseKind(name)
		out.KindsAllowed = append(out.KindsAllowed, v1.Kind(k))
	}
	slices.Sort(out.KindsAllowed)
	return out
}

func fromWire(w *v1.Bucket) topology.Bucket {
	b := topology.Bucket{
		Name: w.GetName(), Placement: w.GetPlacement(), Read: named(levels, w.GetRead()), Write: named(levels, w.GetWrite()),
		Durability: named(durabilities, w.GetDurability()), TTL: time.Duration(w.GetTtlMs()) * time.Millisecond, MaxValue: int64(w.GetMaxValue()),
	}
	if w.GetKind() != 0 {
		b.Kind = crdt.Kind(w.GetKind()).String()
	}
	for _, k := range w.GetKindsAllowed() {
		b.KindsAllowed = append(b.KindsAllowed, crdt.Kind(k).String())
	}
	return b
}

func named[T ~int32](names []string, v T) string {
	if int(v) < 0 || int(v) >= len(names) {
		return fmt.Sprintf("number %d", v)
	}
	return names[v]
}
