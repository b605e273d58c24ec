package query

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/wire"
)

// Prefix is what the paths of the API begin with.
const Prefix = "/v1/"

const (
	// defaultLimit and maxLimit are the sizes of a page.
	defaultLimit = 50
	maxLimit     = 200
	// maxOffset bounds how far a list is read; totals count all.
	maxOffset = 1_000_000
	// maxNameBytes bounds the names that are asked for.
	maxNameBytes = 1024
)

// Config is what the API is made of.
type Config struct {
	// Store answers.
	Store *store.Store
	// Authenticate lets a request pass only with an auth.Key in its
	// context: auth.Authenticator's Middleware.
	Authenticate func(http.Handler) http.Handler
	// Ending is closed when the server is about to end: streams of events end
	// then. nil never is.
	Ending <-chan struct{}
	// Version of the program, for the documents that it writes.
	Version string
	// Log is slog.Default() if nil.
	Log *slog.Logger

	poll time.Duration // 0 means pollEvery; for tests
}

type api struct {
	store     *store.Store
	tenants   tenants
	log       *slog.Logger
	ending    <-chan struct{}
	poll      time.Duration
	version   string
	listeners listeners
	bills     chan struct{} // one place for each that is made
}

// New makes the handler for everything below Prefix.
func New(cfg Config) http.Handler {
	a := &api{store: cfg.Store, tenants: cfg.Store.Tenants, log: cfg.Log, ending: cfg.Ending, poll: cmp.Or(cfg.poll, pollEvery), version: cfg.Version, bills: make(chan struct{}, maxBills)}
	if a.log == nil {
		a.log = slog.Default()
	}
	r := chi.NewRouter()
	r.Use(wire.WithRequestID, a.recoverPanics, cfg.Authenticate)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		wire.WriteError(w, r, http.StatusNotFound, "APIGW.0101", "the API does not exist: "+r.URL.Path)
	})
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		wire.WriteError(w, r, http.StatusMethodNotAllowed, "APIGW.0101", "the API does not know the method "+r.Method)
	})
	for path, f := range map[string]func(r *http.Request, project string) (any, error){
		"vulnerabilities":      a.vulnerabilities,
		"vulnerabilities/{id}": a.vulnerability,
		"packages":             a.packages,
		"files/{sha256}":       a.file,
		"events":               a.events,
	} {
		r.Get(Prefix+"{project_id}/fleet/"+path, a.serve(f))
	}
	r.Get(tasksPath+"latest", a.serve(a.latestTask))
	r.Get(tasksPath+"{id}", a.serveFound(a.scanTask))
	r.Get(tasksPath+"{id}/events", a.followTask)
	r.Get(sbomPath, a.sbom)
	r.Get(vexPath, a.serve(a.listVEX))
	r.Get(vexPath+"/{name}", a.getVEX)
	r.Put(vexPath+"/{name}", a.serveFor(auth.Admin, a.putVEX))
	r.Delete(vexPath+"/{name}", a.serveFor(auth.Admin, a.dropVEX))
	return r
}

// serve answers those who may read.
func (a *api) serve(f func(*http.Request, string) (any, error)) http.HandlerFunc {
	return a.serveFor(auth.Viewer, f)
}

// serveFor checks whose call it is, and answers.
func (a *api) serveFor(need auth.Role, f func(r *http.Request, tenant string) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tenant, err := a.tenants.one(r, need)
		var out any
		if err == nil {
			out, err = f(r, tenant)
		}
		a.answer(w, r, out, err)
	}
}

// serveFound is serve for a thing that one of several tenants has.
func (a *api) serveFound(f func(r *http.Request, tenant string) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var out any
		err := a.tenants.found(r, func(tenant string) (err error) {
			out, err = f(r, tenant)
			return err
		})
		a.answer(w, r, out, err)
	}
}

func (a *api) answer(w http.ResponseWriter, r *http.Request, out any, err error) {
	if err != nil {
		a.fail(w, r, err)
		return
	}
	wire.WriteJSON(w, http.StatusOK, out)
}

