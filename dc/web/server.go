package web

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/godwitdb/godwit/dc"
)

// Options configures NewServer. Zero fields take the default named beside them.
type Options struct {
	Node         *dc.Node      // required
	Requests     *Requests     // required: what the node's server for clients notes
	MaxRequests  int           // served at once; over it they are refused; 32
	CloseTimeout time.Duration // how long Close waits for requests in flight; 2 s
	Logger       *slog.Logger  // discards
}

func (o Options) withDefaults() (Options, error) {
	if o.Node == nil || o.Requests == nil {
		return o, errors.New("web: Node and Requests are required")
	}
	o.MaxRequests = cmp.Or(o.MaxRequests, 32)
	o.CloseTimeout = cmp.Or(o.CloseTimeout, 2*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

const (
	headerTimeout  = 5 * time.Second
	idleTimeout    = time.Minute
	answerTimeout  = 2 * time.Minute // profiles take as long as they are asked to
	maxHeaderBytes = 16 << 10
	maxScrapes     = 4 // at once
)

// Server answers operators over HTTP: /metrics, /healthz, /readyz and, to who
// asks from this machine, /debug/pprof. Safe for concurrent use.
type Server struct {
	opts  Options
	http  *http.Server
	slots chan struct{} // one for each request being served
}

// NewServer makes a server of a node that stays the caller's. Close ends it.
func NewServer(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		newCollector(o.Node, o.Logger), o.Requests.took,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	s := &Server{opts: o, slots: make(chan struct{}, o.MaxRequests)}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	for path, handler := range map[string]http.HandlerFunc{
		"/debug/pprof/": pprof.Index, "/debug/pprof/cmdline": pprof.Cmdline, "/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol": pprof.Symbol, "/debug/pprof/trace": pprof.Trace,
	} {
		mux.Handle("GET "+path, local(handler))
	}
	s.http = &http.Server{
		Handler: s.limit(mux), ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Serve takes connections from lis, which it closes, until Close. It returns
// nil after Close.
func (s *Server) Serve(lis net.Listener) error {
	if err := s.http.Serve(lis); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close refuses new requests, waits for those in flight as long as CloseTimeout
// says, and then ends them.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.CloseTimeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // what is left of it is a closed listener
	}
}

// ready says whether requests of clients should be sent here.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.opts.Node.Ready(); err != nil {
		say(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	say(w, http.StatusOK, "ready")
}

func (s *Server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			next.ServeHTTP(w, r)
		default:
			say(w, http.StatusServiceUnavailable, "this node answers as many requests as it can")
		}
	})
}

// local refuses who does not ask from this machine: profiles show what the
// program holds in memory, and cost.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() {
			say(w, http.StatusForbidden, "profiles are given on the machine of the node only")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func say(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n")) // who asked has gone, if that fails
}
