package rpc

import (
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/internal/frame"
)

// held is a request that is to be begun by some time, which can be told only to a
// session.
type held struct {
	id  uint64
	req *peerv1.Request
	by  time.Time
}

// since is a time as this session tells it, at least 1. The caller holds the lock.
func (l *link) since(now time.Time) uint64 { return uint64(now.Sub(l.zero).Milliseconds()) + 1 }

// letGo queues what was held until the session began, and ends what came too late
// for that. Ids in the queue grow, so these get new ones. The caller holds the lock.
func (l *link) letGo() {
	for _, h := range l.held {
		c, waits := l.pending[h.id]
		if delete(l.pending, h.id); !waits {
			continue // its time is up
		}
		now := time.Now()
		var body *[]byte
		within, err := dc.BeginWithin(h.by, now)
		if err == nil {
			h.req.BeginMs = within
			body, err = l.p.codec.Encode(h.req)
		}
		if err != nil {
			go c.done(nil, err) // not with the lock
			continue
		}
		l.lastID++
		l.pending[l.lastID] = c
		l.out.Put(frame.Message{ID: l.lastID, Field: frame.Request, Body: *body, Sent: l.since(now)})
		l.p.codec.Done(body)
	}
	l.held, l.heldBytes = nil, 0
}
