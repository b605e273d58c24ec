package advisory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/onceover/onceover/internal/fault"
)

// ServedPath is where a server of ours has its index and bundles.
const ServedPath = "/advisories/v1"

// findIndex asks whether bundles are served at the URL; nil if not. A URL of
// nothing but a host stands for the place where servers of ours have them.
func (d *download) findIndex(ctx context.Context) (*Index, error) {
	if d.o.URL == DefaultURL {
		return nil, nil
	}
	places := []string{d.o.URL}
	if u, err := url.Parse(d.o.URL); err == nil && u.Path == "" {
		places = append(places, d.o.URL+ServedPath)
	}
	for _, at := range places {
		text, err := d.fetch.list(ctx, at+"/"+IndexName)
		if errors.Is(err, errNotServed) {
			continue
		}
		if err != nil {
			return nil, err
		}
		idx, err := parseIndex([]byte(text))
		if errors.Is(err, errNoIndex) {
			continue // some other index.json, or a page for everything
		}
		if err != nil {
			return nil, fault.New(fault.Unavailable, "%s/%s: %w", at, IndexName, err)
		}
		d.o.URL = at
		return &idx, nil
	}
	return nil, nil
}

// mirror brings the generation of another server here: the changes if their
// base is here, or else the whole.
func (d *download) mirror(ctx context.Context, idx Index) (UpdateResult, error) {
	res := UpdateResult{Mirror: true}
	if idx.Schema != Schema {
		return res, fault.New(fault.Unavailable, "%s has advisories of schema %d, this program reads %d: the two need programs of one version", d.o.URL, idx.Schema, Schema)
	}
	present, err := Status(d.o.To)
	if err == nil && present.ID == idx.Generation {
		res.Meta, res.Unchanged = present, 1
		return res, nil
	}
	if err == nil && idx.NewestRecord.UnixMilli() < present.DataDate && !d.o.Force {
		return res, fault.New(fault.Conflict, "%s offers generation %.12s, which is older than the present one: the present one stays, `--force` goes back", d.o.URL, idx.Generation)
	}
	for _, f := range idx.Deltas {
		if _, err := Kept(d.o.To, f.Base); err != nil || f.Size >= idx.Whole.Size {
			continue
		}
		got, err := d.mirrorFile(ctx, f)
		// A delta that does not fit, or is gone by now, leaves the whole.
		if errors.Is(err, errCorrupt) || errors.Is(err, ErrBase) || errors.Is(err, errNotServed) {
			break
		}
		return got, err
	}
	return d.mirrorFile(ctx, idx.Whole)
}

func (d *download) mirrorFile(ctx context.Context, f IndexFile) (UpdateResult, error) {
	res := UpdateResult{Mirror: true, Delta: f.Base != ""}
	dest := filepath.Join(d.o.Cache, f.Name)
	at := d.o.URL + "/" + f.Name
	defer d.forgetBundles(f.Name)
	d.fetch.limit = f.Size
	state, _, err := d.fetch.get(ctx, at, dest, fileState{})
	d.fetch.limit = 0
	if err != nil {
		return res, err
	}
	defer os.Remove(dest)
	if state.Size != f.Size || state.SHA256 != f.SHA256 {
		return res, fault.New(fault.Unavailable, "download %s: %w: not the file that the index names, try again later", at, errChecksum)
	}
	if len(d.o.Keys) > 0 {
		text, err := d.fetch.list(ctx, at+SignatureSuffix)
		if err != nil && !errors.Is(err, errNotServed) {
			return res, err
		}
		defer os.Remove(dest + SignatureSuffix)
		if err == nil {
			if err := os.WriteFile(dest+SignatureSuffix, []byte(text), 0o600); err != nil {
				return res, fmt.Errorf("keep download: %w", err)
			}
		}
	}
	o := ImportOptions{File: dest, To: d.o.To, Keys: d.o.Keys, AllowUnsigned: len(d.o.Keys) == 0, Keep: d.o.Keep}
	if !d.o.Force {
		o.check = func(old, next Meta) error { return shrunk(old, next, nil) }
	}
	got, err := Import(ctx, o)
	if err != nil {
		return res, err
	}
	res.Meta, res.SignedBy, res.Downloaded, res.Rebuilt = got.Meta, got.SignedBy, 1, true
	return res, nil
}

// forgetBundles removes what is left of downloads of bundles other than the one
// that may go on: their generations are gone from the server.
func (d *download) forgetBundles(but string) {
	entries, err := os.ReadDir(d.o.Cache)
	if err != nil {
		return
	}
	for _, e := range entries {
		name := e.Name()
		whole := strings.TrimSuffix(strings.TrimSuffix(name, ".of"), ".part")
		if isBundleFile(whole) && whole != but && whole != but+SignatureSuffix {
			os.Remove(filepath.Join(d.o.Cache, name))
		}
	}
}

// mustBeSigned refuses archives of records where a key was given: nobody signs
// those.
func (o UpdateOptions) mustBeSigned() error {
	if len(o.Keys) == 0 {
		return nil
	}
	return fault.New(fault.Forbidden, "a key is given, and %s has archives of records, which nobody signs: update from a server that has bundles (see docs/bundles.md), or without a key: %w", cmp.Or(o.URL, DefaultURL), ErrUnsigned)
}
