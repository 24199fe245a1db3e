package clienttest

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

const (
	watchLog      = 4096        // changes that are remembered: a cursor further back gets a resync
	watchProgress = time.Second // between two words of progress while nothing changes
)

// logged is a change of a key.
type logged struct{ bucket, key, dc, node string }

// tell remembers a change for those who watch. The caller holds the lock.
func (m *Memory) tell(bucket, key, dc, node string) {
	m.log = append(m.log, logged{bucket, key, dc, node})
	if over := len(m.log) - watchLog; over > 0 {
		m.log, m.first = slices.Delete(m.log, 0, over), m.first+uint64(over)
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

// Watch tells of changes of keys, as of one partition. The expiry of a key is
// not told.
func (s *kv) Watch(req *pb.WatchRequest, stream pb.KV_WatchServer) error {
	w := &watching{s: s, req: req, stream: stream}
	if err := w.begin(); err != nil {
		return err
	}
	tick := time.NewTicker(watchProgress)
	defer tick.Stop()
	for {
		changed, err := w.catchUp()
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-tick.C:
			if err := w.progress(); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// watching is one watch.
type watching struct {
	s      *kv
	req    *pb.WatchRequest
	stream pb.KV_WatchServer
	next   uint64 // the number of the next change to be told
}

// begin finds where to begin, and tells all keys where that is needed.
func (w *watching) begin() error {
	m := w.s.memory
	m.mu.Lock()
	first, end := m.first, m.first+uint64(len(m.log))
	m.mu.Unlock()
	w.next = end
	reason := pb.ResyncReason_RESYNC_REASON_UNSPECIFIED
	switch c := w.req.GetCursor(); {
	case len(c) != 0 && len(c) != 8:
		return Refuse(codes.InvalidArgument, "BAD_CURSOR", "cursor is not one of this cluster")
	case len(c) == 8:
		if at := binary.BigEndian.Uint64(c); at >= first && at <= end {
			w.next = at
		} else {
			reason = pb.ResyncReason_RESYNC_REASON_TRIMMED
		}
	case w.req.GetInitial():
		reason = pb.ResyncReason_RESYNC_REASON_INITIAL
	}
	if reason != pb.ResyncReason_RESYNC_REASON_UNSPECIFIED {
		if err := w.resync(reason); err != nil {
			return err
		}
	}
	return w.progress()
}

// resync tells all keys, as they are once the changes before next were told.
func (w *watching) resync(reason pb.ResyncReason) error {
	over := func(yes bool) error {
		return w.stream.Send(&pb.WatchResponse{Of: &pb.WatchResponse_Resync{Resync: &pb.Resync{Reason: reason, Partitions: 1, Over: yes}}})
	}
	if err := over(false); err != nil {
		return err
	}
	m := w.s.memory
	m.mu.Lock()
	w.next = m.first + uint64(len(m.log))
	var changes []*pb.Change
	for _, name := range slices.Sorted(maps.Keys(m.keys)) {
		bucket, key, _ := strings.Cut(name, "\x00")
		if c := w.change(logged{bucket: bucket, key: key}); c != nil && !c.GetDeleted() {
			changes = append(changes, c)
		}
	}
	m.mu.Unlock()
	if err := w.send(changes); err != nil {
		return err
	}
	return over(true)
}

// catchUp tells what has changed, and returns what closes with the next change.
func (w *watching) catchUp() (changed <-chan struct{}, err error) {
	m := w.s.memory
	m.mu.Lock()
	changed = m.changed
	var changes []*pb.Change
	for ; w.next < m.first+uint64(len(m.log)); w.next++ {
		if w.next < m.first { // slower than the log is long
			m.mu.Unlock()
			return changed, w.resync(pb.ResyncReason_RESYNC_REASON_TRIMMED)
		}
		if c := w.change(m.log[w.next-m.first]); c != nil {
			changes = append(changes, c)
		}
	}
	m.mu.Unlock()
	if len(changes) == 0 {
		return changed, nil
	}
	if err := w.send(changes); err != nil {
		return changed, err
	}
	return changed, w.progress()
}

// change says what a key is now; nil if the watch is not for it. The caller holds
// the memory's lock.
func (w *watching) change(l logged) *pb.Change {
	if l.bucket != w.req.GetBucket() || !strings.HasPrefix(l.key, string(w.req.GetPrefix())) {
		return nil
	}
	c := &pb.Change{Key: []byte(l.key), Dc: l.dc, Node: l.node}
	h := w.s.memory.find(l.bucket + "\x00" + l.key)
	if h == nil {
		c.Deleted = true
		return c
	}
	c.Kind = h.kind
	if w.req.GetValues() {
		v, next := h.value(&pb.GetRequest{})
		c.Value = &pb.GetResponse{Kind: h.kind, Value: v, NextPage: next, Context: []byte{1}, Answer: w.s.answer(), ExpiresUnixMs: h.expires, Bound: h.bound}
	}
	return c
}

func (w *watching) send(changes []*pb.Change) error {
	for part := range slices.Chunk(changes, defaultPage) {
		if err := w.stream.Send(&pb.WatchResponse{Of: &pb.WatchResponse_Changes{Changes: &pb.Changes{Changes: part}}}); err != nil {
			return err
		}
	}
	return nil
}

func (w *watching) progress() error {
	cursor := binary.BigEndian.AppendUint64(nil, w.next)
	return w.stream.Send(&pb.WatchResponse{Of: &pb.WatchResponse_Progress{Progress: &pb.Progress{Cursor: cursor}}})
}
