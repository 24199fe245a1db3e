package replication_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/godwitdb/godwit/replication"
)

// serverEnv makes this program a nats-server: what that one's main function does.
const serverEnv = "GODWIT_TEST_NATS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverEnv) == "" {
		os.Exit(m.Run())
	}
	opts, err := server.ConfigureOptions(flag.NewFlagSet("nats-server", flag.ExitOnError), os.Args[1:],
		server.PrintServerAndExit, flag.PrintDefaults, server.PrintTLSHelpAndDie)
	var srv *server.Server
	if err == nil {
		srv, err = server.NewServer(opts)
	}
	if err == nil {
		err = server.Run(srv)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	srv.WaitForShutdown()
}

// natsServer is a nats-server as an operator runs it: a process of its own, with
// accounts, that asks for credentials.
type natsServer struct {
	t    testing.TB
	more string // lines of its configuration
	dir  string
	cmd  *exec.Cmd
	addr string
}

const credsFile = "testdata/node.creds"

// startServer starts a server on an empty store.
func startServer(t testing.TB) *natsServer {
	t.Helper()
	return startServerWith(t, "max_payload: 4MB")
}

func startServerWith(t testing.TB, more string) *natsServer {
	t.Helper()
	s := &natsServer{t: t, dir: t.TempDir(), more: more}
	s.start()
	t.Cleanup(func() { s.kill() })
	return s
}

// start starts the server on the store as it is, at a port of the kernel's choice.
// With GODWIT_NATS_SERVER it is that program, else this one.
func (s *natsServer) start() {
	s.t.Helper()
	accounts, err := filepath.Abs("testdata/accounts.conf")
	if err != nil {
		s.t.Fatal(err)
	}
	ports, err := os.MkdirTemp(s.dir, "ports")
	if err != nil {
		s.t.Fatal(err)
	}
	conf := filepath.Join(ports, "nats.conf")
	include, err := filepath.Rel(ports, accounts) // relative to the file that includes it
	if err != nil {
		s.t.Fatal(err)
	}
	text := fmt.Sprintf("listen: \"127.0.0.1:-1\"\nports_file_dir: %q\njetstream { store_dir: %q }\n%s\ninclude %s\n",
		ports, filepath.Join(s.dir, "store"), s.more, include)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	program := os.Getenv("GODWIT_NATS_SERVER")
	if program == "" {
		program = os.Args[0]
	}
	s.cmd = exec.Command(program, "-c", conf)
	s.cmd.Env = append(os.Environ(), serverEnv+"=1")
	var logs strings.Builder
	s.cmd.Stderr = &logs
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		files, _ := filepath.Glob(filepath.Join(ports, "*.ports"))
		if len(files) == 1 {
			var told struct{ Nats []string }
			if b, err := os.ReadFile(files[0]); err == nil && json.Unmarshal(b, &told) == nil && len(told.Nats) == 1 {
				s.addr = strings.TrimPrefix(told.Nats[0], "nats://")
				return
			}
		}
		if time.Since(began) > 20*time.Second {
			_ = s.cmd.Process.Kill()
			_ = s.cmd.Wait()
			s.t.Fatalf("nats-server did not start: %s", logs.String())
		}
	}
}

// kill ends the server as a crash does.
func (s *natsServer) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func external(addr string) *replication.External {
	return &replication.External{URLs: []string{"nats://" + addr}, CredsFile: credsFile, MaxBytes: 1 << 20}
}

