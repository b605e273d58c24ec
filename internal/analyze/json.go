package analyze

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrJSON is wrapped where a JSON text has another shape than its format says.
var ErrJSON = errors.New("unexpected JSON")

// JSONObject goes over the members of the object that d stands before. For each
// fn must read the value from d, or call JSONSkip. Nothing of the object is held,
// so that a file of a million empty members costs no more than its bytes.
func JSONObject(ctx context.Context, d *json.Decoder, fn func(key string) error) error {
	return walkJSON(ctx, d, '{', func() error {
		t, err := d.Token()
		if err != nil {
			return err
		}
		return fn(t.(string)) // the decoder lets nothing else be a key
	})
}

// JSONArray goes over the elements of the array that d stands before in the same
// way.
func JSONArray(ctx context.Context, d *json.Decoder, fn func() error) error {
	return walkJSON(ctx, d, '[', fn)
}

func walkJSON(ctx context.Context, d *json.Decoder, open json.Delim, fn func() error) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t == nil {
		return nil // null
	}
	if t != open {
		return fmt.Errorf("%w: %v in place of %v", ErrJSON, kind(t), open)
	}
	for n := 0; d.More(); n++ {
		if n%256 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := fn(); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// kind names a token without its content.
func kind(t json.Token) string {
	if d, ok := t.(json.Delim); ok {
		return d.String()
	}
	return fmt.Sprintf("a %T", t)
}

// JSONSkip passes over one value.
func JSONSkip(d *json.Decoder) error {
	var v json.RawMessage
	return d.Decode(&v)
}

// JSONValue reads one value into v, as far as it has the right kinds: a part of
// another kind is left out.
func JSONValue(d *json.Decoder, v any) error {
	err := d.Decode(v)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return nil
	}
	return err
}
