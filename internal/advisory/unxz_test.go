package advisory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
)

// xzipped compresses with the library, in blocks of a size.
func xzipped(t testing.TB, text []byte, c xz.WriterConfig) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := c.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unxz(b []byte) ([]byte, error) {
	r, err := newXZ(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// text compresses well in some places and not at all in others.
func xzText() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&b, `<package name="p%d" version="1.%d" release="1.fc41"/>`, i, r.IntN(100))
		if i%100 == 0 {
			for range 200 {
				b.WriteByte(byte(r.Uint32()))
			}
		}
	}
	return b.Bytes()
}

func TestXZ(t *testing.T) {
	text := xzText()
	for name, c := range map[string]xz.WriterConfig{
		"one block":     {},
		"many blocks":   {BlockSize: 10_001},
		"CRC32":         {CheckSum: xz.CRC32},
		"SHA-256":       {CheckSum: xz.SHA256},
		"no checksum":   {NoCheckSum: true},
		"small windows": {DictCap: 4096},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := unxz(xzipped(t, text, c))
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	if got, err := unxz(xzipped(t, nil, xz.WriterConfig{})); err != nil || len(got) != 0 {
		t.Errorf("an empty file: %d bytes, %v", len(got), err)
	}
}

// What the tool itself writes is read.
func TestXZTool(t *testing.T) {
	tool, err := exec.LookPath("xz")
	if err != nil {
		t.Skip("no xz")
	}
	p := filepath.Join(t.TempDir(), "a")
	text := xzText()
	for _, args := range [][]string{{"-9"}, {"-0", "-C", "sha256"}, {"-T2", "--block-size=20000"}} {
		if err := os.WriteFile(p, text, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := exec.Command(tool, append(args, "-kc", p)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		got, err := unxz(b)
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%q: %d bytes, %v", args, len(got), err)
		}
	}
}

// A sample of another program's tests.
func TestXZSample(t *testing.T) {
	const dir = "pkg/fetch/alma/updateinfo/testdata/decompress/payload"
	got, err := unxz(feedtest.Sample(t, feedtest.Sources, dir+".xz"))
	if err != nil || !bytes.Equal(got, feedtest.Files(t, feedtest.Sources, dir)[""]) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestXZDamaged(t *testing.T) {
	text := xzText()
	good := xzipped(t, text, xz.WriterConfig{BlockSize: 50_000})
	slower := 50
	if testing.Short() {
		slower = 10 // fewer places, as far apart in proportion
	}
	for n := 0; n < len(good); n += 1 + n/slower {
		if _, err := unxz(good[:n]); err == nil {
			t.Errorf("cut off at %d: no error", n)
		}
		bad := bytes.Clone(good)
		bad[n] ^= 0x55
		if got, err := unxz(bad); err == nil && !bytes.Equal(got, text) {
			t.Errorf("changed at %d: other text and no error", n)
		}
	}
	if _, err := unxz(append(bytes.Clone(good), good...)); !errors.Is(err, errXZ) {
		t.Errorf("two streams: %v", err)
	}
	_, err := unxz(xzipped(t, []byte("x"), xz.WriterConfig{DictCap: 2 * maxXZDictionary}))
	if !errors.Is(err, feed.ErrTooLarge) {
		t.Errorf("a large dictionary: %v", err)
	}
}

func FuzzXZ(f *testing.F) {
	f.Add(xzipped(f, []byte(strings.Repeat("abc", 100)), xz.WriterConfig{}))
	f.Add(xzipped(f, xzText()[:5000], xz.WriterConfig{BlockSize: 1000}))
	f.Fuzz(func(_ *testing.T, b []byte) {
		r, err := newXZ(bytes.NewReader(b))
		if err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<20))
		}
	})
}