// who is the answer to who has something.
type who struct {
	ImageNum     int64 `json:"image_num"`
	HostNum      int64 `json:"host_num"`
	ContainerNum int64 `json:"running_container_num"`

	SuppressedNum int64    `json:"suppressed_image_num,omitempty"`
	*rating                // nil if nothing is concerned
	Advisories    []string `json:"advisories,omitempty"`
	Versions      []string `json:"versions,omitempty"`
	Incomparable  []string `json:"incomparable_versions,omitempty"`

	// Of a question for a file, in the whole project.
	WithoutFiles *int64 `json:"images_without_files,omitempty"`
	FilesLeftOut *int64 `json:"images_with_files_left_out,omitempty"`

	Images     *[]whoImage     `json:"images,omitempty"`
	Hosts      *[]whoHost      `json:"hosts,omitempty"`
	Containers *[]whoContainer `json:"running_containers,omitempty"`
}

type whoImage struct {
	ID       string        `json:"image_id"`
	Name     string        `json:"image_name"`
	Version  string        `json:"image_version"`
	Digest   string        `json:"image_digest"`
	Packages *[]whoPackage `json:"packages,omitempty"`
	FileNum  int64         `json:"file_num,omitempty"`
	Files    []whoFile     `json:"files,omitempty"`
}

type whoFile struct {
	Path  string `json:"path"`
	Layer string `json:"layer"`
	Kind  string `json:"kind,omitempty"`
	Size  int64  `json:"size"`
	Mode  int64  `json:"mode"`
	Owned bool   `json:"owned"`
}

type whoPackage struct {
	Type         string `json:"type"`
	Name         string `json:"name"`
	Version      string `json:"version"`
	Path         string `json:"path"`
	Layer        string `json:"layer"`
	Advisory     string `json:"advisory,omitempty"`
	Severity     string `json:"severity,omitempty"`
	FixState     string `json:"fix_state,omitempty"`
	FixedVersion string `json:"fixed_version,omitempty"`
	// Suppressed says that VEX sets the finding aside.
	Suppressed bool              `json:"suppressed,omitempty"`
	VEX        *report.Judgement `json:"vex,omitempty"`
}

type whoHost struct {
	AgentID   string `json:"agent_id"`
	HostID    string `json:"host_id"`
	HostName  string `json:"host_name"`
	PrivateIP string `json:"private_ip"`
	LastSeen  int64  `json:"last_seen"`
}

type whoContainer struct {
	AgentID  string `json:"agent_id"`
	HostName string `json:"host_name"`
	Engine   string `json:"engine"`
	ID       string `json:"container_id"`
	Name     string `json:"container_name"`
	PodName  string `json:"pod_name,omitempty"`
}

func (a *api) vulnerability(r *http.Request, project string) (any, error) {
	id, err := pathParam(r, "id")
	if err != nil {
		return nil, err
	}
	list, page, err := listParams(r, "list", "offset", "limit", "show_suppressed")
	if err != nil {
		return nil, err
	}
	suppressed, err := yes(r, "show_suppressed")
	if err != nil {
		return nil, err
	}
	if len(id) > maxNameBytes {
		return nil, fault.New(fault.Invalid, "an id of %d bytes: the limit is %d", len(id), maxNameBytes)
	}
	ask := a.store.WhoHas
	if suppressed != nil && *suppressed {
		ask = a.store.WhoHasSuppressed
	}
	found, err := ask(r.Context(), project, id, list, page)
	if err != nil {
		return nil, err
	}
	out := answerWho(found, list)
	if rated := found.Rating; rated != nil {
		out.SuppressedNum = found.Suppressed
		out.rating = newRating(rated.Severity, rated.Score, rated.Exploits, rated.Fixable, rated.Priority)
	}
	return out, nil
}

