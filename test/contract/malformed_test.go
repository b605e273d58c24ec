package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/auth"
)

// leastMalformed is how many malformed requests every operation is sent.
const leastMalformed = 24

// A malformed request differs in one thing from one that is well-formed.
type malformed struct {
	name, method, path, query string
	body                      []byte
	header                    http.Header
	// token says that a token stands in for the signature, which cannot be
	// made of such a request.
	token bool
}

// lenient are members that take a value which the contract does not list, and
// why. docs/hss-compatibility.md tells users.
var lenient = map[string]string{
	"scan_status":      "a query for an unknown state is an empty list",
	"local_image_type": "a query for an unknown origin is an empty list",
	"limit":            "is clamped to 10 to 200",
	"offset":           "is clamped to 0",
}

// telling are members that a body is not well-formed without, though the
// contract does not require them.
var telling = []string{"operate_all", "is_all", "extended_weak_password", "customized_path", "ids", "vul_ids", "description", "image_type"}

// TestMalformed sends each operation of the contract what no client should
// send: it is refused with a code and a message, never with a server error,
// and nothing is written. Operations that are not built answer 501.
func TestMalformed(t *testing.T) {
	s := newServer(t)
	db := openDatabase(t, s.dir)
	token := s.token()
	spec, ops := readSpec(t)
	sent := 0
	for _, op := range ops {
		t.Run(op.ID, func(t *testing.T) {
			base := s.wellFormed(spec, op)
			variants := slices.Concat(brokenAsking(base), brokenPaths(base, op), brokenQueries(spec, base, op), brokenBodies(spec, base, op))
			if len(variants) < leastMalformed {
				t.Errorf("%d malformed requests", len(variants))
			}
			sent += len(variants)
			names := map[string]bool{}
			for _, v := range variants {
				if names[v.name] {
					t.Errorf("%s: twice", v.name)
				}
				names[v.name] = true
				status, body, header, err := s.sendMalformed(v, token)
				if err != nil {
					t.Errorf("%s: %v", v.name, err)
					continue
				}
				if err := isRefusal(status, body, header, op.built); err != nil {
					t.Errorf("%s: %v\n%s %s?%.200s\n%.200s", v.name, err, v.method, v.path, v.query, v.body)
				}
				if tables := db.changed(); len(tables) > 0 {
					t.Errorf("%s: wrote to %v", v.name, tables)
				}
			}
			// Else the refusals tell nothing. What the request is about may
			// not be there.
			status, body, _, err := s.sendMalformed(base, token)
			absent := bytes.Contains(body, []byte(`"HSS.0011"`)) || bytes.Contains(body, []byte(`"Onceover.0409"`))
			if err != nil || op.built && status != 200 && !absent {
				t.Errorf("well-formed: status %d, %v: %.300s", status, err, body)
			}
			db.rest()
			db.changed()
		})
	}
	t.Logf("%d malformed requests", sent)
}

