package analyze

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// names reads the names in {"list": [{"name": …}]}.
func names(ctx context.Context, text string) ([]string, error) {
	d := json.NewDecoder(strings.NewReader(text))
	var out []string
	err := JSONObject(ctx, d, func(key string) error {
		if key != "list" {
			return JSONSkip(d)
		}
		return JSONArray(ctx, d, func() error {
			var v struct {
				Name string `json:"name"`
			}
			err := JSONValue(d, &v)
			out = append(out, v.Name)
			return err
		})
	})
	return out, err
}

func TestJSON(t *testing.T) {
	for _, tc := range []struct {
		text string
		want []string
		ok   bool
	}{
		{`{"x":{"list":[1]},"list":[{"name":"a"},{"name":3},{}],"y":null}`, []string{"a", "", ""}, true},
		{`{"list":null}`, nil, true},
		{`null`, nil, true},
		{`{}`, nil, true},
		{`[]`, nil, false},
		{`{"list":{}}`, nil, false},
		{`{"list":"secret"}`, nil, false},
		{`{"list":[{"name":"a"}`, []string{"a"}, false},
		{`{"list":[{"name":"a"},]}`, []string{"a", ""}, false},
		{``, nil, false},
	} {
		got, err := names(t.Context(), tc.text)
		if diff := cmp.Diff(tc.want, got); diff != "" || (err == nil) != tc.ok {
			t.Errorf("%s: %v\n%s", tc.text, err, diff)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows content: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := names(ctx, `{"list":[1]}`); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: got %v", err)
	}
}