func (a *api) packages(r *http.Request, project string) (any, error) {
	list, page, err := listParams(r, "list", "offset", "limit", "type", "name", "range")
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	ask := store.PackageQuestion{Type: q.Get("type"), Name: q.Get("name"), Range: q.Get("range")}
	if n := len(ask.Type) + len(ask.Name) + len(ask.Range); n > maxNameBytes {
		return nil, fault.New(fault.Invalid, "a question of %d bytes: the limit is %d", n, maxNameBytes)
	}
	found, err := a.store.WhoHasPackage(r.Context(), project, ask, list, page)
	if err != nil {
		return nil, err
	}
	return answerWho(found, list), nil
}

func (a *api) file(r *http.Request, project string) (any, error) {
	name, err := pathParam(r, "sha256")
	if err != nil {
		return nil, err
	}
	list, page, err := listParams(r, "list", "offset", "limit")
	if err != nil {
		return nil, err
	}
	var sum report.SHA256
	if err := sum.UnmarshalText([]byte(name)); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "file")
	}
	found, err := a.store.WhoHasFile(r.Context(), project, sum, list, page)
	if err != nil {
		return nil, err
	}
	out := answerWho(found, list)
	out.WithoutFiles, out.FilesLeftOut = &found.FilesUnknown, &found.FilesLeftOut
	return out, nil
}

func answerWho(found store.Who, list store.Whose) who {
	out := who{
		ImageNum: found.Images, HostNum: found.Hosts, ContainerNum: found.Containers,
		Advisories: found.Advisories, Versions: found.Versions, Incomparable: found.Incomparable,
	}
	switch list {
	case store.WhoseImages:
		images := []whoImage{}
		for _, i := range found.ImageList {
			image := whoImage{ID: i.ID, Name: i.Name, Version: i.Version, Digest: i.ConfigDigest, FileNum: i.FileNum}
			for _, f := range i.Files {
				image.Files = append(image.Files, whoFile{f.Path, f.Layer, f.Kind, f.Size, f.Mode, f.Owned})
			}
			packages := []whoPackage{}
			if i.FileNum == 0 {
				image.Packages = &packages
			}
			for _, p := range i.Packages {
				severity := ""
				if p.Advisory != "" {
					severity = report.SeverityName(p.Severity)
				}
				packages = append(packages, whoPackage{p.Type, p.Name, p.Version, p.Path, p.Layer, p.Advisory, severity, p.FixState, p.FixedVersion, p.Judgement.Suppresses(), p.Judgement})
			}
			images = append(images, image)
		}
		out.Images = &images
	case store.WhoseHosts:
		hosts := []whoHost{}
		for _, h := range found.HostList {
			hosts = append(hosts, whoHost(h))
		}
		out.Hosts = &hosts
	case store.WhoseContainers:
		containers := []whoContainer{}
		for _, c := range found.ContainerList {
			containers = append(containers, whoContainer(c))
		}
		out.Containers = &containers
	}
	return out
}

// events is the answer to what has changed.
type events struct {
	Events []event `json:"events"`
	// Before goes on from the last one; missing at the end.
	Before int64 `json:"before,omitempty"`
}

type event struct {
	ID         int64    `json:"id"`
	Time       int64    `json:"time"`
	Generation string   `json:"generation"`
	Kind       string   `json:"kind"`
	Advisory   string   `json:"advisory"`
	CVEs       []string `json:"cves"`
	Type       string   `json:"package_type"`
	Name       string   `json:"package_name"`
	Version    string   `json:"package_version"`
	Was        string   `json:"severity_before,omitempty"`
	IsNow      string   `json:"severity,omitempty"`
	ImageNum   int64    `json:"image_num"`
}