// externalLink is a link of a node whose own broker is at own, and that reaches
// the brokers of others as far says.
func externalLink(t testing.TB, cluster string, self replication.Peer, own string, far func(dc string) string) replication.Link {
	t.Helper()
	l, err := replication.NewNATSLink(replication.LinkOptions{
		Cluster: cluster, Self: self, Logger: logger(t),
		Addr: func(replication.Peer) string { return "" },
		External: func(dc string) *replication.External {
			if dc == self.DC {
				return external(own)
			}
			return external(far(dc))
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// TestLinkExternalNATS holds links over brokers that an operator runs to what
// links keep. The tests share two servers, as clusters may.
func TestLinkExternalNATS(t *testing.T) {
	one, two := startServer(t), startServer(t)
	t.Run("clusters", func(t *testing.T) { // the servers outlive the tests in it
		for i, c := range contract {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				toA, toB := newProxy(t, one.addr), newProxy(t, two.addr)
				far := func(dc string) string {
					if dc == alpha.DC {
						return toA.ln.Addr().String()
					}
					return toB.ln.Addr().String()
				}
				cluster := fmt.Sprintf("shop%d", i)
				c.test(t, rig{
					a: externalLink(t, cluster, alpha, one.addr, far), b: externalLink(t, cluster, beta, two.addr, far), retain: 130,
					cut: func() { toA.reset(); toB.reset() }, heal: func() { toA.accept(); toB.accept() },
				})
			})
		}
	})
}

// TestExternalNATSLosesItsStore: an operator's broker is killed, comes back with
// nothing, and the datacenters end up equal all the same, by their clocks.
func TestExternalNATSLosesItsStore(t *testing.T) {
	broker, other := startServer(t), startServer(t)
	at := newProxy(t, broker.addr) // keeps the address over the restart
	addrs := map[string]string{"a": at.ln.Addr().String(), "b": other.addr}
	w := &natsWorld{dcs: []*fakeDC{newFakeDC("a", 2, 1), newFakeDC("b", 2, 2)}}
	w.dcs[0].others, w.dcs[1].others = w.dcs[1:], w.dcs[:1]
	for _, d := range w.dcs {
		for _, n := range d.nodes {
			l := externalLink(t, "shop", replication.Peer{DC: d.name, Node: n.name}, addrs[d.name], func(dc string) string { return addrs[dc] })
			n.rep = startReplicator(t, n, l)
			t.Cleanup(n.rep.Close)
		}
	}
	write := func(key string) {
		for i, d := range w.dcs {
			for j, n := range d.nodes {
				n.write(t, part((i+j)%4), key, inc(1))
			}
		}
	}
	write("before")
	w.level(t, 20*time.Second)
	broker.kill()
	write("while it is away")
	if err := os.RemoveAll(filepath.Join(broker.dir, "store")); err != nil {
		t.Fatal(err)
	}
	broker.start()
	at.redirect(broker.addr)
	write("after")
	w.level(t, 30*time.Second)
	shipped := w.dcs[0].nodes[0].rep.Totals().ShippedMessages
	eventually(t, 20*time.Second, func() bool { // the stream was made again
		w.dcs[0].nodes[0].write(t, part(0), "later", inc(1))
		time.Sleep(20 * time.Millisecond)
		return w.dcs[0].nodes[0].rep.Totals().ShippedMessages > shipped
	})
	w.level(t, 20*time.Second)
}

// TestExternalNATSRefuses: what is wrong is said when the node starts, or with
// every attempt.
func TestExternalNATSRefuses(t *testing.T) {
	s := startServer(t)
	link := func(e *replication.External) (*replication.NATSLink, error) {
		return replication.NewNATSLink(replication.LinkOptions{
			Cluster: "shop", Self: alpha, Addr: func(replication.Peer) string { return "" },
			External: func(string) *replication.External { return e },
		})
	}
	for _, tt := range []struct {
		want string
		e    *replication.External
	}{
		{"an external NATS needs URLs", &replication.External{}},
		{"credentials for nats://127.0.0.1:1: stat /nowhere/node.creds: no such file", &replication.External{URLs: []string{"nats://127.0.0.1:1"}, CredsFile: "/nowhere/node.creds"}},
		{"a broker, the node's own or an external one, are required", nil},
	} {
		if _, err := link(tt.e); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.e, err, tt.want)
		}
	}
	small := startServerWith(t, "")
	for _, tt := range []struct {
		want string
		e    *replication.External
	}{
		{"make stream godwit-shop-alpha at nats://" + s.addr, &replication.External{URLs: []string{"nats://" + s.addr}}}, // no credentials
		{"replicas > 1 not supported in non-clustered mode", &replication.External{URLs: []string{"nats://" + s.addr}, CredsFile: credsFile, Replicas: 3}},
		{"takes messages of 1048576 bytes at the most: set its max_payload to 4194304", &replication.External{URLs: []string{"nats://" + small.addr}, CredsFile: credsFile}},
	} {
		l, err := link(tt.e)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if err := l.Offer(ctx, "beta", []uint32{1}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("offered with %v, want %q", err, tt.want)
		}
		cancel()
		l.Close()
	}
}
