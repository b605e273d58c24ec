package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/onceover/onceover/internal/store"
)

const (
	// figuresFor is how long figures are shown before they are read anew:
	// they count everything.
	figuresFor = 30 * time.Second
	// figuresTime bounds reading them.
	figuresTime = 10 * time.Second
	// maxScrapes bounds how many ask at once.
	maxScrapes = 4
)

// Figures is where the figures of a store are from.
type Figures interface {
	// Figures counts what is stored. It may be called concurrently.
	Figures(ctx context.Context) (store.Figures, error)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("onceover_"+name, help, labels, nil)
}

var (
	descUp      = desc("store_up", "Whether the database answered when it was asked for the figures below.")
	descImages  = desc("images", "Local images by scan status, of all projects.", "scan_status")
	descJobs    = desc("scan_jobs", "Scan jobs that wait for an agent, or that one works on.", "state")
	descTasks   = desc("scan_tasks_running", "Scan tasks that run.")
	descQueue   = desc("scan_queue_age_seconds", "For how long the oldest waiting job could have been given out; 0 if none waits.")
	descAgents  = desc("agents", "Agents, by whether they were heard of within 90 seconds.", "state")
	descRematch = desc("rematch_running", "Whether packages are being matched with other advisories.")
	descLeft    = desc("rematch_packages_left", "Packages that a re-match has yet to match.")
	descMatched = desc("rematch_end_timestamp_seconds", "When the last re-match ended.")
	descBytes   = desc("store_bytes", "Size of the database.")
)

// A StoreCollector shows the figures of a store. Make it with NewStoreCollector.
type StoreCollector struct {
	from Figures
	now  func() time.Time

	mu   sync.Mutex
	read time.Time
	last store.Figures
	err  error
}

// NewStoreCollector makes a collector. now is time.Now if nil.
func NewStoreCollector(from Figures, now func() time.Time) *StoreCollector {
	if now == nil {
		now = time.Now
	}
	return &StoreCollector{from: from, now: now}
}

// Describe implements prometheus.Collector.
func (c *StoreCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descUp, descImages, descJobs, descTasks, descQueue, descAgents, descRematch, descLeft, descMatched, descBytes} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *StoreCollector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	c.mu.Lock()
	f, err := c.last, c.err
	c.mu.Unlock()
	if err != nil {
		gauge(descUp, 0)
		return
	}
	gauge(descUp, 1)
	for status, n := range f.Images {
		gauge(descImages, float64(n), status)
	}
	gauge(descJobs, float64(f.Waiting), "waiting")
	gauge(descJobs, float64(f.Leased), "leased")
	gauge(descTasks, float64(f.Tasks))
	age := 0.0
	if f.QueueSince > 0 {
		age = max(0, c.now().Sub(time.UnixMilli(f.QueueSince)).Seconds())
	}
	gauge(descQueue, age)
	gauge(descAgents, float64(f.Online), "online")
	gauge(descAgents, float64(f.Offline), "offline")
	running := 0.0
	if f.Rematching {
		running = 1
	}
	gauge(descRematch, running)
	gauge(descLeft, float64(f.RematchLeft))
	if f.RematchEnded > 0 {
		gauge(descMatched, float64(f.RematchEnded)/1000)
	}
	gauge(descBytes, float64(f.Bytes))
}

// Handler shows what reg gathers, the figures of the store among it, in the text
// format of Prometheus.
func (c *StoreCollector) Handler(reg *prometheus.Registry) http.Handler {
	reg.MustRegister(c)
	show := promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.refresh(r.Context())
		show.ServeHTTP(w, r)
	})
}

// refresh reads the figures, at most once in figuresFor, whoever asks how often.
func (c *StoreCollector) refresh(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.read.IsZero() && c.now().Sub(c.read) < figuresFor {
		return
	}
	// Who asked may go; the next one wants them too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), figuresTime)
	defer cancel()
	c.last, c.err = c.from.Figures(ctx)
	if c.err != nil {
		slog.ErrorContext(ctx, "figures of the store cannot be read", "error", c.err)
	}
	c.read = c.now()
}
