package dc

import (
	"context"
	"fmt"
	"sync"
	"time"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
)

const (
	hedgeBurst = 10 // hedges that may follow each other at once, however few reads there were

	hedgeMost    = 250 * time.Millisecond // the longest that a hedge waits, however slow a node is used to be
	hedgeUnknown = 20 * time.Millisecond  // how long it waits for a node that was asked too seldom to tell
	lookAgain    = 100 * time.Millisecond // pause between two looks at whether a node has fallen silent
)

// hedgeBudget lets hedges be at most a share of all questions, but for a few at
// the start: a token bucket that fills by asking. Safe for concurrent use.
type hedgeBudget struct {
	share float64

	mu     sync.Mutex
	tokens float64
}

func newHedgeBudget(share float64) *hedgeBudget {
	b := &hedgeBudget{share: share}
	if share > 0 {
		b.tokens = hedgeBurst
	}
	return b
}

func (b *hedgeBudget) asked(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+float64(n)*b.share, hedgeBurst)
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

// hedgeAfter is how long a node may take before the next one is asked as well.
func (n *Node) hedgeAfter(node string, c class) time.Duration {
	p95 := time.Duration(n.watched.of(node).took[c].p95.Load())
	if p95 == 0 {
		p95 = hedgeUnknown
	}
	return min(max(p95, n.opts.HedgeFloor), hedgeMost)
}

// reply is what a node answered to a question.
type reply struct {
	from string
	resp *peerv1.Response
	err  error
}

// gathering puts one question to several nodes until enough have answered. An
// error is made good by the next node at once; so is the silence of a node that
// has come under suspicion since it was asked, and, as far as the budget allows,
// an answer that takes longer than 95 of 100 of that node's answers do.
//
// Source: Dean and Barroso, "The tail at scale", CACM 2013.
type gathering struct {
	n     *Node
	nodes []string // in the order in which they are asked
	want  int
	class class
	ask   func() *peerv1.Request
	// final tells of an error whether it is an answer: the next node would not
	// answer otherwise. Nil: none is.
	final func(reply) bool
	// makesDo says that as many as least are enough where no more can be had, those
	// of replicas that are recovering included, if so many as proven are not.
	makesDo       bool
	least, proven int

	replies chan reply
	asked   []asked
	got     []reply
	spare   []reply // answers of replicas that are recovering
	less    bool    // it had to do with less than was wanted
	open    int     // asked and not answered
	last    error
}

// asked is a question to one node.
type asked struct {
	node     string
	at       time.Time
	answered bool
	replaced bool // another was asked in its place, or denied
	denied   bool
	hedge    bool
}

// run returns the first answers that came, as many as are wanted, or those
// that there are together with the last error when no more can come.
func (g *gathering) run(ctx context.Context) ([]reply, error) {
	g.replies = make(chan reply, len(g.nodes))
	g.n.hedges.asked(min(g.want, len(g.nodes)))
	for range min(g.want, len(g.nodes)) {
		g.next(ctx, false)
		g.n.count.PeerReads.Add(1)
	}
	timer := time.NewTimer(g.pause(time.Now()))
	defer timer.Stop()
	for len(g.got) < g.want && g.open > 0 && !g.settles() {
		select {
		case r := <-g.replies:
			if !g.took(r) && len(g.asked) < len(g.nodes) {
				g.next(ctx, false)
			}
			if len(g.got) < g.want {
				timer.Reset(g.pause(time.Now()))
			}
		case <-timer.C:
			g.hurry(ctx)
			timer.Reset(g.pause(time.Now()))
		case <-ctx.Done():
			return g.got, ctx.Err()
		}
	}
	if len(g.got) < g.want && g.enough() {
		g.got, g.less = append(g.got, g.spare...), true
	}
	return g.got, g.last
}

// settles reports whether there is nothing to be had but what is enough: those
// that have yet to answer have fallen silent.
func (g *gathering) settles() bool {
	if !g.enough() || len(g.asked) < len(g.nodes) {
		return false
	}
	for i := range g.asked {
		if a := &g.asked[i]; !a.answered && !g.n.suspected(a.node) {
			return false
		}
	}
	return true
}

// enough reports whether what is there would do, if no more is to be had.
func (g *gathering) enough() bool {
	return g.makesDo && len(g.got) >= g.proven && len(g.got)+len(g.spare) >= g.least
}

// next asks the next node.
func (g *gathering) next(ctx context.Context, hedge bool) {
	node := g.nodes[len(g.asked)]
	g.asked = append(g.asked, asked{node: node, at: time.Now(), hedge: hedge})
	g.open++
	req := g.ask()
	req.TimeoutMs = g.n.left(ctx)
	replies := g.replies
	g.n.send(node, req, time.Time{}, func(resp *peerv1.Response, err error) { replies <- reply{node, resp, err} })
}

// took notes a reply and reports whether it is an answer.
func (g *gathering) took(r reply) bool {
	g.open--
	for i := range g.asked {
		if a := &g.asked[i]; a.node == r.from {
			a.answered = true
			if a.hedge && r.err == nil {
				g.n.count.HedgesWon.Add(1)
			}
		}
	}
	if r.err != nil && (g.final == nil || !g.final(r)) {
		g.last = fmt.Errorf("%s: %w", r.from, r.err)
		return false
	}
	if r.resp.GetRead().GetRecovering() {
		g.spare = append(g.spare, r)
		return false
	}
	g.got = append(g.got, r)
	return true
}

// pause is how long to wait before hurry is due.
func (g *gathering) pause(now time.Time) time.Duration {
	wait := time.Duration(1<<63 - 1)
	if len(g.asked) == len(g.nodes) { // nobody is left to ask
		if g.enough() {
			return lookAgain
		}
		return wait
	}
	for i := range g.asked {
		switch a := &g.asked[i]; {
		case a.answered || a.replaced:
		case a.denied:
			wait = min(wait, lookAgain)
		default:
			wait = min(wait, max(a.at.Add(g.n.hedgeAfter(a.node, g.class)).Sub(now), 0))
		}
	}
	return wait
}

// hurry asks further nodes in the place of those that take too long.
func (g *gathering) hurry(ctx context.Context) {
	now := time.Now()
	for i := 0; i < len(g.asked) && len(g.asked) < len(g.nodes); i++ {
		a := g.asked[i]
		switch {
		case a.answered || a.replaced:
			continue
		case g.n.suspected(a.node):
			a.replaced = true
			g.n.count.PassedOver.Add(1)
		case a.denied || now.Sub(a.at) < g.n.hedgeAfter(a.node, g.class):
			continue
		case g.n.hedges.take():
			a.replaced = true
			g.n.count.Hedges.Add(1)
		default:
			a.denied = true
			g.n.count.HedgesDenied.Add(1)
		}
		g.asked[i] = a
		if a.replaced {
			g.next(ctx, true)
		}
	}
}

// stale reports whether a node knows a later ring: the whole request is to be
// carried out again under that.
func stale(r reply) bool { return isStale(r.err) }
