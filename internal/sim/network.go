package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	"github.com/godwitdb/godwit/dc"
)

// Limits of what the network does to messages.
const (
	delayLeast  = 100 * time.Microsecond
	delayMost   = 2 * time.Millisecond
	overtaken   = 300 * time.Millisecond // by which a late message is late, at the most
	latePercent = 3                      // of messages, while there is reordering
)

// weather is what the network does to messages, in percent of them.
type weather struct {
	loss, dup, late int
}

// network carries messages between the nodes of a cluster, encoded, so that
// nodes share nothing. Safe for concurrent use.
type network struct {
	watch *watch

	mu      sync.Mutex
	rnd     *rand.Rand
	nodes   map[string]*Node
	cuts    map[[2]string]bool       // from one node to another
	slow    map[string]time.Duration // more delay of what a node sends and gets
	weather weather
	writes  int                                        // that were handed on, on their way or being carried out
	hold    func(from, to string, req *peerv1.Request) // called before a request is served, which waits for it; may be nil
}

func newNetwork(seed uint64, w *watch) *network {
	return &network{
		watch: w, rnd: rand.New(rand.NewPCG(seed, 12)), nodes: map[string]*Node{},
		cuts: map[[2]string]bool{}, slow: map[string]time.Duration{},
	}
}

// fate is what becomes of one message.
type fate struct {
	cut, refused, lost, dup bool
	delay, dupDelay         time.Duration
}

// draw decides about a message.
func (w *network) draw(from, to string) fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	percent := func(n int) bool { return n > 0 && w.rnd.IntN(100) < n }
	delay := func() time.Duration {
		d := delayLeast + time.Duration(w.rnd.Int64N(int64(delayMost-delayLeast))) + w.slow[from] + w.slow[to]
		if percent(w.weather.late) {
			d += time.Duration(w.rnd.Int64N(int64(overtaken)))
		}
		return d
	}
	return fate{
		cut: w.cuts[[2]string{from, to}], refused: percent(50), lost: percent(w.weather.loss), dup: percent(w.weather.dup),
		delay: delay(), dupDelay: delay(),
	}
}

// setWeather changes what becomes of messages from now on.
func (w *network) setWeather(n weather) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.weather = n
}

// setCut stops messages from one node to another, or lets them pass.
func (w *network) setCut(from, to string, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cuts[[2]string{from, to}] = cut
}

// setSlow delays what a node sends and gets.
func (w *network) setSlow(node string, by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow[node] = by
}

// clear ends all cuts, delays and weather.
func (w *network) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.cuts)
	clear(w.slow)
	w.weather = weather{}
}

// link is the Transport of one life of a node.
type link struct {
	*network
	from *life
}

// exchange is one request on its way, and its answer.
type exchange struct {
	link
	to      *Node
	req     []byte
	sent    time.Time
	twice   bool // two copies are on their way
	done    func(*peerv1.Response, error)
	end     sync.Mutex
	ended   bool
	timeout *time.Timer
}

// Send is the method of dc.Transport. A node that is known to be away refuses
// at once, as a connection that is closed does; else nothing is known until the
// time is up.
func (l link) Send(to string, req *peerv1.Request, by time.Time, done func(*peerv1.Response, error)) {
	l.mu.Lock()
	target := l.nodes[to]
	l.mu.Unlock()
	now := time.Now()
	if !by.IsZero() {
		within, err := dc.BeginWithin(by, now)
		if err != nil {
			done(nil, err)
			return
		}
		req.BeginMs = within
	}
	b, err := proto.Marshal(req)
	f := l.draw(l.from.id, to)
	switch {
	case err != nil || target == nil:
		done(nil, fmt.Errorf("send to %q: %w", to, dc.ErrNotSent))
		return
	case l.from.gone() || f.cut && f.refused || target.current() == nil && f.refused:
		time.AfterFunc(f.delay, func() { done(nil, fmt.Errorf("%s is away: %w", to, dc.ErrNotSent)) })
		return
	}
	l.watch.request(req)
	x := &exchange{link: l, to: target, req: b, sent: now, twice: f.dup && mayRepeat(req), done: done}
	x.end.Lock()
	x.timeout = time.AfterFunc(time.Duration(req.GetTimeoutMs())*time.Millisecond, func() {
		x.finish(nil, fmt.Errorf("%s does not answer: %w", to, context.DeadlineExceeded))
	})
	x.end.Unlock()
	if f.cut || f.lost {
		return
	}
	if !mayRepeat(req) {
		x.count(1)
		time.AfterFunc(f.delay, func() {
			defer x.count(-1)
			x.deliver()
		})
		return
	}
	time.AfterFunc(f.delay, x.deliver)
	if x.twice {
		time.AfterFunc(f.dupDelay, x.deliver)
	}
}

