package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/client"
)

func (s *session) resolveCommand() *cli.Command {
	return s.leaf(spec{
		name: "resolve", usage: "end the conflict of a key: keep one of its kinds, or one of its values", args: "KEY", least: 1, most: 1,
		flags: clusterFlags(&cli.StringFlag{Name: "keep", Usage: "`KIND|VALUE` to keep; VALUE as in put"}), run: resolve,
	})
}

// reasonKinds is the reason of a read of a key that exists under several kinds.
const reasonKinds = "KIND_CONFLICT"

// resolve asks the key what it has: a conflict of kinds takes a kind, one of
// values a value. What is already decided that way is left alone.
func resolve(in *invocation) error {
	if !in.IsSet("keep") {
		return usagef("conflicts resolve needs --keep KIND or --keep VALUE")
	}
	c, opts, err := in.call()
	if err != nil {
		return err
	}
	v, err := c.Get(in.ctx(), in.args[0], opts...)
	if client.ReasonOf(err) == reasonKinds {
		return in.keepKind(c, opts)
	}
	if err != nil {
		return err
	}
	return in.keepValue(c, v, opts)
}

func (in *invocation) keepKind(c *client.Client, opts []client.CallOption) error {
	key := in.args[0]
	kind, err := client.ParseKind(in.String("keep"))
	if err != nil {
		return usagef("%s was created under several kinds; --keep: %s", shown(key), err)
	}
	began := in.s.now()
	r, err := c.Keep(in.ctx(), key, kind, opts...)
	if err != nil {
		return err
	}
	return in.printResult(key, nil, r, in.s.now().Sub(began), func(*client.Result) string { return ": kept as " + kind.String() }, nil)
}

func (in *invocation) keepValue(c *client.Client, v *client.Value, opts []client.CallOption) error {
	key := in.args[0]
	if !v.Conflict {
		if in.String("keep") == v.Kind.String() {
			return in.nothingToResolve(v.Kind.String())
		}
		if v.Kind != client.Register && v.Kind != client.MVRegister {
			return &exitErr{exitPrecondition, fmt.Sprintf("%s has no conflict: it holds a %s", shown(key), v.Kind)}
		}
	}
	keep, err := in.value(in.String("keep"))
	if err != nil {
		return err
	}
	same := func(s client.Sibling) bool { return string(s.Value) == keep }
	switch {
	case !v.Conflict && string(v.Bytes) == keep:
		return in.nothingToResolve(shown(keep))
	case !v.Conflict:
		return &exitErr{exitPrecondition, fmt.Sprintf("%s has no conflict: its value is %s", shown(key), shown(v.Bytes))}
	case !slices.ContainsFunc(v.Siblings, same):
		var values []string
		for _, s := range v.Siblings {
			values = append(values, shown(s.Value))
		}
		return &exitErr{exitPrecondition, fmt.Sprintf("%s is none of the values of %s: %s (put assigns another)", shown(keep), shown(key), strings.Join(values, ", "))}
	}
	// With the context of the read, so that what came since stays a conflict.
	opts = append(opts, client.WithContext(v.Context), client.WithKind(v.Kind), client.WithKeepTTL())
	began := in.s.now()
	r, err := c.Put(in.ctx(), key, []byte(keep), opts...)
	if err != nil {
		return err
	}
	return in.printResult(key, nil, r, in.s.now().Sub(began), func(*client.Result) string { return " = " + shown(keep) }, nil)
}

func (in *invocation) nothingToResolve(what string) error {
	_, err := fmt.Fprintf(in.s.err, "%s has no conflict: it is %s already\n", shown(in.args[0]), what)
	return err
}
