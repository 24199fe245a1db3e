// Command godwit is the one binary: it runs nodes, it runs a demo of several
// datacenters in one process, and it is the client of both.
//
// It owns flags, wiring and output. It knows no rule of the store: an action
// reads its flags, calls a package, and formats the answer. One file holds one
// group of commands.
//
// Sources: the manners are those of redis-cli, etcdctl, nodetool, the nats CLI
// and cockroach demo; no-color.org for NO_COLOR.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/chzyer/readline"
)

// version is set when the binary is linked: -ldflags "-X main.version=v1.2.3".
var version = "devel"

func main() {
	os.Exit(run())
}

func run() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := &session{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, now: time.Now, version: version,
		outTerminal: readline.IsTerminal(int(os.Stdout.Fd())),
		errTerminal: readline.IsTerminal(int(os.Stderr.Fd())),
		inTerminal:  readline.IsTerminal(int(os.Stdin.Fd())),
	}
	defer s.close()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for sig := range signals {
			if sig == os.Interrupt && s.interrupt() {
				continue // only the command that the prompt runs
			}
			signal.Stop(signals) // a second one ends the process at once
			cancel()
			return
		}
	}()
	return s.main(ctx, os.Args[1:])
}
