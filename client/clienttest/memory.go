package clienttest

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// defaultPage is how many elements or keys an answer holds at most.
const defaultPage = 1000

// Memory is what one or more datacenters hold. It is safe for concurrent use.
type Memory struct {
	mu      sync.Mutex
	keys    map[string]*held // by bucket, NUL, key
	seq     uint64
	log     []logged      // the last changes, in order
	first   uint64        // the number of the first of them
	changed chan struct{} // closed, and made again, with every change
}

// NewMemory makes an empty memory.
func NewMemory() *Memory {
	return &Memory{keys: map[string]*held{}, first: 1, changed: make(chan struct{})}
}

// SetCounter changes a counter behind the back of everyone, to plant an error.
func (m *Memory) SetCounter(bucket, key string, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := newHeld(pb.Kind_KIND_COUNTER, 0)
	h.n = n
	m.keys[bucket+"\x00"+key] = h
	m.tell(bucket, key, "", "")
}

// Refuse is an error as a godwit node gives it, with its reason.
func Refuse(code codes.Code, reason, message string) error {
	s := status.New(code, message)
	if d, err := s.WithDetails(&errdetails.ErrorInfo{Domain: "godwit", Reason: reason}); err == nil {
		s = d
	}
	return s.Err()
}

func reasonOf(s *status.Status) string {
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// kv serves one node. It remembers the writes that it carried out.
type kv struct {
	pb.UnimplementedKVServer
	n        *Node
	dc, node string
	actor    uint64
	memory   *Memory
	seen     map[string]*pb.UpdateResponse // by request id, as are those of others; guarded by memory.mu
	recalled map[string]bool               // by request id, tries that were tried again
	others   []*kv                         // of the datacenter
}

func (s *kv) answer() *pb.Answer {
	return &pb.Answer{Copies: 2, Replicas: 3, Dc: s.dc, Node: s.node}
}

// Get answers with the whole of a value, of a set or a map with one page.
func (s *kv) Get(_ context.Context, req *pb.GetRequest) (*pb.GetResponse, error) {
	m := s.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.find(req.GetBucket() + "\x00" + string(req.GetKey()))
	if h == nil {
		return nil, Refuse(codes.NotFound, "NOT_FOUND", "key is not in bucket "+req.GetBucket())
	}
	resp := &pb.GetResponse{Context: []byte{1}, Answer: s.answer(), ExpiresUnixMs: h.expires, Bound: h.bound}
	for i, dc := range slices.Sorted(maps.Keys(h.rights)) {
		resp.Rights = append(resp.Rights, &pb.Rights{Actor: uint64(i + 1), Dc: dc, Node: dc + "-a", Amount: h.rights[dc]})
	}
	h, err := h.field(req.GetFields())
	if err != nil {
		return nil, err
	}
	resp.Kind = h.kind
	resp.Value, resp.NextPage = h.value(req)
	return resp, nil
}

// find returns what is there and has not expired.
func (m *Memory) find(name string) *held {
	h := m.keys[name]
	if h != nil && h.expires != 0 && h.expires <= uint64(time.Now().UnixMilli()) {
		delete(m.keys, name)
		return nil
	}
	return h
}

func (s *kv) Put(ctx context.Context, req *pb.PutRequest) (*pb.UpdateResponse, error) {
	return s.Update(ctx, &pb.UpdateRequest{
		Bucket: req.GetBucket(), Key: req.GetKey(), Kind: req.GetKind(), Options: req.GetOptions(),
		Op: &pb.UpdateRequest_Assign{Assign: &pb.Assign{Value: req.GetValue()}},
	})
}

func (s *kv) Delete(ctx context.Context, req *pb.DeleteRequest) (*pb.UpdateResponse, error) {
	return s.Update(ctx, &pb.UpdateRequest{
		Bucket: req.GetBucket(), Key: req.GetKey(), Options: req.GetOptions(),
		Op: &pb.UpdateRequest_Remove{Remove: &pb.Remove{}},
	})
}

func (s *kv) Update(_ context.Context, req *pb.UpdateRequest) (*pb.UpdateResponse, error) {
	m := s.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	id := string(req.GetOptions().GetRequestId())
	if len(id) != 16 {
		return nil, Refuse(codes.InvalidArgument, "BAD_REQUEST_ID", "request id is not a ULID")
	}
	old, err := s.known(id, req.GetOptions().GetRepeat())
	if old != nil || err != nil {
		return old, err
	}
	resp, err := m.apply(s.dc, req)
	if err != nil {
		return nil, err
	}
	m.seq++
	resp.Dot = &pb.Dot{Actor: s.actor, Seq: m.seq}
	m.tell(req.GetBucket(), string(req.GetKey()), s.dc, s.node)
	resp.Context, resp.Answer = []byte{1}, s.answer()
	s.seen[id] = resp
	return resp, nil
}

// known is what a request was answered with. A repeat is looked for at all nodes,
// which from then on do not carry out an earlier try that is still on its way.
func (s *kv) known(id string, repeat bool) (*pb.UpdateResponse, error) {
	if old := s.seen[id]; old != nil {
		return old, nil
	}
	if !repeat && s.recalled[id] {
		return nil, Refuse(codes.Unavailable, "WRITE_INDETERMINATE", "the request has been tried again elsewhere meanwhile")
	}
	for _, o := range s.others {
		if old := o.seen[id]; old != nil && repeat {
			return old, nil
		}
		o.recalled[id] = o.recalled[id] || repeat
	}
	return nil, nil
}

func (m *Memory) apply(dc string, req *pb.UpdateRequest) (*pb.UpdateResponse, error) {
	name := req.GetBucket() + "\x00" + string(req.GetKey())
	h := m.find(name)
	switch op := req.GetOp().(type) {
	case *pb.UpdateRequest_Remove:
		resp := &pb.UpdateResponse{}
		if h != nil {
			resp.Kind, resp.Changed = h.kind, 1
		}
		delete(m.keys, name)
		return resp, nil
	case *pb.UpdateRequest_Expire:
		if h == nil {
			return nil, Refuse(codes.NotFound, "NOT_FOUND", "key is not in bucket "+req.GetBucket())
		}
		h.expires = op.Expire.GetAtUnixMs()
		return &pb.UpdateResponse{Kind: h.kind, Changed: 1}, nil
	case *pb.UpdateRequest_Keep:
		if h != nil && h.kind != op.Keep.GetKind() {
			return nil, Refuse(codes.FailedPrecondition, "WRONG_KIND", "key holds another kind")
		}
		return &pb.UpdateResponse{Kind: op.Keep.GetKind()}, nil
	}
	h, err := pick(h, req)
	if err != nil {
		return nil, err
	}
	changed, err := h.change(dc, req)
	if err != nil {
		return nil, err
	}
	if ms := req.GetTtlMs(); ms != 0 {
		h.expires = uint64(time.Now().UnixMilli()) + ms
	} else if req.GetAssign() != nil && !req.GetKeepTtl() {
		h.expires = 0
	}
	if m.keys[name] = h; h.absent() {
		delete(m.keys, name)
	}
	return &pb.UpdateResponse{Kind: h.kind, Changed: changed, Value: h.after(req)}, nil
}

// after is what a write tells of the value: counters, and the score that it changed.
func (h *held) after(req *pb.UpdateRequest) *pb.Value {
	switch h.kind { //nolint:exhaustive // the others tell nothing
	case pb.Kind_KIND_COUNTER, pb.Kind_KIND_GCOUNTER, pb.Kind_KIND_BCOUNTER:
		return &pb.Value{Of: &pb.Value_Integer{Integer: h.n}}
	case pb.Kind_KIND_ZSET:
		if z := req.GetZincr(); z != nil {
			m := &pb.Member{Member: z.GetMember(), Score: h.scores[string(z.GetMember())]}
			return &pb.Value{Of: &pb.Value_Zset{Zset: &pb.Members{Members: []*pb.Member{m}}}}
		}
	}
	return nil
}

func (s *kv) BatchGet(ctx context.Context, req *pb.BatchGetRequest) (*pb.BatchGetResponse, error) {
	resp := &pb.BatchGetResponse{}
	for _, g := range req.GetGets() {
		r, err := s.Get(ctx, g)
		st := status.Convert(err)
		resp.Results = append(resp.Results, &pb.BatchGetResponse_Result{Code: int32(st.Code()), Message: st.Message(), Reason: reasonOf(st), Response: r})
	}
	return resp, nil
}

func (s *kv) BatchUpdate(ctx context.Context, req *pb.BatchUpdateRequest) (*pb.BatchUpdateResponse, error) {
	resp := &pb.BatchUpdateResponse{}
	for _, u := range req.GetUpdates() {
		r, err := s.Update(ctx, u)
		st := status.Convert(err)
		resp.Results = append(resp.Results, &pb.BatchUpdateResponse_Result{Code: int32(st.Code()), Message: st.Message(), Reason: reasonOf(st), Response: r})
	}
	return resp, nil
}

// Scan lists keys in the order of their names and two in a message.
func (s *kv) Scan(req *pb.ScanRequest, stream pb.KV_ScanServer) error {
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = math.MaxInt
	}
	items, next := s.memory.list(req, limit)
	for part := range slices.Chunk(items, 2) {
		resp := &pb.ScanResponse{Items: part, NextPage: part[len(part)-1].GetKey()}
		if &part[len(part)-1] == &items[len(items)-1] {
			resp.NextPage = next
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
	return nil
}

func (m *Memory) list(req *pb.ScanRequest, limit int) (items []*pb.ScanResponse_Item, next []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.keys)) {
		bucket, key, _ := strings.Cut(name, "\x00")
		if bucket != req.GetBucket() || !strings.HasPrefix(key, string(req.GetPrefix())) || key <= string(req.GetPage()) && len(req.GetPage()) > 0 {
			continue
		}
		if len(items) == limit {
			return items, items[len(items)-1].GetKey()
		}
		items = append(items, &pb.ScanResponse_Item{Key: []byte(key), Kind: m.keys[name].kind})
	}
	return items, nil
}
