package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/client"
)

// dataCommands read and write keys of any kind.
func (s *session) dataCommands() []*cli.Command {
	return []*cli.Command{
		s.getCommand(),
		s.watchCommand(),
		s.leaf(spec{
			category: categoryData, name: "put", usage: "assign a value; VALUE may be - (stdin) or @file (@@ for a leading @)",
			args: "KEY VALUE", least: 2, most: 2,
			flags: writeFlags(
				kindFlag("register or mvregister"), fieldFlag(),
				&cli.DurationFlag{Name: "ttl", Usage: "let the key expire after `D`"},
				&cli.BoolFlag{Name: "keep-ttl", Usage: "leave the expiry of the key as it is"},
			),
			run: func(in *invocation) error {
				value, err := in.value(in.args[1])
				if err != nil {
					return err
				}
				return in.write(client.PutOp(in.args[0], []byte(value)), func(*client.Result) string { return " = " + shown(value) }, nil)
			},
		}),
		s.leaf(spec{
			category: categoryData, name: "del", usage: "delete a key, whatever its kind", args: "KEY", least: 1, most: 1, flags: writeFlags(),
			run: func(in *invocation) error {
				return in.write(client.DeleteOp(in.args[0]), func(r *client.Result) string {
					if r.Changed == 0 {
						return ": was absent"
					}
					return ": deleted"
				}, changed)
			},
		}),
		s.leaf(spec{
			category: categoryData, name: "keys", usage: "list keys, in the order of their hash", args: "[PREFIX]", most: 1,
			flags: clusterFlags(
				&cli.IntFlag{Name: "limit", Usage: "list at most `N` keys (default: all)"},
				&cli.StringFlag{Name: "page", Usage: "continue behind `TOKEN`, which an earlier listing gave"},
			),
			run: keys,
		}),
		s.leaf(spec{
			category: categoryData, name: "type", usage: "print the kind of a key", args: "KEY", least: 1, most: 1, flags: clusterFlags(),
			run: func(in *invocation) error {
				c, opts, err := in.call()
				if err != nil {
					return err
				}
				kind, err := c.Type(in.ctx(), in.args[0], opts...)
				if err != nil {
					return err
				}
				if in.json() {
					return in.s.json(map[string]any{"key": jsonBytes(in.args[0]), "bucket": in.bucket(), "kind": kind.String()})
				}
				return in.s.line(kind.String())
			},
		}),
	}
}

// writeFlags are on every command that changes a key.
func writeFlags(more ...cli.Flag) []cli.Flag {
	return clusterFlags(append(more,
		&cli.StringFlag{Name: "context", Usage: "what was observed: the `CONTEXT` of an earlier answer, or none"},
		&cli.UintFlag{Name: "acks-dc", Usage: "wait until `N` other datacenters hold the write; exit 5 if fewer do in time, with the write done"},
		&cli.StringFlag{Name: "request-id", Usage: "`ULID` that makes a repeated command exact"},
	)...)
}

func kindFlag(kinds string) cli.Flag {
	return &cli.StringFlag{Name: "kind", Usage: "`KIND` of a new key: " + kinds}
}

// fieldFlag is on commands whose operation a field of a map takes as well.
func fieldFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "field", Usage: "change field `NAME` of the map KEY; again for a field of the map in it"}
}

// call is what a command needs for one call.
func (in *invocation) call() (*client.Client, []client.CallOption, error) {
	opts, err := in.options()
	if err != nil {
		return nil, nil, err
	}
	c, err := in.client()
	return c, opts, err
}

// writeOptions are what the flags of a write say.
func (in *invocation) writeOptions() ([]client.CallOption, error) {
	opts, err := in.options()
	if err != nil {
		return nil, err
	}
	kind, err := client.ParseKind(in.String("kind"))
	if err != nil {
		return nil, usagef("--kind: %s", err)
	}
	life, err := in.lifeOptions()
	if err != nil {
		return nil, err
	}
	opts = append(append(opts, client.WithKind(kind)), life...)
	if in.IsSet("bound") {
		opts = append(opts, client.WithBound(in.Int64("bound")))
	}
	switch text := in.String("context"); {
	case text == "none":
		opts = append(opts, client.WithContext(nil))
	case in.IsSet("context"):
		observed, err := tokenBytes("context", text)
		if err != nil {
			return nil, err
		}
		opts = append(opts, client.WithContext(observed))
	}
	if n := in.Uint("acks-dc"); n > 0 {
		opts = append(opts, client.WithAcksDC(int(min(n, 1<<10))))
	}
	if text := in.String("request-id"); text != "" {
		id, err := ulid.ParseStrict(text)
		if err != nil {
			return nil, usagef("--request-id %.40q is not a ULID: %s", text, err)
		}
		opts = append(opts, client.WithRequestID(id))
	}
	return opts, nil
}

