package client

import (
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"time"

	"google.golang.org/grpc"
)

// Limits that no option lifts.
const (
	maxAddrs       = 64
	maxTimeout     = 30 * time.Second // servers cap deadlines at this
	maxRetries     = 100
	maxSendBytes   = 4 << 20
	maxAnswerBytes = 8 << 20
	pageLimit      = 1000 // elements or keys asked for at a time
	batchLimit     = 256  // operations of one batch
	batchBytes     = 3 << 20
	batchParallel  = 16 // owners that are asked for parts of one batch at once
)

// Datacenter is where a client goes when its own datacenter does not answer.
type Datacenter struct {
	Name  string   // for people; none
	Addrs []string // required: host:port of its nodes, the preferred first
}

// Options configures Open. Zero fields take the default named beside them.
type Options struct {
	Addrs       []string      // required: host:port of nodes of one datacenter, the preferred first
	DC          string        // label of that datacenter in answers of this package; none
	Elsewhere   []Datacenter  // that calls about keys go to when nobody in the first answers, in this order; none
	Bucket      string        // bucket of calls that name none; "default"
	Timeout     time.Duration // of one call with all its retries, at most 30 s; 5 s
	Consistency Consistency   // of calls that name none; the bucket's own
	MaxRetries  int           // after the first attempt of a call; 16; negative: none
	MaxInFlight int           // calls at once, further ones wait; 1024
	MaxMembers  int           // elements that SMembers collects; 1,000,000
	Transport   Transport     // of calls about keys; Pipelined
	RoundRobin  bool          // spread calls over all addresses; stay with one that answers

	NearCache *NearCache // keeps values in this process; none

	RetryBase   time.Duration // mean pause before the first repetition; 20 ms
	RetryMax    time.Duration // mean pause at most; 1 s
	DialTimeout time.Duration // of one attempt to connect; 1 s

	TLS         *tls.Config       // plain text
	Logger      *slog.Logger      // of failovers; discarded
	Now         func() time.Time  // of request ids and times to live; time.Now
	Entropy     io.Reader         // of request ids, safe for concurrent use; crypto/rand
	DialOptions []grpc.DialOption // appended to the client's own; none
}

func (o Options) withDefaults() (Options, error) {
	o.Bucket = cmp.Or(o.Bucket, "default")
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	o.MaxRetries = max(0, cmp.Or(o.MaxRetries, 16))
	o.MaxInFlight = cmp.Or(o.MaxInFlight, 1024)
	o.MaxMembers = cmp.Or(o.MaxMembers, 1_000_000)
	o.RetryBase = cmp.Or(o.RetryBase, 20*time.Millisecond)
	o.RetryMax = cmp.Or(o.RetryMax, time.Second)
	o.DialTimeout = cmp.Or(o.DialTimeout, time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Entropy == nil {
		o.Entropy = rand.Reader
	}
	o.Addrs, o.Elsewhere = slices.Clone(o.Addrs), slices.Clone(o.Elsewhere)
	return o, o.check()
}

// check reports everything that is wrong with o.
func (o *Options) check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf("client: "+format, args...)) }
	if len(o.Addrs) == 0 {
		wrong("no addresses: name at least one node as host:port")
	}
	if len(o.Addrs) > maxAddrs {
		wrong("%d addresses, at most %d are allowed", len(o.Addrs), maxAddrs)
	}
	var all []string
	for i, d := range append([]Datacenter{{o.DC, o.Addrs}}, o.Elsewhere...) {
		if i > 0 && len(d.Addrs) == 0 {
			wrong("no addresses of datacenter %.80q: name at least one node as host:port", d.Name)
		}
		for _, a := range d.Addrs {
			if _, _, err := net.SplitHostPort(a); err != nil {
				wrong("address %.80q is not host:port", a)
			} else if slices.Contains(all, a) {
				wrong("address %.80q is named twice", a)
			}
			all = append(all, a)
		}
	}
	if len(all) > maxAddrs && len(o.Addrs) <= maxAddrs {
		wrong("%d addresses in all, at most %d are allowed", len(all), maxAddrs)
	}
	if o.Timeout < 0 || o.Timeout > maxTimeout {
		wrong("timeout %v is not between 0 and %v", o.Timeout, maxTimeout)
	}
	if o.MaxRetries > maxRetries {
		wrong("%d retries, at most %d are allowed", o.MaxRetries, maxRetries)
	}
	if o.MaxInFlight < 0 || o.MaxMembers < 0 || o.RetryBase < 0 || o.RetryMax < 0 || o.DialTimeout < 0 {
		wrong("negative limit: MaxInFlight, MaxMembers, RetryBase, RetryMax and DialTimeout are at least 0")
	}
	return errors.Join(errs...)
}
