package advisory

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/fault"
)

// replaceWith builds a generation with one advisory in place of the one at to.
// Each is a second younger than the one before.
func replaceWith(t *testing.T, to, id string, keep int) Meta {
	t.Helper()
	res, err := Import(t.Context(), ImportOptions{File: aged(t, id), To: to, Keep: keep})
	if err != nil {
		t.Fatal(err)
	}
	return res.Meta
}

var age = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func aged(t *testing.T, ids ...string) string {
	t.Helper()
	path := one(t, ids...)
	age = age.Add(time.Second)
	if err := os.Chtimes(path, age, age); err != nil {
		t.Fatal(err)
	}
	return path
}

func listed(t *testing.T, path string) (out []string) {
	t.Helper()
	gs, err := Generations(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range gs {
		if g.Err != nil {
			t.Fatal(g.Err)
		}
		if (g.Path == path) != g.Present {
			t.Errorf("%s: present %t", g.Path, g.Present)
		}
		out = append(out, g.Meta.ID)
	}
	return out
}

func TestFormerGenerationsAreKept(t *testing.T) {
	to := filepath.Join(t.TempDir(), "advisories.db")
	var ids []string
	for _, a := range []string{"A-1", "A-2", "A-3", "A-4", "A-5"} {
		ids = append(ids, replaceWith(t, to, a, 2).ID)
	}
	slices.Reverse(ids)
	if d := cmp.Diff(ids[:3], listed(t, to)); d != "" {
		t.Fatal(d)
	}
	for i, id := range ids {
		p, err := Kept(to, id)
		if i >= 3 {
			if fault.CodeOf(err) != fault.NotFound {
				t.Errorf("%s: %v", id, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if m, err := verified(t.Context(), p); err != nil || m.ID != id {
			t.Errorf("%s: %v", p, err)
		}
		if short, err := Kept(to, strings.ToUpper(id[:8])); err != nil || short != p {
			t.Errorf("by its beginning: %s, %v", short, err)
		}
	}
	for _, bad := range []string{"", "abc", "../x", "zzzzzz"} {
		if _, err := Kept(to, bad); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// The same again is no new generation.
	replaceWith(t, to, "A-5", 2)
	if d := cmp.Diff(ids[:3], listed(t, to)); d != "" {
		t.Error(d)
	}
	// None are kept where none are wanted.
	replaceWith(t, to, "A-6", -1)
	if got := listed(t, to); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

func TestRollback(t *testing.T) {
	to := filepath.Join(t.TempDir(), "advisories.db")
	if _, err := Rollback(t.Context(), to, "", 0); err == nil || !strings.Contains(err.Error(), "db list") {
		t.Errorf("without a generation: %v", err)
	}
	first := replaceWith(t, to, "A-1", 0)
	if _, err := Rollback(t.Context(), to, "", 0); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("without a former generation: %v", err)
	}
	second := replaceWith(t, to, "A-2", 0)
	third := replaceWith(t, to, "A-3", 0)
	for _, want := range []string{second.ID, first.ID} {
		if m, err := Rollback(t.Context(), to, "", 0); err != nil || m.ID != want {
			t.Fatalf("got %+v, %v", m, err)
		}
		if m, err := verified(t.Context(), to); err != nil || m.ID != want {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff([]string{first.ID, third.ID, second.ID}, listed(t, to)); d != "" {
		t.Error(d)
	}
	if _, err := Rollback(t.Context(), to, first.ID, 0); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("back to the present one: %v", err)
	}
	if m, err := Rollback(t.Context(), to, third.ID[:12], 0); err != nil || m.ID != third.ID || !m.Built.Equal(third.Built) {
		t.Errorf("forward again: %+v, %v", m, err)
	}
	// The one that was just replaced stays, however old it is.
	if m, err := Rollback(t.Context(), to, first.ID, 0); err != nil {
		t.Fatal(m, err)
	}
	replaceWith(t, to, "A-4", 1)
	if got := listed(t, to); len(got) != 2 || got[1] != first.ID {
		t.Errorf("kept %v, want the one before, %s", got, first.ID)
	}
	// A damaged one is not put in place.
	p, err := Kept(to, first.ID)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	raw[strings.Index(string(raw), "A-1")] = 'B'
	if err := os.WriteFile(p, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Rollback(t.Context(), to, first.ID, 0); !errors.Is(err, errCorrupt) {
		t.Errorf("back to a damaged one: %v", err)
	}
}

// What lies in the directory and is no former generation is never taken for
// one, and what nobody can use does not stay for ever.
func TestKeptDirHoldsForeignFiles(t *testing.T) {
	to := filepath.Join(t.TempDir(), "advisories.db")
	replaceWith(t, to, "A-1", 0)
	former := replaceWith(t, to, "A-2", 0)
	dir := KeptDir(to)
	good, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"README": []byte("mine"), ".copy-123": good[:5000], "0123456789ab.db": good, "ba9876543210.db": good[:7000],
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	gs, err := Generations(to)
	if err != nil {
		t.Fatal(err)
	}
	bad := 0
	for _, g := range gs {
		if g.Err != nil {
			bad++
		}
	}
	if len(gs) != 4 || bad != 2 {
		t.Errorf("got %+v", gs)
	}
	replaceWith(t, to, "A-3", 0)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) != 3 || !slices.Contains(names, "README") || !slices.Contains(names, former.ID[:12]+".db") {
		t.Errorf("left %v", names)
	}
}

// Working directories of dead processes go, those of living ones and foreign
// ones stay.
func TestLeftoversAreRemoved(t *testing.T) {
	dir := t.TempDir()
	alive, err := newWork(dir, ".build-")
	if err != nil {
		t.Fatal(err)
	}
	defer alive.close()
	for _, p := range []string{".import-dead/" + workMarker, ".import-dead/generation", ".build-foreign/main.go", ".cache/" + workMarker} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, p)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, p), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".fetch-empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := newWork(dir, ".import-")
	if err != nil {
		t.Fatal(err)
	}
	w.close()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := []string{filepath.Base(alive.dir), ".build-foreign", ".cache"}
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
