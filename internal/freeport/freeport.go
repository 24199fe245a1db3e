// Package freeport finds ports for processes that are told where to listen before
// they start.
//
// The kernel gives ports from 32768 on to whoever connects (ip(7),
// ip_local_port_range), so one of those that is free now may be taken a moment
// later by a connection of anybody. Ports below are taken by listeners only, and
// whoever uses this package at the same time as others has a range of their own.
//
// It knows nothing of who will listen.
package freeport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
)

// Range is ports from First on and before Last.
type Range struct{ First, Last int }

// Campaigns is the range of internal/chaos and internal/bench.
func Campaigns() Range { return Range{12_000, 32_000} }

// Tests is the range of internal/e2e.
func Tests() Range { return Range{9_000, 12_000} }

// Find returns n different ports of loopback at which nobody listens now.
func (p Range) Find(ctx context.Context, r *rand.Rand, n int) ([]int, error) {
	var out []int
	for tries := 0; len(out) < n; tries++ {
		if tries > 100*n {
			return nil, fmt.Errorf("no %d free ports from %d to %d", n, p.First, p.Last)
		}
		port := p.First + r.IntN(p.Last-p.First)
		if !slices.Contains(out, port) && Free(ctx, port) {
			out = append(out, port)
		}
	}
	return out, nil
}

// Row returns the first of n ports next to each other at which nobody listens now.
func (p Range) Row(ctx context.Context, r *rand.Rand, n int) (int, error) {
	for range 1000 {
		first, free := p.First+r.IntN(p.Last-p.First-n), 0
		for free < n && Free(ctx, first+free) {
			free++
		}
		if free == n {
			return first, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports in a row from %d to %d", n, p.First, p.Last)
}

// Free reports whether nobody listens at a port of loopback now.
func Free(ctx context.Context, port int) bool {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
