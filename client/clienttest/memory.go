package clienttest

import (
	"bytes"
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// defaultPage is how many elements or keys an answer holds at most.
const defaultPage = 1000

// Memory is what one or more datacenters hold. It is safe for concurrent use.
type Memory struct {
	mu   sync.Mutex
	keys map[string]*held // by bucket, NUL, key
	seq  uint64
}

// held is the value of one key.
type held struct {
	kind pb.Kind
	reg  []byte
	n    int64
	set  map[string]bool
}

// NewMemory makes an empty memory.
func NewMemory() *Memory { return &Memory{keys: map[string]*held{}} }

// SetCounter changes a counter behind the back of everyone, to plant an error.
func (m *Memory) SetCounter(bucket, key string, n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys[bucket+"\x00"+key] = &held{kind: pb.Kind_KIND_COUNTER, n: n}
}

// Refuse is an error as a godwit node gives it, with its reason.
func Refuse(code codes.Code, reason, message string) error {
	s := status.New(code, message)
	if d, err := s.WithDetails(&errdetails.ErrorInfo{Domain: "godwit", Reason: reason}); err == nil {
		s = d
	}
	return s.Err()
}

// kv serves one node. It remembers the writes that it carried out.
type kv struct {
	pb.UnimplementedKVServer
	dc, node string
	actor    uint64
	memory   *Memory
	seen     map[string]*pb.UpdateResponse // by request id; guarded by memory.mu
}

func (s *kv) answer() *pb.Answer {
	return &pb.Answer{Copies: 2, Replicas: 3, Dc: s.dc, Node: s.node}
}

// Get answers with the whole of a value, of a set with one page.
func (s *kv) Get(_ context.Context, req *pb.GetRequest) (*pb.GetResponse, error) {
	m := s.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.keys[req.GetBucket()+"\x00"+string(req.GetKey())]
	if h == nil {
		return nil, Refuse(codes.NotFound, "NOT_FOUND", "key is not in bucket "+req.GetBucket())
	}
	resp := &pb.GetResponse{Kind: h.kind, Context: []byte{1}, Answer: s.answer()}
	resp.Value, resp.NextPage = h.value(req)
	return resp, nil
}

func (h *held) value(req *pb.GetRequest) (v *pb.Value, next []byte) {
	if h.kind == pb.Kind_KIND_COUNTER {
		return &pb.Value{Of: &pb.Value_Integer{Integer: h.n}}, nil
	}
	if h.kind != pb.Kind_KIND_SET {
		return &pb.Value{Of: &pb.Value_Bytes{Bytes: h.reg}}, nil
	}
	elements, next := h.page(req)
	return &pb.Value{Of: &pb.Value_Set{Set: &pb.Elements{Elements: elements, Total: uint64(len(h.set))}}}, next
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
	if old := s.seen[id]; old != nil {
		return old, nil
	}
	resp, err := m.apply(req)
	if err != nil {
		return nil, err
	}
	m.seq++
	resp.Dot = &pb.Dot{Actor: s.actor, Seq: m.seq}
	resp.Context, resp.Answer = []byte{1}, s.answer()
	s.seen[id] = resp
	return resp, nil
}

func (m *Memory) apply(req *pb.UpdateRequest) (*pb.UpdateResponse, error) {
	name := req.GetBucket() + "\x00" + string(req.GetKey())
	if _, ok := req.GetOp().(*pb.UpdateRequest_Remove); ok {
		resp := &pb.UpdateResponse{}
		if h := m.keys[name]; h != nil {
			resp.Kind, resp.Changed = h.kind, 1
		}
		delete(m.keys, name)
		return resp, nil
	}
	want := kindOf(req)
	h := m.keys[name]
	if h == nil {
		h = &held{kind: want, set: map[string]bool{}}
	}
	if h.kind != want {
		return nil, Refuse(codes.FailedPrecondition, "WRONG_KIND", "key holds another kind")
	}
	m.keys[name] = h
	resp := &pb.UpdateResponse{Kind: h.kind, Changed: h.change(req)}
	if h.kind == pb.Kind_KIND_COUNTER {
		resp.Value = &pb.Value{Of: &pb.Value_Integer{Integer: h.n}}
	}
	if h.kind == pb.Kind_KIND_SET && len(h.set) == 0 {
		delete(m.keys, name)
	}
	return resp, nil
}

func kindOf(req *pb.UpdateRequest) pb.Kind {
	switch req.GetOp().(type) {
	case *pb.UpdateRequest_CounterAdd, *pb.UpdateRequest_CounterReset:
		return pb.Kind_KIND_COUNTER
	case *pb.UpdateRequest_SetAdd, *pb.UpdateRequest_SetRemove:
		return pb.Kind_KIND_SET
	}
	if req.GetKind() != pb.Kind_KIND_UNSPECIFIED {
		return req.GetKind()
	}
	return pb.Kind_KIND_REGISTER
}

// change applies an operation of the right kind and counts what it did.
func (h *held) change(req *pb.UpdateRequest) (changed uint64) {
	switch op := req.GetOp().(type) {
	case *pb.UpdateRequest_Assign:
		h.reg = bytes.Clone(op.Assign.GetValue())
		return 1
	case *pb.UpdateRequest_CounterAdd:
		h.n += op.CounterAdd.GetDelta()
		return 1
	case *pb.UpdateRequest_CounterReset:
		h.n = 0
		return 1
	case *pb.UpdateRequest_SetAdd:
		for _, e := range op.SetAdd.GetElements() {
			if !h.set[string(e)] {
				h.set[string(e)] = true
				changed++
			}
		}
	case *pb.UpdateRequest_SetRemove:
		for _, e := range op.SetRemove.GetElements() {
			if h.set[string(e)] {
				delete(h.set, string(e))
				changed++
			}
		}
	}
	return changed
}

func (s *kv) BatchGet(ctx context.Context, req *pb.BatchGetRequest) (*pb.BatchGetResponse, error) {
	resp := &pb.BatchGetResponse{}
	for _, g := range req.GetGets() {
		r, err := s.Get(ctx, g)
		st := status.Convert(err)
		resp.Results = append(resp.Results, &pb.BatchGetResponse_Result{Code: int32(st.Code()), Message: st.Message(), Response: r})
	}
	return resp, nil
}

func (s *kv) BatchUpdate(ctx context.Context, req *pb.BatchUpdateRequest) (*pb.BatchUpdateResponse, error) {
	resp := &pb.BatchUpdateResponse{}
	for _, u := range req.GetUpdates() {
		r, err := s.Update(ctx, u)
		st := status.Convert(err)
		resp.Results = append(resp.Results, &pb.BatchUpdateResponse_Result{Code: int32(st.Code()), Message: st.Message(), Response: r})
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
