package hostile

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deflated is n zero bytes as a jar would hold them.
func deflated(n int64) []byte {
	var b bytes.Buffer
	z, _ := flate.NewWriter(&b, flate.BestSpeed)
	io.CopyN(z, zeros{}, n)
	z.Close()
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// member is one file of a jar, whose header may lie about its size.
type member struct {
	name    string
	content []byte // as stored
	method  uint16
	claims  uint64
}

func jar(members ...member) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, m := range members {
		f, err := w.CreateRaw(&zip.FileHeader{Name: m.name, Method: m.method, CompressedSize64: uint64(len(m.content)), UncompressedSize64: m.claims})
		if err == nil {
			_, err = f.Write(m.content)
		}
		if err != nil {
			panic(err)
		}
	}
	w.Close()
	return b.Bytes()
}

func stored(name string, content []byte) member {
	return member{name, content, zip.Store, uint64(len(content))}
}

// nested is a jar in a jar, deep times.
func nested(deep int) []byte {
	b := jar(stored("META-INF/MANIFEST.MF", []byte("Implementation-Title: deep\nImplementation-Version: 1\n")))
	for i := range deep {
		b = jar(stored(fmt.Sprintf("BOOT-INF/lib/level%d-1.0.jar", i), b))
	}
	return b
}

// quine doubles: each level holds the one below it several times.
func doubling(deep, wide int) []byte {
	b := jar(stored("META-INF/MANIFEST.MF", bytes.Repeat([]byte("Implementation-Title: wide\n"), 1000)))
	for range deep {
		var ms []member
		for i := range wide {
			ms = append(ms, stored(fmt.Sprintf("lib/part%d-1.0.jar", i), b))
		}
		b = jar(ms...)
	}
	return b
}

// claimsEntries is a jar whose end says that it has a great many entries.
func claimsEntries() []byte {
	b := jar(stored("a", nil))
	end := b[len(b)-22:]
	binary.LittleEndian.PutUint16(end[8:], 0xfffe)
	binary.LittleEndian.PutUint16(end[10:], 0xfffe)
	return b
}

func manyEntries(n int) []byte {
	var ms []member
	for i := range n {
		ms = append(ms, stored(fmt.Sprintf("c%d", i), nil))
	}
	return jar(ms...)
}

var anySkip = []string{"damaged", "too-large", "out-of-memory", "out-of-time", "unreadable"}

// gigabyte and hundred are zeros, which are made once.
var (
	gigabyte = sync.OnceValue(func() []byte { return deflated(1 << 30) })
	hundred  = sync.OnceValue(func() []byte { return deflated(100 << 20) })
)

// bombs are files that harm a careless reader, with what may be said of them:
// nothing, where a careful one reads what matters and is not harmed.
func bombs() map[string][]byte {
	var wide []member
	for i := range 300 {
		wide = append(wide, member{fmt.Sprintf("BOOT-INF/lib/x%d-1.0.jar", i), hundred(), zip.Deflate, 100 << 20})
	}
	return map[string][]byte{
		"opt/manifest.jar":   jar(member{"META-INF/MANIFEST.MF", gigabyte(), zip.Deflate, 1 << 30}),
		"opt/lying.jar":      jar(member{"META-INF/MANIFEST.MF", gigabyte(), zip.Deflate, 100}),
		"opt/pom.jar":        jar(member{"META-INF/maven/g/a/pom.properties", gigabyte(), zip.Deflate, 50}),
		"opt/inner.jar":      jar(member{"BOOT-INF/lib/inner-1.0.jar", gigabyte(), zip.Deflate, 1 << 30}),
		"opt/innerlying.jar": jar(member{"BOOT-INF/lib/inner-1.0.jar", gigabyte(), zip.Deflate, 1000}),
		"opt/wide.jar":       jar(wide...),
		"opt/deep.jar":       nested(60),
		"opt/doubling.jar":   doubling(4, 12),
		"opt/entries.jar":    manyEntries(120_000),
		"opt/claims.jar":     claimsEntries(),
		"opt/huge.whl":       jar(member{"x-1.0.dist-info/METADATA", gigabyte(), zip.Deflate, 10}),

		"app/node_modules/deepjson/package.json":              []byte(`{"name":` + strings.Repeat("[", 1<<20)),
		"app/node_modules/longjson/package.json":              []byte(`{"name":"` + strings.Repeat("x", 40<<20) + `","version":"1"}`),
		"app/node_modules/manykeys/package.json":              []byte(`{"name":"k","version":"1"` + strings.Repeat(`,"a":{}`, 3<<20) + `}`),
		"app/composer/installed.json":                         []byte(`{"packages":[` + strings.Repeat(`{},`, 5<<20) + `{}]}`),
		"app/deep.cdx.json":                                   []byte(`{"bomFormat":"CycloneDX","components":[` + strings.Repeat(`{"components":[`, 200_000)),
		"app/a.deps.json":                                     []byte(`{"libraries":{` + strings.Repeat(`"a/1":{},`, 1<<20) + `"b/1":{}}}`),
		"var/lib/dpkg/status":                                 bytes.Repeat([]byte("Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"), 500_000),
		"var/lib/dpkg/info/long.list":                         bytes.Repeat([]byte("/a/b/c/d\n"), 4<<20),
		"lib/apk/db/installed":                                append([]byte("P:"), bytes.Repeat([]byte{'x'}, 80<<20)...),
		"usr/lib/os-release":                                  bytes.Repeat([]byte("A=B\n"), 10<<20),
		"usr/lib/python3/dist-packages/x-1.egg-info/PKG-INFO": bytes.Repeat([]byte("Name: "), 10<<20),
	}
}

