package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/internal/emulated"
)

// session is what the commands of one process share: where they read and write,
// what they know of the surroundings, and the connections they have opened. The
// lines of a demo's prompt are commands of one session. Not safe for concurrent
// use, except for interrupt.
type session struct {
	in      io.Reader
	out     io.Writer // data
	err     io.Writer // everything else
	getenv  func(string) string
	now     func() time.Time
	version string

	inTerminal, outTerminal, errTerminal bool

	demo       *emulated.Info // of the demo that runs in this process, else nil
	clients    map[string]*client.Client
	placements []string // names that were met in topologies

	running atomic.Pointer[context.CancelFunc] // of the command that the prompt runs
}

// main runs one command line and returns the exit code. Errors go to err.
func (s *session) main(ctx context.Context, args []string) int {
	err := s.command(ctx, args)
	s.report(err)
	return exitCode(err)
}

// command runs one command line.
func (s *session) command(ctx context.Context, args []string) error {
	app := s.app()
	arranged, err := arrange(app, args)
	if err != nil {
		return err
	}
	return app.RunContext(ctx, append([]string{app.Name}, arranged...))
}

// interrupt ends the command that the prompt runs, and tells whether there is one.
func (s *session) interrupt() bool {
	cancel := s.running.Load()
	if cancel != nil {
		(*cancel)()
	}
	return cancel != nil
}

// report writes what a person should read of an error.
func (s *session) report(err error) {
	text := message(err)
	if text == "" {
		return
	}
	prefix := "godwit: "
	if s.demo != nil {
		prefix = "error: "
	}
	fmt.Fprintln(s.err, prefix+text)
}

// open returns the client of these addresses, the same one each time.
func (s *session) open(ctx context.Context, d datacenter) (*client.Client, error) {
	id := d.name + " " + strings.Join(d.addrs, ",")
	if c := s.clients[id]; c != nil {
		return c, nil
	}
	c, err := client.Open(ctx, client.Options{Addrs: slices.Clone(d.addrs), DC: d.name, MaxRetries: cliRetries, Transport: client.Unary})
	if err != nil {
		return nil, usagef("%s", err)
	}
	if s.clients == nil {
		s.clients = map[string]*client.Client{}
	}
	s.clients[id] = c
	return c, nil
}

// cliRetries is how often a call is repeated: a person who waits would rather
// know soon.
const cliRetries = 4

// close ends the session's connections.
func (s *session) close() {
	for _, c := range s.clients {
		if err := c.Close(); err != nil {
			fmt.Fprintln(s.err, "godwit: "+err.Error())
		}
	}
	s.clients = nil
}
