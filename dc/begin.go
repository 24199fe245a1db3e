package dc

import (
	"context"
	"time"
)

// beginKey is of a context's value: when a write must have been begun.
type beginKey struct{}

// BeginBy tells that no event may be made for the write of a context after at,
// though its answer may come until the context's deadline. Whoever waited for that
// long knows that the write is not carried out after what comes next.
func BeginBy(ctx context.Context, at time.Time) context.Context {
	return context.WithValue(ctx, beginKey{}, at)
}

// beginBy is that moment, or the deadline: then the client may have gone to
// another node. Zero: there is neither.
func beginBy(ctx context.Context) time.Time {
	deadline, _ := ctx.Deadline()
	at, ok := ctx.Value(beginKey{}).(time.Time)
	if ok && (deadline.IsZero() || at.Before(deadline)) {
		return at
	}
	return deadline
}

// beginWithin is what is left until then in milliseconds, at least 1; 0: as long
// as it takes.
func beginWithin(ctx context.Context) uint64 {
	at := beginBy(ctx)
	if at.IsZero() {
		return 0
	}
	return uint64(max(time.Until(at).Milliseconds(), 1))
}
