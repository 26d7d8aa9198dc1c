package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"deskmate/handlers"
	"deskmate/migrations"
)

func (a *App) listen(addr string) error {
	if addr == "" || addr == "off" {
		return nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w (set addr to another HOST:PORT, or to off)", addr, err)
	}
	a.listener, a.Addr = l, l.Addr().String()
	return nil
}

// serveHTTP serves health, metrics and Slack's requests until ctx ends.
func (a *App) serveHTTP(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.readyz)
	a.collect()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	mux.Handle("/slack/", a.http)
	mux.Handle("/credential/{token}", &handlers.Submit{Vault: a.Vault, Logger: a.log})
	mux.Handle("POST /hooks/{duty}", a.hooks)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(a.listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(drain); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("stop HTTP: %w", err)
	}
	return nil
}

// Ready says what keeps the agent from working, nothing when it works.
func (a *App) Ready(ctx context.Context) []string {
	var missing []string
	if a.socket != nil && a.socket.State().Connected == 0 {
		missing = append(missing, "slack: not connected")
	}
	if err := a.outbox.Dead(); err != nil {
		missing = append(missing, "slack: "+err.Error())
	}
	err := a.DB.Write(ctx, func(tx *migrations.Tx) error {
		_, err := tx.Exec(`INSERT INTO health (id, at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET at = excluded.at`, migrations.Micros(tx.Now()))
		return err
	})
	if err != nil {
		missing = append(missing, "store: "+err.Error())
	}
	return missing
}

func (a *App) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	missing := a.Ready(ctx)
	w.Header().Set("Content-Type", "application/json")
	if len(missing) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// The client that broke the connection does not need the answer.
	_ = json.NewEncoder(w).Encode(map[string]any{"ready": len(missing) == 0, "missing": missing})
}

// metrics are what Prometheus reads.
type metrics struct{ registry *prometheus.Registry }

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// collect registers the figures of the running parts, read when they are asked for.
func (a *App) collect() {
	counter := func(name, help string, get func() int64) {
		a.metrics.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "deskmate", Name: name, Help: help},
			func() float64 { return float64(get()) }))
	}
	gauge := func(name, help string, get func() int64) {
		a.metrics.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "deskmate", Name: name, Help: help},
			func() float64 { return float64(get()) }))
	}
	counter("store_writes_total", "Transactions that took effect.", func() int64 { return a.DB.Stats().Writes })
	counter("store_commits_total", "Commits, each of which waited for the disk.", func() int64 { return a.DB.Stats().Commits })
	counter("store_failed_writes_total", "Transactions that failed.", func() int64 { return a.DB.Stats().Failed })
	a.collectAnchors()
	counter("hooks_accepted_total", "Calls of webhooks that set their duty off.", a.hooks.Counts.Accepted.Load)
	counter("hooks_known_total", "Calls of webhooks that came before.", a.hooks.Counts.Known.Load)
	counter("hooks_limited_total", "Calls of webhooks beyond what their duty takes in an hour.", a.hooks.Counts.Limited.Load)
	counter("hooks_refused_total", "Calls of webhooks without a signature that fits.", a.hooks.Counts.Refused.Load)
	counter("hooks_unknown_total", "Calls of webhooks that there are not.", a.hooks.Counts.Unknown.Load)
	if a.socket != nil {
		counter("slack_stored_total", "Deliveries made durable.", func() int64 { return a.socket.State().Counts.Stored })
		counter("slack_known_total", "Deliveries that were known, or not for the agent.", func() int64 { return a.socket.State().Counts.Known })
		counter("slack_bad_total", "Deliveries without the shape that Slack documents.", func() int64 { return a.socket.State().Counts.Bad })
		counter("slack_refused_total", "Deliveries that could not be made durable.", func() int64 { return a.socket.State().Counts.Refused })
		counter("slack_reconnects_total", "Connections beyond the first.", func() int64 { return a.socket.State().Reconnects })
		gauge("slack_connections", "Socket Mode connections that are up.", func() int64 { return int64(a.socket.State().Connected) })
	}
	for state, help := range map[string]string{"running": "Turns at work.", "done": "Turns that answered.", "failed": "Turns that ended with a reason.", "stopped": "Turns that a human stopped."} {
		gauge("turns_"+state, help, func() int64 {
			var n int64
			if err := a.DB.QueryRow(context.Background(), `SELECT COUNT(*) FROM turns WHERE state = $1`, state).Scan(&n); err != nil {
				return -1
			}
			return n
		})
	}
}
