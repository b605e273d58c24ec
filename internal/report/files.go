package report

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Kinds of files whose digests are taken. The kind of a file that is none of
// these is empty.
const (
	KindELF    = "elf"
	KindPE     = "pe"
	KindMachO  = "mach-o"
	KindScript = "script"
	KindJava   = "java"
	KindWasm   = "wasm"
	// KindProgram is another file that the mode or the name says is run.
	KindProgram = "program"
)

// Kinds are all of them, the empty one first.
var Kinds = [...]string{"", KindELF, KindPE, KindMachO, KindScript, KindJava, KindWasm, KindProgram}

// MaxFiles is the number of files of one layer in its report.
const MaxFiles = 20_000

// A SHA256 is a digest of content, in text 64 hexadecimal digits.
type SHA256 [32]byte

// MarshalText implements encoding.TextMarshaler.
func (s SHA256) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *SHA256) UnmarshalText(text []byte) error {
	if len(text) != 2*len(s) {
		return fmt.Errorf("parse SHA-256: %d characters: want %d", len(text), 2*len(s))
	}
	if _, err := hex.Decode(s[:], text); err != nil {
		return fmt.Errorf("parse SHA-256: %w", err)
	}
	return nil
}

// A File is a regular file of a layer with the digest of its content.
type File struct {
	// Path is absolute within the image.
	Path string `json:"path"`
	// Size in bytes.
	Size int64 `json:"size"`
	// Mode has the bits of permission, set-user-ID and set-group-ID, as in
	// stat(2).
	Mode uint32 `json:"mode"`
	// Kind is one of Kinds.
	Kind   string `json:"kind,omitempty"`
	SHA256 SHA256 `json:"sha256"`
	// Owned says that a package database of the same layer lists the file.
	Owned bool `json:"owned,omitempty"`
	// Layer is the diff ID of the layer. Set by Merge.
	Layer string `json:"layer,omitempty"`
}

// Compare orders files by path.
func (f File) Compare(o File) int {
	return cmp.Or(cmp.Compare(f.Path, o.Path), cmp.Compare(f.Layer, o.Layer))
}

// KindOf is what a file is by the first eight bytes of its content, else by its
// name, else by the execute bits of its mode; empty for a file that is not run.
func KindOf(p string, mode uint32, head []byte) string {
	switch s := string(head); {
	case strings.HasPrefix(s, "\x7fELF"):
		return KindELF
	case strings.HasPrefix(s, "MZ"):
		return KindPE
	case strings.HasPrefix(s, "#!"):
		return KindScript
	case strings.HasPrefix(s, "\x00asm"):
		return KindWasm
	case strings.HasPrefix(s, "\xca\xfe\xba\xbe") && len(s) >= 8:
		// A class has its version here, 45 at least; a universal binary the
		// number of its architectures.
		if s[4] == 0 && s[5] == 0 && s[6] == 0 && s[7] < 45 {
			return KindMachO
		}
		return KindJava
	}
	if len(head) >= 4 {
		switch string(head[:4]) {
		case "\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe":
			return KindMachO
		}
	}
	return KindByName(p, mode)
}

// KindByName is KindOf without the content.
func KindByName(p string, mode uint32) string {
	switch strings.ToLower(path.Ext(p)) {
	case ".jar", ".war", ".ear", ".class":
		return KindJava
	case ".php", ".jsp", ".asp", ".aspx", ".py", ".sh":
		return KindScript
	case ".wasm":
		return KindWasm
	case ".so", ".dll", ".exe":
		return KindProgram
	}
	if mode&0o111 != 0 {
		return KindProgram
	}
	return ""
}

// OwnedFiles are the hashes of the files that distribution packages list by the
// databases of this layer, sorted.
func (r *LayerReport) OwnedFiles() Hashes {
	var all Hashes
	for i := range r.Ownership {
		if typ, _, _ := strings.Cut(r.Ownership[i].Owner, ":"); OSType(typ) {
			all = append(all, r.Ownership[i].Files...)
		}
	}
	return slices.Compact(sorted(all))
}

// HiddenFiles are, for each layer of an image, the numbers of its Files that the
// layers above it hide, ascending.
func HiddenFiles(layers []*LayerReport) [][]int { return newView(layers).hiddenFiles() }

func (v *view) hiddenFiles() [][]int {
	out := make([][]int, len(v.layers))
	for i, l := range v.layers {
		for n := range l.Files {
			if v.hidden(l.Files[n].Path, i) {
				out[i] = append(out[i], n)
			}
		}
	}
	return out
}

// VisibleFiles are the files of all layers that nothing hides, by path; nil if
// the reports have none. They are no part of an Inventory, since who keeps the
// lists of layers needs HiddenFiles alone.
func VisibleFiles(layers []*LayerReport) []File {
	v := newView(layers)
	var out []File
	for i, hidden := range v.hiddenFiles() {
		for n, f := range v.layers[i].Files {
			if len(hidden) > 0 && hidden[0] == n {
				hidden = hidden[1:]
				continue
			}
			f.Layer = v.layers[i].DiffID
			out = append(out, f)
		}
	}
	slices.SortFunc(out, File.Compare)
	return out
}
