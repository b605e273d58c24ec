package minisign

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/scrypt"
)

func sumOf(b []byte) []byte {
	h := NewHash()
	h.Write(b)
	return h.Sum(nil)
}

func noPassword() ([]byte, error) { return nil, errors.New("asked for a password") }

func TestSignAndVerify(t *testing.T) {
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseSecretKey(key.Encode(), noPassword); err != nil || !bytes.Equal(again.key, key.key) || again.id != key.id {
		t.Fatalf("the secret key does not survive its file: %v", err)
	}
	pub, err := ParsePublicKey(key.Public().Encode())
	if err != nil || pub != key.Public() {
		t.Fatalf("the public key does not survive its file: %v", err)
	}
	_, line, _ := strings.Cut(string(pub.Encode()), "\n")
	if bare, err := ParsePublicKey([]byte(line)); err != nil || bare != pub {
		t.Errorf("the line alone: %v", err)
	}
	other, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	sum := sumOf([]byte("content"))
	text, err := key.Sign(sum, "generation:1\tfile:a")
	if err != nil {
		t.Fatal(err)
	}
	good, err := ParseSignature(text)
	if err != nil || good.Comment != "generation:1\tfile:a" {
		t.Fatalf("got %+v, %v", good, err)
	}
	if by, err := Verify([]PublicKey{other.Public(), pub}, good, sum); err != nil || by != pub {
		t.Errorf("by %v: %v", by.ID, err)
	}
	forged := other.Public()
	forged.ID = pub.ID
	comment := good
	comment.Comment = "generation:2\tfile:a"
	for _, tc := range []struct {
		name string
		keys []PublicKey
		sig  Signature
		sum  []byte
		want error
	}{
		{"other content", []PublicKey{pub}, good, sumOf([]byte("Content")), ErrWrong},
		{"other key", []PublicKey{other.Public()}, good, sum, ErrKey},
		{"no key", nil, good, sum, ErrKey},
		{"other key of this id", []PublicKey{forged}, good, sum, ErrWrong},
		{"other comment", []PublicKey{pub}, comment, sum, ErrWrong},
	} {
		if _, err := Verify(tc.keys, tc.sig, tc.sum); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := key.Sign(sum, "two\nlines"); !errors.Is(err, ErrFormat) {
		t.Errorf("a comment of two lines: %v", err)
	}
}

func TestMalformed(t *testing.T) {
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	sig, err := key.Sign(sumOf(nil), "c")
	if err != nil {
		t.Fatal(err)
	}
	for i, good := range [][]byte{key.Encode(), key.Public().Encode(), sig} {
		parse := func(b []byte) error {
			switch i {
			case 0:
				_, err := ParseSecretKey(b, noPassword)
				return err
			case 1:
				_, err := ParsePublicKey(b)
				return err
			default:
				_, err := ParseSignature(b)
				return err
			}
		}
		for _, bad := range [][]byte{nil, []byte("x"), good[:len(good)/2], good[:20], bytes.Repeat([]byte("a"), 1<<20), []byte("untrusted comment: \n" + strings.Repeat("!", 56))} {
			if err := parse(bad); !errors.Is(err, ErrFormat) {
				t.Errorf("%d: %.40q: %v", i, bad, err)
			}
		}
	}
	damaged := SecretKey{id: key.id, key: bytes.Clone(key.key)}
	damaged.key[40]++
	if _, err := ParseSecretKey(damaged.Encode(), noPassword); !errors.Is(err, ErrFormat) {
		t.Errorf("a damaged secret key: %v", err)
	}
}

// tool is the real minisign.
func tool(t *testing.T) func(stdin string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("minisign")
	if err != nil {
		if os.Getenv("REQUIRE_RUNTIMES") == "1" {
			t.Fatal(err)
		}
		t.Skipf("no minisign here: %v", err)
	}
	return func(stdin string, args ...string) (string, error) {
		cmd := exec.Command(path, args...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}

// What is made here the tool reads, and the other way round.
func TestTheRealToolAgrees(t *testing.T) {
	run := tool(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	put := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(in(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	get := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(in(name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	content := bytes.Repeat([]byte("some content\n"), 10_000)
	put("file", content)

	ours, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	sig, err := ours.Sign(sumOf(content), "generation:abc\tfile:file")
	if err != nil {
		t.Fatal(err)
	}
	put("ours.pub", ours.Public().Encode())
	put("ours.key", ours.Encode())
	put("file.minisig", sig)
	if out, err := run("", "-V", "-p", in("ours.pub"), "-m", in("file")); err != nil || !strings.Contains(out, "generation:abc") {
		t.Errorf("the tool does not take our signature: %v\n%s", err, out)
	}
	put("file.minisig", bytes.Replace(sig, []byte("abc"), []byte("abd"), 1))
	if out, err := run("", "-V", "-p", in("ours.pub"), "-m", in("file")); err == nil {
		t.Errorf("the tool takes a comment that was changed\n%s", out)
	}
	if out, err := run("", "-S", "-s", in("ours.key"), "-m", in("file"), "-t", "by the tool"); err != nil {
		t.Fatalf("the tool does not sign with our key: %v\n%s", err, out)
	}
	s, err := ParseSignature(get("file.minisig"))
	if err != nil || s.Comment != "by the tool" {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := Verify([]PublicKey{ours.Public()}, s, sumOf(content)); err != nil {
		t.Error(err)
	}

	if out, err := run("", "-G", "-W", "-p", in("its.pub"), "-s", in("its.key")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	its, err := ParseSecretKey(get("its.key"), noPassword)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ParsePublicKey(get("its.pub"))
	if err != nil || its.Public() != pub {
		t.Fatalf("%v: %v, %v", err, its.Public().ID, pub.ID)
	}
	if sig, err = its.Sign(sumOf(content), "x"); err != nil {
		t.Fatal(err)
	}
	put("file.minisig", sig)
	if out, err := run("", "-V", "-p", in("its.pub"), "-m", in("file")); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A key with a password takes the tool's gigabyte to unlock.
func TestEncryptedKey(t *testing.T) {
	run := tool(t)
	if os.Getenv("REQUIRE_RUNTIMES") != "1" {
		t.Skip("takes a gigabyte of memory, twice: set REQUIRE_RUNTIMES=1")
	}
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if out, err := run("secret\nsecret\n", "-G", "-p", key+".pub", "-s", key); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseSecretKey(text, func() ([]byte, error) { return []byte("secret"), nil })
	if err != nil {
		t.Fatal(err)
	}
	pub, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := ParsePublicKey(pub); err != nil || p != k.Public() {
		t.Errorf("not the key: %v", err)
	}
}

// The limits that a file states are small here, so that it takes no time.
func TestPassword(t *testing.T) {
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	raw, _, err := fields(key.Encode(), 158)
	if err != nil {
		t.Fatal(err)
	}
	sum := secretSum(key.id[:], key.key)
	copy(raw[2:4], kdfScrypt)
	copy(raw[6:38], "some salt")
	binary.LittleEndian.PutUint64(raw[38:], 32768)
	binary.LittleEndian.PutUint64(raw[46:], 16<<20)
	copy(raw[54+72:], sum[:])
	stream, err := scrypt.Key([]byte("secret"), raw[6:38], 1<<10, 8, 1, 104)
	if err != nil {
		t.Fatal(err)
	}
	subtle.XORBytes(raw[54:], raw[54:], stream)
	text := encode("x", raw)
	say := func(pw string) func() ([]byte, error) { return func() ([]byte, error) { return []byte(pw), nil } }
	if k, err := ParseSecretKey(text, say("secret")); err != nil || !k.key.Equal(key.key) || k.id != key.id {
		t.Errorf("not the key: %v", err)
	}
	if _, err := ParseSecretKey(text, say("wrong")); !errors.Is(err, ErrPassword) {
		t.Errorf("with a wrong one: %v", err)
	}
	if _, err := ParseSecretKey(text, noPassword); err == nil || errors.Is(err, ErrPassword) {
		t.Errorf("without one: %v", err)
	}
	binary.LittleEndian.PutUint64(raw[46:], 1<<40)
	if _, err := ParseSecretKey(encode("x", raw), say("secret")); !errors.Is(err, ErrFormat) {
		t.Errorf("a terabyte of memory: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	key, err := Generate()
	if err != nil {
		f.Fatal(err)
	}
	sig, err := key.Sign(sumOf(nil), "c")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sig)
	f.Add(key.Encode())
	f.Add(key.Public().Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseSignature(b); err == nil {
			if _, err := Verify([]PublicKey{key.Public()}, s, sumOf(b)); err == nil {
				t.Error("a signature over itself")
			}
		}
		ParsePublicKey(b)
		ParseSecretKey(b, noPassword)
	})
}
