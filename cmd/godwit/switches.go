package main

import (
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/client"
)

// flagCommands read and switch flags, and count with sketches.
func (s *session) flagCommands() []*cli.Command {
	set := func(name string, on bool) *cli.Command {
		return s.leaf(spec{
			name: name, usage: "switch a flag " + name, args: "KEY", least: 1, most: 1, flags: writeFlags(kindFlag("flag or dwflag"), fieldFlag()),
			run: func(in *invocation) error {
				return in.write(client.FlagOp(in.args[0], on), func(*client.Result) string { return " = " + name }, nil)
			},
		})
	}
	return []*cli.Command{
		{Name: "flag", Category: categoryData, Usage: "switch flags on and off", Subcommands: []*cli.Command{
			set("on", true), set("off", false),
			s.leaf(spec{name: "get", usage: "tell whether a flag is on; an absent one is off", args: "KEY", least: 1, most: 1, flags: clusterFlags(), run: flagGet}),
		}},
		s.leaf(spec{
			category: categoryData, name: "pfadd", usage: "show elements to a sketch (hll) and print 1 if its estimate may have changed, else 0",
			args: "KEY ELEM...", least: 2, most: -1, flags: writeFlags(fieldFlag()),
			run: func(in *invocation) error {
				elements, err := in.valuesFrom(1)
				if err != nil {
					return err
				}
				said := func(r *client.Result) string {
					if r.Changed == 0 {
						return ": nothing new"
					}
					return ": has seen more"
				}
				return in.write(client.PFAddOp(in.args[0], elements...), said, changed)
			},
		}),
		s.leaf(spec{
			category: categoryData, name: "pfcount", usage: "print about how many elements a sketch (hll) has seen", args: "KEY", least: 1, most: 1,
			flags: clusterFlags(), run: pfcount,
		}),
	}
}

func flagGet(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	on, err := c.FlagGet(in.ctx(), in.args[0], opts...)
	switch {
	case err != nil:
		return err
	case in.json():
		return in.s.json(map[string]any{"key": jsonBytes(in.args[0]), "bucket": in.bucket(), "value": on})
	case in.bare():
		return in.s.line(strconv.FormatBool(on))
	}
	return in.s.line(onOff(on))
}

func pfcount(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	n, err := c.PFCount(in.ctx(), in.args[0], opts...)
	switch {
	case err != nil:
		return err
	case in.json():
		return in.s.json(map[string]any{"key": jsonBytes(in.args[0]), "bucket": in.bucket(), "count": n})
	}
	return in.s.line(strconv.FormatUint(n, 10))
}
