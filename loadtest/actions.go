package loadtest

import (
	"slices"
	"strconv"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/history"
)

// Kinds of keys, as they stand in their names.
const (
	kindRegister = "register"
	kindCounter  = "counter"
	kindSet      = "set"
	kindMap      = "map"
	kindZSet     = "zset"
	kindHLL      = "hll"
	kindFlag     = "flag"
	kindUser     = "user" // registers of sessions
)

// action is what an operation does.
type action struct {
	kind  string
	write bool
	do    func(*worker, *call) error
}

// call is one operation under way.
type call struct {
	op   *Operation
	site *site // whose client carries it out
	key  string
	opts []client.CallOption
}

// OperationNames are the operations that a mix may have, sorted.
func OperationNames() []string {
	return []string{
		"count", "decr", "delete", "flag-get", "flag-set", "hdel", "hget", "hgetall", "hincr", "hset", "incr", "insert", "pfadd", "pfcount",
		"read", "rmw", "sadd", "scard", "session-read", "session-write", "sismember", "smembers", "srem", "update", "zincr", "zrange",
	}
}

func actionOf(name string) (action, bool) {
	for _, table := range []func(string) (action, bool){registerAction, counterAction, setAction, mapAction, otherAction} {
		if a, ok := table(name); ok {
			return a, true
		}
	}
	return action{}, false
}

func registerAction(name string) (action, bool) {
	switch name {
	case "read":
		return action{kindRegister, false, (*worker).get}, true
	case "update", "insert":
		return action{kindRegister, true, (*worker).put}, true
	case "rmw":
		return action{kindRegister, true, (*worker).readModifyWrite}, true
	case "delete":
		return action{kindRegister, true, func(w *worker, c *call) error {
			return w.update(c, &history.Record{Op: history.Delete, Key: c.key}, client.DeleteOp(c.key))
		}}, true
	case "session-write":
		return action{kindUser, true, (*worker).sessionWrite}, true
	case "session-read":
		return action{kindUser, false, (*worker).sessionRead}, true
	}
	return action{}, false
}

func counterAction(name string) (action, bool) {
	switch name {
	case "incr":
		return action{kindCounter, true, func(w *worker, c *call) error { return w.incr(c, 1+w.rand.Int64N(9)) }}, true
	case "decr":
		return action{kindCounter, true, func(w *worker, c *call) error { return w.incr(c, -1-w.rand.Int64N(9)) }}, true
	case "count":
		return action{kindCounter, false, (*worker).get}, true
	}
	return action{}, false
}

func setAction(name string) (action, bool) {
	switch name {
	case "sadd":
		return action{kindSet, true, (*worker).sadd}, true
	case "srem":
		return action{kindSet, true, (*worker).srem}, true
	case "scard":
		return action{kindSet, false, func(w *worker, c *call) error {
			_, err := c.site.client.SCard(w.run.calls, c.key, c.opts...)
			return err
		}}, true
	case "sismember":
		return action{kindSet, false, func(w *worker, c *call) error {
			_, err := c.site.client.SIsMember(w.run.calls, c.key, w.elementOf(c.key), c.opts...)
			return err
		}}, true
	case "smembers": // the first page: as many as fit one answer
		return action{kindSet, false, (*worker).get}, true
	}
	return action{}, false
}

func mapAction(name string) (action, bool) {
	switch name {
	case "hset":
		return action{kindMap, true, (*worker).hset}, true
	case "hincr":
		return action{kindMap, true, (*worker).hincr}, true
	case "hdel":
		return action{kindMap, true, (*worker).hdel}, true
	case "hget":
		return action{kindMap, false, func(w *worker, c *call) error {
			_, err := c.site.client.HGet(w.run.calls, c.key, client.Way(w.field(quantity)), c.opts...)
			return err
		}}, true
	case "hgetall":
		return action{kindMap, false, (*worker).get}, true
	}
	return action{}, false
}

func otherAction(name string) (action, bool) {
	switch name {
	case "zincr":
		return action{kindZSet, true, func(w *worker, c *call) error {
			return w.update(c, nil, client.ZIncrOp(c.key, w.member(), float64(1+w.rand.IntN(9))))
		}}, true
	case "zrange":
		return action{kindZSet, false, func(w *worker, c *call) error {
			_, err := c.site.client.ZRange(w.run.calls, c.key, client.Range{Start: 0, Stop: 9, Reverse: true}, c.opts...)
			return err
		}}, true
	case "pfadd":
		return action{kindHLL, true, func(w *worker, c *call) error { return w.update(c, nil, client.PFAddOp(c.key, w.unique())) }}, true
	case "pfcount":
		return action{kindHLL, false, func(w *worker, c *call) error {
			_, err := c.site.client.PFCount(w.run.calls, c.key, c.opts...)
			return err
		}}, true
	case "flag-set":
		return action{kindFlag, true, func(w *worker, c *call) error { return w.update(c, nil, client.FlagOp(c.key, w.rand.IntN(2) == 0)) }}, true
	case "flag-get":
		return action{kindFlag, false, func(w *worker, c *call) error {
			_, err := c.site.client.FlagGet(w.run.calls, c.key, c.opts...)
			return err
		}}, true
	}
	return action{}, false
}

func (w *worker) get(c *call) error {
	_, err := c.site.client.Get(w.run.calls, c.key, c.opts...)
	return err
}

