package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/godwitdb/godwit/api/godwit/v1"
)

// errorDomain is the domain of ErrorInfo that godwit's own answers carry.
const errorDomain = "godwit"

// Reasons of UNAVAILABLE that say that a write was applied nowhere. Any other,
// such as WRITE_INDETERMINATE, leaves it open.
const (
	reasonNotSent = "NOT_SENT"   // it left no trace at the node
	reasonNoOwner = "NO_OWNER"   // the node reached no owner
	reasonSkew    = "CLOCK_SKEW" // the node has a wrong clock and takes no writes
)

// Reasons that turn the meaning of their code.
const (
	// FAILED_PRECONDITION: the request id is past its window, and what became of
	// it can no longer be told.
	reasonTooOld  = "REQUEST_TOO_OLD"
	reasonTooLate = "TOO_LATE" // the request was on its way for longer than it was given
	// UNAVAILABLE: the node did not come to begin it in time.
	reasonNotBegun = "NOT_BEGUN"
	// RESOURCE_EXHAUSTED: carried out, but the answer does not fit a message.
	reasonAnswerTooLarge = "ANSWER_TOO_LARGE"
	// RESOURCE_EXHAUSTED: nothing was done, and later or elsewhere it may be.
	reasonOverloaded = "OVERLOADED"
)

// Outcome is what is known of a write.
type Outcome uint8

const (
	// OK means that the write was acknowledged.
	OK Outcome = iota
	// Failed means that the write was applied nowhere and never will be.
	Failed
	// Unknown means that the write was applied at most once, now or later.
	Unknown
)

// String is "ok", "failed" or "unknown", the words of histories.
func (o Outcome) String() string {
	switch o {
	case OK:
		return "ok"
	case Failed:
		return "failed"
	case Unknown:
		return "unknown"
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// Error is what every call of this package returns when it does not succeed.
type Error struct {
	Op       string            // the call: "Get", "BatchUpdate", ...
	Code     codes.Code        // never codes.OK
	Reason   string            // one word for programs, such as WRONG_KIND; may be empty
	Metadata map[string]string // details of the reason; may be nil
	Message  string            // for people
	Addr     string            // the node asked last; empty if none was
	Outcome  Outcome           // of a write; always Failed for a read
	Tries    []Try             // that were made, in order, the one that the rest tells of last; see Trace

	session *pb.Session // what the answer showed to a session
	cause   error
}

// Error says what was attempted, where and why it did not succeed.
func (e *Error) Error() string {
	s := e.Op
	if e.Addr != "" {
		s += " at " + e.Addr
	}
	s += ": " + e.Message
	if e.Reason != "" {
		s += " [" + e.Reason + "]"
	}
	if e.Outcome == Unknown {
		s += " (the write may have been applied)"
	}
	return s
}

// Unwrap gives the transport's error, and the context's error that the code
// stands for.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.cause != nil {
		errs = append(errs, e.cause)
	}
	if e.Code == codes.DeadlineExceeded {
		errs = append(errs, context.DeadlineExceeded)
	}
	if e.Code == codes.Canceled {
		errs = append(errs, context.Canceled)
	}
	return errs
}

// OutcomeOf tells what is known of a write that returned err. An error that is
// not this package's tells nothing: Unknown.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return OK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Outcome
	}
	return Unknown
}

// CodeOf is the code of err: OK for nil, Unknown for what is not an *Error.
func CodeOf(err error) codes.Code {
	if err == nil {
		return codes.OK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return codes.Unknown
}

// ReasonOf is the reason of err, or "".
func ReasonOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// IsNotFound reports whether the key is absent.
func IsNotFound(err error) bool { return CodeOf(err) == codes.NotFound }

// IsUnavailable reports that no node or too few replicas could be reached.
func IsUnavailable(err error) bool { return CodeOf(err) == codes.Unavailable }

// IsTimeout reports that the time for the call ran out.
func IsTimeout(err error) bool { return CodeOf(err) == codes.DeadlineExceeded }

// IsPrecondition reports that the state of the key or the cluster forbids the
// call: a wrong kind, an outdated context, links that are not emulated.
func IsPrecondition(err error) bool { return CodeOf(err) == codes.FailedPrecondition }

// IsInvalid reports that the request itself is wrong.
func IsInvalid(err error) bool {
	return slices.Contains([]codes.Code{codes.InvalidArgument, codes.OutOfRange}, CodeOf(err))
}

// IsExhausted reports that a limit of the cluster or of this client is reached.
func IsExhausted(err error) bool { return CodeOf(err) == codes.ResourceExhausted }

// IsDenied reports that the caller may not do this.
func IsDenied(err error) bool {
	return slices.Contains([]codes.Code{codes.PermissionDenied, codes.Unauthenticated}, CodeOf(err))
}

// seenIn is what an answer that is an error showed to a session; nil if nothing.
func seenIn(err error) *pb.Session {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.session
	}
	return nil
}

// refuse makes the error of a call that this package does not even send.
func refuse(op string, code codes.Code, reason, format string, args ...any) *Error {
	return &Error{Op: op, Code: code, Reason: reason, Message: fmt.Sprintf(format, args...), Outcome: Failed}
}

// attemptError makes an Error of what one attempt returned.
func attemptError(op, addr string, err error, write, sent bool) *Error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Message: err.Error(), cause: err}
		s := status.Convert(err)
		e.Code = s.Code()
		if _, ok := status.FromError(err); ok {
			e.Message = s.Message()
		} else {
			e.Code = status.FromContextError(err).Code()
		}
		for _, d := range s.Details() {
			if seen, ok := d.(*pb.Session); ok {
				e.session = seen
			}
			if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == errorDomain {
				e.Reason, e.Metadata = info.GetReason(), info.GetMetadata()
			}
		}
	}
	e.Op, e.Addr = op, addr
	e.Outcome = Failed
	if write && sent {
		e.Outcome = writeOutcome(e.Code, e.Reason)
	}
	return e
}

// writeOutcome classifies the answer to a write that was sent. Whatever is not
// known to mean "applied nowhere" is Unknown.
func writeOutcome(code codes.Code, reason string) Outcome {
	if reason == reasonTooOld || reason == reasonAnswerTooLarge {
		return Unknown
	}
	switch code {
	case codes.OK:
		return OK
	case codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.PermissionDenied,
		codes.Unauthenticated, codes.OutOfRange, codes.AlreadyExists, codes.Unimplemented:
		return Failed
	case codes.ResourceExhausted:
		// Without a reason it may be this side that refused a large answer.
		if reason != "" {
			return Failed
		}
		return Unknown
	case codes.Unavailable:
		if reason == reasonNotSent || reason == reasonNoOwner || reason == reasonSkew || reason == reasonTooLate || reason == reasonNotBegun {
			return Failed
		}
		return Unknown
	case codes.Canceled, codes.Unknown, codes.DeadlineExceeded, codes.Aborted, codes.Internal, codes.DataLoss:
		return Unknown
	}
	return Unknown
}
