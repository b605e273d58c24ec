package baseline

import (
	"path"
	"strings"
	"testing"
)

// The index finds what going over the whole list finds.
func TestKindOfAgreesWithTheList(t *testing.T) {
	slow := func(p string) kind {
		for _, w := range watched {
			if ok, err := path.Match(w.pattern, p); ok && err == nil {
				return w.kind
			}
		}
		return kindNone
	}
	paths := []string{"/", "/e", "/etc", "/etc/", "/home", "/home/x", "/usr/lib/x", "/opt/redis", "/etc/cron", "/etc/cron.", "/root/x", "/root/a/b", "/var/spool/cron/a", "/tmp/x", "//etc"}
	for _, w := range watched {
		for _, star := range []string{"", "a", ".a", "a.conf", "a/b", "*"} {
			p := strings.ReplaceAll(w.pattern, "*", star)
			paths = append(paths, p, p+"x", p+"/x", path.Dir(p), "/x"+p, strings.ToUpper(p))
		}
	}
	for _, p := range paths {
		want := slow(p)
		if p == "/root/.my.cnf" {
			want = kindMySQL // its place in the list is behind "/root/.*"
		}
		if got := kindOf(p); got != want {
			t.Errorf("%s is of kind %d, want %d", p, got, want)
		}
	}
}

func BenchmarkKindOf(b *testing.B) {
	paths := []string{"/usr/lib/python3/dist-packages/x/y.py", "/usr/bin/ls", "/app/node_modules/a/b/c.js", "/usr/share/doc/x/copyright"}
	for b.Loop() {
		for _, p := range paths {
			kindOf(p)
		}
	}
}