func (w *worker) put(c *call) error { return w.assign(c, nil) }

// assign puts a unique value; observed is a context, or nil.
func (w *worker) assign(c *call, observed []byte) error {
	id := w.unique()
	opts := c.opts
	if observed != nil {
		opts = append(slices.Clip(opts), client.WithContext(observed))
	}
	if ttl := w.run.opts.Workload.TTL; ttl > 0 {
		opts = append(slices.Clip(opts), client.WithTTL(ttl))
	}
	with := *c
	with.opts = opts
	return w.update(&with, &history.Record{Op: history.Put, Key: c.key, Arg: []string{id}}, client.PutOp(c.key, w.run.padded(id, w.size(c.op), w.rand)))
}

// readModifyWrite writes what takes the place of exactly what it read.
func (w *worker) readModifyWrite(c *call) error {
	v, err := c.site.client.Get(w.run.calls, c.key, c.opts...)
	if client.IsNotFound(err) {
		return w.assign(c, nil)
	}
	if err != nil {
		return err
	}
	return w.assign(c, v.Context)
}

func (w *worker) incr(c *call, by int64) error {
	return w.update(c, &history.Record{Op: history.Incr, Key: c.key, N: by}, client.IncrOp(c.key, by))
}

func (w *worker) sadd(c *call) error {
	e := w.unique()
	if len(w.own) < maxOwn {
		w.own = append(w.own, owned{c.key, e})
	} else {
		w.own[w.rand.IntN(maxOwn)] = owned{c.key, e}
	}
	return w.update(c, &history.Record{Op: history.SAdd, Key: c.key, Arg: []string{e}}, client.SAddOp(c.key, e))
}

// srem removes an element that the worker added: nobody else does.
func (w *worker) srem(c *call) error {
	if len(w.own) == 0 {
		return w.sadd(c)
	}
	i := w.rand.IntN(len(w.own))
	o := w.own[i]
	w.own[i] = w.own[len(w.own)-1]
	w.own = w.own[:len(w.own)-1]
	return w.update(c, &history.Record{Op: history.SRem, Key: o.key, Arg: []string{o.element}}, client.SRemOp(o.key, o.element))
}

// elementOf is an element of a set, or one that nobody added.
func (w *worker) elementOf(key string) string {
	if len(w.own) > 0 {
		if o := w.own[w.rand.IntN(len(w.own))]; o.key == key {
			return o.element
		}
	}
	return "absent"
}

// Fields of maps, and how many there are of each sort.
const (
	quantity = "quantity:" // counters
	note     = "note:"     // registers
	fields   = 20
)

func (w *worker) field(prefix string) string { return prefix + strconv.Itoa(w.rand.IntN(fields)) }

// inMap names a field in a history as a key of its own.
func inMap(key, field string) string { return key + "/" + field }

func (w *worker) hincr(c *call) error {
	f, by := w.field(quantity), 1+w.rand.Int64N(9)
	return w.update(c, &history.Record{Op: history.Incr, Key: inMap(c.key, f), N: by}, client.MapOp(c.key, client.IncrOp(f, by)))
}

func (w *worker) hset(c *call) error {
	f, id := w.field(note), w.unique()
	return w.update(c, &history.Record{Op: history.Put, Key: inMap(c.key, f), Arg: []string{id}},
		client.MapOp(c.key, client.PutOp(f, w.run.padded(id, w.size(c.op), w.rand))))
}

func (w *worker) hdel(c *call) error {
	prefix := quantity
	if w.rand.IntN(2) == 0 {
		prefix = note
	}
	f := w.field(prefix)
	return w.update(c, &history.Record{Op: history.Delete, Key: inMap(c.key, f)}, client.HDelOp(c.key, client.FieldName{Name: f}))
}

func (w *worker) member() string { return "member:" + strconv.Itoa(w.rand.IntN(100)) }

// sessionOps is how many operations a user does before another one comes.
const sessionOps = 100

// user is the session of the worker's user, and the key that only they write.
func (w *worker) user(c *call) {
	if w.session == nil || w.sessionLeft == 0 {
		w.users++
		w.session, w.sessionLeft = client.NewSession(16), sessionOps
		w.sessionName = w.name + "/user/" + strconv.Itoa(w.users)
		w.sessionKey = c.key + "/" + w.sessionName
		w.wrote = false
	}
	w.sessionLeft--
	c.key = w.sessionKey
	c.opts = append(slices.Clip(c.opts), client.WithSession(w.session))
}

func (w *worker) sessionWrite(c *call) error {
	w.user(c)
	w.wrote = true
	return w.assign(c, nil)
}

// sessionRead reads in another datacenter than the user writes in: the answer
// must be no older than what the user wrote.
func (w *worker) sessionRead(c *call) error {
	w.user(c)
	if !w.wrote {
		w.wrote = true
		return w.assign(c, nil)
	}
	rec := &history.Record{Op: history.Get, Key: c.key, Start: w.run.now()}
	v, err := c.site.client.Get(w.run.calls, c.key, c.opts...)
	if err == nil {
		rec.Result = []string{idOf(v.Bytes)}
	}
	if client.IsNotFound(err) {
		w.record(c, rec, nil, nil)
		return err
	}
	w.record(c, rec, nil, err)
	return err
}
