package replication

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// External is a NATS that an operator runs for a datacenter, in place of a
// broker in each of its nodes. All its nodes share one stream there; the nodes
// of other datacenters pull from it with the same credentials. JetStream must be
// on, in version 2.11 or later, and max_payload MaxMessageBytes or more. Zero fields take the default named beside them.
type External struct {
	URLs      []string      // required: of servers of one cluster, such as nats://10.0.0.5:4222 or tls://nats.example:4222
	CredsFile string        // a file of credentials, read at every connect; none
	Replicas  int           // of the stream; 3, or 1 where the servers form no cluster
	MaxBytes  int64         // of the stream, the oldest message goes first; 1 GiB
	MaxAge    time.Duration // of a message; 24 hours
}

// externalReplicas is how often a stream is kept where servers form a cluster.
const externalReplicas = 3

// noClusterCode is what a server alone answers who wants more than one replica,
// JSStreamReplicasNotSupportedErr of nats-server.
const noClusterCode jetstream.ErrorCode = 10074

func (e *External) address() string { return strings.Join(e.URLs, ",") }

func (e *External) credentials() []nats.Option {
	out := []nats.Option{nats.IgnoreAuthErrorAbort()} // credentials are replaced while nodes run
	if e.CredsFile != "" {
		out = append(out, nats.UserCredentials(e.CredsFile))
	}
	return out
}

// connect returns a connection that is there now or later.
func (e *External) connect(self Peer, log *slog.Logger) (*nats.Conn, error) {
	if len(e.URLs) == 0 {
		return nil, errors.New("an external NATS needs URLs")
	}
	if e.CredsFile != "" {
		if _, err := os.Stat(e.CredsFile); err != nil {
			return nil, fmt.Errorf("credentials for %s: %w", e.address(), err)
		}
	}
	opts := append(steady(self), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		log.Warn("connection to the broker", "error", err)
	}), nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
		if err != nil {
			log.Warn("broker is away, events wait in the log", "error", err)
		}
	}))
	return nats.Connect(e.address(), append(opts, e.credentials()...)...)
}

// ensureStream makes the stream of a datacenter, or makes it what it should be.
// Every node does; they agree on what that is.
func (e *External) ensureStream(ctx context.Context, js jetstream.JetStream, names subjects, dc string) error {
	if most := js.Conn().MaxPayload(); js.Conn().IsConnected() && most < MaxMessageBytes {
		return fmt.Errorf("broker at %s takes messages of %d bytes at the most: set its max_payload to %d", e.address(), most, MaxMessageBytes)
	}
	config := jetstream.StreamConfig{
		Name:        names.stream(dc),
		Description: "events of godwit nodes on their way to other datacenters",
		Subjects:    []string{names.everyNode(dc)},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		Storage:     jetstream.FileStorage,
		Replicas:    cmp.Or(e.Replicas, externalReplicas),
		MaxBytes:    cmp.Or(e.MaxBytes, 1<<30),
		MaxAge:      cmp.Or(e.MaxAge, 24*time.Hour),
		Duplicates:  100 * time.Millisecond, // merges are idempotent
		AllowMsgTTL: true,
	}
	_, err := js.CreateOrUpdateStream(ctx, config)
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == noClusterCode && e.Replicas == 0 {
		config.Replicas = 1
		_, err = js.CreateOrUpdateStream(ctx, config)
	}
	if err != nil {
		return fmt.Errorf("make stream %s at %s (nats-server %s, 2.11 or later is needed): %w",
			config.Name, e.address(), js.Conn().ConnectedServerVersion(), err)
	}
	return nil
}