// isRefusal checks an answer. 429 would say that the request was not looked
// at.
func isRefusal(status int, body []byte, header http.Header, built bool) error {
	if (status < 400 || status >= 500 || status == 429) && (built || status != 501) {
		return fmt.Errorf("status %d: %.300s", status, body)
	}
	var got struct {
		Code    string `json:"error_code"`
		Message string `json:"error_msg"`
		ID      string `json:"request_id"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return fmt.Errorf("status %d: %w: %.300s", status, err, body)
	}
	if got.Code == "" || got.Message == "" || got.ID == "" || got.ID != header.Get("X-Request-Id") {
		return fmt.Errorf("status %d: %.300s", status, body)
	}
	return nil
}

// wellFormed is a request with what is required, about things that are there.
func (s *server) wellFormed(spec *spec, op specOperation) malformed {
	path, query := op.path, url.Values{}
	for _, p := range op.Params {
		switch v := s.value(p.Name, p.Schema); {
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", v)
		case p.In == "query" && (p.Required || p.Name == "global_image_type"):
			query.Set(p.Name, v)
		}
	}
	m := malformed{method: op.method, path: path, query: query.Encode(), header: http.Header{"Content-Type": {"application/json"}}}
	if b := spec.body(op); b != nil {
		members := s.members(spec, b, false)
		for _, name := range telling {
			if x := b.Properties[name]; x != nil {
				members[name] = s.member(spec, name, spec.of(x), false)
			}
		}
		m.body = asJSON(members)
	}
	return m
}

func (s *server) value(name string, x *schema) string {
	if v, ok := s.given[name]; ok {
		return v
	}
	switch name {
	case "project_id":
		return s.first.Project.ID
	case "image_id":
		return s.imageID(web)
	case "vul_id":
		return openssl
	case "image_type":
		return "local_image"
	case "global_image_type":
		return "local"
	case "check_name":
		return "SSH"
	case "check_rule_id":
		return "SSH-01"
	case "rule_id":
		return "BC-SECRET-ENV"
	case "customized_path":
		return "/x"
	}
	switch {
	case len(x.Enum) > 0:
		return fmt.Sprint(x.Enum[0])
	case x.Type == "integer" && x.Minimum != nil:
		return fmt.Sprint(*x.Minimum)
	case x.Type == "integer":
		return "1"
	case x.Type == "boolean":
		return "true"
	}
	return "x"
}

// members are the required members of a body, or all.
func (s *server) members(spec *spec, x *schema, all bool) map[string]any {
	out := map[string]any{}
	for name, m := range x.Properties {
		if all || slices.Contains(x.Required, name) {
			out[name] = s.member(spec, name, spec.of(m), all)
		}
	}
	return out
}

func (s *server) member(spec *spec, name string, x *schema, all bool) any {
	switch x.Type {
	case "object":
		return s.members(spec, x, all)
	case "array":
		return []any{s.member(spec, strings.TrimSuffix(name, "_list"), spec.of(x.Items), all)}
	case "boolean":
		return true
	case "integer", "number":
		return json.Number(s.value(name, x))
	}
	return s.value(name, x)
}

func asJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// brokenAsking are requests of any operation that say who asks, or how, wrongly.
func brokenAsking(base malformed) []malformed {
	with := func(name string, change func(*malformed)) malformed {
		m := base
		m.name, m.header = name, base.header.Clone()
		change(&m)
		return m
	}
	out := []malformed{
		with("the query has half an escape", func(m *malformed) { m.query += "&x=%4"; m.token = true }),
		with("the query has an escape of no digits", func(m *malformed) { m.query += "&%zz=1"; m.token = true }),
		with("the query has a semicolon", func(m *malformed) { m.query += ";x=1"; m.token = true }),
		with("the signature is of another query", func(m *malformed) {
			m.header.Set("Authorization", "SDK-HMAC-SHA256 Access=x, SignedHeaders=host;x-sdk-date, Signature=00")
		}),
		with("the signature is of no algorithm", func(m *malformed) { m.header.Set("Authorization", "Basic eDp4") }),
		with("the date is none", func(m *malformed) { m.header.Set("X-Sdk-Date", "yesterday"); m.header.Set("Authorization", "x") }),
		with("another project in the header", func(m *malformed) { m.header.Set("X-Project-Id", strings.Repeat("0", 32)) }),
	}
	for _, method := range []string{"PATCH", "PROPFIND", "OPTIONS", "get"} {
		out = append(out, with("method "+method, func(m *malformed) { m.method = method }))
	}
	return out
}

// odd are texts that are no texts.
var odd = []struct{ name, escaped string }{
	{"NUL", "a%00b"},
	{"no UTF-8", "%ff%fe"},
	{"half a rune", "a%e4%bd"},
	{"an overlong NUL", "%c0%80"},
	{"a surrogate", "%ed%a0%80"},
}

// emptyForUnknown are operations whose key in the path selects, so that one that
// names nothing gives an empty list.
var emptyForUnknown = map[string]bool{"ListVulRepoImage": true}

func brokenPaths(base malformed, op specOperation) []malformed {
	var out []malformed
	with := func(name, path string) {
		m := base
		m.name, m.path = name, path
		out = append(out, m)
	}
	with("a path below", base.path+"/x")
	with("a slash too many", strings.Replace(base.path, "/v5/", "/v5//", 1))
	with("a way out", base.path+"/../../../..%2e/etc")
	last := ""
	for _, p := range op.Params {
		if p.In != "path" {
			continue
		}
		values := map[string]string{"a slash": "a%2Fb"}
		if !emptyForUnknown[op.ID] {
			maps.Copy(values, map[string]string{"escaped twice": "%2541", "long": strings.Repeat("x", 5000), "quotes": "'%22;--", "blanks": "%20%20",
				"a placeholder": "%7B" + p.Name + "%7D", "dots": "%2e%2e"})
		}
		for _, o := range odd {
			values[o.name] = o.escaped
		}
		for _, name := range slices.Sorted(maps.Keys(values)) {
			with("path "+p.Name+" is "+name, pathOf(op, base, p.Name, values[name]))
		}
		last = p.Name
	}
	if last == "" {
		panic("an operation without a project")
	}
	return out
}

// pathOf is the path with one parameter written otherwise.
func pathOf(op specOperation, base malformed, name, escaped string) string {
	was := strings.Split(base.path, "/")
	for i, part := range strings.Split(op.path, "/") {
		if part == "{"+name+"}" {
			was[i] = escaped
		}
	}
	return strings.Join(was, "/")
}

func brokenQueries(spec *spec, base malformed, op specOperation) []malformed {
	var out []malformed
	for _, p := range op.Params {
		if p.In != "query" {
			continue
		}
		rest, err := url.ParseQuery(base.query)
		if err != nil {
			panic(err)
		}
		rest.Del(p.Name)
		with := func(what, value string) {
			m := base
			m.name, m.query = p.Name+" "+what, strings.TrimPrefix(rest.Encode()+"&"+p.Name+"="+value, "&")
			out = append(out, m)
		}
		x := spec.of(p.Schema)
		if x.Type != "array" {
			with("twice", "a&"+p.Name+"=b")
			with("twice the same", "1&"+p.Name+"=1")
		}
		for _, o := range odd {
			with("with "+o.name, o.escaped)
		}
		_, mild := lenient[p.Name]
		switch {
		case x.Type == "integer":
			for _, v := range []string{"ten", "1.5", "1e3", "0x10", "1_000", "%201", "1%20", "--1", "NaN", "true", "%D9%A3", "1,2", "[]", "null"} {
				with("is "+v, v)
			}
			if !mild {
				with("is huge", "99999999999999999999")
				with("is as negative", "-99999999999999999999")
				if x.Minimum != nil {
					with("is below", fmt.Sprint(*x.Minimum-1))
				}
				if x.Maximum != nil && x.Format == "int32" {
					with("is above", fmt.Sprint(*x.Maximum+1))
				}
			}
		case x.Type == "boolean":
			for _, v := range []string{"maybe", "1", "0", "yes", "t", "truee", "%20true", "null", "[true]"} {
				with("is "+v, v)
			}
		case len(x.Enum) > 0 && x.OutOfRange == "" && !mild:
			for _, v := range []string{"no-such-value", "%20", fmt.Sprint(x.Enum[0]) + "%20", strings.Repeat("x", 5000), "%2500", "[]"} {
				with(fmt.Sprintf("is %.20s", v), v)
			}
		}
		if p.Required && p.Name != "limit" && p.Name != "offset" && !(op.ID == "ListImageVulnerabilities" && needless[p.Name]) {
			m := base
			m.name, m.query = p.Name+" is missing", rest.Encode()
			out = append(out, m)
			with("is empty", "")
		}
	}
	return out
}

// needless are parameters that the contract requires of
// ListImageVulnerabilities, which knows an image by its id.
var needless = map[string]bool{"image_type": true, "namespace": true, "image_name": true, "tag_name": true}

// token is a token for the first key.
func (s *server) token() string {
	s.t.Helper()
	body := asJSON(map[string]any{"auth": map[string]any{"identity": map[string]any{"methods": []string{"hw_ak_sk"},
		"hw_ak_sk": map[string]any{"access": map[string]any{"key": s.first.Key.AK}, "secret": map[string]any{"key": s.first.Key.Secret}}}}})
	resp, err := http.Post(s.url+"/v3/auth/tokens", "application/json", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	_ = resp.Body.Close()
	token := resp.Header.Get("X-Subject-Token")
	if token == "" {
		s.t.Fatalf("no token: %s", resp.Status)
	}
	return token
}

func (s *server) sendMalformed(m malformed, token string) (int, []byte, http.Header, error) {
	path, err := url.PathUnescape(m.path)
	if err != nil {
		return 0, nil, nil, err
	}
	to, err := url.Parse(s.url)
	if err != nil {
		return 0, nil, nil, err
	}
	to.Path, to.RawPath, to.RawQuery = path, m.path, m.query
	req, err := http.NewRequestWithContext(s.t.Context(), "GET", s.url, bytes.NewReader(m.body))
	if err != nil {
		return 0, nil, nil, err
	}
	req.URL, req.Method, req.Header = to, m.method, m.header.Clone()
	switch {
	case m.token:
		req.Header.Set("X-Auth-Token", token)
	case req.Header.Get("Authorization") == "":
		if err := auth.Sign(req, s.first.Key.AK, s.first.Key.Secret, time.Now()); err != nil {
			return 0, nil, nil, err
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, b, resp.Header, err
}
