package store

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
)

func TestBootstrapOnce(t *testing.T) { onEngines(t, testBootstrapOnce) }

func testBootstrapOnce(t *testing.T) {
	w := newWorld(t)
	f := w.first
	for name, ok := range map[string]bool{
		"ak":         regexp.MustCompile(`^[A-Z0-9]{20}$`).MatchString(f.Key.AK),
		"sk":         regexp.MustCompile(`^[A-Za-z0-9]{40}$`).MatchString(f.Key.Secret),
		"enroll key": regexp.MustCompile(`^[A-Za-z0-9]{40}$`).MatchString(f.EnrollKey),
		"project id": regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(f.Project.ID),
	} {
		if !ok {
			t.Errorf("%s has not its form: %+v", name, f)
		}
	}
	if created, second, err := w.Bootstrap(t.Context()); created || err != nil || second != (First{}) {
		t.Errorf("second bootstrap: %v %+v %v", created, second, err)
	}
	k, err := w.Key(t.Context(), f.Key.AK)
	if err != nil || k != f.Key {
		t.Errorf("key %+v, %v", k, err)
	}
	p, err := w.FirstProject(t.Context())
	if err != nil || p != f.Project {
		t.Errorf("project %+v, %v", p, err)
	}
}

// TestSecretsAreNotInTheFiles reads the database as someone who stole it.
func TestSecretsAreNotInTheFiles(t *testing.T) {
	w := newWorld(t)
	k := w.agent("a")
	if err := w.PutToken(t.Context(), auth.Token{Hash: hashSecret("the token"), AK: w.first.Key.AK, ProjectID: w.project(), IssuedAt: w.ms(), ExpiresAt: w.ms() + 1}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(w.path + "*")
	if err != nil || len(files) < 2 {
		t.Fatalf("files %v, %v", files, err)
	}
	found := false
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(b, []byte(w.first.Key.AK))
		for name, secret := range map[string]string{"sk": w.first.Key.Secret, "enroll key": w.first.EnrollKey, "agent's sk": k.Secret, "token": "the token"} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds the %s in clear", filepath.Base(f), name)
			}
		}
		if fi, err := os.Stat(f); err != nil || fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, %v", filepath.Base(f), fi.Mode(), err)
		}
	}
	if !found {
		t.Error("the access key is in none of the files: the test looks at the wrong ones")
	}
}

func TestAnotherSealKeyOpensNothing(t *testing.T) {
	w := newWorld(t)
	if err := w.Store.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), Config{Path: w.path, SealKey: []byte(strings.Repeat("x", SealKeyBytes)), Advisories: newTable()})
	if err != nil {
		t.Fatal(err)
	}
	w.Store = s
	if err := s.CheckSeal(t.Context()); err == nil {
		t.Error("another seal key is taken for the right one")
	}
	if k, err := s.Key(t.Context(), w.first.Key.AK); err == nil || fault.CodeOf(err) != fault.Internal {
		t.Errorf("key %+v, %v", k, err)
	}
	if _, err := Open(t.Context(), Config{Path: w.path, SealKey: []byte("short"), Advisories: newTable()}); err == nil {
		t.Error("a short seal key was taken")
	}
	// A sealed secret does not open for another access key.
	sealed := s.seal.close("secret", "AK1")
	if _, err := s.seal.open(sealed, "AK2"); err == nil {
		t.Error("a secret opened for another key")
	}
	if _, err := s.seal.open(sealed[:3], "AK1"); err == nil {
		t.Error("a cut secret opened")
	}
}

func TestKeys(t *testing.T) { onEngines(t, testKeys) }

