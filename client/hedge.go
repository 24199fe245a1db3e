package client

import (
	"context"
	"errors"
	"time"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// askEither waits for the answer to a read. When that takes longer than 95 of
// 100 did, the read is put to another node as well, as far as the budget allows,
// and the first to answer counts. An error of one that the other may make good
// does not.
func (p *pipe) askEither(ctx context.Context, q *question, id uint64, body []byte, other *node) (*pb.PipelineAnswer, error) {
	p.c.hedges.asked()
	late := time.NewTimer(p.to.hedgeAfter())
	defer late.Stop()
	h := hedge{p: other.pipe}
	defer h.forget()
	defer p.forget(id)
	var last error
	for open := 1; open > 0; {
		select {
		case got := <-q.answer:
			open--
			msg, err := p.told(q, got)
			if e, refused := errors.AsType[*Error](err); err == nil || refused && !retryable(e) {
				if q.a.outrun = got.hedge; got.hedge {
					p.c.stats.hedgesWon.Add(1)
					p.to.wasOutrun()
				}
				return msg, err
			}
			if last == nil || !got.hedge { // what the node asked first says counts
				last = err
			}
		case <-late.C:
			if h.ask(q, body, p.to.failures.Load() > 0) {
				open++
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, last
}

// hedge is the second of two questions for one answer.
type hedge struct {
	p  *pipe
	id uint64
}

// ask puts a question to the other node, if its stream is open and there is
// room, and reports whether it did. A trial of whether a node answers again is
// rare, and not held to the budget.
func (h *hedge) ask(q *question, body []byte, trial bool) bool {
	p := h.p
	if p.to.failures.Load() > 0 || p.to.unary.Load() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.open && p.connecting == nil: // for next time
		if p.c.start(p.session) {
			p.connecting = make(chan struct{})
		}
		return false
	case !p.open || !p.out.Fits(len(body)):
		return false
	case !trial && !p.c.hedges.take():
		p.c.stats.hedgesDenied.Add(1)
		return false
	}
	p.c.stats.hedges.Add(1)
	h.id = p.enqueue(&question{a: &attempt{}, hedge: true, answer: q.answer}, body)
	return true
}

func (h *hedge) forget() {
	if h.id != 0 {
		h.p.forget(h.id)
	}
}
