package advisory

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	bolt "go.etcd.io/bbolt"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/minisign"
)

func testKey(t testing.TB) *minisign.SecretKey {
	t.Helper()
	k, err := minisign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return &k
}

func exported(t testing.TB, o ExportOptions) (string, BundleHeader) {
	t.Helper()
	if o.To == "" {
		o.To = filepath.Join(t.TempDir(), "bundle")
	}
	h, err := Export(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return o.To, h
}

func sameBytes(t *testing.T, a, b string) {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Errorf("%s and %s differ, %d and %d bytes", a, b, len(x), len(y))
	}
}

// A generation that was carried over in a bundle is the file that it was.
func TestBundleRoundTrip(t *testing.T) {
	dirs := [2]string{t.TempDir(), t.TempDir()}
	files := [2][]string{{"Alpine.zip", "RubyGems.zip", "kev.json"}, {"Alpine.zip", "crates.io.zip", "kev.json"}}
	var gens [2]string
	for i, dir := range dirs {
		sharedTo(t, dir, files[i]...)
		gens[i] = filepath.Join(dir, "a.db")
		if _, err := Build(t.Context(), BuildOptions{From: dir, To: gens[i]}); err != nil {
			t.Fatal(err)
		}
	}
	key := testKey(t)
	whole, hw := exported(t, ExportOptions{From: gens[0], Sign: key})
	delta, hd := exported(t, ExportOptions{From: gens[1], Since: gens[0], Sign: key})
	fi, err := os.Stat(gens[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("generation %d bytes, whole bundle %d, delta %d", fi.Size(), hw.Size, hd.Size)
	if hw.Size > fi.Size()/2 || hd.Base != hw.Generation || hw.Base != "" {
		t.Errorf("whole %+v, delta %+v", hw, hd)
	}

	to := filepath.Join(t.TempDir(), "there", "advisories.db")
	keys := []minisign.PublicKey{key.Public()}
	res, err := Import(t.Context(), ImportOptions{File: whole, To: to, Keys: keys})
	if err != nil || !res.Bundle || res.Delta || res.SignedBy == "" || !res.Meta.Built.Equal(hw.Built) {
		t.Fatalf("%+v, %v", res, err)
	}
	sameBytes(t, gens[0], to)
	if res, err = Import(t.Context(), ImportOptions{File: whole, To: to, Keys: keys}); err != nil || !res.Unchanged {
		t.Errorf("the same again: %+v, %v", res, err)
	}
	if res, err = Import(t.Context(), ImportOptions{File: delta, To: to, Keys: keys}); err != nil || !res.Delta {
		t.Fatalf("%+v, %v", res, err)
	}
	sameBytes(t, gens[1], to)
	if got := listed(t, to); len(got) != 2 || got[0] != hd.Generation || got[1] != hw.Generation {
		t.Errorf("listed %v", got)
	}
	// The delta starts from a former generation too.
	if _, err := Import(t.Context(), ImportOptions{File: one(t, "A-1"), To: to}); err != nil {
		t.Fatal(err)
	}
	if res, err = Import(t.Context(), ImportOptions{File: delta, To: to, Keys: keys}); err != nil || res.Meta.ID != hd.Generation {
		t.Fatalf("%+v, %v", res, err)
	}
}

// Random generations: a delta leads from each to the next, byte for byte.
func TestDeltasOfRandomGenerations(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	write := func() string {
		dir := t.TempDir()
		var rs [][2]string
		scores := "cve,epss,percentile\n"
		for i := range 12 {
			if rnd.IntN(3) == 0 {
				continue
			}
			id := fmt.Sprintf("CVE-2026-10%02d", i)
			more := fmt.Sprintf(`"details":%q,`, strings.Repeat("long text ", rnd.IntN(20)))
			rs = append(rs, [2]string{id + ".json", simple(id, []string{"npm", "Go"}[rnd.IntN(2)], fmt.Sprint("p", rnd.IntN(6)), more)})
			scores += fmt.Sprintf("%s,0.%d,0.5\n", id, 1+rnd.IntN(9))
		}
		writeZip(t, filepath.Join(dir, "a.zip"), rs...)
		if err := os.WriteFile(filepath.Join(dir, FileEPSS), []byte(scores), 0o600); err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, "a.db")
		if _, err := Build(t.Context(), BuildOptions{From: dir, To: to}); err != nil {
			t.Fatal(err)
		}
		return to
	}
	before := write()
	to := filepath.Join(t.TempDir(), "advisories.db")
	if _, err := Import(t.Context(), ImportOptions{File: before, To: to}); err != nil {
		t.Fatal(err)
	}
	for range 15 {
		next := write()
		delta, _ := exported(t, ExportOptions{From: next, Since: before})
		if _, err := Import(t.Context(), ImportOptions{File: delta, To: to, AllowUnsigned: true}); err != nil {
			t.Fatal(err)
		}
		sameBytes(t, next, to)
		before = next
	}
}

func TestExportRefuses(t *testing.T) {
	a := one(t, "A-1")
	to := filepath.Join(t.TempDir(), "b")
	if _, err := Export(t.Context(), ExportOptions{From: a, Since: a, To: to}); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("since itself: %v", err)
	}
	if _, err := Export(t.Context(), ExportOptions{From: filepath.Join(t.TempDir(), "none"), To: to}); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("of nothing: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(to))
	if err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// forge makes a bundle with another header and payload.
func forge(t testing.TB, h BundleHeader, payload []byte) []byte {
	t.Helper()
	head, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	return append(append([]byte(bundleMagic), append(head, '\n')...), payload...)
}

// sealed is a payload, packed, under a header that fits it.
func sealed(t testing.TB, h BundleHeader, payload []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := z.EncodeAll(payload, nil)
	sum := sha256.Sum256(packed)
	h.Size, h.SHA256, h.Unpacked = int64(len(packed)), hex.EncodeToString(sum[:]), int64(len(payload))
	return forge(t, h, packed)
}

// Whatever is wrong with a bundle, it is said, and everything is as before.
func TestImportRefusesBundles(t *testing.T) {
	key, stranger := testKey(t), testKey(t)
	old, next := aged(t, "A-1"), aged(t, "A-1", "A-2")
	whole, h := exported(t, ExportOptions{From: next, Sign: key})
	delta, hd := exported(t, ExportOptions{From: next, Since: old, Sign: key})
	elsewhere, _ := exported(t, ExportOptions{From: next, Since: one(t, "A-9"), Sign: key})
	read := func(path string) []byte {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good, sig := read(whole), read(whole+SignatureSuffix)
	payload := good[int64(len(good))-h.Size:]
	with := func(change func(*BundleHeader)) []byte {
		c := h
		change(&c)
		return forge(t, c, payload)
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)-3] ^= 1
	var put encoder
	put = append(put, opPut, kindVuln)
	put.string("A-1")
	put.string("")
	keys := []minisign.PublicKey{key.Public()}
	for _, tc := range []struct {
		name     string
		bundle   []byte
		sig      []byte
		keys     []minisign.PublicKey
		unsigned bool
		code     fault.Code
		want     error
		says     string
	}{
		{"no key, not asked for", good, sig, nil, false, fault.Forbidden, ErrUnsigned, "--key"},
		{"no key, no signature", good, nil, nil, false, fault.Forbidden, ErrUnsigned, "--allow-unsigned"},
		{"a key and no signature", good, nil, keys, false, fault.Forbidden, ErrUnsigned, ".minisig"},
		{"a key and no signature, whatever was allowed", good, nil, keys, true, fault.Forbidden, ErrUnsigned, ".minisig"},
		{"another key", good, sig, []minisign.PublicKey{stranger.Public()}, true, fault.Forbidden, minisign.ErrKey, "not trusted"},
		{"another's signature", good, read(delta + SignatureSuffix), keys, false, fault.Forbidden, minisign.ErrWrong, "again"},
		{"a signature of nonsense", good, []byte("nonsense"), keys, false, fault.Forbidden, minisign.ErrFormat, "minisig"},
		{"changed after it was signed", flipped, sig, keys, false, fault.Forbidden, minisign.ErrWrong, ""},
		{"checksum", flipped, nil, nil, true, fault.Invalid, errChecksum, "copy it again"},
		{"cut short", good[:len(good)-10], nil, nil, true, fault.Invalid, ErrTruncated, "copy it again"},
		{"cut short in the header", good[:40], nil, nil, true, fault.Invalid, ErrTruncated, "copy it again"},
		{"too long", append(bytes.Clone(good), 0), nil, nil, true, fault.Invalid, nil, "too many"},
		{"header of nonsense", []byte(bundleMagic + "{\n"), nil, nil, true, fault.Invalid, nil, "header"},
		{"header without end", append([]byte(bundleMagic), bytes.Repeat([]byte(" "), maxBundleHeader+1)...), nil, nil, true, fault.TooLarge, nil, "header"},
		{"another schema", with(func(h *BundleHeader) { h.Schema++ }), nil, nil, true, fault.Invalid, nil, fmt.Sprintf("reads %d", Schema)},
		{"another format", with(func(h *BundleHeader) { h.Format++ }), nil, nil, true, fault.Invalid, nil, "reads 1"},
		{"an id of nonsense", with(func(h *BundleHeader) { h.Generation = "../../etc/passwd" }), nil, nil, true, fault.Invalid, nil, "makes no sense"},
		{"a size below nothing", with(func(h *BundleHeader) { h.Size = -1 }), nil, nil, true, fault.TooLarge, nil, ""},
		{"a size beyond the limit", with(func(h *BundleHeader) { h.Unpacked = maxBundleBytes + 1 }), nil, nil, true, fault.TooLarge, nil, "limit"},
		{"more than the header says", with(func(h *BundleHeader) { h.Unpacked = 10 }), nil, nil, true, fault.TooLarge, errLimit, ""},
		{"another generation than it says", with(func(h *BundleHeader) { h.Generation = strings.Repeat("0", 64) }), nil, nil, true, fault.Invalid, errCorrupt, "lead"},
		{"a delta that claims to be whole", forge(t, func() BundleHeader { c := hd; c.Base = ""; return c }(), read(delta)[len(read(delta))-int(hd.Size):]), nil, nil, true, fault.Invalid, errCorrupt, ""},
		{"base is elsewhere", read(elsewhere), nil, nil, true, fault.NotFound, ErrBase, "--since"},
		{"a bomb", sealed(t, h, make([]byte, 64<<20)), nil, nil, true, fault.Invalid, nil, ""},
		{"payload without end", sealed(t, h, put), nil, nil, true, fault.Invalid, ErrTruncated, ""},
		{"a key twice", sealed(t, h, append(bytes.Clone(put), put...)), nil, nil, true, fault.Invalid, errCorrupt, "order"},
		{"a value too long", sealed(t, h, append([]byte{opPut, kindVuln, 1, 'A'}, 0xff, 0xff, 0xff, 0xff, 0x0f)), nil, nil, true, fault.TooLarge, errLimit, ""},
		{"a delete of nothing", sealed(t, h, []byte{opDelete, kindVuln, 1, 'A'}), nil, nil, true, fault.Invalid, errCorrupt, "fit"},
		{"a patch of nothing", sealed(t, h, []byte{opPatch, kindVuln, 1, 'A', 1, 1, 0}), nil, nil, true, fault.Invalid, errCorrupt, "fit"},
		{"a patch beyond its base", sealed(t, hd, append([]byte{opPatch, kindVuln, 3}, "A-1\xff\xff\x03\x01\x00"...)), nil, nil, true, fault.Invalid, errCorrupt, "short"},
		{"an unknown change", sealed(t, h, []byte{9, kindVuln, 1, 'A'}), nil, nil, true, fault.Invalid, errCorrupt, ""},
		{"something behind the end", sealed(t, h, []byte{opEnd, 2, '{', '}', 0}), nil, nil, true, fault.Invalid, errCorrupt, "follows"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			to, file := filepath.Join(dir, "advisories.db"), filepath.Join(t.TempDir(), "file")
			first, err := Import(t.Context(), ImportOptions{File: old, To: to})
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, tc.bundle, 0o600); err != nil {
				t.Fatal(err)
			}
			if tc.sig != nil {
				if err := os.WriteFile(file+SignatureSuffix, tc.sig, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, err = Import(t.Context(), ImportOptions{File: file, To: to, Keys: tc.keys, AllowUnsigned: tc.unsigned})
			if fault.CodeOf(err) != tc.code || err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v: %v", fault.CodeOf(err), err)
			}
			if m, err := verified(t.Context(), to); err != nil || m.ID != first.Meta.ID {
				t.Errorf("the generation that was there is not: %v", err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 1 {
				t.Errorf("left behind: %v, %v", entries, err)
			}
		})
	}
}

// Wherever a bundle is cut, the import says so and the old generation stands.
func TestImportOfEveryPrefix(t *testing.T) {
	old, next := aged(t, "A-1"), aged(t, "A-1", "A-2")
	delta, _ := exported(t, ExportOptions{From: next, Since: old})
	good, err := os.ReadFile(delta)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	for n := len(bundleMagic); n < len(good); n += 7 {
		if err := os.WriteFile(file, good[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Import(t.Context(), ImportOptions{File: file, To: old, AllowUnsigned: true}); !errors.Is(err, ErrTruncated) {
			t.Fatalf("%d of %d bytes: %v", n, len(good), err)
		}
	}
}

// A finished generation can be signed too, by the minisign tool or us.
func TestImportOfASignedFile(t *testing.T) {
	key := testKey(t)
	keys := []minisign.PublicKey{key.Public()}
	file, to := one(t, "A-1"), filepath.Join(t.TempDir(), "advisories.db")
	if _, err := Import(t.Context(), ImportOptions{File: file, To: to, Keys: keys}); !errors.Is(err, ErrUnsigned) {
		t.Errorf("got %v", err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h := minisign.NewHash()
	h.Write(raw)
	sig, err := key.Sign(h.Sum(nil), "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+SignatureSuffix, sig, 0o600); err != nil {
		t.Fatal(err)
	}
	if res, err := Import(t.Context(), ImportOptions{File: file, To: to, Keys: keys}); err != nil || res.SignedBy != key.Public().ID.String() {
		t.Errorf("%+v, %v", res, err)
	}
}

// FuzzBundle reads headers and payloads of any bytes: no panic, and what comes
// out is the generation that was announced.
func FuzzBundle(f *testing.F) {
	old, next := one(f, "A-1", "A-2"), one(f, "A-2", "A-3")
	base, err := Open(old)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { base.Close() })
	db, err := Open(next)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	for _, since := range []string{"", old} {
		path, h := exported(f, ExportOptions{From: next, Since: since})
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		z, err := zstd.NewReader(nil)
		if err != nil {
			f.Fatal(err)
		}
		payload, err := z.DecodeAll(raw[int64(len(raw))-h.Size:], nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, start, err := parseBundleHeader(bytes.NewReader(b)); err == nil {
			if h.check() != nil || start > int64(len(b)) || h.Size < 0 {
				t.Fatalf("%+v at %d", h, start)
			}
		}
		u := newUnpacker(&boundedReader{r: bytes.NewReader(b), left: 1 << 20})
		for {
			c, err := u.next()
			if err != nil {
				return // most are; what follows writes files
			}
			if c.op == opEnd {
				break
			}
		}
		path := filepath.Join(dir, "generation")
		for _, from := range []*DB{nil, base} {
			var err error
			u := newUnpacker(&boundedReader{r: bytes.NewReader(b), left: 1 << 20})
			if from == nil {
				err = u.into(t.Context(), nil, db.meta.ID, path)
			} else {
				err = from.view(func(tx *bolt.Tx) error { return u.into(t.Context(), tx, db.meta.ID, path) })
			}
			if err == nil {
				if m, err := verified(t.Context(), path); err != nil || m.ID != db.meta.ID {
					t.Fatalf("another generation: %v", err)
				}
			}
			os.Remove(path)
		}
	})
}
