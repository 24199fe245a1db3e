package replication

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwitdb/godwit/crdt"
)

// shipyard is a shipper whose messages go nowhere, between a log and an outbox
// that count.
type shipyard struct {
	Local
	Link
	*shipper

	t         *testing.T
	sent      []*batch
	fail      bool         // what is published
	backlog   atomic.Int64 // of each lane
	looks     int          // at it
	collected []uint64
	last      uint64 // of every log
	eventSize int
}

func newShipyard(t *testing.T) *shipyard {
	t.Helper()
	y := &shipyard{t: t}
	x := &Replicator{opts: Options{
		Self: Peer{"eu", "e1"}, Link: y, Local: y, Now: time.Now, MaxDelay: 2 * time.Millisecond, MaxBatchBytes: 64 << 10, MaxBatchEvents: 64,
	}, packer: mustPacker(t)}
	x.view.Store(&view{abroad: map[uint32]bool{0: true}})
	y.shipper = newShipper(x)
	return y
}

func (y *shipyard) Publish(_ context.Context, _ uint32, lane int, data []byte) error {
	if y.fail {
		return errors.New("no room")
	}
	raw, err := y.x.packer.unpack(data)
	if err != nil {
		return err
	}
	b, err := decodeBatch(raw)
	if err == nil && int(b.Lane) != lane {
		err = fmt.Errorf("message of lane %d in lane %d", b.Lane, lane)
	}
	y.sent = append(y.sent, b)
	return err
}

func (y *shipyard) Backlog(context.Context, int) (int, error) {
	y.looks++
	return int(y.backlog.Load()), nil
}

func (y *shipyard) Collect(_ Replica, actor crdt.Actor, after uint64, _ int) ([]byte, uint64, int, error) {
	y.collected = append(y.collected, after)
	return crdt.AppendDelta(nil, &crdt.Delta{Actor: actor, Lo: after + 1, Hi: y.last}), y.last, int(y.last - after), nil
}

// event is the nth of a replica.
func (y *shipyard) event(n uint64) *crdt.Delta {
	id := crdt.CellID{KeyID: crdt.KeyID{Bucket: "b", Key: "k"}, Kind: crdt.Register}
	put := crdt.Change{ID: id, Puts: crdt.Cell{{Dot: crdt.Dot{Actor: 7, Seq: n}, Payload: bytes.Repeat([]byte{byte(n)}, max(y.eventSize, 1))}}}
	return &crdt.Delta{Actor: 7, Lo: n, Hi: n, Changes: []crdt.Change{put}, Requests: []crdt.Request{{Seq: n, ID: crdt.RequestID{1}}}}
}

// ship notes events of partition 3, in this order, and ships them.
func (y *shipyard) ship(events ...uint64) {
	for _, n := range events {
		y.last = max(y.last, n)
		y.notify(Replica{0, 3}, y.event(n))
	}
	if err := y.flush(y.t.Context()); err != nil && !y.fail {
		y.t.Error(err)
	}
}

