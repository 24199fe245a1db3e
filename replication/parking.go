package replication

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zeebo/xxh3"
)

// Parked is a message, or one partition's part of it, that can never be
// applied or shipped. It blocks nothing; what it held is still asked for by
// the clocks. It is kept until an operator drops it, or it can be applied.
type Parked struct {
	ID        string // names what is in it: the same thing is parked once
	From      Peer
	Lane      int
	Placement uint32
	Partition uint32 // of a part; 0 for a whole message
	Whole     bool   // a message as it came, and not one partition's events
	Seq       uint64 // of the message; 0 when it could not be read
	Reason    string
	At        time.Time // of the last time
	Bytes     int       // of the whole
	Cut       bool      // the data are not kept: there was no room, or they must not be here
	Data      []byte    `json:"-"`
}

// Limits of what is parked on a node. Past them new things are listed without
// their data, and past the number of items only counted: the clocks go on to
// ask for what they held.
const (
	parkedMax   = 1024
	parkedBytes = 64 << 20
)

// Errors of parked batches.
var (
	// ErrNotParked reports an id of nothing that is parked here.
	ErrNotParked = errors.New("no such parked batch")
	// ErrNoData reports a retry of a batch of which the data are not kept, or
	// that is this node's own.
	ErrNoData = errors.New("batch cannot be tried again")
)

// parking keeps what was parked, each item in a file of its own: a line of JSON
// and the data.
type parking struct {
	dir string // "": in memory

	mu    sync.Mutex
	items map[string]*Parked // data only without dir
	bytes int
	count uint64
}

const parkedSuffix = ".parked"

// open reads what was parked before.
func (p *parking) open(dir string) error {
	p.dir, p.items = dir, map[string]*Parked{}
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("keep parked batches: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list parked batches: %w", err)
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), parkedSuffix)
		if !ok {
			continue
		}
		item, err := p.read(id)
		if err != nil {
			return err
		}
		p.bytes += len(item.Data)
		item.Data = nil
		p.items[id] = item
	}
	return nil
}

func (p *parking) file(id string) string { return filepath.Join(p.dir, id+parkedSuffix) }

func (p *parking) read(id string) (*Parked, error) {
	b, err := os.ReadFile(p.file(id))
	if err != nil {
		return nil, fmt.Errorf("read a parked batch: %w", err)
	}
	line, data, _ := bytes.Cut(b, []byte("\n"))
	item := &Parked{}
	if err := json.Unmarshal(line, item); err != nil {
		return nil, fmt.Errorf("read parked batch %s: %w", id, err)
	}
	item.ID, item.Data = id, data
	return item, nil
}

// write writes an item whole or not at all.
func (p *parking) write(item *Parked) error {
	line, err := json.Marshal(item)
	if err != nil {
		return err
	}
	name := p.file(item.ID)
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(append(line, '\n'), item.Data...))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

func parkedID(p *Parked, data []byte) string {
	head := fmt.Sprintf("%s %d %d %t ", p.From, p.Placement, p.Partition, p.Whole)
	sum := xxh3.Hash128(append([]byte(head), data...))
	return fmt.Sprintf("%016x%016x", sum.Hi, sum.Lo)
}

// add parks an item, without the data if it is cut already. It reports whether
// it is new.
func (p *parking) add(item Parked, data []byte) (fresh bool, err error) {
	item.ID, item.Bytes = parkedID(&item, data), len(data)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	if had := p.items[item.ID]; had != nil {
		had.At = item.At
		return false, nil
	}
	if len(p.items) >= parkedMax {
		return false, fmt.Errorf("%d batches are parked already; drop some", parkedMax)
	}
	if item.Cut = item.Cut || p.bytes+len(data) > parkedBytes; !item.Cut {
		item.Data = bytes.Clone(data)
	}
	if p.dir != "" {
		if err = p.write(&item); err != nil {
			item.Cut = true
		}
		item.Data = nil
	}
	if !item.Cut {
		p.bytes += len(data)
	}
	p.items[item.ID] = &item
	return true, err
}

// find returns an item with its data.
func (p *parking) find(id string) (Parked, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	item := p.items[id]
	if item == nil {
		return Parked{}, fmt.Errorf("%w: %q", ErrNotParked, id)
	}
	out := *item
	if p.dir != "" && !item.Cut {
		read, err := p.read(id)
		if err != nil {
			return out, err
		}
		out.Data = read.Data
	}
	return out, nil
}

func (p *parking) drop(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	item := p.items[id]
	if item == nil {
		return fmt.Errorf("%w: %q", ErrNotParked, id)
	}
	if p.dir != "" {
		if err := os.Remove(p.file(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("drop a parked batch: %w", err)
		}
	}
	if delete(p.items, id); !item.Cut {
		p.bytes -= item.Bytes
	}
	return nil
}

func (x *Replicator) park(p Parked, data []byte) {
	p.At = x.opts.Now()
	if p.From.DC != x.opts.Self.DC {
		x.remote(p.From.DC).parked.Add(1)
	}
	fresh, err := x.parking.add(p, data)
	if err != nil {
		x.opts.Logger.Error("parked batch is not kept", "peer", p.From.String(), "lane", p.Lane, "error", err)
	}
	if fresh {
		x.opts.Logger.Error("batch parked", "peer", p.From.String(), "lane", p.Lane, "placement", p.Placement,
			"partition", p.Partition, "reason", p.Reason, "size_bytes", len(data))
	}
}

// Parked lists what is parked on this node, oldest first, without the data.
func (x *Replicator) Parked() []Parked {
	x.parking.mu.Lock()
	defer x.parking.mu.Unlock()
	out := make([]Parked, 0, len(x.parking.items))
	for _, item := range x.parking.items {
		one := *item
		one.Data = nil
		out = append(out, one)
	}
	slices.SortFunc(out, func(a, b Parked) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return out
}

// ShowParked returns a parked batch with its data, or ErrNotParked.
func (x *Replicator) ShowParked(id string) (Parked, error) { return x.parking.find(id) }

// DropParked forgets a parked batch for good, or returns ErrNotParked.
func (x *Replicator) DropParked(id string) error { return x.parking.drop(id) }

// RetryParked applies a parked batch and, if that works, drops it. It returns
// ErrNotParked, ErrNoData, or why the batch cannot be applied: then it stays.
func (x *Replicator) RetryParked(ctx context.Context, id string) error {
	p, err := x.parking.find(id)
	if err != nil {
		return err
	}
	switch {
	case p.From.DC == x.opts.Self.DC:
		return fmt.Errorf("%w: %s is a message of this datacenter's own that is too large to ship; its events travel as answers to questions", ErrNoData, id)
	case p.Cut:
		return fmt.Errorf("%w: the data of %s were not kept", ErrNoData, id)
	case !p.Whole:
		err = x.applyOnce(ctx, Replica{p.Placement, p.Partition}, [][]byte{p.Data})
	default:
		err = x.retryWhole(ctx, &p)
	}
	if err != nil {
		return fmt.Errorf("apply parked batch %s: %w", id, err)
	}
	return x.parking.drop(id)
}

func (x *Replicator) retryWhole(ctx context.Context, p *Parked) error {
	in := &intake{x: x, last: map[uint32]arrival{}, pulse: newPulse()}
	b, err := in.decode(Message{From: p.From, Lane: p.Lane, Placement: p.Placement, Data: p.Data})
	if err != nil {
		return err
	}
	return x.apply(ctx, b)
}
