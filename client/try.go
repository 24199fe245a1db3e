package client

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// Try is one attempt of a call, at one node, that did not succeed.
type Try struct {
	Addr   string        // the node
	After  time.Duration // from the beginning of the call to that of the attempt
	Took   time.Duration // until it had failed, and for a write until its node could no longer begin it
	Given  time.Duration // for which it was to wait; 0: for as long as the call had
	Code   codes.Code    // never codes.OK
	Reason string        // as in Error
	Text   string        // for people
}

// told is an attempt as the error of its call tells of it.
func (a *attempt) told(e *Error, began time.Time) Try {
	return Try{
		Addr: a.addr, After: a.began.Sub(began), Took: time.Since(a.began), Given: a.given,
		Code: e.Code, Reason: e.Reason, Text: e.Message,
	}
}

// String is such as "127.0.0.1:7001 from 0s for 251ms of 250ms: context deadline exceeded".
func (t Try) String() string {
	s := fmt.Sprintf("%s from %v for %v", t.Addr, t.After.Round(time.Millisecond), t.Took.Round(time.Millisecond))
	if t.Given > 0 {
		s += fmt.Sprintf(" of %v", t.Given.Round(time.Millisecond))
	}
	s += ": " + t.Text
	if t.Reason != "" {
		s += " [" + t.Reason + "]"
	}
	return s
}

// Trace tells of every attempt of the call, for people who want to know where its
// time went. It is empty where one attempt was all.
func (e *Error) Trace() string {
	if len(e.Tries) < 2 {
		return ""
	}
	var b strings.Builder
	for i, t := range e.Tries {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%d: %v", i+1, t)
	}
	return b.String()
}
