package chisel

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/lines"
	"github.com/onceover/onceover/internal/report"
)

const (
	key = "chisel/1"

	manifestPath = "/var/lib/chisel/manifest.wall"
)

// Limits. The manifest of an image with Python has 40 packages, 3,000 paths and
// 500 KB, 60 KB compressed.
const (
	maxBytes      = 32 << 20
	maxPlainBytes = 64 << 20
	maxPackages   = 10_000
	maxOwned      = 500_000
	maxFieldBytes = 1024
	// zstdWindow is the most that the stream may make us hold.
	zstdWindow = 8 << 20
)

// An Analyzer reads chisel's manifest.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes the manifest.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool { return p == manifestPath }

// An entry is one line of the manifest, of any kind.
type entry struct {
	Wall    string   `json:"jsonwall"`
	Kind    string   `json:"kind"`
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Arch    string   `json:"arch"`
	Path    string   `json:"path"`
	Slices  []string `json:"slices"`
}

// Analyze implements analyze.Analyzer. What stands before damage comes with the
// error.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if f.Size > maxBytes {
		return nil, fmt.Errorf("read manifest: %w", analyze.Limited("bytes", f.Size, maxBytes))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if f.Size == 0 {
		return nil, nil
	}
	z, err := zstd.NewReader(f.Reader(), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	defer z.Close()
	m := manifest{path: f.Path, owned: map[string]report.Hashes{}}
	plain := &io.LimitedReader{R: z, N: maxPlainBytes + 1}
	err = m.read(ctx, bufio.NewReader(plain))
	if plain.N == 0 {
		err = analyze.Limited("bytes inflated", maxPlainBytes+1, maxPlainBytes)
	}
	if err != nil {
		return m.facts(), fmt.Errorf("read manifest: %w", err)
	}
	return m.facts(), nil
}

// A manifest is what has been read of one.
type manifest struct {
	path     string
	pkgs     []report.Package
	owned    map[string]report.Hashes // by package
	hashes   int
	problems analyze.Problems
}

func (m *manifest) read(ctx context.Context, r io.Reader) error {
	lr := lines.New(ctx, r)
	for n := 1; lr.Next(); n++ {
		if len(bytes.TrimSpace(lr.Line())) == 0 {
			continue
		}
		var e entry
		err := json.Unmarshal(lr.Line(), &e)
		if n == 1 && (err != nil || e.Wall == "") {
			return errors.New("it has no header of a manifest")
		}
		if err != nil {
			m.problems.Add(m.path, key, "line %d: %v", n, err)
			continue
		}
		switch e.Kind {
		case "package":
			err = m.add(e, n)
		case "path":
			err = m.own(e)
		}
		if err != nil {
			return err
		}
	}
	return lr.Err()
}

func (m *manifest) add(e entry, line int) error {
	for _, s := range []string{e.Name, e.Version, cmp.Or(e.Arch, "-")} {
		if !analyze.Plain(s) || len(s) > maxFieldBytes {
			m.problems.Add(m.path, key, "line %d: package %q, version %q: not usable", line, analyze.Clip(e.Name), analyze.Clip(e.Version))
			return nil
		}
	}
	if len(m.pkgs) == maxPackages {
		return analyze.Limited("packages", maxPackages+1, maxPackages)
	}
	m.pkgs = append(m.pkgs, report.Package{Type: report.TypeDeb, Name: e.Name, Version: e.Version, Arch: e.Arch, Source: sources[e.Name], Path: m.path})
	return nil
}

// own notes the owners of a path; directories end in a slash.
func (m *manifest) own(e entry) error {
	if strings.HasSuffix(e.Path, "/") {
		return nil
	}
	for _, s := range e.Slices {
		pkg, _, ok := strings.Cut(s, "_")
		if !ok || !analyze.Plain(pkg) || len(pkg) > maxFieldBytes {
			continue
		}
		before := len(m.owned[pkg])
		m.owned[pkg] = analyze.AppendOwned(m.owned[pkg], e.Path)
		if m.hashes += len(m.owned[pkg]) - before; m.hashes > maxOwned {
			return analyze.Limited("owned files", int64(m.hashes), maxOwned)
		}
	}
	return nil
}

func (m *manifest) facts() *report.Facts {
	facts := &report.Facts{Problems: m.problems.List()}
	if len(m.pkgs) > 0 {
		facts.Database = &report.Database{Path: m.path, Packages: m.pkgs}
	}
	for _, pkg := range slices.Sorted(maps.Keys(m.owned)) {
		files := m.owned[pkg]
		if len(files) == 0 {
			continue
		}
		slices.Sort(files)
		facts.Ownership = append(facts.Ownership, report.Ownership{Path: m.path, Owner: report.TypeDeb + ":" + pkg, Files: slices.Compact(files)})
	}
	if facts.Database == nil && len(facts.Ownership) == 0 && len(facts.Problems) == 0 {
		return nil
	}
	return facts
}

// sources are the source packages of Ubuntu packages that have another name.
var sources = map[string]string{
	"libbrotli1": "brotli", "libbz2-1.0": "bzip2", "libc6": "glibc", "libc-bin": "glibc", "libcom-err2": "e2fsprogs",
	"libcrypt1": "libxcrypt", "libdb5.3": "db5.3", "libdb5.3t64": "db5.3", "libexpat1": "expat", "libffi8": "libffi",
	"libgnutls30": "gnutls28", "libgnutls30t64": "gnutls28", "libgssapi-krb5-2": "krb5", "libk5crypto3": "krb5",
	"libkrb5-3": "krb5", "libkrb5support0": "krb5", "libicu70": "icu", "libicu74": "icu", "libidn2-0": "libidn2",
	"libkeyutils1": "keyutils", "liblttng-ust1": "ust", "liblttng-ust1t64": "ust", "liblzma5": "xz-utils",
	"libncursesw6": "ncurses", "libtinfo6": "ncurses", "libnghttp2-14": "nghttp2", "libpcre2-8-0": "pcre2",
	"libreadline8": "readline", "libreadline8t64": "readline", "libselinux1": "libselinux", "libsqlite3-0": "sqlite3",
	"libssl3": "openssl", "libssl3t64": "openssl", "libunistring2": "libunistring", "libunistring5": "libunistring",
	"libunwind8": "libunwind", "libuuid1": "util-linux", "libyaml-0-2": "libyaml",
	"libzstd1": "libzstd", "zlib1g": "zlib", "libcurl4": "curl", "libcurl4t64": "curl", "libpcre3": "pcre3",
	"python3.10-minimal": "python3.10", "libpython3.10-minimal": "python3.10", "libpython3.10-stdlib": "python3.10",
	"python3.12-minimal": "python3.12", "libpython3.12-minimal": "python3.12", "libpython3.12-stdlib": "python3.12",
}
