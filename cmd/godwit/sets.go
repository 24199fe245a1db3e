package main

import (
	"fmt"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/client"
)

// setCommands read and change sets.
func (s *session) setCommands() []*cli.Command {
	change := func(name, usage, kinds, done string, op func(string, ...string) client.Op) *cli.Command {
		return s.leaf(spec{
			category: categoryData, name: name, usage: usage, args: "KEY ELEM...", least: 2, most: -1,
			flags: writeFlags(kindFlag(kinds), fieldFlag()),
			run: func(in *invocation) error {
				elements, err := in.valuesFrom(1)
				if err != nil {
					return err
				}
				said := func(r *client.Result) string { return fmt.Sprintf(": %d %s", r.Changed, done) }
				return in.write(op(in.args[0], elements...), said, changed)
			},
		})
	}
	return []*cli.Command{
		change("sadd", "add elements to a set and print how many were new", "set, rwset or gset", "added", client.SAddOp),
		change("srem", "remove elements from a set and print how many were there", "set or rwset", "removed", client.SRemOp),
		s.leaf(spec{
			category: categoryData, name: "smembers", usage: "print the elements of a set, sorted", args: "KEY", least: 1, most: 1,
			flags: clusterFlags(), run: members,
		}),
		s.leaf(spec{
			category: categoryData, name: "sismember", usage: "tell whether an element is in a set", args: "KEY ELEM", least: 2, most: 2,
			flags: clusterFlags(), run: isMember,
		}),
		s.leaf(spec{
			category: categoryData, name: "scard", usage: "print the number of elements of a set", args: "KEY", least: 1, most: 1,
			flags: clusterFlags(),
			run: func(in *invocation) error {
				c, opts, err := in.call()
				if err != nil {
					return err
				}
				n, err := c.SCard(in.ctx(), in.args[0], opts...)
				if err != nil {
					return err
				}
				if in.json() {
					return in.s.json(map[string]any{"key": jsonBytes(in.args[0]), "bucket": in.bucket(), "count": n})
				}
				return in.s.line(strconv.FormatUint(n, 10))
			},
		}),
	}
}

func members(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	if in.json() {
		elements, err := c.SMembers(in.ctx(), in.args[0], opts...)
		if err != nil {
			return err
		}
		return in.s.json(map[string]any{"key": jsonBytes(in.args[0]), "bucket": in.bucket(), "elements": jsonList(elements)})
	}
	for e, err := range c.Members(in.ctx(), in.args[0], opts...) {
		if err != nil {
			return err
		}
		if !in.bare() {
			e = shown(e)
		}
		if err := in.s.line(e); err != nil {
			return err
		}
	}
	return nil
}

func isMember(in *invocation) error {
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	element, err := in.value(in.args[1])
	if err != nil {
		return err
	}
	is, err := c.SIsMember(in.ctx(), in.args[0], element, opts...)
	if err != nil {
		return err
	}
	if in.json() {
		return in.s.json(map[string]any{"key": jsonBytes(in.args[0]), "bucket": in.bucket(), "element": jsonBytes(element), "member": is})
	}
	return in.s.line(strconv.FormatBool(is))
}