func testKeys(t *testing.T) {
	w := newWorld(t)
	if _, err := w.Key(t.Context(), "NOSUCHKEY"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("unknown key: %v", err)
	}
	if err := w.SetKeyDisabled(t.Context(), "NOSUCHKEY", true); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("disable an unknown key: %v", err)
	}
	if err := w.SetKeyDisabled(t.Context(), w.first.Key.AK, true); err != nil {
		t.Fatal(err)
	}
	if k, err := w.Key(t.Context(), w.first.Key.AK); err != nil || !k.Disabled {
		t.Errorf("disabled key: %+v, %v", k, err)
	}
	if _, err := w.CreateAccessKey(t.Context(), "no project"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("key of no project: %v", err)
	}
	for _, name := range []string{"", strings.Repeat("x", maxProjectName+1)} {
		if _, err := w.CreateProject(t.Context(), name); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("project name of %d bytes: %v", len(name), err)
		}
	}
	if _, err := w.Project(t.Context(), "nope"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("unknown project: %v", err)
	}
}

func TestTokens(t *testing.T) { onEngines(t, testTokens) }

func testTokens(t *testing.T) {
	w := newWorld(t)
	tok := auth.Token{Hash: hashSecret("a"), AK: w.first.Key.AK, UserID: w.first.Key.UserID, ProjectID: w.project(), IssuedAt: w.ms(), ExpiresAt: w.ms() + 1000}
	if err := w.PutToken(t.Context(), tok); err != nil {
		t.Fatal(err)
	}
	whose := w.first.Key
	whose.Secret = ""
	if got, key, err := w.Token(t.Context(), tok.Hash, w.ms()); err != nil || got != tok || key != whose {
		t.Errorf("token %+v of %+v, %v", got, key, err)
	}
	if _, _, err := w.Token(t.Context(), tok.Hash, tok.ExpiresAt); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("expired: %v", err)
	}
	next := tok
	next.Hash, next.IssuedAt, next.ExpiresAt = hashSecret("b"), tok.ExpiresAt, tok.ExpiresAt+1000
	if err := w.PutToken(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.Token(t.Context(), tok.Hash, w.ms()); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("an expired token is kept: %v", err)
	}
}

func TestEnroll(t *testing.T) { onEngines(t, testEnroll) }

func testEnroll(t *testing.T) {
	w := newWorld(t)
	enroll := func(key, host string) (fleet.EnrollResponse, error) {
		return w.Enroll(t.Context(), fleet.EnrollRequest{EnrollKey: key, Host: fleet.Host{ID: host, Name: host}}, w.ms())
	}
	a, err := enroll(w.first.EnrollKey, "h1")
	if err != nil {
		t.Fatal(err)
	}
	k, err := w.Key(t.Context(), a.AccessKey)
	if err != nil || k.Secret != a.SecretKey || k.AgentID != a.AgentID || k.ProjectID != w.project() {
		t.Errorf("agent's key %+v, %v", k, err)
	}
	short, err := w.CreateEnrollKey(t.Context(), w.project(), 3, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	again, err := enroll(short, "h1")
	if err != nil || again.AgentID != a.AgentID || again.AccessKey == a.AccessKey {
		t.Errorf("the same host again: %+v, %v", again, err)
	}
	if _, err := w.Key(t.Context(), a.AccessKey); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the old key still works: %v", err)
	}
	if other, err := enroll(short, "h2"); err != nil || other.AgentID == a.AgentID {
		t.Errorf("another host: %+v, %v", other, err)
	}
	for name, f := range map[string]func() (fleet.EnrollResponse, error){
		"spent":   func() (fleet.EnrollResponse, error) { return enroll(w.first.EnrollKey, "h3") },
		"unknown": func() (fleet.EnrollResponse, error) { return enroll("nope", "h3") },
		"expired": func() (fleet.EnrollResponse, error) { w.add(time.Minute); return enroll(short, "h3") },
	} {
		if _, err := f(); fault.CodeOf(err) != fault.Unauthenticated {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := enroll(short, ""); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("no host id: %v", err)
	}
	if _, err := w.CreateEnrollKey(t.Context(), w.project(), 0, 0); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("no uses: %v", err)
	}
}
