package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/client"
)

// mapCommands read and change maps.
func (s *session) mapCommands() []*cli.Command {
	fieldKind := &cli.StringFlag{Name: "kind", Usage: "`KIND` of the field, where several have the name"}
	return []*cli.Command{
		s.leaf(spec{
			category: categoryData, name: "hset", usage: "assign fields of a map in one event and print how many changed; VALUE as in put",
			args: "KEY FIELD VALUE [FIELD VALUE]...", least: 3, most: -1,
			flags: writeFlags(&cli.StringFlag{Name: "kind", Usage: "`KIND` of new fields: register or mvregister"}, fieldFlag()), run: hset,
		}),
		s.leaf(spec{
			category: categoryData, name: "hget", usage: "print a field of a map; more FIELDs lead into the map in it",
			args: "KEY FIELD...", least: 2, most: -1, flags: clusterFlags(fieldKind), run: hget,
		}),
		s.leaf(spec{
			category: categoryData, name: "hdel", usage: "remove fields of a map and print how many were there", args: "KEY FIELD...", least: 2, most: -1,
			flags: writeFlags(fieldKind, fieldFlag()), run: hdel,
		}),
		s.leaf(spec{
			category: categoryData, name: "hgetall", usage: "print all fields of a map", args: "KEY", least: 1, most: 1, flags: clusterFlags(), run: hgetall,
		}),
		s.leaf(spec{
			category: categoryData, name: "hincr", usage: "add N, or 1, to a counter in a field of a map and print it", args: "KEY FIELD [N]", least: 2, most: 3,
			flags: writeFlags(&cli.StringFlag{Name: "kind", Usage: "`KIND` of a new field: counter or gcounter"}, fieldFlag()),
			run: func(in *invocation) error {
				n, err := in.count(2, 1)
				if err != nil {
					return err
				}
				return in.increment(in.args[0], append(in.StringSlice("field"), in.args[1]), n)
			},
		}),
	}
}

func hset(in *invocation) error {
	pairs := in.args[1:]
	if len(pairs)%2 != 0 {
		return usagef("usage: hset KEY FIELD VALUE [FIELD VALUE]...: field %s has no value", shown(pairs[len(pairs)-1]))
	}
	kind, err := client.ParseKind(in.String("kind"))
	if err != nil {
		return usagef("--kind: %s", err)
	}
	var fields []client.Op
	for i := 0; i < len(pairs); i += 2 {
		value, err := in.value(pairs[i+1])
		if err != nil {
			return err
		}
		op := client.PutOp(pairs[i], []byte(value))
		op.Kind = kind
		fields = append(fields, op)
	}
	op := client.MapOp(in.args[0], fields...)
	op.Kind = client.Map
	return in.write(op, func(r *client.Result) string { return fmt.Sprintf(": %d fields set", r.Changed) }, changed)
}

func hdel(in *invocation) error {
	kind, err := client.ParseKind(in.String("kind"))
	if err != nil {
		return usagef("--kind: %s", err)
	}
	fields := client.Way(in.args[1:]...)
	for i := range fields {
		fields[i].Kind = kind
	}
	op := client.HDelOp(in.args[0], fields...)
	op.Kind = client.Map
	return in.write(op, func(r *client.Result) string { return fmt.Sprintf(": %d fields removed", r.Changed) }, changed)
}

// field reads the field of a map that way leads to.
func (in *invocation) field(key string, way []string) (*client.Value, error) {
	c, opts, err := in.call()
	if err != nil {
		return nil, err
	}
	kind, err := client.ParseKind(in.String("kind"))
	if err != nil {
		return nil, usagef("--kind: %s", err)
	}
	names := client.Way(way...)
	names[len(names)-1].Kind = kind
	return c.HGet(in.ctx(), key, names, opts...)
}

func hget(in *invocation) error {
	key, way := in.args[0], in.args[1:]
	began := in.s.now()
	v, err := in.field(key, way)
	took := in.s.now().Sub(began)
	if err != nil {
		return err
	}
	switch {
	case in.json():
		return in.s.json(struct {
			*answer

			Field []any `json:"field"`
		}{answerOf(key, in.bucket(), v.Answer.DC, v), jsonList(way)})
	case in.bare():
		return in.printBare(v)
	}
	return in.friendly(v.Answer, took, shownAt(key, way)+" = "+shownValue(v), conflictNote(v))
}

func hgetall(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	fields, err := c.HGetAll(in.ctx(), in.args[0], opts...)
	switch {
	case err != nil:
		return err
	case in.json():
		return in.s.json(map[string]any{"key": jsonBytes(in.args[0]), "bucket": in.bucket(), "fields": jsonFields(fields)})
	case in.bare():
		return in.fieldLines(fields)
	}
	var rows [][]string
	for _, f := range fields {
		rows = append(rows, []string{shown(f.Name), f.Kind.String(), shownValue(&f.Value), conflictNote(&f.Value)})
	}
	return in.s.table([]string{"FIELD", "KIND", "VALUE", ""}, rows)
}
