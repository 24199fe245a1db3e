package dc

import (
	"context"
	"time"

	"github.com/godwitdb/godwit/storage"
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

// BeginWithin is how long after now, when a request is sent, what is to be begun by
// at may be begun, in milliseconds as requests tell it: a whole one less than is
// left, since both ends round. It fails with storage.ErrLate where nothing is left.
func BeginWithin(at, now time.Time) (uint64, error) {
	left := at.Sub(now).Milliseconds() - 1
	if left < 1 {
		return 0, storage.ErrLate
	}
	return uint64(left), nil
}
