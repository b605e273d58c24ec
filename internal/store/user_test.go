package store

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/audit"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
)

const testPassword = "correct horse battery"

func (w *world) admin() Admin { return w.As("cli:test") }

// user makes a user with a key.
func (w *world) user(name string, role auth.Role, granted auth.Grants) auth.Key {
	w.t.Helper()
	if _, err := w.admin().CreateUser(w.t.Context(), User{ProjectID: w.project(), Name: name, Role: role, Granted: granted}, ""); err != nil {
		w.t.Fatal(err)
	}
	k, err := w.admin().CreateKey(w.t.Context(), w.project(), name, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

func TestTenants(t *testing.T) { onEngines(t, testTenants) }

func testTenants(t *testing.T) {
	w := newWorld(t)
	ep, err := w.admin().CreateEnterpriseProject(t.Context(), w.project(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	w.add(time.Second)
	second, err := w.CreateProject(t.Context(), "second")
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := w.admin().CreateEnterpriseProject(t.Context(), second.ID, "shop")
	if err != nil {
		t.Fatal(err)
	}
	all, one := w.first.Key, w.user("one", auth.Viewer, auth.Grants(ep.ID))
	def, none := w.user("def", auth.Viewer, "0"), auth.Key{ProjectID: w.project()}
	tests := []struct {
		name, ask string
		key       auth.Key
		want      []string // nil for forbidden
	}{
		{"all, default", "0", all, []string{w.project()}},
		{"all, its own", ep.ID, all, []string{ep.Tenant}},
		{"all, everything", "all_granted_eps", all, []string{w.project(), ep.Tenant}},
		{"all, unknown", "11111111-1111-1111-1111-111111111111", all, nil},
		{"all, of another project", foreign.ID, all, nil},
		{"all, a tenant's id", ep.Tenant, all, nil},
		{"all, the project's id", w.project(), all, nil},
		{"all, NUL", "\x00", all, nil},
		{"one, default", "0", one, nil},
		{"one, its own", ep.ID, one, []string{ep.Tenant}},
		{"one, everything", "all_granted_eps", one, []string{ep.Tenant}},
		{"default, default", "0", def, []string{w.project()}},
		{"default, another", ep.ID, def, nil},
		{"default, everything", "all_granted_eps", def, []string{w.project()}},
		{"nothing, everything", "all_granted_eps", none, nil},
		{"nothing, empty", "", none, nil},
		{"a star", "*", all, nil},
	}
	for _, tt := range tests {
		got, err := w.Tenants(t.Context(), tt.key, tt.ask)
		if d := cmp.Diff(tt.want, got); d != "" || (tt.want == nil) != (fault.CodeOf(err) == fault.Forbidden && err != nil) {
			t.Errorf("%s: %v %s", tt.name, err, d)
		}
	}
	// What is unknown and what is not granted answer alike.
	_, unknown := w.Tenants(t.Context(), def, "x")
	_, other := w.Tenants(t.Context(), def, ep.ID)
	if a, b := unknown.Error(), strings.ReplaceAll(other.Error(), ep.ID, "x"); a != b {
		t.Errorf("%q and %q", a, b)
	}
	if err := w.admin().RenameEnterpriseProject(t.Context(), w.project(), ep, "store"); err != nil {
		t.Fatal(err)
	}
	list, err := w.EnterpriseProjects(t.Context(), w.project())
	ep.Name = "store"
	if d := cmp.Diff([]EnterpriseProject{{"0", "default", w.project(), w.first.Project.CreatedAt}, ep}, list); d != "" || err != nil {
		t.Error(d, err)
	}
	if got, err := w.Projects(t.Context()); err != nil || len(got) != 2 || got[0] != w.first.Project {
		t.Errorf("projects %+v, %v", got, err)
	}
	for _, name := range []string{"", "store", "default", "a\nb", strings.Repeat("x", maxProjectName+1), "\xff"} {
		if _, err := w.admin().CreateEnterpriseProject(t.Context(), w.project(), name); err == nil {
			t.Errorf("a second %q was made", name)
		}
	}
}

// TestEnrolIntoEnterpriseProject has the agent's images lie in its tenant alone.
func TestEnrolIntoEnterpriseProject(t *testing.T) { onEngines(t, testEnrolIntoEnterpriseProject) }

func testEnrolIntoEnterpriseProject(t *testing.T) {
	w := newWorld(t)
	ep, err := w.admin().CreateEnterpriseProject(t.Context(), w.project(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	key, err := w.admin().CreateEnrollKey(t.Context(), w.project(), ep, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.Enroll(t.Context(), fleet.EnrollRequest{EnrollKey: key, Host: fleet.Host{ID: "h", Name: "h"}}, w.ms())
	if err != nil {
		t.Fatal(err)
	}
	k, err := w.Key(t.Context(), resp.AccessKey)
	if err != nil || k.ProjectID != ep.Tenant || k.UserID != "" || k.Role != "" {
		t.Fatalf("%+v, %v", k, err)
	}
	w.sync(k, 0, nil, []fleet.ImageState{state(1, ref("web", "1"))})
	for tenant, want := range map[string]int64{w.project(): 0, ep.Tenant: 1} {
		if _, total, err := w.Images(t.Context(), tenant, ImageFilter{}, Page{Limit: 10}); err != nil || total != want {
			t.Errorf("%d images, want %d, %v", total, want, err)
		}
	}
}

func TestUsersAndKeys(t *testing.T) { onEngines(t, testUsersAndKeys) }

func testUsersAndKeys(t *testing.T) {
	w := newWorld(t)
	a, ctx := w.admin(), t.Context()
	k := w.user("eve", auth.Operator, "0")
	if got, err := w.Key(ctx, k.AK); err != nil || got != k || got.Role != auth.Operator || got.User != "eve" {
		t.Fatalf("%+v, %v", got, err)
	}
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	state := func(ak string) string {
		got, err := w.Key(ctx, ak)
		switch {
		case err != nil:
			return "gone"
		case got.Disabled:
			return "disabled"
		case got.ExpiresAt != 0:
			return "ends " + time.UnixMilli(got.ExpiresAt).UTC().Format("15:04")
		}
		return string(got.Role) + " " + string(got.Granted)
	}
	is := func(ak, want string) {
		t.Helper()
		if got := state(ak); got != want {
			t.Errorf("key is %q, want %q", got, want)
		}
	}
	must("disable", a.SetUserDisabled(ctx, w.project(), "eve", true))
	is(k.AK, "disabled")
	must("enable", a.SetUserDisabled(ctx, w.project(), "eve", false))
	must("role", a.SetRole(ctx, w.project(), "eve", auth.Viewer, auth.GrantAll))
	is(k.AK, "viewer *")
	must("disable key", a.SetKeyDisabled(ctx, k.AK, true))
	is(k.AK, "disabled")
	must("enable key", a.SetKeyDisabled(ctx, k.AK, false))
	w.add(time.Minute)
	next, err := a.RotateKey(ctx, k.AK, time.Hour, 0)
	must("rotate", err)
	is(k.AK, "ends 13:01")
	is(next.AK, "viewer *")
	again, err := a.RotateKey(ctx, k.AK, 2*time.Hour, 3*time.Hour)
	must("rotate again", err)
	is(k.AK, "ends 13:01") // not later than before
	is(again.AK, "ends 15:01")
	must("delete key", a.DeleteKey(ctx, next.AK))
	is(next.AK, "gone")

	w.UsedKey(k.AK, w.clk.now())
	must("flush", w.flushUsed(ctx))
	keys, err := w.UserKeys(ctx, w.project())
	must("list", err)
	if len(keys) != 3 || keys[1].User != "eve" || keys[1].AK != k.AK || keys[1].LastUsed != w.ms() || keys[0].LastUsed != 0 {
		t.Errorf("%+v", keys)
	}
	users, err := w.Users(ctx, w.project())
	must("users", err)
	if len(users) != 2 || users[0].Name != "admin" || users[1].Name != "eve" || users[1].Granted != auth.GrantAll {
		t.Errorf("%+v", users)
	}

	tok := auth.Token{Hash: hashSecret("a"), AK: k.AK, UserID: k.UserID, ProjectID: w.project(), IssuedAt: w.ms(), ExpiresAt: w.ms() + 1000}
	must("token", w.PutToken(ctx, tok))
	must("delete key", a.DeleteKey(ctx, k.AK))
	if _, _, err := w.Token(ctx, tok.Hash, w.ms()); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("the token of a deleted key: %v", err)
	}
	must("delete user", a.DeleteUser(ctx, w.project(), "eve"))
	is(again.AK, "gone")

	for name, err := range map[string]error{
		"name":        failure(a.CreateUser(ctx, User{ProjectID: w.project(), Name: "a b", Role: auth.Viewer, Granted: "*"}, "")),
		"AK for name": failure(a.CreateUser(ctx, User{ProjectID: w.project(), Name: w.first.Key.AK, Role: auth.Viewer, Granted: "*"}, "")),
		"role":        failure(a.CreateUser(ctx, User{ProjectID: w.project(), Name: "x", Role: "root", Granted: "*"}, "")),
		"grants":      failure(a.CreateUser(ctx, User{ProjectID: w.project(), Name: "x", Role: auth.Viewer, Granted: "0,nope"}, "")),
		"no grants":   failure(a.CreateUser(ctx, User{ProjectID: w.project(), Name: "x", Role: auth.Viewer}, "")),
		"password":    failure(a.CreateUser(ctx, User{ProjectID: w.project(), Name: "x", Role: auth.Viewer, Granted: "*"}, "short")),
		"its name":    failure(a.CreateUser(ctx, User{ProjectID: w.project(), Name: "eve", Role: auth.Viewer, Granted: "*"}, "EVE-EVE-EVE-1")),
	} {
		if fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := a.CreateUser(ctx, User{ProjectID: w.project(), Name: AdminUser, Role: auth.Viewer, Granted: "*"}, ""); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("a second admin: %v", err)
	}
	agent := w.agent("h")
	if err := a.DeleteKey(ctx, agent.AK); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("delete the key of an agent: %v", err)
	}
	for range maxKeys - 1 {
		_, err := a.CreateKey(ctx, w.project(), AdminUser, 0)
		must("key", err)
	}
	if _, err := a.CreateKey(ctx, w.project(), AdminUser, 0); fault.CodeOf(err) != fault.Conflict {
		t.Errorf("too many keys: %v", err)
	}

	var log []string
	must("audit", w.Audit(ctx, AuditFilter{User: "cli:test"}, 8, func(e audit.Entry) error {
		log = append(log, e.Operation)
		return nil
	}))
	if len(log) != 8 || log[0] != "key create" {
		t.Errorf("%q", log)
	}
}

func failure[T any](_ T, err error) error { return err }

func TestLogin(t *testing.T) { onEngines(t, testLogin) }

func testLogin(t *testing.T) {
	w := newWorld(t)
	a, ctx := w.admin(), t.Context()
	other, err := w.CreateProject(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{w.project(), other.ID} {
		if _, err := a.CreateUser(ctx, User{ProjectID: p, Name: "eve", Role: auth.Viewer, Granted: "*"}, testPassword); err != nil {
			t.Fatal(err)
		}
	}
	for project, want := range map[string]string{"": "", other.ID: other.ID, "other": other.ID, "default": w.project(), "x": ""} {
		k, hash, err := w.Login(ctx, "eve", project)
		if k.ProjectID != want || (err == nil) != (want != "") || err == nil && !strings.HasPrefix(hash, "$argon2id$") {
			t.Errorf("in %q: %+v %q %v", project, k, hash, err)
		}
	}
	if _, _, err := w.Login(ctx, AdminUser, "other"); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a user without a password: %v", err)
	}
	k, _, err := w.Login(ctx, "eve", "default")
	if err != nil {
		t.Fatal(err)
	}
	temp := k
	temp.AK, temp.Secret, temp.TokenHash, temp.ExpiresAt = "TEMPORARY00000000000", "the temporary secret", hashSecret("t"), w.ms()+1000
	if err := w.PutTemporaryKey(ctx, temp, w.ms()); err != nil {
		t.Fatal(err)
	}
	if got, err := w.TemporaryKey(ctx, temp.AK); err != nil || got != temp {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := w.Key(ctx, temp.AK); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("a temporary key without its token: %v", err)
	}
	if w.path != "" {
		files, _ := filepath.Glob(w.path + "*")
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil || bytes.Contains(b, []byte(temp.Secret)) || bytes.Contains(b, []byte(testPassword)) {
				t.Errorf("%s has a secret in clear, %v", f, err)
			}
		}
	}
	if err := a.SetPassword(ctx, w.project(), "eve", "another "+testPassword); err != nil {
		t.Fatal(err)
	}
	if _, err := w.TemporaryKey(ctx, temp.AK); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("it outlived the password: %v", err)
	}

	parent := w.first.Key
	temp = parent
	temp.AK, temp.ParentAK, temp.Secret, temp.TokenHash, temp.ExpiresAt = "TEMPORARY00000000001", parent.AK, "s", hashSecret("t"), w.ms()+1000
	if err := w.PutTemporaryKey(ctx, temp, w.ms()); err != nil {
		t.Fatal(err)
	}
	if err := a.SetKeyDisabled(ctx, parent.AK, true); err != nil {
		t.Fatal(err)
	}
	if got, err := w.TemporaryKey(ctx, temp.AK); err != nil || !got.Disabled {
		t.Errorf("of a disabled key: %+v, %v", got, err)
	}
	if err := a.DeleteKey(ctx, parent.AK); err != nil {
		t.Fatal(err)
	}
	if _, err := w.TemporaryKey(ctx, temp.AK); fault.CodeOf(err) != fault.NotFound {
		t.Errorf("of a deleted key: %v", err)
	}
}

func TestAuditLog(t *testing.T) { onEngines(t, testAuditLog) }

func testAuditLog(t *testing.T) {
	w := newWorld(t)
	w.cfg.maxRefused = 3
	ctx := t.Context()
	id, err := w.BeginAudit(ctx, audit.Entry{At: w.ms(), RequestID: "r", User: "eve", AK: "AK", Client: "::1", Operation: "BatchScanLocalImage", Project: "p", EnterpriseProject: "0", Objects: []string{"i\x00"}})
	if err != nil {
		t.Fatal(err)
	}
	list := func(f AuditFilter) (out []audit.Entry) {
		t.Helper()
		if err := w.Audit(ctx, f, 100, func(e audit.Entry) error { out = append(out, e); return nil }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	want := audit.Entry{ID: id, At: w.ms(), RequestID: "r", User: "eve", AK: "AK", Client: "::1", Operation: "BatchScanLocalImage", Project: "p", EnterpriseProject: "0", Objects: []string{"i\x00"}, Count: 1}
	if d := cmp.Diff([]audit.Entry{want}, list(AuditFilter{User: "eve"})); d != "" {
		t.Error(d)
	}
	for _, status := range []int{200, 500} { // the first one stands
		if err := w.EndAudit(ctx, id, status); err != nil {
			t.Fatal(err)
		}
	}
	want.Status = 200
	if d := cmp.Diff([]audit.Entry{want}, list(AuditFilter{AK: "AK", Client: "::1", Operation: "BatchScanLocalImage", Project: "p", Since: w.ms(), Until: w.ms()})); d != "" {
		t.Error(d)
	}
	w.add(time.Second)
	refused := true
	for range 5 {
		if err := w.PutAudit(ctx, []audit.Entry{{At: w.ms(), Status: 403, Refused: true, Count: 7}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.PruneAudit(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if got := list(AuditFilter{Refused: &refused}); len(got) != 3 || got[0].Count != 7 {
		t.Errorf("%+v", got)
	}
	if got := list(AuditFilter{}); len(got) != 4 || got[3].ID != id {
		t.Errorf("%+v", got)
	}
	if err := w.PruneAudit(ctx, w.ms()); err != nil {
		t.Fatal(err)
	}
	if got := list(AuditFilter{}); len(got) != 3 {
		t.Errorf("%+v", got)
	}
}