// TestBombs puts all of them into one layer, as a stream and as a directory.
func TestBombs(t *testing.T) {
	files := bombs()
	// What no reader can make sense of without harm must be named.
	want := map[string][]string{}
	for _, p := range []string{"opt/inner.jar", "opt/wide.jar", "opt/deep.jar", "opt/doubling.jar",
		"app/node_modules/deepjson/package.json", "app/node_modules/longjson/package.json"} {
		want["/"+p] = anySkip
	}
	t.Run("stream", func(t *testing.T) {
		target := archive(t, packed(tarLayer("bombs", func(tw *tar.Writer) {
			for name, b := range files {
				add(tw, name, b)
			}
		}), zst))
		m := scan(t, 3*time.Minute, target)
		neighbours(t, m)
		skips(t, m, want)
		tell(t, m)
	})
	t.Run("directory", func(t *testing.T) {
		m := scan(t, 3*time.Minute, store(t, func(diff string) {
			for name, b := range files {
				p := filepath.Join(diff, name)
				must(t, os.MkdirAll(filepath.Dir(p), 0o755))
				must(t, os.WriteFile(p, b, 0o755))
			}
		})...)
		neighbours(t, m)
		skips(t, m, want)
		tell(t, m)
	})
}

// tell logs what became of the hostile files.
func tell(t *testing.T, m measured) {
	t.Helper()
	for _, p := range m.Images[0].Problems {
		t.Logf("%s: %s: %s", p.Path, p.Reason, p.Message)
	}
	t.Logf("%+v", m.Images[0].Ledger)
}

// Layers that grow without end are read no further, and what came before
// stands.
func TestStreamBombs(t *testing.T) {
	for name, compress := range map[string]func(io.Writer) io.WriteCloser{"gzip": gz, "zstd": zst} {
		t.Run(name, func(t *testing.T) {
			const size = 3 << 29 // it takes its time to make
			m := scan(t, 2*time.Minute, archive(t, packed(tarLayer("zeros", func(tw *tar.Writer) {
				must(t, tw.WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Mode: 0o644, Size: size}))
				_, err := io.CopyN(tw, zeros{}, size)
				must(t, err)
			}), compress)))
			if !m.found(t)[healthyName] {
				t.Error("what came before was not found")
			}
			if m.Images[0].Complete || len(m.Images[0].Problems) == 0 || !strings.Contains(m.Images[0].Problems[0].Message, "grows") {
				t.Errorf("complete %v, %+v", m.Images[0].Complete, m.Images[0].Problems)
			}
		})
	}
}

