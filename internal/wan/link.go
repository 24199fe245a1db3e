package wan

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// maxLatency bounds latency and jitter: a longer one is a slip of the pen.
	maxLatency = 30 * time.Second
	// sendAhead is how far a reader may run ahead of a link's bandwidth. It
	// hides the granularity of timers, about 1 ms, from the rate.
	sendAhead = 5 * time.Millisecond
	// minChunk is the least number of bytes taken from a socket at a time,
	// however slow the link.
	minChunk = 512
)

// Profile is how one direction of a link behaves while it is up. The zero
// Profile adds nothing.
type Profile struct {
	Latency time.Duration // one way, 0 to 30 s
	// Jitter is the most by which an arrival differs from Latency, either way,
	// evenly spread; 0 to 30 s. Order within a connection is kept, so that a busy
	// connection sees delays toward Latency + Jitter, as TCP does.
	Jitter    time.Duration
	Bandwidth int64 // bytes a second, shared by all connections; 0 is unlimited
}

func (p Profile) validate() error {
	switch {
	case p.Latency < 0 || p.Latency > maxLatency:
		return fmt.Errorf("latency %s is not between 0s and %s", p.Latency, maxLatency)
	case p.Jitter < 0 || p.Jitter > maxLatency:
		return fmt.Errorf("jitter %s is not between 0s and %s", p.Jitter, maxLatency)
	case p.Bandwidth < 0:
		return fmt.Errorf("bandwidth %d is negative (0 is unlimited)", p.Bandwidth)
	}
	return nil
}

// State is what one direction of a link does with bytes.
type State uint8

// The states of a link. A connection suffers what either of its two directions
// does.
const (
	// Up carries bytes as the Profile says.
	Up State = iota + 1
	// Cut loses bytes, those in flight included, and tells nobody. Connections
	// stay open; new ones are accepted and lead nowhere. A connection that has
	// lost anything is reset as soon as both directions are up again; one that
	// has lost nothing goes on.
	Cut
	// Reset resets connections at once, and new ones as soon as they are made.
	Reset
	// Frozen holds bytes back, up to Options.BufferBytes for a connection, then
	// reads no more. They arrive in order when the link is up again.
	Frozen
)

// String returns the state's name in lower case.
func (s State) String() string {
	switch s {
	case Up:
		return "up"
	case Cut:
		return "cut"
	case Reset:
		return "reset"
	case Frozen:
		return "frozen"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Change is what to change about a link; what is left zero stays as it is.
type Change struct {
	Profile *Profile // nil keeps the profile
	State   State    // zero keeps the state
}

func (c Change) validate() error {
	if c.Profile == nil && c.State == 0 {
		return errors.New("neither profile nor state is given")
	}
	if c.State > Frozen {
		return fmt.Errorf("%s is no state of a link", c.State)
	}
	if c.Profile != nil {
		return c.Profile.validate()
	}
	return nil
}

// Status is one direction of a link at one instant.
type Status struct {
	From, To string
	Profile  Profile
	State    State
	Bytes    int64 // arrived at the far end since the link was added; a link that is cut has no more of them
	Dropped  int64 // lost in cuts
}

// link is one direction between two datacenters. Network.mu guards it.
type link struct {
	from, to string
	profile  Profile
	state    State
	free     time.Time // when the line has sent what it was given, if it has a bandwidth
	bytes    int64
	dropped  int64
}

// change changes the link, and reports whether that made a difference.
func (l *link) change(c Change, now time.Time) bool {
	changed := false
	if c.Profile != nil && *c.Profile != l.profile {
		l.profile = *c.Profile
		l.free = now
		changed = true
	}
	if c.State != 0 && c.State != l.state {
		l.state = c.State
		changed = true
	}
	return changed
}

func (l *link) status() Status {
	return Status{
		From: l.from, To: l.to, Profile: l.profile, State: l.state,
		Bytes: l.bytes, Dropped: l.dropped,
	}
}

// schedule puts size bytes on the line, and returns when they arrive.
func (l *link) schedule(now time.Time, size int, random *rand.Rand) time.Time {
	sent := now
	if l.profile.Bandwidth > 0 {
		if l.free.After(now) {
			sent = l.free
		}
		sent = sent.Add(time.Duration(float64(size) / float64(l.profile.Bandwidth) * float64(time.Second)))
		l.free = sent
	}
	delay := l.profile.Latency
	if jitter := int64(l.profile.Jitter); jitter > 0 {
		delay += time.Duration(random.Int64N(2*jitter+1) - jitter)
	}
	return sent.Add(max(delay, 0))
}

// backlog returns how long a reader must wait before it may put more on the
// line.
func (l *link) backlog(now time.Time) time.Duration {
	if l.profile.Bandwidth == 0 {
		return 0
	}
	return max(l.free.Sub(now)-sendAhead, 0)
}

// chunk returns how many bytes to take from a socket at a time: few on a slow
// link, for a smooth rate and an even share for every connection.
func (l *link) chunk() int {
	if l.profile.Bandwidth == 0 {
		return blockBytes
	}
	share := float64(l.profile.Bandwidth) * sendAhead.Seconds()
	return int(min(max(share, minChunk), blockBytes))
}

// latest returns the latest arrival of a byte that is sent now.
func (l *link) latest(now time.Time) time.Time {
	return now.Add(l.profile.Latency + l.profile.Jitter)
}
