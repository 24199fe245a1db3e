package rpc

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/godwitdb/godwit/dc"
)

// errorDomain is the domain of every ErrorInfo of godwit's own.
const errorDomain = "godwit"

// An error travels in HTTP/2 headers, which are bounded by both sides; what a
// client wrote must not get in there at any length.
const (
	maxErrorText  = 1024 // bytes of a message
	maxErrorValue = 256  // bytes of one metadata entry
	maxErrorPairs = 16
)

func refuse(code dc.Code, reason, format string, args ...any) *dc.Error {
	return &dc.Error{Code: code, Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// toStatus makes a gRPC status of any error: code and message, and an
// ErrorInfo with the reason. A status stays what it is.
func toStatus(err error) error {
	var own *dc.Error
	if _, ok := status.FromError(err); ok && !errors.As(err, &own) {
		return err
	}
	e := dc.AsError(err)
	s := status.New(codes.Code(e.Code), clip(e.Message, maxErrorText))
	info := &errdetails.ErrorInfo{Reason: e.Reason, Domain: errorDomain, Metadata: metadata(e)}
	if detailed, err := s.WithDetails(info); err == nil {
		s = detailed
	}
	if e.Session != nil {
		if detailed, err := s.WithDetails(e.Session); err == nil {
			s = detailed
		}
	}
	return s.Err()
}

// metadata is that of an error, within bounds.
func metadata(e *dc.Error) map[string]string {
	var out map[string]string
	for _, k := range slices.Sorted(maps.Keys(e.Metadata)) {
		if len(out) == maxErrorPairs {
			break
		}
		if out == nil {
			out = map[string]string{}
		}
		out[clip(k, maxErrorValue)] = clip(e.Metadata[k], maxErrorValue)
	}
	return out
}

// clip makes a text of at most n bytes that protobuf takes.
func clip(text string, n int) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) <= n {
		return text
	}
	const dots = "..."
	cut := n - len(dots)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + dots
}
