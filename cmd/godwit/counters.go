package main

import (
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
			flags: writeFlags(kindFlag("counter")),
			run: func(in *invocation) error {
				n := int64(1)
				if len(in.args) == 2 {
					var err error
					if n, err = strconv.ParseInt(in.args[1], 10, 64); err != nil {
						return usagef("%s is not a whole number of 64 bits", in.args[1])
					}
				}
				if sign < 0 && n == math.MinInt64 {
					return usagef("%d cannot be subtracted: its opposite is out of range", n)
				}
				return in.write(client.IncrOp(in.args[0], sign*n), isTotal, total)
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
	}
}
