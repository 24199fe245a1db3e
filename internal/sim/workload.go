package sim

import (
	"fmt"
	"slices"
	"time"

	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/dc"
	"github.com/godwitdb/godwit/internal/history"
)

// keysOfKind is how many keys of each kind there are: few, so that operations
// meet.
const keysOfKind = 3

func (c *client) key(kind string) string { return fmt.Sprintf("%s-%d", kind, c.rnd.IntN(keysOfKind)) }

// unique is a value that nobody else writes.
func (c *client) unique() string {
	c.seq++
	return fmt.Sprintf("%s.%d", c.name, c.seq)
}

// work asks for things until the faults are over.
func (c *client) work() {
	for !c.run.over() {
		switch n := c.rnd.IntN(100); {
		case n < 18:
			c.increment()
		case n < 20:
			c.clear(history.Reset, c.key("counter"), nil)
		case n < 34:
			c.put()
		case n < 38:
			c.clear(history.Delete, c.key(pick(c.rnd, []string{"register", "register", "set", "counter"})), nil)
		case n < 43 && len(c.puts) > 0:
			c.deleteOwn(c.rnd.IntN(len(c.puts)))
		case n < 56:
			c.add()
		case n < 62:
			c.removeOwn()
		case n < 80:
			c.look()
		default:
			c.other()
		}
		pause(time.Duration(c.rnd.IntN(120)) * time.Millisecond)
	}
}

// record writes the history of an operation that wrote.
func (c *client) record(rec *history.Record, req *v1.UpdateRequest, s strength, twice bool) *v1.UpdateResponse {
	rec.Start, rec.Client, rec.DC, rec.Bucket = time.Now().UnixNano(), c.name, c.home.Name, req.GetBucket()
	resp, node, out, tries, err := c.write(req, twice)
	rec.End, rec.Outcome, rec.Tries, rec.Node = time.Now().UnixNano(), out, tries, node.id
	if err != nil {
		rec.Error = err.Error()
	}
	if d := resp.GetDot(); d != nil {
		rec.Dot = &history.Dot{Actor: d.GetActor(), Seq: d.GetSeq()}
	}
	c.run.note(rec, s)
	return resp
}

func (c *client) update(key string) (*v1.UpdateRequest, strength) {
	o, s := c.writeLevel()
	return &v1.UpdateRequest{Bucket: bucketSync, Key: []byte(key), Options: o}, s
}

func (c *client) increment() {
	req, s := c.update(c.key("counter"))
	by := int64(c.rnd.IntN(30) - 9)
	if by == 0 {
		by = 1000
	}
	req.Op = &v1.UpdateRequest_CounterAdd{CounterAdd: &v1.CounterAdd{Delta: by}}
	c.record(&history.Record{Op: history.Incr, Key: string(req.GetKey()), N: by}, req, s, false)
}

// clear is a reset or a delete of what is observed: by the context, or else by
// whoever coordinates.
func (c *client) clear(op history.Op, key string, context []byte) (acked bool) {
	req, s := c.update(key)
	if context != nil {
		req.Options.Context = context
	}
	req.Op = &v1.UpdateRequest_Remove{Remove: &v1.Remove{}}
	if op == history.Reset {
		req.Op = &v1.UpdateRequest_CounterReset{CounterReset: &v1.CounterReset{}}
	}
	rec := &history.Record{Op: op, Key: key}
	promised := s
	if context != nil { // it does not remove all that was there
		promised = min(s, sturdy)
	}
	c.record(rec, req, promised, false)
	return rec.Outcome == history.OK && s >= sturdy
}

func (c *client) put() {
	req, s := c.update(c.key("register"))
	key, value := string(req.GetKey()), c.unique()
	if c.rnd.IntN(4) == 0 { // what it saw, and nothing else, is to be replaced
		got, _, err := c.read(&v1.GetRequest{Bucket: bucketSync, Key: []byte(key)})
		if err == nil {
			req.Options.Context = got.GetContext()
		}
	}
	req.Op = &v1.UpdateRequest_Assign{Assign: &v1.Assign{Value: []byte(value)}}
	rec := &history.Record{Op: history.Put, Key: key, Arg: []string{value}}
	if resp := c.record(rec, req, s, true); rec.Outcome == history.OK {
		c.puts = append(c.puts, written{key, value, resp.GetContext(), s >= sturdy && rec.Tries == 1})
		if c.rnd.IntN(4) == 0 { // so soon that some replica learns of the delete first
			c.deleteOwn(len(c.puts) - 1)
		}
	}
}