func (a *api) events(r *http.Request, project string) (any, error) {
	if err := known(r, "vulnerability", "before", "limit"); err != nil {
		return nil, err
	}
	before, err := number(r, "before", 0, 1, 1<<62)
	if err != nil {
		return nil, err
	}
	limit, err := number(r, "limit", defaultLimit, 1, maxLimit)
	if err != nil {
		return nil, err
	}
	list, err := a.store.Events(r.Context(), project, r.URL.Query().Get("vulnerability"), before, limit)
	if err != nil {
		return nil, err
	}
	out := events{Events: []event{}}
	for _, e := range list {
		out.Events = append(out.Events, event{e.ID, e.At, e.Generation, e.Kind, e.Advisory, append([]string{}, e.CVEs...),
			e.Type, e.Name, e.Version, severity(e.Was), severity(e.IsNow), e.Images})
	}
	if int64(len(list)) == limit {
		out.Before = list[len(list)-1].ID
	}
	return out, nil
}

// severity is "" for no finding.
func severity(rank int64) string {
	if rank < 0 {
		return ""
	}
	return report.SeverityName(rank)
}

// listParams reads what to list and which page. names are all parameters that
// the operation knows.
func listParams(r *http.Request, names ...string) (store.Whose, store.Page, error) {
	var p store.Page
	err := known(r, names...)
	if err == nil {
		p.Offset, err = number(r, "offset", 0, 0, maxOffset)
	}
	if err == nil {
		p.Limit, err = number(r, "limit", defaultLimit, 1, maxLimit)
	}
	list := store.Whose(r.URL.Query().Get("list"))
	if list == "" {
		list = store.WhoseImages
	}
	return list, p, err
}

// known refuses parameters that the operation does not know: a filter with a
// typing error would answer something else than was asked.
func known(r *http.Request, names ...string) error {
	for name, values := range r.URL.Query() {
		if name != enterpriseParam && !slices.Contains(names, name) {
			return fault.New(fault.Invalid, "there is no parameter %q", name)
		}
		if len(values) > 1 {
			return fault.New(fault.Invalid, "parameter %q is given %d times", name, len(values))
		}
	}
	return nil
}

// yes reads a parameter that is true or false; nil if it is not given.
func yes(r *http.Request, name string) (*bool, error) {
	var out bool
	switch s := r.URL.Query().Get(name); s {
	case "":
		return nil, nil
	case "true":
		out = true
	case "false":
	default:
		return nil, fault.New(fault.Invalid, "%s %q: want true or false", name, s)
	}
	return &out, nil
}

func number(r *http.Request, name string, otherwise, least, most int64) (int64, error) {
	s := r.URL.Query().Get(name)
	if s == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < least || n > most {
		return 0, fault.New(fault.Invalid, "%s %q: want a number from %d to %d", name, s, least, most)
	}
	return n, nil
}

func pathParam(r *http.Request, name string) (string, error) {
	v := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return v, nil
	}
	v, err := url.PathUnescape(v)
	if err != nil {
		return "", fault.New(fault.Invalid, "%s: not a valid path segment", name)
	}
	return v, nil
}

// statuses is the one table from faults to the wire.
var statuses = map[fault.Code]int{
	fault.Invalid:         http.StatusBadRequest,
	fault.Unparsable:      http.StatusBadRequest,
	fault.NotFound:        http.StatusNotFound,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Forbidden:       http.StatusForbidden,
	fault.Conflict:        http.StatusConflict,
	fault.TooLarge:        http.StatusRequestEntityTooLarge,
	fault.Unavailable:     http.StatusServiceUnavailable,
	fault.Unsupported:     http.StatusNotImplemented,
}

// fail answers with an error, "Onceover." and the status as its code. The text
// of an internal error is logged and not shown.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	message := err.Error()
	status, ok := statuses[fault.CodeOf(err)]
	if !ok {
		status = http.StatusInternalServerError
		a.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path,
			"request_id", wire.RequestID(r.Context()), "err", err)
		message = "internal error; the server's log has more under the request id"
	}
	wire.WriteError(w, r, status, fmt.Sprintf("Onceover.%04d", status), message)
}

// recoverPanics answers 500 where a handler fails badly.
func (a *api) recoverPanics(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v)
			}
			a.fail(w, r, fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
		}()
		next.ServeHTTP(w, r)
	})
}