// lifeOptions are what --ttl and --keep-ttl say.
func (in *invocation) lifeOptions() ([]client.CallOption, error) {
	keep := in.Bool("keep-ttl")
	switch d := in.Duration("ttl"); {
	case in.IsSet("ttl") && keep:
		return nil, usagef("give --ttl or --keep-ttl, not both")
	case keep:
		return []client.CallOption{client.WithKeepTTL()}, nil
	case in.IsSet("ttl") && d < time.Millisecond:
		return nil, usagef("--ttl %v is less than a millisecond", d)
	case in.IsSet("ttl"):
		return []client.CallOption{client.WithTTL(d)}, nil
	}
	return nil, nil
}

// changed and total are the bare answers of writes that have one; isTotal is
// total for a person.
func changed(r *client.Result) string { return strconv.FormatUint(r.Changed, 10) }
func total(r *client.Result) string   { return strconv.FormatInt(r.Integer, 10) }
func isTotal(r *client.Result) string { return " = " + total(r) }

// write applies an operation, to the key or to the field of it that --field
// names, and prints its result: for a person the key and what friendly says of
// it, bare what bare says, if anything.
func (in *invocation) write(op client.Op, friendly, bare func(*client.Result) string) error {
	return in.writeAt(op, in.StringSlice("field"), friendly, bare)
}

// inField makes of an operation on a key one on the field that way leads to.
// Its kind is then that of --kind, the kind of the key a map.
func (in *invocation) inField(op client.Op, way []string) (client.Op, error) {
	if len(way) == 0 {
		return op, nil
	}
	if op.Kind == client.NoKind {
		kind, err := client.ParseKind(in.String("kind"))
		if err != nil {
			return op, usagef("--kind: %s", err)
		}
		op.Kind = kind
	}
	key := op.Key
	for _, name := range slices.Backward(way) {
		op.Key = name
		op = client.MapOp("", op)
	}
	op.Key, op.Kind = key, client.Map
	return op, nil
}

// writeAt is write for the field that way leads to.
func (in *invocation) writeAt(op client.Op, way []string, friendly, bare func(*client.Result) string) error {
	r, took, err := in.apply(op, way)
	if err != nil {
		return err
	}
	return in.printResult(op.Key, way, r, took, friendly, bare)
}

// apply applies an operation and tells how long that took.
func (in *invocation) apply(op client.Op, way []string) (*client.Result, time.Duration, error) {
	opts, err := in.writeOptions()
	if err != nil {
		return nil, 0, err
	}
	if op, err = in.inField(op, way); err != nil {
		return nil, 0, err
	}
	c, err := in.client()
	if err != nil {
		return nil, 0, err
	}
	began := in.s.now()
	r, err := c.Update(in.ctx(), op, opts...)
	took := in.s.now().Sub(began)
	if client.ReasonOf(err) == client.ReasonAcksShort { // done, and told so after the result
		in.short, err = err, nil
	}
	if err != nil || len(way) == 0 {
		return r, took, err
	}
	if told := r.Field(way...); told != nil {
		r.Integer, r.Told = told.Integer, true
		for _, m := range told.Members {
			r.Score = m.Score
		}
	}
	return r, took, nil
}

func (in *invocation) printResult(key string, way []string, r *client.Result, took time.Duration, friendly, bare func(*client.Result) string) error {
	var err error
	switch {
	case in.json():
		err = in.s.json(in.resultJSON(key, way, r))
	case !in.bare():
		err = in.friendly(r.Answer, took, shownAt(key, way)+friendly(r), "")
	case bare != nil:
		err = in.s.line(bare(r))
	}
	return cmp.Or(err, in.short)
}

