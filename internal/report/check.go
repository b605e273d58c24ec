package report

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// Checks are what the files of a layer are looked at for, each with a report
// and a key of its own, so that a change of rules reads again only what it
// must. CheckPackages comes with the structure of the layer, without which the
// others cannot be merged.
const (
	CheckPackages  = "packages"
	CheckSecrets   = "secrets"
	CheckMalware   = "malware"
	CheckBaseline  = "baseline"
	CheckPasswords = "passwords"
)

// Checks in their order.
var Checks = [...]string{CheckPackages, CheckSecrets, CheckMalware, CheckBaseline, CheckPasswords}

// CheckOf is the check whose key is given: a key is the name of the check and a
// hash, "secrets-0123456789abcdef". It is "" for a key of no check.
func CheckOf(key string) string {
	name, _, ok := strings.Cut(key, "-")
	if !ok || !slices.Contains(Checks[:], name) {
		return ""
	}
	return name
}

// JoinKeys is the key of a report that was joined, or that of an image whose
// layers have such reports: the keys with dots between them, in the order of
// Checks. SplitKeys takes it apart.
func JoinKeys(keys []string) string {
	keys = slices.Clone(keys)
	slices.SortStableFunc(keys, func(a, b string) int {
		return cmp.Compare(slices.Index(Checks[:], CheckOf(a)), slices.Index(Checks[:], CheckOf(b)))
	})
	return strings.Join(keys, ".")
}

// SplitKeys are the keys that a joined key is made of.
func SplitKeys(joined string) []string {
	if joined == "" {
		return nil
	}
	return strings.Split(joined, ".")
}

// KeyFor is that one of the keys which is of a check, "" if there is none.
func KeyFor(joined, check string) string {
	for k := range strings.SplitSeq(joined, ".") {
		if CheckOf(k) == check {
			return k
		}
	}
	return ""
}

// Has reports whether a key that may be joined is of a check.
func Has(joined, check string) bool { return KeyFor(joined, check) != "" }

// Limits on what one layer says in its report.
const (
	// MaxMalware is the number of findings of malware.
	MaxMalware = 10_000
	// MaxSettings is the number of settings, and MaxSettingBytes the size
	// of one.
	MaxSettings     = 20_000
	MaxSettingBytes = 8 << 20
	// MaxLoose is the number of settings of kind SettingLoose.
	MaxLoose = 2_000
)

