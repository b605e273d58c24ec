package hss

import (
	"net/http"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/fault"
)

func TestIDsOfABody(t *testing.T) {
	for _, tc := range []struct{ name, body, want string }{
		{"members", `{"task_id":"a","id":"b","image_id_list":["c","d"],"name":"x","valid":"x","count_id":7}`, "a b c d"},
		{"within", `{"image_info":[{"image_id":"a","image_name":"x"},{"image_id":"b"}],"vul_ids":[["c"],{"name":"x"}]}`, "a b c"},
		{"a name in a list", `{"ids":["id","x"]}`, "id x"},
		{"before a mistake", `{"id":"a","id":"b"}`, "a"},
		{"before the end is missing", `{"id":"a","ids":["b",`, "a b"},
		{"no object", `"id"`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ids, _ := walk([]byte(tc.body))
			if got := strings.Join(ids, " "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if ids, _ := walk([]byte(`{"ids":[` + strings.Repeat(`"x",`, 100) + `"x"]}`)); len(ids) != maxNoted {
		t.Errorf("%d ids, want %d", len(ids), maxNoted)
	}
}

func TestDecodeBody(t *testing.T) {
	nested := func(n int) string { return `{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	for _, tc := range []struct {
		name, body string
		want       fault.Code // 0: none
	}{
		{name: "nothing"},
		{name: "null", body: " null "},
		{name: "an object", body: `{"a":"x","more":[{"b":1},{"b":2}],"b":3}`},
		{name: "equal names at two places", body: `{"x":{"a":1},"y":{"a":1}}`},
		{name: "a backslash before a u", body: `{"a":"\\u0000 \\ud800"}`},
		{name: "a surrogate pair", body: `{"a":"\ud83d\ude00"}`},
		{name: "as deep as may be", body: nested(maxDepth - 1)},
		{name: "too deep", body: nested(maxDepth), want: fault.Unparsable},
		{name: "much too deep", body: nested(1_000_000), want: fault.Unparsable},
		{name: "a name twice", body: `{"a":"x","a":"x"}`, want: fault.Unparsable},
		{name: "a name twice in a list", body: `{"x":[[{"a":1,"a":2}]]}`, want: fault.Unparsable},
		{name: "a name twice by an escape", body: `{"a":"x","\u0061":"x"}`, want: fault.Unparsable},
		{name: "a name twice but for case", body: `{"a":"x","A":"x"}`, want: fault.Unparsable},
		{name: "a name twice to encoding/json", body: "{\"s\":1,\"\u017f\":2}", want: fault.Unparsable},
		{name: "NUL", body: `{"a":"\u0000"}`, want: fault.Invalid},
		{name: "NUL after a backslash", body: `{"a":"\\\u0000"}`, want: fault.Invalid},
		{name: "the first half of a pair", body: `{"a":"\ud83d"}`, want: fault.Unparsable},
		{name: "the second half of a pair", body: `{"a":"\ude00"}`, want: fault.Unparsable},
		{name: "two first halves", body: `{"a":"\ud83d\ud83d"}`, want: fault.Unparsable},
		{name: "no UTF-8", body: "{\"a\":\"\xff\"}", want: fault.Unparsable},
		{name: "cut in an escape", body: `{"a":"\u00`, want: fault.Unparsable},
		{name: "cut after half a pair", body: `{"a":"\ud83d`, want: fault.Unparsable},
		{name: "a backslash at the end", body: `{"a":"\`, want: fault.Unparsable},
		{name: "text after it", body: `{} x`, want: fault.Unparsable},
		{name: "a list", body: `[]`, want: fault.Invalid},
		{name: "too large", body: strings.Repeat(" ", maxBody+1), want: fault.TooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			var into struct {
				A string `json:"a"`
			}
			err = readBody(r).decode(&into)
			if got := fault.CodeOf(err); err == nil && tc.want != 0 || err != nil && got != tc.want {
				t.Errorf("got %v (%v), want %v", got, err, tc.want)
			}
		})
	}
}
