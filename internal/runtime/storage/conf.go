package storage

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"
)

const (
	// maxConfBytes bounds one configuration file.
	maxConfBytes = 1 << 20
	// maxUsers bounds the homes that are looked at.
	maxUsers = 10_000
	// maxRoots bounds the graph roots of one host: each is watched, and a
	// machine that thousands share must not be all watching.
	maxRoots = 64
	// maxPasswdBytes bounds the list of users.
	maxPasswdBytes = 4 << 20

	defaultRoot    = "/var/lib/containers/storage"
	defaultRunRoot = "/run/containers/storage"
	crioSocket     = "/run/crio/crio.sock"
)

// Host says where the configuration of engines is looked for. The zero value is
// this host.
type Host struct {
	// Prefix stands before every usual path, for tests.
	Prefix string
	// Getenv is os.Getenv unless set.
	Getenv func(string) string
}

// Roots are the graph roots that the configuration of this host names and that
// are there: the system's, CRI-O's, and each user's own. Where CRI-O and
// podman use one root it is CRI-O's. Roots of other users are found by root
// only, in the order of the list of users, 64 roots in all.
func (h Host) Roots() []Config {
	var out []Config
	system := h.systemConf()
	if c, ok := h.crio(system); ok {
		out = append(out, c)
	}
	out = append(out, system.config(EnginePodman))
	for _, u := range h.users() {
		out = append(out, h.userRoot(u, system))
	}
	seen := map[string]bool{}
	out = slices.DeleteFunc(out, func(c Config) bool {
		if c.Root == "" {
			return true
		}
		real, err := filepath.EvalSymlinks(c.Root)
		if errors.Is(err, fs.ErrPermission) {
			real, err = c.Root, nil // there is something, and we may not see what
		}
		if err != nil || seen[real] {
			return true
		}
		if stores, err := storesIn(real); err == nil && len(stores) == 0 {
			return true // made, and never used
		}
		seen[real] = true
		return false
	})
	return out[:min(len(out), maxRoots)]
}

// Configured completes a root that somebody named with what the configuration
// says of it; as it is if that says nothing.
func (h Host) Configured(root string) Config {
	real := func(p string) string {
		r, _ := filepath.EvalSymlinks(p)
		return cmp.Or(r, p)
	}
	for _, c := range h.Roots() {
		if real(c.Root) == real(root) {
			c.Root = root
			return c
		}
	}
	return Config{Root: root}
}

// storageConf is the part of storage.conf that we use
// (containers-storage.conf(5)).
type storageConf struct {
	Storage struct {
		GraphRoot    string `toml:"graphroot"`
		RunRoot      string `toml:"runroot"`
		RootlessPath string `toml:"rootless_storage_path"`
		ImageStore   string `toml:"imagestore"`
		Options      struct {
			Additional []string `toml:"additionalimagestores"`
		} `toml:"options"`
	} `toml:"storage"`
}

func (c storageConf) config(engine string) Config {
	return Config{
		Root:    cmp.Or(c.Storage.GraphRoot, defaultRoot),
		RunRoot: cmp.Or(c.Storage.RunRoot, defaultRunRoot), Engine: engine,
		Additional: absolute(c.additional()),
	}
}

// additional are the additional stores. An image store of its own (imagestore)
// holds the images, and is read like one.
func (c storageConf) additional() []string {
	out := slices.Clone(c.Storage.Options.Additional)
	if c.Storage.ImageStore != "" {
		out = append([]string{c.Storage.ImageStore}, out...)
	}
	return out
}

func absolute(dirs []string) []string {
	dirs = slices.DeleteFunc(dirs, func(d string) bool { return !filepath.IsAbs(d) })
	return dirs[:min(len(dirs), maxStores)]
}

// systemConf is /etc/containers/storage.conf, or else the distribution's.
func (h Host) systemConf() storageConf {
	files := []string{h.Prefix + "/etc/containers/storage.conf", h.Prefix + "/usr/share/containers/storage.conf"}
	if f := h.getenv("CONTAINERS_STORAGE_CONF"); filepath.IsAbs(f) {
		files = append([]string{f}, files...)
	}
	var c storageConf
	for _, f := range files {
		if readTOML(f, nil, &c) {
			break
		}
	}
	return c
}

// crioConf is the part of crio.conf that we use (crio.conf(5)).
type crioConf struct {
	CRIO struct {
		Root    string   `toml:"root"`
		RunRoot string   `toml:"runroot"`
		Options []string `toml:"storage_option"`
		API     struct {
			Listen string `toml:"listen"`
		} `toml:"api"`
	} `toml:"crio"`
}

