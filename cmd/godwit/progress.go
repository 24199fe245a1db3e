package main

import (
	"fmt"
	"io"
	"sync"
)

// progress is a line on the terminal that tells how far long work is. It is
// gone when the work is. Off a terminal, and beside JSON, it shows nothing.
// Safe for concurrent use.
type progress struct {
	mu  sync.Mutex
	out io.Writer // nil: shows nothing
}

func (in *invocation) progress() *progress {
	p := &progress{}
	if in.s.errTerminal && !in.json() {
		p.out = in.s.err
	}
	return p
}

// eraseLine goes to the beginning of the line and empties it.
const eraseLine = "\r\x1b[K"

// show replaces the line. What cannot be drawn hides nothing.
func (p *progress) show(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil {
		_, _ = fmt.Fprintf(p.out, eraseLine+format, args...)
	}
}

// end takes the line away.
func (p *progress) end() { p.show("") }
