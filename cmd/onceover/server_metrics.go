package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/hss"
	"github.com/onceover/onceover/internal/metrics"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/wire"
)

// newMetrics makes what counts the requests of a server, and what shows that and
// all the rest to everyone who may ask.
func newMetrics(st *store.Store, a *advisories) (*metrics.Requests, http.Handler) {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "onceover_build_info", Help: "The program that runs.",
		ConstLabels: prometheus.Labels{"version": strings.ToValidUTF8(programVersion(), "\ufffd"), "goversion": runtime.Version()},
	}, func() float64 { return 1 })
	reg.MustRegister(build, a, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return metrics.NewRequests(reg, operationNames()), metrics.NewStoreCollector(st, nil).Handler(reg)
}

// operationNames names requests by what they ask for: an operation of HSS by its
// id, one of our own by method and route.
func operationNames() func(r *http.Request, route string) string {
	ids := map[string]string{}
	for _, op := range hss.Operations() {
		ids[op.Method+" "+op.Path] = op.ID
	}
	return func(r *http.Request, route string) string {
		path := r.URL.Path
		switch {
		case ids[r.Method+" "+route] != "":
			return ids[r.Method+" "+route]
		case route != "" && !strings.HasSuffix(route, "*"):
			return r.Method + " " + route // of a method that the route has
		case path == fleet.PathEnroll, path == fleet.PathSync, path == fleet.PathMissing,
			path == auth.PathTokens, path == auth.PathProjects, path == pathHealth, path == pathReady, path == pathVersion, path == pathMetrics, path == pathDescription:
			return path
		case strings.HasPrefix(path, fleet.PathLayers):
			return fleet.PathLayers
		case strings.HasPrefix(path, fleet.PathJobs):
			return fleet.PathJobs
		case strings.HasPrefix(path, advisory.ServedPath+"/"):
			return advisory.ServedPath
		default:
			return "other"
		}
	}
}

// forThisMachine lets nobody else see h: it tells of all projects.
func forThisMachine(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fromHere(r) {
			wire.WriteError(w, r, http.StatusForbidden, "Onceover.0403", "metrics are shown to this machine only: the server has --metrics-listen for others")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// serveMetrics serves metrics and health on an address of their own until the
// returned function is called. An empty address serves nothing; say is told which
// one it is.
func serveMetrics(addr string, h *health, show http.Handler, say func(addr string)) (stop func(context.Context), err error) {
	if addr == "" {
		return func(context.Context) {}, nil
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%w: say --metrics-listen with an address that is free here", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+pathMetrics, show)
	mux.HandleFunc("GET "+pathHealth, h.alive)
	mux.HandleFunc("GET "+pathReady, h.ready)
	server := &http.Server{
		Handler: wire.WithRequestID(mux), ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readHeaderTimeout,
		WriteTimeout: time.Minute, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("metrics are not served any more", "error", err)
		}
	}()
	say(l.Addr().String())
	return func(ctx context.Context) {
		if err := server.Shutdown(ctx); err != nil {
			_ = server.Close()
		}
	}, nil
}

func advisoryDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("onceover_advisories_"+name, help, labels, nil)
}

var (
	descAdvisories  = advisoryDesc("info", "The generation of advisories in use.", "generation", "source", "starter")
	descRecords     = advisoryDesc("records", "Advisories in the generation in use.")
	descNewest      = advisoryDesc("newest_record_timestamp_seconds", "When the newest advisory was modified.")
	descFeed        = advisoryDesc("feed_timestamp_seconds", "When the newest record of a feed was modified.", "feed")
	descFailures    = advisoryDesc("update_failures_total", "Updates in the background that failed.")
	descLastSuccess = advisoryDesc("update_success_timestamp_seconds", "When the last update in the background succeeded.")
)

// Describe implements prometheus.Collector.
func (a *advisories) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descAdvisories, descRecords, descNewest, descFeed, descFailures, descLastSuccess} {
		to <- d
	}
}

// Collect implements prometheus.Collector. Names of feeds come from files.
func (a *advisories) Collect(to chan<- prometheus.Metric) {
	show := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		for i := range labels {
			labels[i] = strings.ToValidUTF8(labels[i], "\ufffd")
		}
		to <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	db, release := a.holder.Acquire()
	defer release()
	a.mu.Lock()
	u := a.update
	a.mu.Unlock()
	if db != nil {
		m := db.Meta()
		show(descAdvisories, prometheus.GaugeValue, 1, m.ID, m.Source, strconv.FormatBool(m.Starter))
		show(descRecords, prometheus.GaugeValue, float64(m.Records))
		if m.DataDate > 0 {
			show(descNewest, prometheus.GaugeValue, float64(m.DataDate)/1000)
		}
		seen := map[string]bool{}
		for _, f := range feedsOf(m, time.Now()) {
			if f.millis > 0 && !seen[f.Feed] {
				seen[f.Feed] = true // two of one name would spoil everything
				show(descFeed, prometheus.GaugeValue, float64(f.millis)/1000, f.Feed)
			}
		}
	}
	show(descFailures, prometheus.CounterValue, float64(u.failures))
	if !u.succeeded.IsZero() {
		show(descLastSuccess, prometheus.GaugeValue, float64(u.succeeded.UnixMilli())/1000)
	}
}