// crio is the root of CRI-O, if this host has one: its configuration, with the
// files of crio.conf.d over it in their order, or its socket.
func (h Host) crio(system storageConf) (Config, bool) {
	var c crioConf
	dropIns, _ := filepath.Glob(h.Prefix + "/etc/crio/crio.conf.d/*") // the pattern is sound
	slices.Sort(dropIns)
	found := false
	for _, f := range append([]string{h.Prefix + "/etc/crio/crio.conf"}, dropIns...) {
		found = readTOML(f, nil, &c) || found
	}
	if !found {
		if _, err := os.Stat(h.Prefix + crioSocket); err != nil {
			return Config{}, false
		}
	}
	out := system.config(EngineCRIO)
	out.CRI = cmp.Or(c.CRIO.API.Listen, h.Prefix+crioSocket)
	out.Root = cmp.Or(c.CRIO.Root, out.Root)
	out.RunRoot = cmp.Or(c.CRIO.RunRoot, out.RunRoot)
	for _, o := range c.CRIO.Options {
		// "overlay.imagestore=/a,/b"
		name, value, _ := strings.Cut(o, "=")
		if strings.HasSuffix(name, ".imagestore") || name == "additionalimagestores" {
			out.Additional = append(out.Additional, absolute(strings.Split(value, ","))...)
		}
	}
	return out, true
}

// A user may keep a store of their own.
type user struct {
	name string
	uid  uint32
	home string
}

// users are those whose stores may be read: everybody's for root, else our
// own.
func (h Host) users() []user {
	b, err := readFile(h.Prefix+"/etc/passwd", maxPasswdBytes, nil)
	if err != nil {
		return nil
	}
	self := os.Geteuid()
	var out []user
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) < 6 || !filepath.IsAbs(f[5]) || len(out) == maxUsers {
			continue
		}
		uid, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil || uid == 0 || self != 0 && self != int(uid) {
			continue
		}
		out = append(out, user{name: f[0], uid: uint32(uid), home: h.Prefix + f[5]})
	}
	return out
}

// userRoot is the root of one user's podman. A root that does not belong to
// the user is left out: the user's own file must not lead us elsewhere.
func (h Host) userRoot(u user, system storageConf) Config {
	out := Config{
		Root:    filepath.Join(u.home, ".local/share/containers/storage"),
		RunRoot: h.Prefix + "/run/user/" + strconv.FormatUint(uint64(u.uid), 10) + "/containers",
		Engine:  EnginePodman,
	}
	if p := system.Storage.RootlessPath; p != "" {
		out.Root = u.expand(p)
	}
	var c storageConf
	owner := u.uid
	if readTOML(filepath.Join(u.home, ".config/containers/storage.conf"), &owner, &c) {
		out.Root = cmp.Or(u.expand(c.Storage.GraphRoot), u.expand(c.Storage.RootlessPath), out.Root)
		out.RunRoot = cmp.Or(u.expand(c.Storage.RunRoot), out.RunRoot)
		for _, dir := range absolute(c.additional()) {
			// The user trusts it; we do if it is the system's or the user's.
			if uid, ok := ownerOf(dir); ok && (uid == 0 && slices.Contains(system.additional(), dir) || uid == u.uid) {
				out.Additional = append(out.Additional, dir)
			}
		}
	}
	if uid, ok := ownerOf(out.Root); !ok || uid != u.uid {
		return Config{}
	}
	return out
}

// expand replaces what containers-storage.conf(5) allows in a user's path.
func (u user) expand(p string) string {
	return os.Expand(p, func(name string) string {
		switch name {
		case "HOME":
			return u.home
		case "USER":
			return u.name
		case "UID":
			return strconv.FormatUint(uint64(u.uid), 10)
		}
		return ""
	})
}

func ownerOf(dir string) (uint32, bool) {
	fi, err := os.Stat(dir)
	if err != nil {
		return 0, false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Uid, true
}

// readTOML reads a file over what is in out; false if there is none or it
// makes no sense.
func readTOML(path string, owner *uint32, out any) bool {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	b, err := readFile(real, maxConfBytes, owner)
	return err == nil && toml.Unmarshal(b, out) == nil
}

func (h Host) getenv(key string) string {
	if h.Getenv != nil {
		return h.Getenv(key)
	}
	return os.Getenv(key)
}
