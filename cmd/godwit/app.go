package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godwitdb/godwit/client"
)

// app builds the command tree. Its actions write to the session.
func (s *session) app() *cli.App {
	commands := slices.Concat(
		s.runCommands(), s.dataCommands(), s.counterCommands(), s.setCommands(), s.mapCommands(), s.zsetCommands(),
		s.flagCommands(), s.expiryCommands(),
		s.clusterCommands(), s.bucketCommands(), s.compareCommands(), s.wanCommands(), s.fileCommands(), s.loadtestCommands(), s.binaryCommands(),
	)
	if s.demo != nil {
		commands = slices.DeleteFunc(commands, func(c *cli.Command) bool { return c.Category == categoryRun })
	}
	noHelpCommand(commands)
	return &cli.App{
		Name: "godwit", Usage: "a store whose values live in several datacenters at once",
		UsageText: "godwit COMMAND [flags] [arguments]   (flags may stand anywhere; -- ends them)",
		Commands:  commands, HideVersion: true, HideHelpCommand: true, DisableSliceFlagSeparator: true,
		Writer: s.out, ErrWriter: s.err,
		ExitErrHandler: func(*cli.Context, error) {}, // main reports errors and exits
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return usagef("%s", err) },
	}
}

// Categories of commands in the help.
const (
	categoryRun     = "run"
	categoryData    = "data"
	categoryCluster = "cluster"
	categoryFiles   = "files"
	categoryMeasure = "measure"
)

// noHelpCommand keeps urfave/cli from giving every command a subcommand "help",
// which would take the place of a key of that name.
func noHelpCommand(commands []*cli.Command) {
	for _, c := range commands {
		c.HideHelpCommand = true
		noHelpCommand(c.Subcommands)
	}
}

// spec describes one leaf of the command tree.
type spec struct {
	category string
	name     string
	usage    string
	args     string // its positionals, for the help: KEY [N]
	least    int    // positionals at least
	most     int    // ... and at most; negative: any number
	flags    []cli.Flag
	run      func(*invocation) error
}

// leaf makes a command of a spec.
func (s *session) leaf(sp spec) *cli.Command {
	return &cli.Command{
		Name: sp.name, Category: sp.category, Usage: sp.usage, ArgsUsage: sp.args, Flags: sp.flags,
		OnUsageError: func(_ *cli.Context, err error, _ bool) error { return usagef("%s: %s", sp.name, err) },
		Action: func(c *cli.Context) error {
			in := &invocation{Context: c, s: s, args: c.Args().Slice()}
			if len(in.args) < sp.least || sp.most >= 0 && len(in.args) > sp.most {
				return usagef("usage: %s %s", c.Command.HelpName, sp.args)
			}
			if slices.ContainsFunc(sp.flags, func(f cli.Flag) bool { return f.Names()[0] == outputFlag }) {
				if o := in.String(outputFlag); o != "table" && o != "json" {
					return usagef("unknown output %q: table or json", o)
				}
			}
			err := sp.run(in)
			if keep := in.keepSession(); err == nil {
				err = keep
			}
			return err
		},
	}
}

// invocation is one command under way.
type invocation struct {
	*cli.Context
	s    *session
	args []string

	session *client.Session // of --session, once it was asked for
	short   error           // of a write that is done, but that fewer datacenters hold than --acks-dc asked for
}

// ctx bounds the command.
func (in *invocation) ctx() context.Context { return in.Context.Context }

const outputFlag = "output"

func outputFlags() []cli.Flag {
	return []cli.Flag{&cli.StringFlag{Name: outputFlag, Aliases: []string{"o"}, Value: "table", Usage: "`FORMAT` of the answer: table or json"}}
}

// clusterFlags are on every command that talks to a cluster.
func clusterFlags(more ...cli.Flag) []cli.Flag {
	return slices.Concat(more, outputFlags(), []cli.Flag{
		&cli.StringFlag{Name: "addr", Usage: "`HOST:PORT`[,HOST:PORT] of nodes to ask [$GODWIT_ADDR]"},
		&cli.StringFlag{Name: "dc", Usage: "datacenter to ask, looked up in --topology or the running demo [$GODWIT_DC]"},
		&cli.PathFlag{Name: "topology", Usage: "topology `FILE` that names the addresses"},
		&cli.StringFlag{Name: "bucket", Aliases: []string{"b"}, Usage: "`NAME` of the bucket (default: default)"},
		&cli.DurationFlag{Name: "timeout", Value: 5 * time.Second, Usage: "longest wait for an answer, at most 30s"},
		&cli.StringFlag{Name: "consistency", Usage: "replicas that must answer: one, quorum or all (default: the bucket's)"},
		&cli.UintFlag{Name: "r", Usage: "exactly `N` replicas must answer a read, whatever --consistency says"},
		&cli.UintFlag{Name: "w", Usage: "exactly `N` copies of a write must be durable, whatever --consistency says"},
		&cli.BoolFlag{Name: "strict", Usage: "count owners only, not nodes that stand in for them"},
		&cli.PathFlag{Name: "session", Usage: "`FILE` of a session, which is read and updated: the command sees what earlier ones of the session saw and wrote"},
		&cli.BoolFlag{Name: "raw", Usage: "print bare values, as off a terminal"},
	})
}

// options are what the connection flags say about a call.
func (in *invocation) options() ([]client.CallOption, error) {
	level, err := client.ParseConsistency(in.String("consistency"))
	if err != nil {
		return nil, usagef("--consistency: %s", err)
	}
	if d := in.Duration("timeout"); d <= 0 || d > longestTimeout {
		return nil, usagef("--timeout %v is not between 0 and %v", d, longestTimeout)
	}
	opts := []client.CallOption{
		client.WithBucket(in.bucket()), client.WithTimeout(in.Duration("timeout")), client.WithConsistency(level),
		client.WithR(int(in.Uint("r"))), client.WithW(int(in.Uint("w"))),
	}
	if in.Bool("strict") {
		opts = append(opts, client.WithStrict())
	}
	session, err := in.openSession()
	if err != nil {
		return nil, err
	}
	if session != nil {
		opts = append(opts, client.WithSession(session))
	}
	return opts, nil
}

// longestTimeout is the client's limit.
const longestTimeout = 30 * time.Second

func (in *invocation) bucket() string { return cmp.Or(in.String("bucket"), "default") }

func (in *invocation) json() bool { return in.String(outputFlag) == "json" }

// bare tells whether values are printed for a program rather than a person.
func (in *invocation) bare() bool { return in.Bool("raw") || !in.s.outTerminal }

// binaryCommands are about the binary itself.
func (s *session) binaryCommands() []*cli.Command {
	return []*cli.Command{
		s.leaf(spec{name: "version", usage: "print the version", flags: outputFlags(), run: func(in *invocation) error {
			if in.json() {
				return s.json(map[string]string{"version": s.version})
			}
			return s.line("godwit " + s.version)
		}}),
		s.completionCommand(),
		s.completeCommand(),
	}
}

// line writes one line of data.
func (s *session) line(words ...string) error {
	if _, err := fmt.Fprintln(s.out, strings.Join(words, "\t")); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}
