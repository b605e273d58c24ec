package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
)

// A smokeRequest is one of testdata/smoke.json, which every client sends.
type smokeRequest struct {
	Operation string            `json:"operation"`
	Method    string            `json:"method"`
	Path      string            `json:"path"` // below /v5/{project_id}
	Params    map[string]any    `json:"params,omitempty"`
	Query     map[string]any    `json:"query,omitempty"`
	Body      map[string]any    `json:"body,omitempty"`
	Take      map[string]string `json:"take,omitempty"`
	Status    int               `json:"status"`
	// Moving says that ids and times of the answer are of the moment.
	Moving bool `json:"moving,omitempty"`
}

type smokeAnswer struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Body   any    `json:"body"`
}

// TestSmoke sends one list of requests with three clients: Huawei's SDK for
// Go, the core of its SDK for Node.js with requests written by hand, and curl
// with a token. They get the same answers.
func TestSmoke(t *testing.T) {
	s := newServer(t)
	b, err := os.ReadFile(filepath.Join("testdata", "smoke.json"))
	if err != nil {
		t.Fatal(err)
	}
	var requests []smokeRequest
	if err := json.Unmarshal(b, &requests); err != nil {
		t.Fatal(err)
	}
	want := s.smokeSDK(requests)
	for i, a := range want {
		if a.Status != requests[i].Status {
			t.Errorf("%d %s: status %d %s, want %d", i, requests[i].Operation, a.Status, a.Code, requests[i].Status)
		}
	}
	for _, client := range []struct {
		name string
		send func(*testing.T, []smokeRequest) []smokeAnswer
	}{
		{"npm", s.smokeNPM},
		{"curl", s.smokeCurl},
	} {
		t.Run(client.name, func(t *testing.T) {
			got := client.send(t, requests)
			if len(got) != len(requests) {
				t.Fatalf("%d answers", len(got))
			}
			for i, r := range requests {
				w, g := want[i], got[i]
				if r.Moving {
					w.Body, g.Body = shape(w.Body), shape(g.Body)
				}
				if diff := cmp.Diff(w, g); diff != "" {
					t.Errorf("%d %s (-SDK for Go +%s):\n%s", i, r.Operation, client.name, diff)
				}
			}
		})
	}
}

// smokeSDK calls the operations by name.
func (s *server) smokeSDK(requests []smokeRequest) []smokeAnswer {
	s.t.Helper()
	c, taken := reflect.ValueOf(s.client()), s.nothingTaken()
	var out []smokeAnswer
	for _, r := range requests {
		method := c.MethodByName(r.Operation)
		members := map[string]any{}
		maps.Copy(members, r.Params)
		maps.Copy(members, r.Query)
		if r.Body != nil {
			members["body"] = r.Body
		}
		req := reflect.New(method.Type().In(0).Elem())
		if err := json.Unmarshal(asJSON(filled(members, taken)), req.Interface()); err != nil {
			s.t.Fatalf("%s: %v", r.Operation, err)
		}
		answer := smokeAnswer{Status: 200, Body: map[string]any{}}
		resp := method.Call([]reflect.Value{req})
		if err, _ := resp[1].Interface().(error); err != nil {
			e, ok := err.(*sdkerr.ServiceResponseError)
			if !ok {
				s.t.Fatalf("%s: %v", r.Operation, err)
			}
			answer.Status, answer.Code = e.StatusCode, e.ErrorCode
		} else if err := json.Unmarshal(asJSON(resp[0].Interface()), &answer.Body); err != nil {
			s.t.Fatal(err)
		}
		take(r, answer, taken)
		out = append(out, answer)
	}
	return out
}

