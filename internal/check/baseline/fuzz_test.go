package baseline

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fuzzPaths has a path for each kind of file.
var fuzzPaths = []string{"/etc/ssh/sshd_config", "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/login.defs", "/etc/profile", "/etc/security/limits.conf",
	"/etc/pam.d/su", "/etc/sudoers", "/etc/issue", "/etc/yum.conf", "/etc/apt/apt.conf", "/etc/apt/sources.list", "/etc/apk/repositories", "/etc/crypto-policies/config",
	"/etc/nginx/nginx.conf", "/etc/redis.conf", "/etc/my.cnf", "/opt/conf/server.xml", "/opt/conf/tomcat-users.xml", "/opt/conf/web.xml", "/opt/conf/context.xml", "/root/.my.cnf"}

// Whatever a file holds, its facts stay within their limits, survive JSON and
// can be judged.
func FuzzFacts(f *testing.F) {
	for _, family := range testFamilies {
		for _, file := range append(hardened(family.family), loosened(family.family)...) {
			for i, p := range fuzzPaths {
				if kindOf(p) == kindOf(file.path) {
					f.Add(uint8(i), []byte(file.content))
				}
			}
		}
	}
	set, err := Builtin()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, which uint8, content []byte) {
		p := fuzzPaths[int(which)%len(fuzzPaths)]
		file, _ := Facts(p, Stat{Mode: 0o644, Size: int64(len(content))}, content)
		if file == nil || file.Path != p {
			t.Fatalf("facts %+v", file)
		}
		if n := max(len(file.Directives), len(file.Accounts), len(file.Passwords), len(file.Groups), len(file.PAM), len(file.Sudo)); n > maxEntries+1 {
			t.Errorf("%d entries", n)
		}
		for _, d := range file.Directives {
			if len(d.Args) > maxArgs || len(d.Name) > 3*maxValueBytes {
				t.Errorf("directive %+v", d)
			}
		}
		b, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		var back File
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(&back)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(b), string(again)); diff != "" {
			t.Error(diff)
		}
		for _, family := range []string{"debian", "centos"} {
			for _, r := range Evaluate(set, Image{Files: []*File{&back}, Distribution: Distribution{ID: family}}) {
				if r.Status == Unverified && !back.Partial {
					t.Errorf("%s: %s", r.RuleID, r.Reason)
				}
			}
		}
	})
}

// Whatever a pack holds, reading it ends with rules or with an error.
func FuzzPack(f *testing.F) {
	f.Add([]byte(goodRule))
	f.Add([]byte("baselines:\n- {check_name: a, description: b}\n"))
	f.Add([]byte("rules: &a\n- *a\n"))
	f.Add([]byte("rules: [{id: [], cases: [{check: x}]}]\n"))
	base, err := Builtin()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		set, err := base.With(packOf(b))
		if (set == nil) == (err == nil) {
			t.Fatalf("set %v, error %v", set, err)
		}
	})
}