// mayRepeat reports whether a request may come twice. The connections of nodes
// never repeat one; what a node sends again because an answer was lost looks the
// same to the other, and everything but a forwarded write is sent again so. Of a
// write that is tried again its node knows that an earlier try may be under way:
// it draws no conclusion from a refusal of the later one, as it does where there
// was only one.
func mayRepeat(req *peerv1.Request) bool { return req.GetForward().GetUpdate() == nil }

// count notes that writes were handed on, or carried out.
func (w *network) count(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes += n
}

// settle waits until all writes that were handed on have been carried out, also
// those for whose answers nobody waits any more.
func (w *network) settle() {
	for {
		w.mu.Lock()
		writes := w.writes
		w.mu.Unlock()
		if writes == 0 {
			return
		}
		pause(time.Millisecond)
	}
}

func (x *exchange) finish(resp *peerv1.Response, err error) {
	x.end.Lock()
	ended := x.ended
	x.ended = true
	x.timeout.Stop()
	x.end.Unlock()
	if !ended {
		x.done(resp, err)
	}
}

// deliver brings the request to its node and the answer back.
func (x *exchange) deliver() {
	x.from.thawed()
	x.to.thawed()
	to := x.to.current()
	if to == nil || !to.enter() {
		if f := x.draw(x.to.id, x.from.id); f.refused && !f.cut && !x.twice {
			x.finish(nil, fmt.Errorf("%s is down: %w", x.to.id, dc.ErrNotSent))
		}
		return
	}
	answer := x.serve(to)
	if answer == nil {
		return
	}
	f := x.draw(to.id, x.from.id)
	if f.cut || f.lost {
		return
	}
	time.AfterFunc(f.delay, func() {
		to.node.thawed()
		x.from.thawed()
		if x.from.gone() {
			return
		}
		resp := &peerv1.Response{}
		if err := proto.Unmarshal(answer, resp); err != nil {
			x.watch.fail("decode an answer of %s: %v", to.id, err)
			return
		}
		x.finish(resp, nil)
	})
}

// serve returns the encoded answer of a node, nil if it died over it.
func (x *exchange) serve(to *life) []byte {
	defer to.leave()
	defer to.notePanic()
	req := &peerv1.Request{}
	if err := proto.Unmarshal(x.req, req); err != nil {
		x.watch.fail("decode a request of %s: %v", x.from.id, err)
		return nil
	}
	if page := req.GetSnapshot(); page != nil {
		page.MaxBytes = min(page.GetMaxBytes(), smallPage)
	}
	x.mu.Lock()
	hold := x.hold
	x.mu.Unlock()
	if hold != nil {
		hold(x.from.id, to.id, req)
	}
	ctx := to.ctx
	if ms := req.GetBeginMs(); ms > 0 {
		ctx = dc.BeginBy(ctx, x.sent.Add(time.Duration(ms)*time.Millisecond))
	}
	resp := to.dc.Serve(ctx, x.from.id, req)
	if to.gone() {
		return nil
	}
	x.watch.response(resp)
	if m := resp.GetMissing(); m.GetTrimmed() && !m.GetMore() {
		r := req.GetMissing().GetReplica()
		to.node.cluster.trimmed(copyOf{r.GetPlacement(), r.GetPartition()}, req.GetMissing().GetClock(), m.GetClock(), m.GetDeltas())
	}
	answer, err := proto.Marshal(resp)
	if err != nil {
		x.watch.fail("encode an answer of %s: %v", to.id, err)
		return nil
	}
	return answer
}

// setHold makes f be called before a request is served, which waits for it.
func (w *network) setHold(f func(from, to string, req *peerv1.Request)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold = f
}
