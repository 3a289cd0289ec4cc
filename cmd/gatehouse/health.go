package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newRegistry is the process's own metric registry, with Go's and the process's
// figures in it.
func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// readiness is what /readyz answers: the names of what is not ready yet.
type readiness struct {
	mu      sync.Mutex
	waiting map[string]bool
}

func newReadiness(parts ...string) *readiness {
	r := &readiness{waiting: map[string]bool{}}
	for _, p := range parts {
		r.waiting[p] = true
	}
	return r
}

// add names a part that is not ready yet.
func (r *readiness) add(part string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting[part] = true
}

// set says that a part is ready.
func (r *readiness) set(part string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, part)
}

func (r *readiness) missing() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for p := range r.waiting {
		out = append(out, p)
	}
	return out
}

// operations is the HTTP server for operators: metrics and health, nothing else.
type operations struct {
	server   *http.Server
	listener net.Listener
}

func newOperations(addr string, reg *prometheus.Registry, ready *readiness) (*operations, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, portTaken(fmt.Errorf("listen for metrics: %w", err), "listen")
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if missing := ready.missing(); len(missing) > 0 {
			http.Error(w, fmt.Sprintf("not ready: %v", missing), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	const headerTimeout = 5 * time.Second
	return &operations{listener: l, server: &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}}, nil
}

func (o *operations) addr() string { return o.listener.Addr().String() }

// run serves until ctx ends.
func (o *operations) run(ctx context.Context) error {
	stopped := context.AfterFunc(ctx, func() { _ = o.server.Close() })
	defer stopped()
	if err := o.server.Serve(o.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// close frees the address, also when run was never called.
func (o *operations) close() error {
	if err := o.server.Close(); err != nil {
		return fmt.Errorf("close metrics server: %w", err)
	}
	if err := o.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close metrics listener: %w", err)
	}
	return nil
}