// shownAt names a key, or the field of it that way leads to.
func shownAt(key string, way []string) string {
	names := []string{shown(key)}
	for _, f := range way {
		names = append(names, shown(f))
	}
	return strings.Join(names, " ")
}

func (in *invocation) resultJSON(key string, way []string, r *client.Result) any {
	out := struct {
		Key      any    `json:"key"`
		Field    []any  `json:"field,omitempty"` // the way to it
		Bucket   string `json:"bucket"`
		Kind     string `json:"kind"`
		Value    any    `json:"value,omitempty"` // of a counter; of a zset, the score
		Changed  uint64 `json:"changed"`
		Context  string `json:"context"`
		Dot      string `json:"dot,omitempty"`
		DC       string `json:"dc"`
		Node     string `json:"node"`
		Copies   int    `json:"copies"`
		Replicas int    `json:"replicas"`
		// With --acks-dc: the other datacenters that hold it, and how many were to.
		DCs       []string `json:"dcs,omitempty"`
		DCsWanted int      `json:"dcs_wanted,omitempty"`
	}{
		Key: jsonBytes(key), Bucket: in.bucket(), Kind: r.Kind.String(), Changed: r.Changed, Context: token(r.Context),
		DC: r.Answer.DC, Node: r.Answer.Node, Copies: r.Answer.Copies, Replicas: r.Answer.Replicas,
		DCs: r.DCs, DCsWanted: r.DCsWanted,
	}
	if len(way) > 0 {
		out.Field = jsonList(way)
	}
	switch {
	case !r.Told:
	case r.Kind == client.ZSet, len(way) > 0 && r.Field(way...) != nil && r.Field(way...).Kind == client.ZSet:
		out.Value = r.Score
	default:
		out.Value = r.Integer
	}
	if r.Dot != (client.Dot{}) {
		out.Dot = r.Dot.String()
	}
	return out
}

// maxInput bounds what is read as a value; the cluster's own limit is lower.
const maxInput = 4 << 20

// value resolves a positional that holds a value: - is stdin, @name a file, and
// @@ stands for a leading @.
func (in *invocation) value(arg string) (string, error) {
	var from io.Reader
	switch {
	case arg == "-":
		from = in.s.in
	case strings.HasPrefix(arg, "@@"):
		return arg[1:], nil
	case strings.HasPrefix(arg, "@"):
		f, err := os.Open(arg[1:])
		if err != nil {
			return "", usagef("value %s: %s", arg, err)
		}
		defer f.Close() //nolint:errcheck // only read from
		from = f
	default:
		return arg, nil
	}
	text, err := io.ReadAll(io.LimitReader(from, maxInput+1))
	if err != nil {
		return "", fmt.Errorf("read value %s: %w", arg, err)
	}
	if len(text) > maxInput {
		return "", usagef("value %s is larger than %d bytes", arg, maxInput)
	}
	return string(text), nil
}

func keys(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	prefix, left := "", in.Int("limit")
	if len(in.args) > 0 {
		prefix = in.args[0]
	}
	if left < 0 {
		return usagef("--limit %d is negative", left)
	}
	page, err := tokenBytes("page", in.String("page"))
	if err != nil {
		return err
	}
	for all := left == 0; ; {
		p, err := c.KeysAfter(in.ctx(), prefix, page, left, opts...)
		if err != nil {
			return err
		}
		for _, k := range p.Keys {
			if err := in.printKey(k); err != nil {
				return err
			}
		}
		page, left = p.Next, left-len(p.Keys)
		if len(page) == 0 {
			return nil
		}
		if !all && left <= 0 {
			return in.morePages(page)
		}
		left = max(left, 0)
	}
}

func (in *invocation) printKey(k client.KeyInfo) error {
	switch {
	case in.json():
		return in.s.json(struct {
			Key  any    `json:"key"`
			Kind string `json:"kind"`
		}{jsonBytes(k.Key), k.Kind.String()})
	case in.bare():
		return in.s.line(k.Key)
	}
	return in.s.line(fmt.Sprintf("%-10s  %s", k.Kind, shown(k.Key)))
}

// morePages says how to go on with a listing.
func (in *invocation) morePages(page []byte) error {
	if in.json() {
		return in.s.json(map[string]string{"next_page": token(page)})
	}
	_, err := fmt.Fprintln(in.s.err, "more: --page "+token(page))
	return err
}

// since is a time for people and programs.
func since(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
