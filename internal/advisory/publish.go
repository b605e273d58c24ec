package advisory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/onceover/onceover/internal/minisign"
)

// IndexName is the file by which a place that has bundles is known.
const IndexName = "index.json"

// An Index says what a place with bundles has. It is found under IndexName,
// and the bundles beside it.
type Index struct {
	// Format is BundleFormat.
	Format int `json:"onceover_advisories"`
	Schema int `json:"schema"`
	// Generation that is offered, by its id.
	Generation   string    `json:"generation"`
	Built        time.Time `json:"built"`
	NewestRecord time.Time `json:"newest_record"`
	Records      int64     `json:"records"`
	// SignedBy is the id of the key, "" if the bundles are not signed.
	SignedBy string `json:"signed_by,omitempty"`
	// Whole is the generation itself, and Deltas lead to it.
	Whole  IndexFile   `json:"whole"`
	Deltas []IndexFile `json:"deltas"`
}

// An IndexFile is one bundle.
type IndexFile struct {
	// Base is the generation that a delta starts from.
	Base string `json:"base,omitempty"`
	// Name of the file beside the index; its signature is called
	// Name + SignatureSuffix.
	Name string `json:"name"`
	// Size and SHA256 of the file.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// bundleName is what bundles of a place are called: the id of the generation,
// and of a delta also that of its base in front.
var bundleName = regexp.MustCompile(`^([0-9a-f]{64}-)?[0-9a-f]{64}\.bundle$`)

// A Publisher keeps bundles of a generation in a directory, for a server to
// serve or to be copied to one. It is safe for concurrent use.
type Publisher struct {
	// Dir holds the bundles and the index, and nothing else.
	Dir string
	// Sign signs the bundles; nil for none.
	Sign *minisign.SecretKey

	mu sync.Mutex
}

// Publish makes the bundles of the generation at from that are missing: the
// whole, and a delta from each former one that is kept. What is there of others
// is removed. The index appears last, so it never names what is not there yet.
func (p *Publisher) Publish(ctx context.Context, from string) (Index, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	idx, err := p.publish(ctx, from)
	if err != nil {
		return Index{}, fmt.Errorf("publish advisories: %w", err)
	}
	return idx, nil
}

func (p *Publisher) publish(ctx context.Context, from string) (Index, error) {
	all, err := Generations(from)
	if err != nil {
		return Index{}, err
	}
	m, err := Status(from)
	if err != nil {
		return Index{}, err
	}
	if err := os.MkdirAll(p.Dir, 0o755); err != nil {
		return Index{}, err
	}
	idx := Index{
		Format: BundleFormat, Schema: m.Schema, Generation: m.ID, Built: m.Built, Records: m.Records,
		NewestRecord: time.UnixMilli(m.DataDate).UTC(), Deltas: []IndexFile{},
	}
	if p.Sign != nil {
		idx.SignedBy = p.Sign.Public().ID.String()
	}
	before, err := p.index()
	if err != nil || before.SignedBy != idx.SignedBy || before.Generation != m.ID {
		before = Index{} // makes everything anew
	}
	if idx.Whole, err = p.bundle(ctx, before, from, m.ID, Generation{}); err != nil {
		return Index{}, err
	}
	for _, g := range all {
		if g.Present || g.Err != nil || g.Meta.ID == m.ID {
			continue
		}
		f, err := p.bundle(ctx, before, from, m.ID, g)
		if err != nil {
			return Index{}, err
		}
		// One that is hardly smaller is not worth its place.
		if f.Size < idx.Whole.Size/2 {
			idx.Deltas = append(idx.Deltas, f)
		}
	}
	if err := p.writeIndex(idx); err != nil {
		return Index{}, err
	}
	return idx, p.clean(idx)
}

// bundle makes one bundle, whole if base is the zero Generation, unless it is
// there.
func (p *Publisher) bundle(ctx context.Context, before Index, from, id string, base Generation) (IndexFile, error) {
	f := IndexFile{Base: base.Meta.ID, Name: id + ".bundle"}
	if f.Base != "" {
		f.Name = f.Base + "-" + f.Name
	}
	to := filepath.Join(p.Dir, f.Name)
	for _, old := range append([]IndexFile{before.Whole}, before.Deltas...) {
		if fi, err := os.Stat(to); err == nil && old.Name == f.Name && fi.Size() == old.Size {
			return old, nil
		}
	}
	h, err := export(ctx, ExportOptions{From: from, Since: base.Path, To: to, Sign: p.Sign})
	if err != nil {
		return f, err
	}
	if h.Generation != id || h.Base != f.Base {
		return f, fmt.Errorf("%s was replaced meanwhile", from)
	}
	in, err := os.Open(to)
	if err != nil {
		return f, err
	}
	defer in.Close()
	sum := sha256.New()
	if f.Size, err = io.Copy(sum, in); err != nil {
		return f, err
	}
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return f, nil
}

func (p *Publisher) index() (Index, error) {
	f, err := os.Open(filepath.Join(p.Dir, IndexName))
	if err != nil {
		return Index{}, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSmallBytes))
	if err != nil {
		return Index{}, err
	}
	return parseIndex(raw)
}

