package replication

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/zeebo/xxh3"
)

// Bounds on notices.
const (
	maxNotices      = 1024
	maxNoticeName   = 128     // bytes
	maxNoticeBytes  = 1 << 20 // of the content of one
	noticesTimeout  = 2 * time.Second
	noticesPerRound = 16 // answers that are taken in a row, before the next round
)

// askNotices is the kind of a question, see query.go.
const askNotices = 16

// Notice is a small document that all datacenters are to know: who the nodes of
// one of them are, say. Of two of one name the one of the later version counts,
// and of two of the same version the one of the greater content, so that all end
// up with the same.
type Notice struct {
	Name    string
	Version uint64
	Content []byte // not to be changed
}

// Of returns what follows the prefix in the notice's name, and whether the name
// begins with it.
func (n Notice) Of(prefix string) (string, bool) { return strings.CutPrefix(n.Name, prefix) }

// Compare tells which of two notices of one name counts: the greater one.
func (n Notice) Compare(o Notice) int {
	return cmp.Or(cmp.Compare(n.Version, o.Version), bytes.Compare(n.Content, o.Content))
}

// Notices are those that this node has. It is asked concurrently.
type Notices interface {
	// Notices lists them. Neither they nor their names are many.
	Notices() []Notice
	// Take takes in one that another datacenter has. It may be old or senseless.
	Take(n Notice) error
}

// noticeStamp is what a datacenter says of a notice that it has.
type noticeStamp struct {
	name          string
	version, hash uint64
}

func stampOf(n Notice) noticeStamp { return noticeStamp{n.Name, n.Version, xxh3.Hash(n.Content)} }

func (x *Replicator) stamps() []noticeStamp {
	if x.opts.Notices == nil {
		return nil
	}
	var out []noticeStamp
	for _, n := range x.opts.Notices.Notices() {
		out = append(out, stampOf(n))
	}
	slices.SortFunc(out, func(a, b noticeStamp) int { return strings.Compare(a.name, b.name) })
	return out[:min(len(out), maxNotices)]
}

// herald asks the nodes of a datacenter, one after the other, for notices that
// are not known here.
type herald struct {
	x    *Replicator
	dc   string
	turn int
}

func (h *herald) run(ctx context.Context) {
	if !pause(ctx, h.x.phase(h.x.opts.ExchangeEvery, "notices "+h.dc)) {
		return
	}
	tick := time.NewTicker(h.x.opts.ExchangeEvery)
	defer tick.Stop()
	for {
		if err := h.round(ctx); err != nil && ctx.Err() == nil {
			h.x.opts.Logger.Debug("notices not compared", "datacenter", h.dc, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (h *herald) round(ctx context.Context) error {
	var peers []Peer
	for _, p := range h.x.view.Load().peers {
		if p.DC == h.dc {
			peers = append(peers, p)
		}
	}
	if len(peers) == 0 {
		return nil
	}
	for range noticesPerRound {
		more, err := h.ask(ctx, peers[h.turn%len(peers)])
		if err != nil {
			h.turn++
			return err
		}
		if !more {
			break
		}
	}
	return nil
}

func (h *herald) ask(ctx context.Context, to Peer) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, noticesTimeout)
	defer cancel()
	q := query{kind: askNotices, notices: h.x.stamps()}
	answer, err := h.x.opts.Link.Request(ctx, to, h.x.packer.pack(q.encode()))
	if err != nil {
		return false, err
	}
	raw, err := h.x.packer.unpack(answer)
	if err != nil {
		return false, err
	}
	told, more, err := decodeNotices(raw)
	if err != nil {
		return false, err
	}
	var errs []error
	for _, n := range told {
		errs = append(errs, h.x.opts.Notices.Take(n))
	}
	return more && len(told) > 0, errors.Join(errs...)
}

// answerNotices gives those notices that the asker has not, or has otherwise and
// not of a later version: which of two counts is for who takes them to tell.
func (x *Replicator) answerNotices(known []noticeStamp) []byte {
	if x.opts.Notices == nil {
		return encodeNotices(nil, false)
	}
	var out []Notice
	more, size := false, 0
	for _, n := range x.opts.Notices.Notices() {
		at, found := slices.BinarySearchFunc(known, n.Name, func(s noticeStamp, name string) int { return strings.Compare(s.name, name) })
		if found && (known[at].version > n.Version || known[at] == stampOf(n)) || len(n.Name) > maxNoticeName || len(n.Content) > maxNoticeBytes {
			continue
		}
		if size += len(n.Content); len(out) > 0 && size > pageBytes || len(out) == maxNotices {
			more = true
			break
		}
		out = append(out, n)
	}
	return encodeNotices(out, more)
}

func appendStamps(b []byte, stamps []noticeStamp) []byte {
	b = binary.AppendUvarint(b, uint64(len(stamps)))
	for _, s := range stamps {
		b = appendBytes(b, s.name)
		b = binary.AppendUvarint(b, s.version)
		b = binary.BigEndian.AppendUint64(b, s.hash)
	}
	return b
}

func (r *reader) stamps() []noticeStamp {
	out := make([]noticeStamp, r.count("number of notices", 10, maxNotices))
	for i := range out {
		out[i] = noticeStamp{string(r.bytes("name of a notice", maxNoticeName)), r.uvarint("version of a notice"), r.fixed64("hash of a notice")}
		if i > 0 && out[i-1].name >= out[i].name && r.err == nil {
			r.fail("notices are not in order")
		}
	}
	return out
}

// encodeNotices makes the answer to askNotices.
func encodeNotices(notices []Notice, more bool) []byte {
	b := appendBool([]byte{queryVersion}, more)
	b = binary.AppendUvarint(b, uint64(len(notices)))
	for _, n := range notices {
		b = appendBytes(b, n.Name)
		b = binary.AppendUvarint(b, n.Version)
		b = appendBytes(b, n.Content)
	}
	return b
}

func decodeNotices(b []byte) (notices []Notice, more bool, err error) {
	r := reader{b: b}
	r.answerVersion()
	more = r.bool("more")
	for range r.count("number of notices", 3, maxNotices) {
		notices = append(notices, Notice{
			string(r.bytes("name of a notice", maxNoticeName)), r.uvarint("version of a notice"), bytes.Clone(r.bytes("notice", maxNoticeBytes)),
		})
	}
	if err := r.done("notices"); err != nil {
		return nil, false, err
	}
	return notices, more, nil
}
