package main

import (
	"fmt"
	"math"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/client"
)

// counterCommands change counters.
func (s *session) counterCommands() []*cli.Command {
	count := func(name, usage string, sign int64) *cli.Command {
		return s.leaf(spec{
			category: categoryData, name: name, usage: usage, args: "KEY [N]", least: 1, most: 2,
			flags: writeFlags(
				kindFlag("counter, gcounter or bcounter"), fieldFlag(),
				&cli.Int64Flag{Name: "bound", Usage: "`N` is the least value of a new bcounter"},
			),
			run: func(in *invocation) error {
				n, err := in.count(1, sign)
				if err != nil {
					return err
				}
				return in.increment(in.args[0], in.StringSlice("field"), n)
			},
		})
	}
	return []*cli.Command{
		count("incr", "add N, or 1, to a counter and print it", 1),
		count("decr", "subtract N, or 1, from a counter and print it", -1),
		s.leaf(spec{
			category: categoryData, name: "reset", usage: "take back the increments that a counter holds", args: "KEY", least: 1, most: 1,
			flags: writeFlags(kindFlag("counter")),
			run:   func(in *invocation) error { return in.write(client.ResetOp(in.args[0]), isTotal, total) },
		}),
		s.rightsCommand(),
	}
}

// count reads the number of a positional, 1 if it is not there, with a sign.
func (in *invocation) count(at int, sign int64) (int64, error) {
	n := int64(1)
	if len(in.args) > at {
		var err error
		if n, err = strconv.ParseInt(in.args[at], 10, 64); err != nil {
			return 0, usagef("%s is not a whole number of 64 bits", in.args[at])
		}
	}
	if sign < 0 && n == math.MinInt64 {
		return 0, usagef("%d cannot be subtracted: its opposite is out of range", n)
	}
	return sign * n, nil
}

// increment adds to a counter, or to one in a field, and prints it. The value
// of a field is read back where the answer does not tell it.
func (in *invocation) increment(key string, way []string, n int64) error {
	r, took, err := in.apply(client.IncrOp(key, n), way)
	if err != nil {
		return err
	}
	if !r.Told && len(way) > 0 {
		v, err := in.field(key, way)
		if err != nil {
			return fmt.Errorf("the increment was acknowledged, but its value could not be read: %w", err)
		}
		r.Integer, r.Told = v.Integer, true
	}
	return in.printResult(key, way, r, took, isTotal, total)
}
