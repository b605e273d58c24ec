package hss

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/wire"
)

const (
	// Bounds of a page, used for every list whatever the contract says of
	// it, and its default size.
	minLimit, maxLimit, defaultLimit = 10, 200, 10
)

// optional are parameters that the contract requires and the server does not
// need: the image id alone names an image.
var optional = map[string][]string{
	"ListImageVulnerabilities": {"image_type", "namespace", "image_name", "tag_name"},
}

// check checks the query by the table and reads the page.
func check(r *http.Request, op *operation, c *call) error {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.New(fault.Invalid, "the query string is not valid")
	}
	c.Page.Limit = defaultLimit
	for i := range op.Params {
		p := &op.Params[i]
		if p.In != inQuery {
			continue
		}
		values := q[p.Name]
		if len(values) == 0 || len(values) == 1 && values[0] == "" {
			if p.Required && !paging(p.Name) && !slices.Contains(optional[op.ID], p.Name) {
				return fault.New(fault.Invalid, "%s is required", p.Name)
			}
			continue
		}
		if len(values) > 1 && p.Kind != kindList {
			return fault.New(fault.Invalid, "%s is given %d times", p.Name, len(values))
		}
		if slices.ContainsFunc(values, wire.NotText) {
			return fault.New(fault.Invalid, "%s is not a text: it must be UTF-8 and have no NUL", p.Name)
		}
		if err := checkValue(p, values[0], c); err != nil {
			return err
		}
	}
	return nil
}

func checkValue(p *param, v string, c *call) error {
	switch {
	case paging(p.Name):
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return fault.New(fault.Invalid, "%s: %q is not an integer", p.Name, v)
		}
		// Out of range, ParseInt gives the nearest number.
		if p.Name == "limit" {
			c.Page.Limit = min(max(n, minLimit), maxLimit)
		} else {
			c.Page.Offset = max(n, 0)
		}
	case p.Kind == kindInt:
		if n, err := strconv.ParseInt(v, 10, 64); err != nil || n < p.Min || n > p.Max {
			return fault.New(fault.Invalid, "%s: %q is not an integer from %d to %d", p.Name, v, p.Min, p.Max)
		}
	case p.Kind == kindBool:
		if _, err := parseBool(v); err != nil {
			return fault.New(fault.Invalid, "%s: %q is neither true nor false", p.Name, v)
		}
	case p.Enum != nil && !allowed(p, v):
		if !p.EmptyOutside {
			return fault.New(fault.Invalid, "%s: %q is not one of %s", p.Name, v, strings.Join(p.Enum, ", "))
		}
		c.empty = true
	}
	return nil
}

func paging(name string) bool { return name == "limit" || name == "offset" }

// allowed takes the two spellings of the queued state, and of local images,
// for one another, and knows local images everywhere.
func allowed(p *param, v string) bool {
	switch p.Name {
	case "scan_status":
		if v == "waiting" || v == "waiting_for_scan" {
			return true
		}
	case "image_type", "global_image_type":
		if isLocal(v) {
			return true
		}
	}
	return slices.Contains(p.Enum, v)
}

func isLocal(v string) bool { return v == "local" || v == "local_image" }

func parseBool(v string) (bool, error) {
	switch strings.ToLower(v) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("neither true nor false")
}

// decode fills in, a pointer to a struct, from a request that check has let
// pass: fields with a tag "form" from the query, with a tag "path" from the
// path, and one with a tag "body" from the body. Empty values are not given.
func decode(r *http.Request, op *operation, b body, in any) error {
	return decodeStruct(r, op, b, r.URL.Query(), reflect.ValueOf(in).Elem())
}

func decodeStruct(r *http.Request, op *operation, b body, q url.Values, v reflect.Value) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			if err := decodeStruct(r, op, b, q, v.Field(i)); err != nil {
				return err
			}
			continue
		}
		if name := field.Tag.Get("path"); name != "" {
			s, err := wire.PathParam(r, name)
			if err != nil {
				return err
			}
			v.Field(i).SetString(s)
		}
		if _, ok := field.Tag.Lookup("body"); ok {
			if err := b.decode(v.Field(i).Addr().Interface()); err != nil {
				return err
			}
		}
		name, _, _ := strings.Cut(field.Tag.Get("form"), ",")
		values := slices.DeleteFunc(slices.Clone(q[name]), func(s string) bool { return s == "" })
		if name != "" && !paging(name) && len(values) > 0 {
			if err := set(v.Field(i), values); err != nil {
				return fault.New(fault.Invalid, "%s: %q: %w", name, values[0], err)
			}
		}
	}
	return nil
}

// set stores query values in a field of one of the types that the generator
// makes for parameters.
func set(f reflect.Value, values []string) error {
	if f.Kind() == reflect.Pointer {
		f.Set(reflect.New(f.Type().Elem()))
		f = f.Elem()
	}
	switch f.Kind() {
	case reflect.String:
		f.SetString(values[0])
	case reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(values[0], 10, f.Type().Bits())
		if err != nil {
			return errors.New("not an integer of this size")
		}
		f.SetInt(n)
	case reflect.Bool:
		b, err := parseBool(values[0])
		if err != nil {
			return err
		}
		f.SetBool(b)
	case reflect.Slice:
		f.Set(reflect.ValueOf(values).Convert(f.Type()))
	default:
		return fmt.Errorf("a parameter of type %s cannot be read", f.Type())
	}
	return nil
}
