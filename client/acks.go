package client

import (
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// ReasonAcksShort is the reason of an Error about a write that is done, but that
// fewer other datacenters than WithAcksDC asked for were known to hold in time.
const ReasonAcksShort = "ACKS_SHORT"

// WithAcksDC makes a write wait until so many other datacenters hold it durably,
// each with a write quorum. The write is done here by then: when the call's time
// runs out first, it returns an Error of ReasonAcksShort with the Outcome OK, and
// Update its Result beside it. The write must not be made again: it is on its way
// to the others like any other.
func WithAcksDC(n int) CallOption { return func(o *callOptions) { o.acksDC = uint32(max(0, n)) } }

// acksShort is the error of a write that too few other datacenters hold; nil if
// they are enough.
func acksShort(op, addr string, a *pb.Answer) *Error {
	have, want := len(a.GetDcs()), int(a.GetDcsWanted())
	if have >= want {
		return nil
	}
	e := refuse(op, codes.DeadlineExceeded, ReasonAcksShort,
		"written in %s, where %d of %d copies are durable, and on its way; %d of the %d other datacenters that were asked for are known to hold it so far (%s)",
		a.GetDc(), a.GetCopies(), a.GetReplicas(), have, want, orNone(a.GetDcs()))
	e.Addr, e.Outcome = addr, OK
	e.Metadata = map[string]string{"datacenters": strings.Join(a.GetDcs(), ","), "wanted": strconv.Itoa(want)}
	return e
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