// want says which ranges were sent since, and how often the log was read.
func (y *shipyard) want(collected int, ranges ...crdt.Range) {
	y.t.Helper()
	var got []crdt.Range
	for _, b := range y.sent {
		for _, s := range b.Sections {
			d, err := crdt.DecodeDelta(s.Delta)
			if err != nil {
				y.t.Fatal(err)
			}
			if len(d.Requests) > 0 {
				y.t.Errorf("event %d is sent abroad with the name of its request", d.Lo)
			}
			got = append(got, crdt.Range{Lo: d.Lo, Hi: d.Hi})
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(ranges) || len(y.collected) != collected {
		y.t.Errorf("sent %v, and read the log from %v; want %v and %d readings", got, y.collected, ranges, collected)
	}
	if y.kept != 0 {
		y.t.Errorf("%d bytes of events are still kept", y.kept)
	}
	y.sent, y.collected = nil, nil
}

func TestFewEventsAreShippedAsTheyWereMade(t *testing.T) {
	y := newShipyard(t)
	y.ship(1)
	y.want(0, crdt.Range{Lo: 1, Hi: 1})
	y.ship(3, 2, 5, 4) // two commits may be told of the wrong way round
	y.want(0, crdt.Range{Lo: 2, Hi: 2}, crdt.Range{Lo: 3, Hi: 3}, crdt.Range{Lo: 4, Hi: 4}, crdt.Range{Lo: 5, Hi: 5})
	y.ship(6, 7, 8, 9, 10)
	y.want(1, crdt.Range{Lo: 6, Hi: 10})
	y.ship(11)
	y.want(0, crdt.Range{Lo: 11, Hi: 11})
}

// TestEventBeforeTheKeptOneIsShipped: who tells of an event tells of all before it.
func TestEventBeforeTheKeptOneIsShipped(t *testing.T) {
	y := newShipyard(t)
	y.ship(2)
	y.want(1, crdt.Range{Lo: 1, Hi: 2})
	y.ship(1) // late
	y.want(0)
	y.ship(3)
	y.want(0, crdt.Range{Lo: 3, Hi: 3})
}

func TestEventsOfAFailedMessageAreShippedLater(t *testing.T) {
	y := newShipyard(t)
	y.fail = true
	y.ship(1, 2)
	y.want(0)
	y.fail = false
	y.ship(3)
	y.want(1, crdt.Range{Lo: 1, Hi: 3})
}

// TestEventsKeptAreBounded: a replica's are dropped where all together take too much.
func TestEventsKeptAreBounded(t *testing.T) {
	y := newShipyard(t)
	y.eventSize = 1 << 20
	for partition := range uint32(8) {
		y.notify(Replica{0, partition}, y.event(1))
	}
	if y.kept > keptBytes {
		t.Errorf("%d bytes of events are kept, more than %d", y.kept, keptBytes)
	}
	y.last = 1
	if err := y.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(y.collected) != 5 || y.kept != 0 { // three and a half fit
		t.Errorf("the log was read %d times, want 5; %d bytes are still kept", len(y.collected), y.kept)
	}
}

// TestLanesTakeTurns: what is written at one moment is one message, and a full
// message is followed by another lane's.
func TestLanesTakeTurns(t *testing.T) {
	y := newShipyard(t)
	for partition := range uint32(8) {
		y.notify(Replica{0, partition}, y.event(1))
	}
	y.ship()
	if len(y.sent) != 1 || len(y.sent[0].Sections) != 8 {
		t.Errorf("events of 8 partitions went by %d messages, want 1", len(y.sent))
	}
	y.sent, y.eventSize = nil, 24<<10
	for partition := range uint32(8) { // two fit into a message
		y.notify(Replica{0, partition}, y.event(2))
	}
	y.ship()
	var lanes []int
	for _, b := range y.sent {
		lanes = append(lanes, int(b.Lane))
	}
	if !slices.Equal(lanes, []int{0, 1, 2, 3}) {
		t.Errorf("full messages went by lanes %v, want 0 to 3", lanes)
	}
}

// TestWhatNobodyTakesIsHeldBack until somebody takes what there is.
func TestWhatNobodyTakesIsHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newShipyard(t)
		y.backlog.Store(heldFrom / Lanes)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go y.run(ctx)
		y.last = 1
		y.notify(Replica{0, 3}, y.event(1))
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(y.sent) > 0 {
			t.Errorf("%d messages into an outbox from which nobody takes", len(y.sent))
		}
		y.backlog.Add(-1)
		time.Sleep(heldEvery + time.Millisecond)
		synctest.Wait()
		if len(y.sent) != 1 {
			t.Errorf("%d messages after somebody took one, want 1", len(y.sent))
		}
		y.looks = 0
		for n := range uint64(400) { // one in 5 ms
			y.last = n + 2
			y.notify(Replica{0, 3}, y.event(n+2))
			time.Sleep(5 * time.Millisecond)
		}
		synctest.Wait()
		if len(y.sent) != 401 || y.looks > 3*Lanes {
			t.Errorf("%d messages and %d looks at the backlog in 2 s, want 401 and one look a second", len(y.sent), y.looks)
		}
	})
}
