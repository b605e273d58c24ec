package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/api"
	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/query"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

// apiDescription is api/onceover.yaml with its objects closed, so that a member
// without a description is an error.
func apiDescription(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(api.Onceover)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Fatal(err)
	}
	seen := map[*openapi3.Schema]bool{}
	var shut func(s *openapi3.SchemaRef)
	shut = func(s *openapi3.SchemaRef) {
		if s == nil || s.Value == nil || seen[s.Value] {
			return
		}
		v := s.Value
		seen[v] = true
		if len(v.Properties) > 0 && v.AdditionalProperties.Has == nil {
			v.AdditionalProperties.Has = new(false)
		}
		for _, p := range v.Properties {
			shut(p)
		}
		shut(v.Items)
	}
	for _, s := range doc.Components.Schemas {
		shut(s)
	}
	for _, p := range doc.Paths.Map() {
		for _, op := range p.Operations() {
			for _, r := range op.Responses.Map() {
				for _, m := range r.Value.Content {
					shut(m.Schema)
				}
			}
		}
	}
	return doc
}

// Every route is described, and nothing else is.
func TestEveryRouteIsDescribed(t *testing.T) {
	w := newWatched(t)
	want := []string{
		"GET " + pathDescription, "GET " + query.ExplainPath, "POST " + auth.PathTokens, "POST " + auth.PathSecurityTokens, "GET " + auth.PathProjects,
		"GET " + pathHealth, "GET " + pathReady, "GET " + pathVersion, "GET " + pathMetrics,
		"GET " + advisory.ServedPath + "/status", "GET " + advisory.ServedPath + "/" + advisory.IndexName, "GET " + advisory.ServedPath + "/{bundle}",
	}
	err := chi.Walk(w.own.(chi.Routes), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		want = append(want, method+" "+route)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for path, item := range apiDescription(t).Paths.Map() {
		for method := range item.Operations() {
			got = append(got, method+" "+path)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes and api/onceover.yaml: %s", diff)
	}
}

// fill brings a host with an image and a container of it, a finding, a file, a
// document of VEX, and a new generation of advisories.
func (w *watched) fill() (task, imageID string) {
	w.t.Helper()
	t, ctx, now := w.t, w.t.Context(), func() int64 { return time.Now().UnixMilli() + 1 }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.store.Rematch(ctx)
	must(err)
	host := fleet.Host{ID: "h", Name: "worker-1", PrivateIP: "10.0.0.1"}
	enrolled, err := w.store.Enroll(ctx, fleet.EnrollRequest{EnrollKey: w.first.EnrollKey, Host: host}, now())
	must(err)
	key, err := w.store.Key(ctx, enrolled.AccessKey)
	must(err)
	diffID := image.Digest("sha256:" + strings.Repeat("ab", 32))
	cfg := json.RawMessage(fmt.Sprintf(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[%q]},"history":[{"created_by":"COPY / /"}]}`, diffID))
	images := []fleet.ImageState{{Engine: "docker", ConfigDigest: image.DigestOf(cfg), Names: []image.Ref{{Name: "web", Tag: "1"}},
		Containers: []image.Container{{ID: "c1", Name: "front", Running: true}}}}
	sync := fleet.SyncRequest{Host: host, Analyzers: "set", ImagesHash: "1", Images: &images}
	_, err = w.store.Sync(ctx, key, sync, now())
	must(err)
	task, err = w.store.Scan(ctx, w.first.Project.ID, store.ScanRequest{TaskType: store.TaskManual, By: store.Actor{Name: w.first.Key.AK}})
	must(err)
	sync.Want = 1
	jobs, err := w.store.Sync(ctx, key, sync, now())
	must(err)
	layer := &report.LayerReport{DiffID: string(diffID), Analyzers: "set", Complete: true, FilesRead: true}
	for i := range 4 {
		layer.Packages = append(layer.Packages, report.Package{Type: report.TypeNPM, Name: fmt.Sprint("p", i), Version: "1.0.0", Path: fmt.Sprintf("/app/node_modules/p%d/package.json", i)})
	}
	layer.Files = []report.File{{Path: "/srv/tool", Size: 7, Mode: 0o755, Kind: report.KindELF, SHA256: sha256.Sum256([]byte("tool"))}}
	must(w.store.PutLayer(ctx, layer))
	must(w.store.Finish(ctx, key, jobs.Jobs[0].ID, fleet.FinishRequest{Image: &fleet.ImageReport{
		ConfigDigest: image.DigestOf(cfg), Analyzers: "set", DiffIDs: []image.Digest{diffID}, Config: cfg}}, now()))
	buildAdvisories(t, w.advisories.places[0], 4)
	must(w.advisories.load(w.advisories.find()))
	w.advisories.publish(ctx)
	if r, err := w.store.Rematch(ctx); err != nil || r.Changes != 1 {
		t.Fatal(r, err)
	}
	list, _, err := w.store.Images(ctx, w.first.Project.ID, store.ImageFilter{}, store.Page{Limit: 1})
	must(err)
	return task, list[0].ID
}

const sampleVEX = `{"@context":"https://openvex.dev/ns/v0.2.0","timestamp":"2026-01-01T00:00:00Z","statements":[{"vulnerability":{"name":"GHSA-0001-aaaa-bbbb"},
"products":[{"@id":"pkg:oci/web?tag=1"}],"status":"not_affected","justification":"vulnerable_code_not_present"}]}`

// What a server answers is as it is described: requests, successes, and errors.
func TestAnswersAreAsDescribed(t *testing.T) {
	asText := func(r io.Reader, h http.Header, s *openapi3.SchemaRef, e openapi3filter.EncodingFn) (any, error) {
		return openapi3filter.PlainBodyDecoder(r, h, s, e)
	}
	openapi3filter.RegisterBodyDecoder("text/event-stream", asText)
	for _, name := range []string{"application/spdx+json", "application/vnd.cyclonedx+json"} {
		openapi3filter.RegisterBodyDecoder(name, openapi3filter.JSONBodyDecoder)
	}
	w := newWatched(t)
	task, img := w.fill()
	doc := apiDescription(t)
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	fleetPath, tasks, images, vex := "/v1/{p}/fleet/", "/v1/{p}/scan-tasks/", "/v1/{p}/images/"+img+"/", "/v1/{p}/vex"
	token := fmt.Sprintf(`{"auth":{"identity":{"methods":["hw_ak_sk"],"hw_ak_sk":{"access":{"key":%q},"secret":{"key":%q}}}}}`, w.first.Key.AK, w.first.Key.Secret)
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("tool")))
	bundles, err := filepath.Glob(filepath.Join(w.advisories.publisher.Dir, "*.bundle"))
	if err != nil || len(bundles) == 0 {
		t.Fatal("no bundles", err)
	}
	done := map[string]bool{}
	for _, tc := range []struct {
		call   string
		body   string
		status int
		change func(*http.Request) // signed if nil
	}{
		{"PUT " + vex + "/web.vex.json", sampleVEX, 200, nil},
		{"PUT " + vex + "/bad.json", "{}", 400, nil},
		{"GET " + vex + "/web.vex.json", "", 200, nil},
		{"GET " + vex + "/moon", "", 404, nil},
		{"GET " + vex, "", 200, nil},
		{"GET " + fleetPath + "vulnerabilities?show_suppressed=true&sort=id", "", 200, nil},
		{"GET " + fleetPath + "vulnerabilities?sort=moon", "", 400, nil},
		{"GET " + fleetPath + "vulnerabilities/GHSA-0001-aaaa-bbbb?show_suppressed=true", "", 200, nil},
		{"GET " + fleetPath + "vulnerabilities/GHSA-0002-aaaa-bbbb?list=hosts", "", 200, nil},
		{"GET " + fleetPath + "vulnerabilities/GHSA-0002-aaaa-bbbb?list=containers&limit=1", "", 200, nil},
		{"GET " + fleetPath + "vulnerabilities/GHSA-0002-aaaa-bbbb?limit=0", "", 400, nil},
		{"GET " + fleetPath + "packages?name=p1&type=npm&range=%3E%3D1.0.0", "", 200, nil},
		{"GET " + fleetPath + "packages", "", 400, nil},
		{"GET " + fleetPath + "files/" + sum, "", 200, nil},
		{"GET " + fleetPath + "files/x", "", 400, nil},
		{"GET " + fleetPath + "events?limit=1", "", 200, nil},
		{"GET " + images + "explain?id=GHSA-0001-aaaa-bbbb", "", 200, nil},
		{"GET " + images + "explain", "", 400, nil},
		{"GET " + images + "sbom", "", 200, nil},
		{"GET " + images + "sbom?format=spdx", "", 200, nil},
		{"GET " + images + "sbom?format=moon", "", 400, nil},
		{"GET /v1/{p}/images/moon/sbom", "", 404, nil},
		{"GET " + tasks + "latest", "", 200, nil},
		{"GET " + tasks + "latest?by=nobody", "", 404, nil},
		{"GET " + tasks + task, "", 200, nil},
		{"GET " + tasks + task + "?status=failed", "", 200, nil},
		{"GET " + tasks + "moon", "", 404, nil},
		{"GET " + tasks + task + "/events", "", 200, nil},
		{"GET " + tasks + task + "/events", "", 204, func(r *http.Request) { w.signed(r); r.Header.Set("Last-Event-ID", "1.end") }},
		{"GET " + tasks + "moon/events", "", 404, nil},
		{"DELETE " + vex + "/web.vex.json", "", 200, nil},
		{"DELETE " + vex + "/web.vex.json", "", 404, nil},
		{"GET /v1/moon/vex", "", 403, nil},
		{"GET " + vex, "", 401, func(*http.Request) {}},
		{"POST /v3/auth/tokens", token, 201, func(*http.Request) {}},
		{"POST /v3/auth/tokens", strings.ReplaceAll(token, w.first.Key.Secret, "x"), 401, func(*http.Request) {}},
		{"POST " + auth.PathSecurityTokens, `{"auth":{"identity":{"methods":["token"]}}}`, 201, nil},
		{"POST " + auth.PathSecurityTokens, `{"auth":{"identity":{"methods":["token"],"token":{"duration_seconds":1}}}}`, 400, nil},
		{"GET /v3/projects", "", 200, nil},
		{"GET /v3/projects", "", 401, func(*http.Request) {}},
		{"GET /healthz", "", 200, func(*http.Request) {}},
		{"GET /readyz", "", 200, func(*http.Request) {}},
		{"GET /version", "", 200, func(*http.Request) {}},
		{"GET /version", "", 200, nil},
		{"GET /metrics", "", 200, here},
		{"GET /metrics", "", 403, func(*http.Request) {}},
		{"GET /v1/openapi.yaml", "", 200, func(*http.Request) {}},
		{"GET /advisories/v1/status", "", 200, func(*http.Request) {}},
		{"GET /advisories/v1/index.json", "", 200, func(*http.Request) {}},
		{"GET /advisories/v1/" + filepath.Base(bundles[0]), "", 200, func(*http.Request) {}},
	} {
		method, path, _ := strings.Cut(tc.call, " ")
		r := httptest.NewRequest(method, "http://server.example"+strings.ReplaceAll(path, "{p}", w.first.Project.ID), strings.NewReader(tc.body))
		r.RemoteAddr = "192.0.2.1:1234"
		if tc.body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		change := tc.change
		if change == nil {
			change = w.signed
		}
		change(r)
		route, params, err := router.FindRoute(r)
		if err != nil {
			t.Errorf("%s: %v", tc.call, err)
			continue
		}
		in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, SkipSettingDefaults: true}}
		if tc.status < 400 {
			if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
				t.Errorf("%s: the request: %v", tc.call, err)
			}
			done[route.Operation.OperationID] = true
		}
		if tc.body != "" {
			r.Body = io.NopCloser(strings.NewReader(tc.body))
		}
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, r)
		if rec.Code != tc.status {
			t.Errorf("%s: %d, want %d: %s", tc.call, rec.Code, tc.status, rec.Body)
			continue
		}
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: rec.Code, Header: rec.Header(), Options: in.Options}
		out.SetBodyBytes(bytes.Clone(rec.Body.Bytes()))
		if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil {
			t.Errorf("%s: the answer: %v\n%s", tc.call, err, rec.Body)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !done[op.OperationID] {
				t.Errorf("%s %s was not asked", method, path)
			}
		}
	}
}
