package main

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"

	"github.com/godwitdb/godwit/client"
)

// The exit codes.
const (
	exitOK           = 0
	exitError        = 1
	exitUsage        = 2 // usage, or an invalid file
	exitNotFound     = 3
	exitUnavailable  = 4 // no quorum, or no connection
	exitTimeout      = 5
	exitPrecondition = 6 // precondition or conflict
	exitCheck        = 7 // a check failed
)

// exitErr carries a code and what to tell a person, which may be nothing.
type exitErr struct {
	code int
	text string
}

func (e *exitErr) Error() string { return e.text }

// usagef reports a wrong command line or an invalid file.
func usagef(format string, args ...any) error {
	return &exitErr{exitUsage, fmt.Sprintf(format, args...)}
}

// unavailablef reports that nobody could be asked.
func unavailablef(format string, args ...any) error {
	return &exitErr{exitUnavailable, fmt.Sprintf(format, args...)}
}

// checkFailed reports that a check failed; what failed has been printed.
func checkFailed() error { return &exitErr{exitCheck, ""} }

// absent reports a key that is not there, about which nothing is printed.
func absent() error { return &exitErr{exitNotFound, ""} }

// exitCode is the one place that maps errors to exit codes.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[*exitErr](err); ok {
		return e.code
	}
	switch client.CodeOf(err) {
	case codes.NotFound:
		return exitNotFound
	case codes.Unavailable:
		return exitUnavailable
	case codes.DeadlineExceeded:
		return exitTimeout
	case codes.FailedPrecondition, codes.Aborted, codes.AlreadyExists, codes.OutOfRange:
		return exitPrecondition
	case codes.InvalidArgument:
		return exitUsage
	case codes.OK, codes.Canceled, codes.Unknown, codes.PermissionDenied, codes.ResourceExhausted,
		codes.Unimplemented, codes.Internal, codes.DataLoss, codes.Unauthenticated:
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return exitTimeout
	}
	return exitError
}

// message is what to tell a person of an error: nothing of an absent key.
func message(err error) string {
	if err == nil || client.IsNotFound(err) {
		return ""
	}
	return err.Error()
}
