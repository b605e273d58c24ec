package metrics

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/onceover/onceover/internal/wire"
)

// durations are the bounds of the histogram, in seconds: lists answer in
// milliseconds, large exports take minutes.
var durations = []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60}

// Requests counts and times requests. Make it with NewRequests.
type Requests struct {
	total   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	open    prometheus.Gauge
	name    func(r *http.Request, route string) string
}

// NewRequests makes what counts requests; reg shows it. name gives the operation
// of a request that was answered; route is the pattern by which chi found its
// handler, "" if none did. It must return few different names.
func NewRequests(reg prometheus.Registerer, name func(r *http.Request, route string) string) *Requests {
	q := &Requests{
		name: name,
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "onceover_http_requests_total", Help: "Requests that were answered, by operation and HTTP status.",
		}, []string{"operation", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "onceover_http_request_duration_seconds", Help: "How long answers took, to their last byte.", Buckets: durations,
		}, []string{"operation"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "onceover_http_requests_open", Help: "Requests that are being answered, parked agents and listeners among them.",
		}),
	}
	reg.MustRegister(q.total, q.seconds, q.open)
	return q
}

// Watch counts what next answers.
func (q *Requests) Watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A router of chi that finds a route in the context writes its own
		// there, so that it can be read here.
		route := chi.NewRouteContext()
		r = r.WithContext(context.WithValue(r.Context(), chi.RouteCtxKey, route))
		answer := &wire.Recorder{ResponseWriter: w}
		started := time.Now()
		q.open.Inc()
		status := "aborted" // if next panics
		defer func() {
			q.open.Dec()
			name := q.name(r, route.RoutePattern())
			q.total.WithLabelValues(name, status).Inc()
			q.seconds.WithLabelValues(name).Observe(time.Since(started).Seconds())
		}()
		next.ServeHTTP(answer, r)
		status = strconv.Itoa(cmp.Or(answer.Status, http.StatusOK))
	})
}
