package fleet

import (
	"net/netip"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

func invalid(format string, args ...any) error { return fault.New(fault.Invalid, format, args...) }

// text checks that s is what clean leaves of it.
func text(what, s string, most int) error {
	if len(s) > most {
		return invalid("%s is longer than %d bytes", what, most)
	}
	if clean(s, most) != s {
		return invalid("%s has control characters or is not UTF-8", what)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (h Host) validate() error {
	if h.ID == "" {
		return invalid("host: the id is missing")
	}
	if len(h.Engines) > MaxEngines {
		return invalid("host: more than %d engines", MaxEngines)
	}
	err := firstError(text("host id", h.ID, MaxText), text("host name", h.Name, MaxText), text("host os", h.OS, MaxText),
		text("host architecture", h.Arch, MaxText), text("agent version", h.Version, MaxText))
	if err != nil {
		return err
	}
	for _, ip := range []string{h.PrivateIP, h.PublicIP} {
		if ip == "" {
			continue
		}
		if a, err := netip.ParseAddr(ip); err != nil || !a.Is4() {
			return invalid("host: an address is not IPv4")
		}
	}
	for _, e := range h.Engines {
		err := firstError(text("engine name", e.Name, MaxText), text("engine version", e.Version, MaxText),
			text("engine error", e.Error, MaxMessage))
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *SyncRequest) validate() error {
	if err := r.Host.validate(); err != nil {
		return err
	}
	if len(r.Holds) > MaxHolds || r.Want < 0 || r.Want > MaxHolds {
		return invalid("sync: more than %d jobs", MaxHolds)
	}
	for _, id := range r.Holds {
		if !validID(id) {
			return invalid("sync: a held job has a malformed id")
		}
	}
	r.WaitMS = max(0, min(r.WaitMS, int(MaxWait.Milliseconds())))
	if err := firstError(analyzersKey(r.Analyzers), text("hash of images", r.ImagesHash, MaxText)); err != nil {
		return err
	}
	if r.WordsVersion != "" && !validID(r.WordsVersion) {
		return invalid("sync: the version of the words is malformed")
	}
	if r.ImagesHash == "" {
		return invalid("sync: the hash of the images is missing")
	}
	if r.Images == nil {
		return nil
	}
	if len(*r.Images) > MaxImages {
		return invalid("sync: more than %d images", MaxImages)
	}
	for i := range *r.Images {
		if err := (*r.Images)[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

// validate is the agent's: it checks what the server says. Its error does not
// repeat a word.
func (r *SyncResponse) validate() error {
	if r.Words == nil {
		return nil
	}
	if !validID(r.WordsVersion) {
		return invalid("sync: the version of the words is missing or malformed")
	}
	if len(*r.Words) > MaxWords {
		return invalid("sync: more than %d words", MaxWords)
	}
	for i, w := range *r.Words {
		if w == "" || len(w) > MaxWordBytes || !utf8.ValidString(w) {
			return invalid("sync: word %d is empty, longer than %d bytes or not UTF-8", i+1, MaxWordBytes)
		}
	}
	return nil
}

func (m *ImageState) validate() error {
	if _, err := wholeDigest(m.ConfigDigest); err != nil {
		return err
	}
	if m.ManifestDigest != "" {
		if _, err := wholeDigest(m.ManifestDigest); err != nil {
			return err
		}
	}
	switch {
	case m.Engine == "":
		return invalid("image %s: the engine is missing", m.ConfigDigest)
	case len(m.Names) > MaxNames || len(m.RepoDigests) > MaxNames:
		return invalid("image %s: more than %d names", m.ConfigDigest, MaxNames)
	case len(m.Containers) > MaxContainers:
		return invalid("image %s: more than %d containers", m.ConfigDigest, MaxContainers)
	case m.Size < 0:
		return invalid("image %s: negative size", m.ConfigDigest)
	}
	texts := []string{m.Engine, m.NonScanReason, m.Platform.OS, m.Platform.Arch, m.Platform.Variant}
	for _, n := range m.Names {
		texts = append(texts, n.Name, n.Tag)
	}
	texts = append(texts, m.RepoDigests...)
	for _, c := range m.Containers {
		texts = append(texts, c.ID, c.Name, c.PodID, c.PodName, c.EntryPoint)
	}
	for _, s := range texts {
		if err := text("a text of image "+string(m.ConfigDigest), s, MaxText); err != nil {
			return err
		}
	}
	return nil
}

// wholeDigest refuses the short form that people may type.
func wholeDigest(d image.Digest) (image.Digest, error) {
	p, err := image.ParseDigest(string(d))
	if err == nil && p != d {
		err = invalid("digest %q: want sha256: and 64 hexadecimal digits", d)
	}
	return p, err
}

func digests(what string, ds []image.Digest) error {
	if len(ds) > MaxLayers {
		return invalid("%s: more than %d layers", what, MaxLayers)
	}
	for _, d := range ds {
		if _, err := wholeDigest(d); err != nil {
			return err
		}
	}
	return nil
}

func analyzersKey(key string) error {
	if !validID(key) {
		return invalid("the key of the analyser set is missing or malformed")
	}
	return nil
}

// validID holds for job ids and keys of analyser sets.
func validID(s string) bool {
	const most = 256
	if s == "" || len(s) > most {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

func (r *MissingRequest) validate() error {
	return firstError(analyzersKey(r.Analyzers), digests("missing layers", r.DiffIDs))
}

// validateLayer checks the shape of a layer report and puts it in order, so
// that equal facts are stored as equal bytes.
func validateLayer(r *report.LayerReport) error {
	if _, err := wholeDigest(image.Digest(r.DiffID)); err != nil {
		return err
	}
	if err := analyzersKey(r.Analyzers); err != nil {
		return err
	}
	packages := len(r.Packages)
	for i := range r.Databases {
		packages += len(r.Databases[i].Packages)
	}
	if packages > MaxPackages {
		return invalid("layer %s: more than %d packages", r.DiffID, MaxPackages)
	}
	if len(r.Problems) > MaxProblems {
		return invalid("layer %s: more than %d problems", r.DiffID, MaxProblems)
	}
	check := func(ps []report.Package) error {
		for i := range ps {
			p := &ps[i]
			if p.Type == "" || p.Name == "" || !absolute(p.Path) {
				return invalid("layer %s: a package lacks its type, name or path", r.DiffID)
			}
			p.Layer, p.OwnedBy = "", "" // the merge's to say
		}
		return nil
	}
	if err := check(r.Packages); err != nil {
		return err
	}
	for i := range r.Databases {
		if !absolute(r.Databases[i].Path) {
			return invalid("layer %s: a database lacks its path", r.DiffID)
		}
		if err := check(r.Databases[i].Packages); err != nil {
			return err
		}
	}
	if err := validateChecks(r); err != nil {
		return err
	}
	if len(r.Files) > report.MaxFiles {
		return invalid("layer %s: more than %d files", r.DiffID, report.MaxFiles)
	}
	for i := range r.Files {
		f := &r.Files[i]
		if !absolute(f.Path) || f.Size <= 0 || f.Mode > 0o7777 || !slices.Contains(report.Kinds[:], f.Kind) || !r.FilesRead {
			return invalid("layer %s: a file lacks its path or size, or is of no kind", r.DiffID)
		}
		f.Layer = "" // the merge's to say
	}
	for _, paths := range [][]string{r.Whiteouts, r.Opaques} {
		for _, p := range paths {
			if !absolute(p) {
				return invalid("layer %s: a whiteout lacks its path", r.DiffID)
			}
		}
	}
	for p := range r.Symlinks {
		if !absolute(p) {
			return invalid("layer %s: a symbolic link lacks its path", r.DiffID)
		}
	}
	for p := range r.OSReleases {
		if !absolute(p) {
			return invalid("layer %s: an os-release lacks its path", r.DiffID)
		}
	}
	for i := range r.Problems {
		r.Problems[i].Layer = ""
	}
	r.Normalize()
	return nil
}

// validateChecks checks what others than the analysers of packages have found,
// and takes out what only the merge may say.
func validateChecks(r *report.LayerReport) error {
	if len(r.Secrets) > report.MaxSecrets || len(r.Malware) > report.MaxMalware || len(r.Settings) > report.MaxSettings {
		return invalid("layer %s: more than %d secrets, %d findings of malware or %d settings", r.DiffID, report.MaxSecrets, report.MaxMalware, report.MaxSettings)
	}
	short := func(most int, ss ...string) bool {
		for _, s := range ss {
			if text("", s, most) != nil {
				return false
			}
		}
		return true
	}
	for i := range r.Secrets {
		s := &r.Secrets[i]
		if !absolute(s.Path) || s.Rule == "" || s.Line < 0 || s.Column < 0 || s.Length < 0 || !short(MaxText, s.Rule, s.Title, s.Kind, s.Severity, s.Masked, s.Context) {
			return invalid("layer %s: a secret lacks its path or rule, or says too much", r.DiffID)
		}
		s.Layer, s.Deleted = "", false
	}
	for i := range r.Malware {
		m := &r.Malware[i]
		if !absolute(m.Path) || m.Rule == "" || m.Size < 0 || m.Offset < -1 ||
			!short(MaxText, m.Name, m.Family, m.Type, m.Severity, m.Description, m.SHA256, m.Engine, m.Rule, m.Evidence) || len(m.Inner) > 4*maxPathBytes {
			return invalid("layer %s: a finding of malware lacks its path or rule, or says too much", r.DiffID)
		}
		m.Layer, m.Deleted = "", false
	}
	for i := range r.Settings {
		s := &r.Settings[i]
		if !absolute(s.Path) || !short(MaxText, s.Kind) || s.Kind == "" || len(s.Body) == 0 || len(s.Body) > report.MaxSettingBytes {
			return invalid("layer %s: a setting lacks its path, kind or body", r.DiffID)
		}
		s.Layer = ""
	}
	r.Checked, r.Partial = nil, nil // Join's to say
	return nil
}

// maxPathBytes is the length of a path, as in package layer.
const maxPathBytes = 4096

// absolute reports whether p is a clean path from the root of the image. The
// part after "!" lies inside an archive and may be anything.
func absolute(p string) bool {
	p, _, _ = strings.Cut(p, "!")
	return strings.HasPrefix(p, "/") && path.Clean(p) == p
}

func (r *FinishRequest) validate() error {
	r.Message = clean(r.Message, MaxMessage)
	switch r.Failure {
	case "":
	case FailureUnknown, FailureNoAgent, FailureEngineOffline, FailureNoRoot, FailureImageGone,
		FailureTooLarge, FailureNFS, FailureTimeout:
		r.Image = nil
		return nil
	default:
		return invalid("finish: unknown failure")
	}
	m := r.Image
	if m == nil {
		return invalid("finish: neither a failure nor an image report")
	}
	if _, err := wholeDigest(m.ConfigDigest); err != nil {
		return err
	}
	if err := firstError(analyzersKey(m.Analyzers), digests("finish", m.DiffIDs)); err != nil {
		return err
	}
	cfg, err := image.ParseConfig(m.Config)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "finish")
	}
	if len(cfg.DiffIDs) != len(m.DiffIDs) {
		return invalid("finish: %d layers, the image configuration has %d", len(m.DiffIDs), len(cfg.DiffIDs))
	}
	has := make(map[string]bool, len(m.DiffIDs))
	for i, d := range m.DiffIDs {
		if cfg.DiffIDs[i] != d {
			return invalid("finish: the layers are not those of the image configuration")
		}
		has[string(d)] = true
	}
	keys := report.SplitKeys(m.Analyzers)
	if len(m.Partial) > len(m.DiffIDs)*len(keys) {
		return invalid("finish: more partial reports than layers")
	}
	for i := range m.Partial {
		p := &m.Partial[i]
		if p.Complete || !has[p.DiffID] || !slices.Contains(keys, p.Analyzers) {
			return invalid("finish: a partial report is complete, of another layer or of other analysers")
		}
		if err := validateLayer(p); err != nil {
			return err
		}
	}
	return nil
}
