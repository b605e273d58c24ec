package kernel

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const (
	extra  = "/lib/modules/6.1.0-56-amd64/extra/thing.ko"
	bzPath = "/boot/vmlinuz-6.1.0-56-amd64"
	text   = "6.1.0-56-amd64 (debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2\x00"
	info   = "version=1.2.3\x00license=Dual MIT/GPL\x00license=GPL\x00retpoline=Y\x00name=thing\x00vermagic=6.1.0-56-amd64 SMP preempt mod_unload\x00"
)

// makeImage is the beginning of a kernel image that has its version at 0x0f20,
// as Debian's kernels do.
func makeImage(version string) []byte {
	b := make([]byte, 0x1000+len(version))
	copy(b, "MZ")
	binary.LittleEndian.PutUint16(b[bootFlagAt:], 0xaa55)
	copy(b[headerAt:], "HdrS")
	binary.LittleEndian.PutUint16(b[versionAt:], 0xe00)
	copy(b[0x1000:], version)
	return b
}

// makeModule is an ELF file for x86-64 that has a section of module
// information, and its names.
func makeModule(info string) []byte {
	names := "\x00.shstrtab\x00.modinfo\x00"
	le := binary.LittleEndian
	h := make([]byte, 64)
	copy(h, "\x7fELF\x02\x01\x01")
	le.PutUint16(h[16:], 1) // relocatable
	le.PutUint16(h[18:], 62)
	le.PutUint32(h[20:], 1)
	le.PutUint64(h[40:], uint64(64+len(names)+len(info)))
	le.PutUint16(h[52:], 64)
	le.PutUint16(h[58:], 64)
	le.PutUint16(h[60:], 3)
	le.PutUint16(h[62:], 1)
	section := func(name, kind uint32, at, size int) []byte {
		s := make([]byte, 64)
		le.PutUint32(s, name)
		le.PutUint32(s[4:], kind)
		le.PutUint64(s[24:], uint64(at))
		le.PutUint64(s[32:], uint64(size))
		return s
	}
	out := append(append(h, names...), info...)
	out = append(out, make([]byte, 64)...)
	out = append(out, section(1, 3, 64, len(names))...)
	return append(out, section(11, 1, 64+len(names), len(info))...)
}