// smokeNPM runs npm/smoke.js with the package that npm/package-lock.json pins.
func (s *server) smokeNPM(t *testing.T, requests []smokeRequest) []smokeAnswer {
	dir := t.TempDir()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing(t, "no "+tool)
		}
	}
	for _, name := range []string{"package.json", "package-lock.json", "smoke.js"} {
		b, err := os.ReadFile(filepath.Join("npm", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	install := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = dir
	if b, err := install.CombinedOutput(); err != nil {
		missing(t, fmt.Sprintf("npm ci: %v\n%.2000s", err, b))
	}
	node := exec.CommandContext(t.Context(), "node", "smoke.js")
	node.Dir = dir
	node.Stdin = bytes.NewReader(asJSON(map[string]any{"endpoint": s.url, "ak": s.first.Key.AK, "sk": s.first.Key.Secret,
		"project": s.first.Project.ID, "requests": requests}))
	var stderr bytes.Buffer
	node.Stderr = &stderr
	b, err := node.Output()
	if err != nil {
		t.Fatalf("%v\n%.3000s", err, stderr.String())
	}
	var out []smokeAnswer
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatalf("%v: %.1000s", err, b)
	}
	return out
}

// smokeCurl asks for a token and shows it with each request, as people do.
func (s *server) smokeCurl(t *testing.T, requests []smokeRequest) []smokeAnswer {
	if _, err := exec.LookPath("curl"); err != nil {
		missing(t, "no curl")
	}
	curl := func(args ...string) (string, int) {
		b, err := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "--noproxy", "*", "-w", "\n%{http_code}"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %q: %v\n%s", args, err, b)
		}
		at := bytes.LastIndexByte(b, '\n')
		status, err := strconv.Atoi(string(b[at+1:]))
		if err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		return string(b[:at]), status
	}
	answer, _ := curl("-D", "-", "-o", os.DevNull, "-d", fmt.Sprintf(
		`{"auth":{"identity":{"methods":["hw_ak_sk"],"hw_ak_sk":{"access":{"key":%q},"secret":{"key":%q}}}}}`,
		s.first.Key.AK, s.first.Key.Secret), s.url+"/v3/auth/tokens")
	token := regexp.MustCompile(`(?i)x-subject-token: (\S+)`).FindStringSubmatch(answer)
	if token == nil {
		t.Fatalf("no token: %s", answer)
	}
	var out []smokeAnswer
	taken := s.nothingTaken()
	for _, r := range requests {
		path := r.Path
		for name, v := range filled(r.Params, taken).(map[string]any) {
			path = strings.ReplaceAll(path, "{"+name+"}", fmt.Sprint(v))
		}
		args := []string{"-X", r.Method, "-H", "X-Auth-Token: " + token[1], s.url + "/v5/" + s.first.Project.ID + path}
		query := filled(r.Query, taken).(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(query)) {
			args = append(args, "--data-urlencode", fmt.Sprintf("%s=%v", name, query[name]))
		}
		if len(query) > 0 {
			args = append(args, "-G")
		}
		if r.Body != nil {
			args = append(args, "-H", "Content-Type: application/json", "-d", string(asJSON(filled(r.Body, taken))))
		}
		text, status := curl(args...)
		a := smokeAnswer{Status: status, Body: map[string]any{}}
		if text != "" {
			if err := json.Unmarshal([]byte(text), &a.Body); err != nil {
				t.Fatalf("%s: %v: %s", r.Operation, err, text)
			}
		}
		if status >= 400 {
			a.Code, _ = a.Body.(map[string]any)["error_code"].(string)
			a.Body = map[string]any{}
		}
		take(r, a, taken)
		out = append(out, a)
	}
	return out
}

// missing skips where a tool is not there, or fails where it must be.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("REQUIRE_RUNTIMES") == "1" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func (s *server) nothingTaken() map[string]string {
	return map[string]string{"project_id": s.first.Project.ID}
}

// filled puts what earlier answers told in the place of ${name}.
func filled(v any, taken map[string]string) any {
	switch v := v.(type) {
	case string:
		return os.Expand(v, func(name string) string { return taken[name] })
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = filled(v[i], taken)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[k] = filled(x, taken)
		}
		return out
	}
	return v
}

// take keeps what later requests ask for.
func take(r smokeRequest, a smokeAnswer, taken map[string]string) {
	for name, path := range r.Take {
		at := a.Body
		for key := range strings.SplitSeq(path, ".") {
			switch v := at.(type) {
			case map[string]any:
				at = v[key]
			case []any:
				if i, err := strconv.Atoi(key); err == nil && i < len(v) {
					at = v[i]
				}
			}
		}
		taken[name] = fmt.Sprint(at)
	}
}

// shape is a value with its texts and numbers left out.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			out[k] = shape(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = shape(v[i])
		}
		return out
	}
	return fmt.Sprintf("%T", v)
}
