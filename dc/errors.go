package dc

import (
	"context"
	"errors"
	"fmt"

	peerv1 "github.com/godwitdb/godwit/api/godwit/peer/v1"
	v1 "github.com/godwitdb/godwit/api/godwit/v1"
	"github.com/godwitdb/godwit/crdt"
	"github.com/godwitdb/godwit/ring"
	"github.com/godwitdb/godwit/storage"
)

// Code is a google.rpc.Code.
type Code int32

// The codes that this package answers with.
const (
	InvalidArgument    Code = 3
	DeadlineExceeded   Code = 4
	NotFound           Code = 5
	AlreadyExists      Code = 6
	PermissionDenied   Code = 7
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	OutOfRange         Code = 11
	Internal           Code = 13
	Unavailable        Code = 14
)

// Error is an answer that is not a value: what went wrong, the reason in one
// word for programs, and details.
type Error struct {
	Code     Code
	Reason   string
	Message  string
	Metadata map[string]string
	Session  *v1.Session // what the answer showed to a session; nil otherwise
}

func (e *Error) Error() string { return e.Message }

func refuse(code Code, reason, format string, args ...any) *Error {
	return &Error{Code: code, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) with(key, value string) *Error {
	if e.Metadata == nil {
		e.Metadata = map[string]string{}
	}
	e.Metadata[key] = value
	return e
}

// during is e as the answer to a request of a session. It leaves e alone: some
// errors are shared.
func (e *Error) during(s *v1.Session) *Error {
	own := *e
	own.Session = s
	return &own
}

// ErrNotSent reports a request that never left this node, so it had no effect.
var ErrNotSent = errors.New("request was not sent")

// staleRing is the reason of a request that was refused because its sender acts
// under an earlier ring document. The answer brings the present one, so the
// sender tries again; no client sees it.
const staleRing = "STALE_RING"

func isStale(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Reason == staleRing
}

// clockSkew is the reason of a write that a node with a wrong clock refused: it
// had no effect, and another owner takes it.
const clockSkew = "CLOCK_SKEW"

// Reasons of a write that was not begun in time, see BeginBy.
const (
	tooLate  = "TOO_LATE"
	notBegun = "NOT_BEGUN"
)

// untouched reports whether a request that failed certainly had no effect, so
// that another node may be asked.
func untouched(err error) bool {
	reason := AsError(err).Reason
	return reason == "NOT_SENT" || reason == clockSkew || reason == tooLate || reason == notBegun
}

// AsError makes an Error of any error.
func AsError(err error) *Error {
	var e *Error
	var kind *crdt.KindError
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &kind):
		return refuse(FailedPrecondition, "WRONG_KIND", "%s", kind).with("have", kind.Have.String()).with("want", kind.Want.String())
	}
	for _, known := range []struct {
		is     error
		code   Code
		reason string
		after  string
	}{
		{crdt.ErrOverflow, OutOfRange, "COUNTER_OVERFLOW", ""},
		{crdt.ErrNoRights, FailedPrecondition, "NO_RIGHTS", ""},
		{crdt.ErrSelfTransfer, InvalidArgument, "BAD_TRANSFER", ""},
		{crdt.ErrTransfer, InvalidArgument, "BAD_TRANSFER", ""},
		{crdt.ErrBound, InvalidArgument, "BAD_BOUND", ""},
		{crdt.ErrPermanent, FailedPrecondition, "CANNOT_REMOVE", ""},
		{crdt.ErrShrink, FailedPrecondition, "ONLY_GROWS", ""},
		{crdt.ErrScore, InvalidArgument, "BAD_SCORE", ""},
		{crdt.ErrField, InvalidArgument, "BAD_FIELD", ""},
		{crdt.ErrNoContext, InvalidArgument, "NO_CONTEXT", ""},
		{crdt.ErrNotAllowed, FailedPrecondition, "KIND_NOT_ALLOWED", ""},
		{crdt.ErrEncoding, InvalidArgument, "MALFORMED", ""},
		{ring.ErrMalformed, InvalidArgument, "MALFORMED", ""},
		{ring.ErrChange, FailedPrecondition, "BAD_CHANGE", ""},
		{storage.ErrPartition, InvalidArgument, "MALFORMED", ""},
		{storage.ErrLate, Unavailable, notBegun, "; nothing was done"},
		{storage.ErrRequestOld, FailedPrecondition, "REQUEST_TOO_OLD", "; whether it was carried out can no longer be told"},
		{storage.ErrDiskLow, ResourceExhausted, "DISK_LOW", ": this node takes no writes; free space, or delete"},
		{ErrNotSent, Unavailable, "NOT_SENT", ""},
		{storage.ErrClosed, Unavailable, "NOT_SENT", ""},
		{context.DeadlineExceeded, DeadlineExceeded, "TIMEOUT", ""},
		{context.Canceled, Unavailable, "CANCELED", ""},
	} {
		if errors.Is(err, known.is) {
			return refuse(known.code, known.reason, "%s%s", err, known.after)
		}
	}
	return refuse(Internal, "INTERNAL", "%s", err)
}

// status and fromStatus carry errors between peers.
func (e *Error) status() *peerv1.Status {
	return &peerv1.Status{Code: int32(e.Code), Message: e.Message, Reason: e.Reason, Metadata: e.Metadata, Session: e.Session}
}

func fromStatus(s *peerv1.Status) *Error {
	return &Error{Code: Code(s.GetCode()), Reason: s.GetReason(), Message: s.GetMessage(), Metadata: s.GetMetadata(), Session: s.GetSession()}
}