// deleteOwn deletes exactly one value that the client has put. If that is
// acknowledged the value is gone for ever, whatever comes back.
func (c *client) deleteOwn(i int) {
	w := takeAt(&c.puts, i)
	if c.clear(history.Delete, w.key, w.context) && w.sturdy {
		c.run.mustBeGone(w.key, w.value)
	}
}

func (c *client) add() {
	req, s := c.update(c.key("set"))
	elements := []string{c.unique()}
	if c.rnd.IntN(3) == 0 {
		elements = append(elements, c.unique())
	}
	req.Op = &v1.UpdateRequest_SetAdd{SetAdd: &v1.SetAdd{Elements: bytesOf(elements)}}
	rec := &history.Record{Op: history.SAdd, Key: string(req.GetKey()), Arg: elements}
	c.record(rec, req, s, true)
	if rec.Outcome == history.OK {
		for _, e := range elements {
			c.adds = append(c.adds, written{key: rec.Key, value: e})
		}
	}
}

func (c *client) removeOwn() {
	if len(c.adds) == 0 {
		return
	}
	w := takeAt(&c.adds, c.rnd.IntN(len(c.adds)))
	req, s := c.update(w.key)
	req.Op = &v1.UpdateRequest_SetRemove{SetRemove: &v1.SetRemove{Elements: bytesOf([]string{w.value})}}
	rec := &history.Record{Op: history.SRem, Key: w.key, Arg: []string{w.value}}
	rec.Start, rec.Client, rec.DC, rec.Bucket = time.Now().UnixNano(), c.name, c.home.Name, bucketSync
	resp, node, out, tries, err := c.write(req, false)
	rec.End, rec.Outcome, rec.Tries, rec.Node = time.Now().UnixNano(), out, tries, node.id
	if err != nil {
		rec.Error = err.Error()
	} else if tries == 1 {
		rec.ResultN = int64(resp.GetChanged())
	}
	c.run.note(rec, s)
}

// look reads a key and records what is there.
func (c *client) look() {
	o, s := c.readLevel()
	kind := pick(c.rnd, []string{"counter", "register", "set"})
	rec := &history.Record{Op: history.Get, Key: c.key(kind), Client: c.name, DC: c.home.Name, Bucket: bucketSync, Start: time.Now().UnixNano()}
	if kind == "set" {
		rec.Op = history.SMembers
	}
	got, node, err := c.read(&v1.GetRequest{Bucket: bucketSync, Key: []byte(rec.Key), Options: o})
	rec.End, rec.Outcome, rec.Node = time.Now().UnixNano(), history.OK, node.id
	if err != nil && dc.AsError(err).Reason != "NOT_FOUND" {
		rec.Outcome, rec.Error = history.Failed, err.Error()
	}
	v := valueOf(got)
	rec.ResultN, rec.Result = v.Integer, slices.Concat(v.Elements, v.Live)
	c.run.note(rec, s)
}

// valueOf is an answer in the words of histories; of no answer, an absent key.
func valueOf(got *v1.GetResponse) history.Value {
	var v history.Value
	switch of := got.GetValue().GetOf().(type) {
	case *v1.Value_Integer:
		v.Integer = of.Integer
	case *v1.Value_Set:
		v.Elements = stringsOf(of.Set.GetElements())
	case *v1.Value_Bytes:
		v.Live = []string{string(of.Bytes)}
		if s := got.GetSiblings(); len(s) > 0 {
			v.Live = nil
			for _, sibling := range s {
				v.Live = append(v.Live, string(sibling.GetValue()))
			}
		}
	}
	return v
}

func bytesOf(in []string) [][]byte {
	out := make([][]byte, len(in))
	for i, s := range in {
		out[i] = []byte(s)
	}
	return out
}

func stringsOf(in [][]byte) []string {
	out := make([]string, len(in))
	for i, b := range in {
		out[i] = string(b)
	}
	return out
}
