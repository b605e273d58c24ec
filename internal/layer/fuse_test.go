package layer

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/onceover/onceover/internal/image"
)

// TestFuseOverlayfs changes a mount of the real fuse-overlayfs, which runs as
// somebody who is not root, and compares what it leaves with what it showed.
func TestFuseOverlayfs(t *testing.T) {
	if _, err := exec.LookPath("fuse-overlayfs"); err != nil {
		t.Skip("no fuse-overlayfs here")
	}
	needMounts(t)
	dir := t.TempDir()
	node := filepath.Join(dir, "fuse")
	if err := unix.Mknod(node, unix.S_IFCHR, int(unix.Mkdev(10, 229))); err != nil {
		t.Skip("no fuse here: ", err)
	}
	for p := dir; p != "/"; p = filepath.Dir(p) {
		if fi, err := os.Stat(p); err == nil && fi.Mode().Perm()&5 != 5 {
			os.Chmod(p, fi.Mode().Perm()|5)
		}
	}
	if err := os.Chmod(node, 0o666); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(dir, "store")
	if err := os.Mkdir(store, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(store, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	const asUser = `set -e; mkdir -p l/d l/e l/f/g u w m
echo 1 > l/d/a; echo 2 > l/e/b; echo 3 > l/f/c; echo 4 > l/f/g/h; echo 5 > l/keep; ln -s d l/s
fuse-overlayfs -o lowerdir=l,upperdir=u,workdir=w m 2>/dev/null
rm m/d/a; echo 6 > m/d/n; rm -r m/e; mkdir m/e; echo 7 > m/e/n; rm -r m/f/g; echo 8 > m/f/g; rm m/s; mkdir m/s; echo 9 > m/s/x; chmod 600 m/keep
cd m; find . -type f -exec sh -c 'echo "${1#.}=$(cat "$1")"' - {} \; ; cd ..; umount m`
	script := `mount --bind "$1" /dev/fuse && cd "$2" && exec setpriv --reuid 1000 --regid 1000 --clear-groups unshare -Urm sh -c "$3"`
	out, err := exec.Command("unshare", "-m", "sh", "-c", script, "-", node, store, asUser).CombinedOutput()
	if err != nil {
		t.Skipf("fuse-overlayfs does not run here: %v: %s", err, out)
	}
	want := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(want)
	tree, err := applied(t, image.Layer{Dir: filepath.Join(store, "l")}, image.Layer{Dir: filepath.Join(store, "u")})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for p, v := range tree {
		if _, data, ok := strings.Cut(v, " "); ok && v[0] != '/' {
			got = append(got, p+"="+strings.TrimSpace(data))
		}
	}
	slices.Sort(got)
	if len(want) < 6 {
		t.Errorf("the mount showed only %v", want)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
