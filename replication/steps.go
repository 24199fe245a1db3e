package replication

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"
)

// Kinds of questions of comparisons, see query.go.
const (
	askSteps = 4
	askRoots = 5

	maxParts     = 1024
	maxStepBytes = 1 << 20     // of one question for one replica
	questionSize = 1 << 19     // about, of one question for many
	stepsFor     = time.Second // after which no further step is answered: the asker waits for a few times that
)

// stepPart is a step of the comparison of one replica. Only storage knows what
// is in it.
type stepPart struct {
	replica Replica
	ask     []byte
}

// stepReply is the answer to a stepPart, or why there is none.
type stepReply struct {
	failed bool
	answer []byte
}

// rootOf is what a replica is compared by before anything else.
type rootOf struct {
	replica     Replica
	clock, root uint64 // salted hashes
}

// How a replica stands to another one's root and clock, as bits.
const (
	clocksDiffer = 1 << iota
	rootsDiffer
	notReady
)

// standingOf is an answer about one of the roots that were asked for: those
// that are equal are not told.
type standingOf struct {
	index int
	how   byte
}

func appendParts(b []byte, parts []stepPart) []byte {
	b = binary.AppendUvarint(b, uint64(len(parts)))
	for _, p := range parts {
		b = appendReplica(b, p.replica)
		b = appendBytes(b, p.ask)
	}
	return b
}

func (r *reader) parts() []stepPart {
	out := make([]stepPart, r.count("number of steps", 3, maxParts))
	for i := range out {
		out[i] = stepPart{r.replica(), r.bytes("step", maxStepBytes)}
	}
	return out
}

func encodeReplies(replies []stepReply) []byte {
	b := []byte{queryVersion}
	b = binary.AppendUvarint(b, uint64(len(replies)))
	for _, a := range replies {
		b = appendBool(b, a.failed)
		b = appendBytes(b, a.answer)
	}
	return b
}

func decodeReplies(b []byte) ([]stepReply, error) {
	r := reader{b: b}
	r.answerVersion()
	out := make([]stepReply, r.count("number of answers", 2, maxParts))
	for i := range out {
		out[i] = stepReply{r.bool("failure"), r.bytes("answer", maxUnpacked)}
	}
	return out, r.done("answers")
}

func appendRoots(b []byte, salt uint64, roots []rootOf) []byte {
	b = binary.BigEndian.AppendUint64(b, salt)
	b = binary.AppendUvarint(b, uint64(len(roots)))
	for _, x := range roots {
		b = appendReplica(b, x.replica)
		b = binary.BigEndian.AppendUint64(b, x.clock)
		b = binary.BigEndian.AppendUint64(b, x.root)
	}
	return b
}

func (r *reader) roots() []rootOf {
	out := make([]rootOf, r.count("number of roots", 18, maxAsked))
	for i := range out {
		out[i] = rootOf{r.replica(), r.fixed64("clock"), r.fixed64("root")}
		if i > 0 && out[i-1].replica.compare(out[i].replica) >= 0 && r.err == nil {
			r.fail("replicas are not in order")
		}
	}
	return out
}

func encodeStandings(all []standingOf) []byte {
	b := []byte{queryVersion}
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, s := range all {
		b = binary.AppendUvarint(b, uint64(s.index))
		b = append(b, s.how)
	}
	return b
}

// decodeStandings returns how each of the roots that were asked for stands.
func decodeStandings(b []byte, asked int) ([]byte, error) {
	r := reader{b: b}
	r.answerVersion()
	out := make([]byte, asked)
	last := -1
	for range r.count("number of answers", 2, asked) {
		i, how := r.uint32("index"), r.byte("standing")
		if int(i) <= last || int(i) >= asked || how == 0 || how > clocksDiffer|rootsDiffer|notReady {
			r.fail("standing of a replica that was not asked for")
			break
		}
		last = int(i)
		out[i] = how
	}
	return out, r.done("standings")
}

// answerSteps answers as many steps as fit, at least one.
func (x *Replicator) answerSteps(ctx context.Context, dc string, parts []stepPart) []byte {
	view := x.view.Load()
	var replies []stepReply
	size, began := 0, time.Now()
	for _, p := range parts {
		if size > pageBytes || len(replies) > 0 && (ctx.Err() != nil || time.Since(began) > stepsFor) {
			break
		}
		answer, err := []byte(nil), ErrResidency
		if view.shares(dc, p.replica.Placement) {
			answer, err = x.opts.Local.Answer(p.replica, p.ask, pageBytes)
		}
		if err != nil {
			answer = []byte(err.Error())
		}
		replies = append(replies, stepReply{err != nil, answer})
		size += len(answer)
	}
	return encodeReplies(replies)
}

// answerRoots tells which replicas are not as the asker's.
func (x *Replicator) answerRoots(dc string, salt uint64, asked []rootOf) []byte {
	view := x.view.Load()
	var out []standingOf
	for i, a := range asked {
		how := byte(notReady)
		if view.shares(dc, a.replica.Placement) {
			if own, err := x.rootOf(a.replica, salt); err == nil {
				how = own.against(a)
			}
		}
		if how != 0 {
			out = append(out, standingOf{i, how})
		}
	}
	return encodeStandings(out)
}

func (x *Replicator) rootOf(r Replica, salt uint64) (rootOf, error) {
	clock, root, err := x.opts.Local.Root(r, salt)
	if err != nil {
		return rootOf{}, fmt.Errorf("root of partition %d: %w", r.Partition, err)
	}
	return rootOf{r, clock, root}, nil
}

func (a rootOf) against(o rootOf) (how byte) {
	if a.clock != o.clock {
		how |= clocksDiffer
	}
	if a.root != o.root {
		how |= rootsDiffer
	}
	return how
}
