package client_test

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/godwitdb/godwit/client"
	"github.com/godwitdb/godwit/client/clienttest"
)

// An error tells of every attempt: where it was made, when, and what came of it.
func TestAnErrorTellsOfEveryAttempt(t *testing.T) {
	c, cluster := open(t, 2, func(o *client.Options) { o.MaxRetries, o.RetryBase, o.RetryMax = 2, time.Millisecond, time.Millisecond })
	nobody := clienttest.Refuse(codes.Unavailable, "NO_OWNER", "none of 3 owners")
	for i := range 2 {
		cluster.Node("use1", i).Misbehave(func(clienttest.Call) clienttest.Fault { return clienttest.Fault{Before: nobody} })
	}
	_, err := c.Put(t.Context(), "k", []byte("v"))
	e, ok := errors.AsType[*client.Error](err)
	if !ok || len(e.Tries) != 3 {
		t.Fatalf("Put() = %v, want an error of 3 attempts", err)
	}
	for i, try := range e.Tries {
		if try.Code != codes.Unavailable || try.Reason != "NO_OWNER" || try.Text != "none of 3 owners" || i > 0 && try.After < e.Tries[i-1].After+e.Tries[i-1].Took {
			t.Errorf("attempt %d: %+v", i+1, try)
		}
	}
	if e.Tries[0].Addr == e.Tries[1].Addr || e.Tries[2].Addr != e.Addr {
		t.Errorf("attempts at %s, %s and %s, the error is of %s", e.Tries[0].Addr, e.Tries[1].Addr, e.Tries[2].Addr, e.Addr)
	}
	const each = `127\.0\.0\.1:\d from [\dµms.]+ for [\dµms.]+( of [\dµms.]+)?: none of 3 owners \[NO_OWNER\]`
	if want := regexp.MustCompile(`^1: ` + each + `; 2: ` + each + `; 3: ` + each + `$`); !want.MatchString(e.Trace()) {
		t.Errorf("trace %q", e.Trace())
	}
	cluster.Node("use1", 0).Misbehave(func(clienttest.Call) clienttest.Fault {
		return clienttest.Fault{Before: clienttest.Refuse(codes.InvalidArgument, "BAD", "no")}
	})
	cluster.Node("use1", 1).Misbehave(func(clienttest.Call) clienttest.Fault {
		return clienttest.Fault{Before: clienttest.Refuse(codes.InvalidArgument, "BAD", "no")}
	})
	_, err = c.Put(t.Context(), "k", []byte("v"))
	if e, ok := errors.AsType[*client.Error](err); !ok || len(e.Tries) != 1 || e.Trace() != "" {
		t.Errorf("Put() = %v, want an error of one attempt without a trace", err)
	}
}