func compress(t testing.TB, ext string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var err error
	if ext == ".gz" {
		w := gzip.NewWriter(&out)
		_, err = w.Write(b)
		err = errors.Join(err, w.Close())
	} else {
		var w *zstd.Encoder
		if w, err = zstd.NewWriter(&out); err == nil {
			_, err = w.Write(b)
			err = errors.Join(err, w.Close())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestSuite(t *testing.T) {
	analyzetest.Suite(t, New(), bzPath, makeImage(text))
	analyzetest.Suite(t, New(), extra, makeModule(info))
	analyzetest.Suite(t, New(), extra+".zst", compress(t, ".zst", makeModule(info)))
	analyzetest.Suite(t, New(), extra+".gz", compress(t, ".gz", makeModule(info)))
}

func TestWants(t *testing.T) {
	for p, want := range map[string]bool{
		bzPath: true, "/vmlinuz": true, "/usr/lib/modules/6.1/vmlinuz": true, "/boot/config-6.1": false, "/usr/bin/vmlinuz": false,
		extra: true, extra + ".zst": true, "/usr/lib/modules/6.1/updates/dkms/a.ko.xz": true,
		"/lib/modules/6.1/kernel/fs/ext4/ext4.ko": false, "/lib/modules/6.1/modules.dep": false, "/srv/lib/modules/6.1/extra/a.ko": false,
	} {
		if got := New().Wants(p, nil); got != want {
			t.Errorf("%s: got %v", p, got)
		}
	}
	if New().Sniff([]byte("#!/b")) || !New().Sniff([]byte("MZ\x00\x00")) {
		t.Error("sniffs wrongly")
	}
}

func TestKernelsAndModules(t *testing.T) {
	module := report.Package{Type: report.TypeKernelModule, Name: "thing", Version: "1.2.3", Licenses: []string{"Dual MIT/GPL"}, Path: extra}
	at := func(p report.Package, path string) *report.Package { p.Path = path; return &p }
	for _, tc := range []struct {
		name, path string
		content    []byte
		want       *report.Package
	}{
		{"kernel", bzPath, makeImage(text), &report.Package{Type: report.TypeKernel, Name: "linux-kernel", Version: "6.1.0-56-amd64", Arch: "x86_64", Path: bzPath}},
		{"another PE program", bzPath, append([]byte("MZ"), make([]byte, 4096)...), nil},
		{"module", extra, makeModule(info), &module},
		{"zstd", extra + ".zst", compress(t, ".zst", makeModule(info)), at(module, extra+".zst")},
		{"gzip", extra + ".gz", compress(t, ".gz", makeModule(info)), at(module, extra+".gz")},
		{"xz", extra + ".xz", []byte("\xfd7zXZ\x00"), &report.Package{Type: report.TypeKernelModule, Name: "thing", Path: extra + ".xz"}},
		{"no version, old kernel", strings.Replace(extra, "thing", "any-thing", 1), makeModule("license=GPL\x00"),
			&report.Package{Type: report.TypeKernelModule, Name: "any_thing", Licenses: []string{"GPL"}, Path: strings.Replace(extra, "thing", "any-thing", 1)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			facts := analyzetest.Facts(t, New(), analyzetest.File(tc.path, tc.content))
			var got *report.Package
			if facts != nil {
				got = &facts.Packages[0]
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, bad := range []string{"no version\x00", "6.1", ""} {
		if facts, err := New().Analyze(t.Context(), analyzetest.File(bzPath, makeImage(bad))); err == nil {
			t.Errorf("%q: got %v", bad, facts)
		}
	}
}

// The kernel of this machine, or of the directory that ONCEOVER_KERNELS names
// (an unpacked linux-image package), says the version that its name has.
func TestRealKernels(t *testing.T) {
	n := 0
	for _, dir := range []string{os.Getenv("ONCEOVER_KERNELS"), "/"} {
		if dir == "" {
			continue
		}
		images, err := filepath.Glob(filepath.Join(dir, "boot/vmlinuz-*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range images {
			facts := analyzetest.Facts(t, New(), analyzetest.Open(t, "/boot/"+filepath.Base(p), p))
			if want := strings.TrimPrefix(filepath.Base(p), "vmlinuz-"); facts == nil || facts.Packages[0].Version != want {
				t.Errorf("%s: got %+v", p, facts)
			}
			n++
		}
		mods, err := filepath.Glob(filepath.Join(dir, "lib/modules/*/kernel/*/*/*.ko"))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range mods {
			base := filepath.Base(p)
			facts := analyzetest.Facts(t, New(), analyzetest.Open(t, "/lib/modules/1/extra/"+base, p))
			if want := strings.ReplaceAll(strings.TrimSuffix(base, ".ko"), "-", "_"); facts.Packages[0].Name != want || len(facts.Packages[0].Licenses) != 1 {
				t.Errorf("%s: got %+v", p, facts.Packages[0])
			}
			n++
		}
	}
	if n == 0 {
		t.Skip("no kernel in /boot or ONCEOVER_KERNELS")
	}
	t.Logf("%d kernels and modules", n)
}

func TestLimits(t *testing.T) {
	want := func(what, p string, b []byte, size int64) {
		t.Helper()
		f := analyzetest.File(p, b)
		if size > 0 {
			f.Size = size
		}
		if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	want("bytes", extra, nil, maxModuleBytes+1)
	want("module information", extra, makeModule(strings.Repeat("a", maxInfoBytes+1)), 0)
	want("inflated", extra+".zst", compress(t, ".zst", make([]byte, maxPlainBytes+1)), 0)
	many := makeModule(info)
	binary.LittleEndian.PutUint16(many[60:], maxSections+1)
	want("sections", extra, append(many, make([]byte, 64*maxSections)...), 0)
	long := makeModule("name=thing\x00version=" + strings.Repeat("1", maxFieldBytes+1) + "\x00")
	if facts := analyzetest.Facts(t, New(), analyzetest.File(extra, long)); facts.Packages[0].Version != "" {
		t.Errorf("field: got %+v", facts)
	}
	if facts, err := New().Analyze(t.Context(), analyzetest.File(bzPath, makeImage(strings.Repeat("1", maxTextBytes)+"\x00"))); err == nil {
		t.Errorf("text: got %+v", facts)
	}
}

func FuzzKernel(f *testing.F) {
	f.Add(makeImage(text))
	f.Add(makeModule(info))
	f.Add(compress(f, ".zst", makeModule(info)))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range []string{bzPath, extra, extra + ".zst", extra + ".gz"} {
			facts, err := New().Analyze(t.Context(), analyzetest.File(p, b))
			if err != nil || facts == nil {
				continue
			}
			for _, p := range facts.Packages {
				if !analyze.Plain(p.Name) || p.Version != "" && !analyze.Plain(p.Version) {
					t.Errorf("unusable package %+v", p)
				}
			}
		}
	})
}
