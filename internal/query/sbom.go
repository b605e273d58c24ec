package query

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
	"github.com/onceover/onceover/internal/wire"
)

const sbomPath = Prefix + "{project_id}/images/{image_id}/sbom"

// maxBills bounds the bills that are made at once: each holds the layer reports
// of its image. Who comes later waits.
const maxBills = 4

// sbomForm is a form of a bill of materials.
type sbomForm struct {
	mediaType, suffix string
	write             func(io.Writer, *export.Document) error
}

var sbomForms = map[string]sbomForm{
	"cyclonedx": {"application/vnd.cyclonedx+json; version=1.6", ".cdx.json", export.CycloneDX},
	"spdx":      {"application/spdx+json", ".spdx.json", export.SPDX},
}

// sbom answers with what an image contains, as its last scan saw it.
func (a *api) sbom(w http.ResponseWriter, r *http.Request) {
	c, err := a.begin(r, auth.Viewer)
	var id string
	if err == nil {
		id, err = wire.PathParam(r, "image_id")
	}
	if err == nil {
		err = known(r, "format")
	}
	name := r.URL.Query().Get("format")
	if name == "" {
		name = "cyclonedx"
	}
	form, ok := sbomForms[name]
	if err == nil && !ok {
		err = fault.New(fault.Invalid, "format %q: want cyclonedx or spdx", name)
	}
	var b bill
	if err == nil {
		b, err = tenant.Found(c, func(t string) (bill, error) { return a.bill(r.Context(), t, id, form) })
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	sum := sha256.Sum256(b.content)
	h := w.Header()
	h.Set("Content-Type", form.mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": b.name + form.suffix}))
	h.Set("ETag", strconv.Quote(hex.EncodeToString(sum[:16])))
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b.content)) // which knows If-None-Match
}

// bill is a bill of materials, and what to call it.
type bill struct {
	name    string
	content []byte
}

func (a *api) bill(ctx context.Context, project, id string, form sbomForm) (bill, error) {
	select {
	case a.bills <- struct{}{}:
		defer func() { <-a.bills }()
	case <-ctx.Done():
		return bill{}, ctx.Err()
	}
	m, err := a.store.Merged(ctx, project, id)
	if err != nil {
		return bill{}, err
	}
	var b bytes.Buffer
	if err := form.write(&b, a.inventory(m)); err != nil {
		return bill{}, err
	}
	return bill{fileName(m.Name, m.Version), b.Bytes()}, nil
}

// inventory is the image as a document.
func (a *api) inventory(m *store.Merged) *export.Document {
	inv := m.Inventory
	im := export.Image{
		Names: []string{image.Ref{Name: m.Name, Tag: m.Version}.String()}, ConfigDigest: m.ConfigDigest, ManifestDigests: m.Digests,
		Platform: m.Config.Platform.String(), Distro: inv.Distro, Problems: inv.Problems, Ledger: inv.Ledger, Complete: inv.Complete,
		Files: report.VisibleFiles(m.Layers),
	}
	if m.Name == "" {
		im.Names = nil
	}
	if !m.Config.Created.IsZero() {
		im.Created = m.Config.Created.Format(time.RFC3339)
	}
	for _, d := range m.Config.DiffIDs {
		im.Layers = append(im.Layers, export.Layer{DiffID: d})
	}
	for _, p := range inv.Packages {
		im.Packages = append(im.Packages, export.Package{Package: p, PURL: report.PURL(p, inv.Distro)})
	}
	doc := &export.Document{Tool: export.Tool{Version: a.version}, AnalyzerSet: m.Analyzers, Inventory: true, Images: []export.Image{im}}
	doc.Finish()
	return doc
}

// fileName is a name for a file that any system takes.
func fileName(name, version string) string {
	const most = 100
	out := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c) {
			return c
		}
		return '_'
	}, strings.Trim(name+"-"+version, "-."))
	if out == "" {
		return "image"
	}
	return out[:min(len(out), most)]
}