func (p *Publisher) writeIndex(idx Index) error {
	raw, err := json.MarshalIndent(idx, "", "\t")
	if err != nil {
		return fmt.Errorf("encode index: %w", err)
	}
	w, err := newWork(p.Dir, ".export-")
	if err != nil {
		return err
	}
	defer w.close()
	tmp := filepath.Join(w.dir, IndexName)
	if err := os.WriteFile(tmp, append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return replace(tmp, filepath.Join(p.Dir, IndexName))
}

// clean removes bundles that the index does not name. Who is just downloading
// one goes on with the open file.
func (p *Publisher) clean(idx Index) error {
	keep := map[string]bool{}
	for _, f := range append([]IndexFile{idx.Whole}, idx.Deltas...) {
		keep[f.Name], keep[f.Name+SignatureSuffix] = true, true
	}
	entries, err := os.ReadDir(p.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); isBundleFile(name) && !keep[name] {
			if err := os.Remove(filepath.Join(p.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// isBundleFile reports whether a name is that of a bundle or its signature.
func isBundleFile(name string) bool {
	return bundleName.MatchString(name) ||
		filepath.Ext(name) == SignatureSuffix && bundleName.MatchString(name[:len(name)-len(SignatureSuffix)])
}

// ServeHTTP serves the index and the bundles by the last part of the path, with
// validators and ranges. Anyone may have them: the records are public, and who
// has to know where they come from checks the signature.
func (p *Publisher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "advisories are read only", http.StatusMethodNotAllowed)
		return
	}
	if name != IndexName && !isBundleFile(name) {
		http.Error(w, "no such bundle", http.StatusNotFound)
		return
	}
	f, err := os.Open(filepath.Join(p.Dir, name))
	if err != nil {
		http.Error(w, "no such bundle", http.StatusNotFound)
		return
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		http.Error(w, "no such bundle", http.StatusNotFound)
		return
	}
	// The bytes of a bundle with a name are made once, but may be made
	// again with another key or after the directory was emptied.
	w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, fi.ModTime().UnixNano(), fi.Size()))
	w.Header().Set("Content-Type", "application/octet-stream")
	if name == IndexName {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, name, fi.ModTime(), f)
}

// errNoIndex means that a file is something else.
var errNoIndex = errors.New("not an index of advisories")

// parseIndex reads an index that comes from elsewhere.
func parseIndex(raw []byte) (Index, error) {
	var idx Index
	if err := json.Unmarshal(raw, &idx); err != nil || idx.Format == 0 {
		return Index{}, errNoIndex
	}
	if idx.Format != BundleFormat {
		return Index{}, fmt.Errorf("the server offers bundles of format %d, this program reads %d", idx.Format, BundleFormat)
	}
	good := func(f IndexFile) bool {
		want := idx.Generation + ".bundle"
		if f.Base != "" {
			want = f.Base + "-" + want
		}
		return f.Name == want && bundleName.MatchString(f.Name) && len(f.SHA256) == 64 && isHex(f.SHA256) && f.Size > 0 && f.Size <= maxBundleBytes
	}
	if !good(idx.Whole) || idx.Whole.Base != "" || slices.ContainsFunc(idx.Deltas, func(f IndexFile) bool { return !good(f) || f.Base == "" }) {
		return Index{}, fmt.Errorf("%w: an entry makes no sense", errCorrupt)
	}
	return idx, nil
}
