package storage_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/runtime/storage"
)

// host lays out files below a prefix; "@" in them stands for the prefix. A
// name that ends in a slash is a store.
func host(t *testing.T, files map[string]string) (storage.Host, string) {
	t.Helper()
	prefix := t.TempDir()
	if err := os.Chmod(prefix, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		p := filepath.Join(prefix, name)
		if strings.HasSuffix(name, "/") {
			p = filepath.Join(p, "overlay-images")
			if err := os.MkdirAll(p, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(strings.ReplaceAll(content, "@", prefix)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return storage.Host{Prefix: prefix, Getenv: func(string) string { return "" }}, prefix
}

func TestRoots(t *testing.T) {
	const system = "[storage]\ndriver = \"overlay\"\ngraphroot = \"@/data\"\nrunroot = \"@/state\"\n"
	passwd := func(home string) string {
		return fmt.Sprintf("root:x:0:0::/root:/bin/sh\nme:x:%d:1::%s:/bin/sh\nbroken\n", os.Geteuid(), home)
	}
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  []storage.Config
	}{
		{name: "nothing", files: map[string]string{"data/": ""}},
		{name: "a root that is not there", files: map[string]string{"etc/containers/storage.conf": system}},
		{
			name:  "of the system",
			files: map[string]string{"data/": "", "etc/containers/storage.conf": system},
			want:  []storage.Config{{Root: "@/data", RunRoot: "@/state", Engine: "podman"}},
		},
		{
			name: "of the distribution, with additional stores",
			files: map[string]string{"data/": "", "usr/share/containers/storage.conf": system +
				"imagestore = \"@/images\"\n[storage.options]\nadditionalimagestores = [\"@/more\", \"relative\",\n \"@/most\"]\n"},
			want: []storage.Config{{Root: "@/data", RunRoot: "@/state", Engine: "podman", Additional: []string{"@/images", "@/more", "@/most"}}},
		},
		{
			name: "of the system before the distribution's",
			files: map[string]string{
				"data/": "", "other/": "", "etc/containers/storage.conf": system,
				"usr/share/containers/storage.conf": "[storage]\ngraphroot = \"@/other\"\n",
			},
			want: []storage.Config{{Root: "@/data", RunRoot: "@/state", Engine: "podman"}},
		},
		{
			name: "CRI-O has its own",
			files: map[string]string{
				"data/": "", "crio/": "", "etc/containers/storage.conf": system,
				"etc/crio/crio.conf": "[crio]\nroot = \"@/crio\"\nrunroot = \"@/crio-state\"\nstorage_option = [\"overlay.imagestore=@/a\"]\n[crio.api]\nlisten = \"@/c.sock\"\n[crio.runtime]\nx = 1\n",
			},
			want: []storage.Config{
				{Root: "@/crio", RunRoot: "@/crio-state", Engine: "cri-o", CRI: "@/c.sock", Additional: []string{"@/a"}},
				{Root: "@/data", RunRoot: "@/state", Engine: "podman"},
			},
		},
		{
			name: "CRI-O and podman share one",
			files: map[string]string{
				"data/": "", "etc/containers/storage.conf": system,
				"etc/crio/crio.conf.d/10-crun.conf": "[crio.runtime]\ndefault_runtime = \"crun\"\n",
			},
			want: []storage.Config{{Root: "@/data", RunRoot: "@/state", Engine: "cri-o", CRI: "@/run/crio/crio.sock"}},
		},
		{
			name: "a later file of crio.conf.d wins",
			files: map[string]string{
				"one/": "", "two/": "", "etc/crio/crio.conf.d/00-a": "[crio]\nroot = \"@/one\"\n", "etc/crio/crio.conf.d/01-b": "[crio]\nroot = \"@/two\"\n",
			},
			want: []storage.Config{{Root: "@/two", RunRoot: "/run/containers/storage", Engine: "cri-o", CRI: "@/run/crio/crio.sock"}},
		},
		{
			name:  "damaged configuration",
			files: map[string]string{"data/": "", "etc/containers/storage.conf": system + "\x00[", "etc/crio/crio.conf": strings.Repeat("a = 1\n", 1<<20)},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, prefix := host(t, tc.files)
			compare(t, prefix, tc.want, h.Roots())
		})
	}
	if os.Geteuid() == 0 {
		return // the cases below are about ourselves; root's store is the system's
	}
	h, prefix := host(t, map[string]string{"home/me/.local/share/containers/storage/": "", "etc/passwd": passwd("/home/me")})
	compare(t, prefix, []storage.Config{{
		Root: "@/home/me/.local/share/containers/storage", RunRoot: fmt.Sprintf("@/run/user/%d/containers", os.Geteuid()), Engine: "podman",
	}}, h.Roots())
}

func compare(t *testing.T, prefix string, want, got []storage.Config) {
	t.Helper()
	var shown []storage.Config
	for _, c := range got {
		if !strings.HasPrefix(c.Root, prefix) {
			continue // this machine's own default
		}
		c.CRI = strings.ReplaceAll(c.CRI, prefix, "@")
		c.Root, c.RunRoot = strings.ReplaceAll(c.Root, prefix, "@"), strings.ReplaceAll(c.RunRoot, prefix, "@")
		for i := range c.Additional {
			c.Additional[i] = strings.ReplaceAll(c.Additional[i], prefix, "@")
		}
		if len(c.Additional) == 0 {
			c.Additional = nil
		}
		shown = append(shown, c)
	}
	if d := cmp.Diff(want, shown); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// TestUserRoots: root finds the stores of users, where they are the users' own.
func TestUserRoots(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to look into the homes of others")
	}
	h, prefix := host(t, map[string]string{
		"etc/passwd": "ann:x:4001:1::/home/ann:/bin/sh\nbob:x:4002:1::/home/bob:/bin/sh\ncat:x:4003:1::/home/cat:/bin/sh\n" +
			"dan:x:4004:1::/home/dan:/bin/sh\neve:x:4005:1::/home/eve:/bin/sh\nfay:x:4006:1::/home/fay:/bin/sh\n",
		"home/ann/.local/share/containers/storage/": "",
		"srv/bob/":    "",
		"srv/shared/": "",
		"home/bob/.config/containers/storage.conf": "[storage]\ngraphroot = \"@/srv/$USER\"\nrunroot = \"@/run/bob-$UID\"\n[storage.options]\nadditionalimagestores = [\"@/srv/ann\", \"@/srv/shared\", \"@/srv/root\"]\n",
		"srv/root/": "",
		"home/cat/.config/containers/storage.conf": "[storage]\ngraphroot = \"@/srv/root\"\n", // leads to what is not cat's
		"home/dan/.config/containers/storage.conf": "[storage]\ngraphroot = \"@/srv/dan\"\n",  // not dan's file
		"srv/dan/":                    "",
		"etc/containers/storage.conf": "[storage]\ngraphroot = \"@/none\"\nrootless_storage_path = \"$HOME/pods\"\n[storage.options]\nadditionalimagestores = [\"@/srv/shared\"]\n",
		"home/fay/pods/":              "",
	})
	for path, uid := range map[string]int{
		"home/ann/.local/share/containers/storage": 4001, "srv/bob": 4002, "home/bob/.config/containers/storage.conf": 4002,
		"home/cat/.config/containers/storage.conf": 4003, "srv/dan": 4004, "home/fay/pods": 4006,
	} {
		if err := os.Chown(filepath.Join(prefix, path), uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, prefix, []storage.Config{
		{Root: "@/srv/bob", RunRoot: "@/run/bob-4002", Engine: "podman", Additional: []string{"@/srv/shared"}},
		{Root: "@/home/fay/pods", RunRoot: "@/run/user/4006/containers", Engine: "podman"},
	}, h.Roots())
}

// TestManyRoots crosses the limit on roots.
func TestManyRoots(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to look into the homes of others")
	}
	const users = 70
	files := map[string]string{}
	var passwd strings.Builder
	for i := range users {
		fmt.Fprintf(&passwd, "u%d:x:%d:1::/home/u%d:/bin/sh\n", i, 5000+i, i)
		files[fmt.Sprintf("home/u%d/.local/share/containers/storage/", i)] = ""
	}
	files["etc/passwd"] = passwd.String()
	h, prefix := host(t, files)
	for i := range users {
		if err := os.Chown(filepath.Join(prefix, fmt.Sprintf("home/u%d/.local/share/containers/storage", i)), 5000+i, 1); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(h.Roots()); got != 64 {
		t.Errorf("%d roots, want 64", got)
	}
}