// A million empty files are counted, every one.
func TestMillionFiles(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	check := func(t *testing.T, m measured, n int) {
		t.Helper()
		neighbours(t, m)
		if im := m.Images[0]; !im.Complete || im.Ledger.Files != int64(n)+2 {
			t.Errorf("complete %v, %+v, %+v", im.Complete, im.Ledger, im.Problems)
		}
	}
	t.Run("stream", func(t *testing.T) {
		check(t, scan(t, 2*time.Minute, archive(t, packed(tarLayer("files", func(tw *tar.Writer) {
			for i := range n {
				must(t, tw.WriteHeader(&tar.Header{Name: fmt.Sprintf("files/%d/%d", i/1000, i), Typeflag: tar.TypeReg, Mode: 0o644}))
			}
		}), zst))), n)
	})
	t.Run("directory", func(t *testing.T) {
		n := n / 10
		check(t, scan(t, 2*time.Minute, store(t, func(diff string) {
			for i := range n {
				dir := filepath.Join(diff, fmt.Sprint(i/1000))
				if i%1000 == 0 {
					must(t, os.Mkdir(dir, 0o755))
				}
				fd, err := unix.Open(filepath.Join(dir, fmt.Sprint(i)), unix.O_CREAT|unix.O_WRONLY, 0o644)
				must(t, err)
				unix.Close(fd)
			}
		})...), n)
	})
}

// Files of 4 GB that take no room on disk, under names that every analyser
// wants.
func TestSparseFiles(t *testing.T) {
	const size = 4 << 30
	names := []string{"opt/app.jar", "usr/bin/node", "usr/bin/program", "var/lib/rpm/Packages", "var/lib/rpm/rpmdb.sqlite", "var/lib/dpkg/status",
		"lib/apk/db/installed", "app/node_modules/x/package.json", "app/x.dll", "usr/lib/os-release"}
	t.Run("directory", func(t *testing.T) {
		m := scan(t, 2*time.Minute, store(t, func(diff string) {
			for _, name := range names {
				p := filepath.Join(diff, name)
				must(t, os.MkdirAll(filepath.Dir(p), 0o755))
				f, err := os.OpenFile(p, os.O_CREATE|os.O_WRONLY, 0o755)
				must(t, err)
				if strings.HasPrefix(name, "usr/bin") {
					_, err = f.WriteString("\x7fELF\x02\x01\x01")
					must(t, err)
				}
				must(t, f.Truncate(size))
				must(t, f.Close())
			}
		})...)
		neighbours(t, m)
		skips(t, m, map[string][]string{"/var/lib/rpm/Packages": anySkip, "/var/lib/dpkg/status": anySkip, "/lib/apk/db/installed": anySkip,
			"/app/node_modules/x/package.json": anySkip})
		tell(t, m)
	})
	t.Run("stream", func(t *testing.T) {
		m := scan(t, 2*time.Minute, archive(t, packed(tarLayer("sparse", func(tw *tar.Writer) {
			must(t, tw.Flush())
		}), zst), sparseTar("opt/app.jar", size)))
		neighbours(t, m)
		skips(t, m, map[string][]string{"/opt/app.jar": anySkip})
		tell(t, m)
	})
}

// sparseTar is a layer with one old GNU sparse file of the given size, of which
// nothing is stored.
func sparseTar(name string, size int64) spec {
	return spec{"sparse", func(w io.Writer) string {
		s := tarLayer("sparse", func(*tar.Writer) {})
		var b bytes.Buffer
		s.write(&b)
		h := make([]byte, 512)
		copy(h, name)
		copy(h[100:], "0000755\x00")
		copy(h[108:], "0000000\x00")
		copy(h[116:], "0000000\x00")
		copy(h[124:], "00000000000\x00") // stored
		copy(h[136:], "00000000000\x00")
		h[156] = 'S'
		copy(h[257:], "ustar  \x00")
		// One fragment of no bytes at the end, and the real size.
		copy(h[386:], fmt.Sprintf("%011o\x00", size))
		copy(h[398:], "00000000000\x00")
		copy(h[483:], fmt.Sprintf("%011o\x00", size))
		copy(h[148:], "        ")
		sum := 0
		for _, c := range h {
			sum += int(c)
		}
		copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
		all := append(h, b.Bytes()...)
		return writeAll(w, all)
	}}
}
