package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/onceover/onceover/test/shareddata"
)

// tempData makes a data directory where an overlay can be mounted: the
// temporary directory may itself be an overlay.
func tempData() (string, error) {
	places := []string{os.TempDir()}
	if root := shareddata.Root(); root != "" {
		places = append(places, filepath.Join(root, "build", "tmp"))
	}
	places = append(places, "/var/tmp")
	var last error
	for _, p := range places {
		if err := os.MkdirAll(p, 0o755); err != nil {
			last = err
			continue
		}
		dir, err := os.MkdirTemp(p, "oe-data-")
		if err != nil {
			last = err
			continue
		}
		if err := overlayWorks(dir); err != nil {
			_ = os.Remove(dir)
			last = err
			continue
		}
		return dir, os.Chmod(dir, 0o711)
	}
	return "", fmt.Errorf("%w: no place for overlay mounts in %s: %w", ErrMissing, strings.Join(places, ", "), last)
}

// overlayWorks mounts a small overlay below dir and takes it away again.
func overlayWorks(dir string) error {
	base, err := os.MkdirTemp(dir, ".overlay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(base)
	at := func(name string) string { return filepath.Join(base, name) }
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(at(name), 0o755); err != nil {
			return err
		}
	}
	opts := "lowerdir=" + at("lower") + ",upperdir=" + at("upper") + ",workdir=" + at("work")
	if err := syscall.Mount("overlay", at("merged"), "overlay", 0, opts); err != nil {
		return err
	}
	return syscall.Unmount(at("merged"), syscall.MNT_DETACH)
}

// cacheDir is where things stay that take long to build.
func cacheDir() (string, error) {
	if d := os.Getenv("ONCEOVER_CACHE"); d != "" {
		return filepath.Abs(d)
	}
	if root := shareddata.Root(); root != "" {
		return filepath.Join(root, "build", "cache"), nil
	}
	d, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(d, "onceover"), nil
}
