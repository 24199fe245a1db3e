package client

import (
	"sync"
	"sync/atomic"
)

// Stats count what a client did beyond asking once. Each only grows.
type Stats struct {
	// Hedges are reads that were put to another owner as well, because the one
	// asked first took longer than it takes for 95 of 100, and HedgesWon those of
	// them that the other one answered first.
	Hedges, HedgesWon uint64
	// HedgesDenied are hedges that the budget, one of 20 reads, did not allow.
	HedgesDenied uint64
	// Late are attempts that were given up because a node took far longer than it
	// does, and the call was safe to be made elsewhere.
	Late uint64
	// Spread are reads of popular keys that went to another owner than the first,
	// because that had much more to do.
	Spread uint64
	// Repeats are attempts of writes that may have been carried out before, and
	// were marked so that they count once.
	Repeats uint64
}

// Stats returns what the client has done so far.
func (c *Client) Stats() Stats {
	s := &c.stats
	return Stats{
		Hedges: s.hedges.Load(), HedgesWon: s.hedgesWon.Load(), HedgesDenied: s.hedgesDenied.Load(),
		Late: s.late.Load(), Spread: s.spread.Load(), Repeats: s.repeats.Load(),
	}
}

type tallies struct{ hedges, hedgesWon, hedgesDenied, late, spread, repeats atomic.Uint64 }

const (
	hedgeShare = 0.05 // of reads
	hedgeBurst = 10   // hedges that may follow each other at once, however few reads there were
)

// hedgeBudget lets hedges be at most a share of reads, but for a few at the
// start: a token bucket that fills by reading. Safe for concurrent use.
//
// Source: Dean and Barroso, "The tail at scale", CACM 2013.
type hedgeBudget struct {
	mu     sync.Mutex
	tokens float64
}

func (b *hedgeBudget) asked() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+hedgeShare, hedgeBurst)
}

func (b *hedgeBudget) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
