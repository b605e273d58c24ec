package contract

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/auth"
)

func brokenBodies(spec *spec, base malformed, op specOperation) []malformed {
	x := spec.body(op)
	if x == nil {
		return nil
	}
	var out []malformed
	with := func(name string, body []byte) *malformed {
		m := base
		m.name, m.body, m.header = name, body, base.header.Clone()
		out = append(out, m)
		return &out[len(out)-1]
	}
	s := func(name, body string) { with("the body is "+name, []byte(body)) }
	valid := string(base.body)
	inner := strings.TrimSuffix(strings.TrimPrefix(valid, "{"), "}")
	if inner != "" {
		inner = "," + inner
	}
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	s("cut", valid[:len(valid)-1])
	s("cut in a text", `{"x`)
	s("followed by text", valid+" x")
	s("two objects", valid+valid)
	s("a list", "["+valid+"]")
	s("an empty list", "[]")
	s("a text", `"x"`)
	s("a number", "1")
	s("true", "true")
	s("no JSON", "x")
	s("XML", "<a/>")
	s("a form", "operate_all=true&is_all=true")
	s("with a BOM", "\ufeff"+valid)
	s("UTF-16", "{\x00}\x00")
	s("with a comment", "/* x */"+valid)
	s("with a comma too many", `{"x":1,}`)
	s("quoted singly", `{'x':1}`)
	s("with a bare name", `{x:1}`)
	s("with NaN", `{"x":NaN`+inner+`}`)
	s("with a number like 01", `{"x":01`+inner+`}`)
	s("with a raw NUL", "{\"x\":\"\x00\""+inner+"}")
	s("with an escaped NUL", `{"x":"a\u0000b"`+inner+`}`)
	s("with a name with a NUL", `{"x\u0000":1`+inner+`}`)
	s("no UTF-8", "{\"x\":\"\xff\xfe\""+inner+"}")
	s("no UTF-8 in a name", "{\"\xff\":1"+inner+"}")
	s("with half a surrogate", `{"x":"\ud800"`+inner+`}`)
	s("with a name twice", `{"x":1,"x":2`+inner+`}`)
	s("with a name twice below", `{"x":{"y":[{"z":1,"z":1}]}`+inner+`}`)
	s("with a name twice, written otherwise", `{"x":1,"\u0078":2`+inner+`}`)
	s("deep", `{"x":`+deep(10_000)+inner+`}`)
	s("deep without an end", strings.Repeat(`{"x":`, 100_000))
	s("a deep list", deep(10_000))
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(base.body)
	_ = z.Close()
	with("the body is packed", zipped.Bytes()).header.Set("Content-Encoding", "gzip")
	with("the body is too large", []byte(`{"x":"`+strings.Repeat("x", auth.DefaultMaxBody)+`"`+inner+`}`))
	for _, name := range slices.Sorted(maps.Keys(x.Properties)) {
		out = append(out, brokenMember(spec, base, x, name)...)
	}
	return out
}

// brokenMember are bodies in which one member has a wrong value.
func brokenMember(spec *spec, base malformed, x *schema, name string) []malformed {
	var out []malformed
	with := func(what, value string) {
		var rest map[string]json.RawMessage
		if err := json.Unmarshal(base.body, &rest); err != nil {
			panic(err)
		}
		delete(rest, name)
		m := base
		m.name = "member " + name + " " + what
		m.body = asJSON(rest)
		if value != "" {
			rest[name] = json.RawMessage(value)
			m.body = asJSON(rest)
		}
		out = append(out, m)
	}
	p := spec.of(x.Properties[name])
	values := map[string][]string{
		"string":  {`1`, `true`, `[]`, `["x"]`, `{}`, `1.5`},
		"integer": {`"1"`, `"x"`, `true`, `[]`, `{}`, `1.5`, `1e400`, `99999999999999999999`, `-99999999999999999999`},
		"number":  {`"1"`, `true`, `[]`, `{}`},
		"boolean": {`"true"`, `1`, `[]`, `{}`},
		"array":   {`"x"`, `1`, `true`, `{}`, `[[]]`, `{"0":"x"}`},
		"object":  {`"x"`, `1`, `true`, `[]`, `[{}]`},
	}
	for _, v := range values[p.Type] {
		with("is "+v, v)
	}
	switch {
	case p.Type == "array" && spec.of(p.Items).Type == "string":
		with("is of numbers", `[1]`)
		with("is of objects", `[{}]`)
	case p.Type == "array":
		with("is of texts", `["x"]`)
		with("is of numbers", `[1]`)
	case len(p.Enum) > 0 && p.OutOfRange == "" && lenient[name] == "":
		if p.Type == "string" {
			with("is none of the words", `"no-such-value"`)
			with("is a long word", `"`+strings.Repeat("x", 70_000)+`"`)
		} else {
			with("is none of the numbers", `1234567`)
		}
	case p.Type == "integer" && p.Minimum != nil:
		with("is below", fmt.Sprint(*p.Minimum-1))
	}
	if p.Type == "integer" && p.Format == "int32" {
		with("is above 32 bits", `2147483648`)
	}
	if slices.Contains(x.Required, name) {
		with("is missing", "")
		with("is null", "null")
		if p.Type == "string" {
			with("is empty", `""`)
		}
	}
	return out
}