// A Malware is one file of an image, or an entry of an archive, that someone
// planted to do harm.
type Malware struct {
	// Name is what was found, for people: "XMRig miner", or the name of the
	// signature; Family a short word for its kin, which may be empty.
	Name   string `json:"name"`
	Family string `json:"family,omitempty"`
	// Type is a word of internal/check/malware: "miner", "webshell" …
	Type string `json:"type"`
	// Severity is one of those of findings.
	Severity    string `json:"severity"`
	Description string `json:"description,omitempty"`
	// Path is the file, absolute within the image. Inner is the way to the
	// entry if Path is an archive, with "!" between archives.
	Path  string `json:"path"`
	Inner string `json:"inner,omitempty"`
	// SHA256 of the file or entry, in hexadecimal digits; Size of the file
	// in bytes, and Modified its time of change, in Unix seconds, 0 if it is
	// not known.
	SHA256   string `json:"sha256,omitempty"`
	Size     int64  `json:"size,omitempty"`
	Modified int64  `json:"modified,omitempty"`
	// Engine that found it, "hash", "rule", "yara" or "clamd", and its rule.
	Engine string `json:"engine"`
	Rule   string `json:"rule"`
	// Evidence says which parts of the rule were found, in the words of the
	// rule.
	Evidence string `json:"evidence,omitempty"`
	// Offset of the first of them in bytes, -1 if there is no place.
	Offset int64 `json:"offset"`
	// Layer is the diff ID of the layer, and Deleted says that a later layer
	// hides the file. Set by Merge.
	Layer   string `json:"layer,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
}

// Compare orders findings of malware: the worst first, then by place.
func (m Malware) Compare(o Malware) int {
	return cmp.Or(
		cmp.Compare(SeverityRank(o.Severity), SeverityRank(m.Severity)),
		cmp.Compare(m.Path, o.Path), cmp.Compare(m.Inner, o.Inner), cmp.Compare(m.Engine, o.Engine),
		cmp.Compare(m.Rule, o.Rule), cmp.Compare(m.Offset, o.Offset), cmp.Compare(m.Layer, o.Layer),
	)
}

// Kinds of settings.
const (
	// SettingBaseline is a fact of package baseline, one of its File.
	SettingBaseline = "baseline"
	// SettingLoose is the same of a file that counts only because everyone may
	// write it. A layer may have any number of them: those with the first
	// paths are kept, at most MaxLoose.
	SettingLoose = "baseline-loose"
	// SettingRules is the text of a file that says what new passwords must
	// be like, a JSON string.
	SettingRules = "password-rules"
	// SettingAccounts is what was found out about the passwords of a file, a
	// password.Result.
	SettingAccounts = "accounts"
)

// A Setting is what one configuration file or directory of an image says, in
// the words of the package that reads it. Nothing secret is in it.
type Setting struct {
	Kind string `json:"kind"`
	// Path of the file or directory, absolute within the image. A later
	// layer that has the path replaces it.
	Path string `json:"path"`
	// Body is JSON; Kind says of what type.
	Body json.RawMessage `json:"body"`
	// Layer is the diff ID of the layer. Set by Merge.
	Layer string `json:"layer,omitempty"`
}

// Compare orders settings by kind and path.
func (s Setting) Compare(o Setting) int {
	return cmp.Or(cmp.Compare(s.Kind, o.Kind), cmp.Compare(s.Path, o.Path), cmp.Compare(s.Layer, o.Layer))
}

// Join is the report of a layer with what other checks found there: reports of
// the same layer that were made for one check each, the one for packages
// first. A report that is there alone is returned as it is; else they are not
// changed.
func Join(parts ...*LayerReport) *LayerReport {
	if len(parts) == 1 {
		return parts[0]
	}
	out := *parts[0]
	keys := []string{out.Analyzers}
	out.Problems = slices.Clip(out.Problems)
	out.Checked, out.Partial = map[string]Ledger{}, nil
	for _, p := range parts {
		if !p.Complete {
			out.Partial = append(out.Partial, CheckOf(p.Analyzers))
		}
	}
	for _, p := range parts[1:] {
		keys = append(keys, p.Analyzers)
		out.Complete = out.Complete && p.Complete
		out.Secrets = append(slices.Clip(out.Secrets), p.Secrets...)
		out.Malware = append(slices.Clip(out.Malware), p.Malware...)
		out.Settings = append(slices.Clip(out.Settings), p.Settings...)
		out.Problems = append(out.Problems, p.Problems...)
		out.Checked[CheckOf(p.Analyzers)] = p.Ledger
	}
	out.Analyzers = JoinKeys(keys)
	return &out
}

// malware are the findings of all layers, also in files that are hidden.
func (v *view) malware() []Malware {
	var out []Malware
	for i, l := range v.layers {
		for _, m := range l.Malware {
			m.Layer, m.Deleted = l.DiffID, v.hidden(m.Path, i)
			out = append(out, m)
		}
	}
	slices.SortFunc(out, Malware.Compare)
	return out
}

// settings are those of files and directories that can be seen, each from the
// topmost layer that has it.
func (v *view) settings() []Setting {
	type place struct{ kind, path string }
	seen := map[place]bool{}
	var out []Setting
	for i := len(v.layers) - 1; i >= 0; i-- {
		l := v.layers[i]
		for _, s := range l.Settings {
			at := place{s.Kind, s.Path}
			if seen[at] || v.hidden(s.Path, i) {
				continue
			}
			seen[at] = true
			s.Layer = l.DiffID
			out = append(out, s)
		}
	}
	slices.SortFunc(out, Setting.Compare)
	return out
}
