package hostile

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func writeAll(w io.Writer, b []byte) string {
	if _, err := w.Write(b); err != nil {
		panic(err)
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256(b))
}

// Names that lead out, links that lead nowhere or around, and things that are
// no files: nothing outside is read or written, nothing is waited for.
func TestShapes(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.json")
	must(t, os.WriteFile(outside, []byte(`{"name":"from-outside","version":"6.6.6"}`), 0o644))
	check := func(t *testing.T, m measured) {
		t.Helper()
		neighbours(t, m)
		if m.found(t)["from-outside"] {
			t.Error("a file of the host was read")
		}
	}
	up := strings.Repeat("../", 30)
	t.Run("stream", func(t *testing.T) {
		m := scan(t, time.Minute, archive(t, tarLayer("shapes", func(tw *tar.Writer) {
			header := func(h tar.Header) { must(t, tw.WriteHeader(&h)) }
			header(tar.Header{Name: "app/node_modules/link/package.json", Typeflag: tar.TypeSymlink, Linkname: outside})
			header(tar.Header{Name: "app/node_modules/up/package.json", Typeflag: tar.TypeSymlink, Linkname: up + outside[1:]})
			header(tar.Header{Name: "app/node_modules/hard/package.json", Typeflag: tar.TypeLink, Linkname: outside})
			header(tar.Header{Name: "app/node_modules/hardup/package.json", Typeflag: tar.TypeLink, Linkname: up + outside[1:]})
			header(tar.Header{Name: "loop/a", Typeflag: tar.TypeSymlink, Linkname: "b"})
			header(tar.Header{Name: "loop/b", Typeflag: tar.TypeSymlink, Linkname: "a"})
			header(tar.Header{Name: "loop/self", Typeflag: tar.TypeSymlink, Linkname: "self"})
			header(tar.Header{Name: "root", Typeflag: tar.TypeSymlink, Linkname: "/"})
			header(tar.Header{Name: "app/node_modules/fifo/package.json", Typeflag: tar.TypeFifo})
			header(tar.Header{Name: "app/node_modules/dev/package.json", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5})
			header(tar.Header{Name: "app/node_modules/blk/package.json", Typeflag: tar.TypeBlock, Devmajor: 8})
			add(tw, up+"tmp/escaped", []byte("x"))
			add(tw, "/absolute/escaped", []byte("x"))
			add(tw, "loop/a/under", []byte("x"))
			add(tw, ".wh..wh..opq", nil)
			add(tw, "x/.wh.", nil)
			add(tw, "x/.wh...", nil)
		})))
		check(t, m)
		tell(t, m)
	})
	t.Run("deep", func(t *testing.T) {
		m := scan(t, time.Minute, archive(t, tarLayer("deep", func(tw *tar.Writer) {
			add(tw, strings.Repeat("d/", 1500)+"package.json", []byte("{}"))
		})))
		if m.Images[0].Complete || !m.found(t)[healthyName] {
			t.Errorf("complete %v, %+v", m.Images[0].Complete, m.Images[0].Problems)
		}
	})
	t.Run("headers", func(t *testing.T) {
		m := scan(t, time.Minute, archive(t, tarLayer("headers", func(tw *tar.Writer) {
			for i := range 200 {
				must(t, tw.WriteHeader(&tar.Header{Name: fmt.Sprint("f", i), Typeflag: tar.TypeReg, Format: tar.FormatPAX,
					PAXRecords: map[string]string{"TEST.value": strings.Repeat("v", 900<<10)}}))
			}
		})))
		neighbours(t, m)
	})
	t.Run("directory", func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("not root: no device nodes")
		}
		m := scan(t, time.Minute, store(t, func(diff string) {
			at := func(p string) string {
				p = filepath.Join(diff, p)
				must(t, os.MkdirAll(filepath.Dir(p), 0o755))
				return p
			}
			must(t, os.Symlink(outside, at("app/node_modules/link/package.json")))
			must(t, os.Symlink(up+outside[1:], at("app/node_modules/up/package.json")))
			must(t, os.Symlink("b", at("loop/a")))
			must(t, os.Symlink("a", at("loop/b")))
			must(t, os.Symlink("/", at("root")))
			must(t, unix.Mkfifo(at("app/node_modules/fifo/package.json"), 0o644))
			must(t, unix.Mknod(at("app/node_modules/dev/package.json"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5))))
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			must(t, err)
			defer unix.Close(fd)
			sock := at("s/package.json")
			if len(sock) < 100 {
				must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: sock}))
			}
			must(t, os.WriteFile(at("app/node_modules/mode/package.json"), []byte(`{"name":"mode","version":"1"}`), 0o000))
		})...)
		check(t, m)
		if !m.found(t)["mode"] {
			t.Error("a file without permissions was not read, though by root")
		}
		tell(t, m)
	})
}
