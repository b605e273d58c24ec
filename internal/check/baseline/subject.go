package baseline

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// sourceOf names the file of a variable, for the reason of a result.
func sourceOf(variable string) string {
	if s, ok := sources[variable]; ok {
		return s
	}
	return variable
}

var sources = map[string]string{
	"apk": "/etc/apk/repositories", "apt": "configuration of apt", "banners": "banner in /etc/issue or /etc/motd", "config": "known image configuration",
	"crypto_policy": "/etc/crypto-policies/config", "group": "/etc/group", "limits": "/etc/security/limits.conf", "login_defs": "/etc/login.defs",
	"mysql": "my.cnf", "nginx": "nginx.conf", "pam": "shared PAM stack", "pam_su": "/etc/pam.d/su", "passwd": "/etc/passwd", "profile": "/etc/profile",
	"redis": "redis.conf", "set_id": "program with a set-id bit", "shadow": "/etc/shadow", "sshd": "/etc/ssh/sshd_config", "sudo": "/etc/sudoers",
	"tomcat_context": "context.xml of Tomcat", "tomcat_server": "server.xml of Tomcat", "tomcat_users": "tomcat-users.xml", "tomcat_web": "web.xml of Tomcat",
	"useradd": "/etc/default/useradd", "world_writable": "file that everyone may write", "yum": "configuration of yum or dnf",
}

// MaxLooseFiles is how many files that Loose reports are looked at, of each
// sort; those with the first paths. A scan that keeps more for a layer keeps
// them in vain.
const MaxLooseFiles = 1000

// Limits of the merged image.
const (
	// maxIncluded is how many directives the files of one program may have
	// together, maxIncludes how deep includes go, and maxInclusions how many
	// times a file is included: files that include each other double at each
	// level. maxGlobs is how many patterns one program may have looked for.
	maxIncluded   = 20_000
	maxIncludes   = 8
	maxInclusions = 1000
	maxGlobs      = 250
)

// A subject is an image as expressions see it.
type subject struct {
	files map[string]*File
	paths []string
	users map[int]string // names by ID
	group map[int]string
	vars  map[string]any
	has   map[string]bool
	// partial names a file that was not read whole, for each variable that
	// would rest on it. touched is the first such file of the unit that is
	// being put together.
	partial map[string]string
	touched string
	globs   int
}

func newSubject(im Image, family string) *subject {
	s := &subject{files: map[string]*File{}, users: map[int]string{}, group: map[int]string{}, vars: map[string]any{}, has: map[string]bool{}, partial: map[string]string{}}
	for _, f := range im.Files {
		if f != nil {
			s.files[f.Path] = f
			s.paths = append(s.paths, f.Path)
		}
	}
	slices.Sort(s.paths)
	s.paths = slices.Compact(s.paths)
	for _, v := range variables {
		s.vars[v.name] = v.absent
	}
	s.vars["distribution"] = &System{ID: clip(im.Distribution.ID), Version: clip(im.Distribution.VersionID), Family: family}
	if im.Config != nil {
		s.put("config", im.Config)
	}
	for _, unit := range []func(){s.passwd, s.groups, s.shadow, s.loginDefs, s.useradd, s.cryptoPolicy, s.limits, s.profile, s.banners, s.sshd, s.su, s.pam, s.sudo,
		s.yum, s.apt, s.apk, s.nginx, s.redis, s.mysql, s.tomcat, s.loose} {
		s.touched, s.globs = "", 0
		unit()
	}
	return s
}

func (s *subject) put(name string, v any) {
	s.vars[name], s.has[name] = v, true
	if s.touched != "" {
		s.partial[name] = s.touched
	}
}

// cut notes that what f includes is not followed to its end.
func (s *subject) cut(f *File) {
	s.touched = cmp.Or(s.touched, f.Path)
}

func (s *subject) touch(f *File) *File {
	if f.Partial && s.touched == "" {
		s.touched = f.Path
	}
	return f
}

// parsed is the file at p if its content was read.
func (s *subject) parsed(p string) *File {
	if f := s.files[p]; f != nil && f.Parsed {
		return s.touch(f)
	}
	return nil
}

// glob are the parsed files that fit, by path.
func (s *subject) glob(pattern string) []*File {
	if !strings.ContainsAny(pattern, "*?[") {
		if f := s.parsed(pattern); f != nil {
			return []*File{f}
		}
		return nil
	}
	if s.globs++; s.globs > maxGlobs {
		s.touched = cmp.Or(s.touched, clip(pattern))
		return nil
	}
	var out []*File
	for _, p := range s.paths {
		if ok, err := path.Match(pattern, p); ok && err == nil && s.files[p].Parsed {
			out = append(out, s.touch(s.files[p]))
		}
	}
	return out
}

// matching are the files that fit one of the patterns, by path.
func (s *subject) matching(patterns []string) []Node {
	var out []Node
	for _, p := range s.paths {
		for _, pattern := range patterns {
			if ok, err := path.Match(pattern, p); ok && err == nil {
				out = append(out, s.node(s.files[p]))
				break
			}
		}
	}
	return out
}

func (s *subject) node(f *File) Node {
	name := func(names map[int]string, id int) string {
		if n, ok := names[id]; ok {
			return n
		}
		if id <= 0 {
			return "root" // -1 is unknown, and then no reason to complain
		}
		return strconv.Itoa(id)
	}
	return Node{Path: f.Path, Perm: fmt.Sprintf("%04o", f.Mode), Owner: name(s.users, f.UID), Group: name(s.group, f.GID),
		UID: max(f.UID, 0), GID: max(f.GID, 0), Size: f.Size, Dir: f.Dir}
}

func (s *subject) passwd() {
	if f := s.parsed("/etc/passwd"); f != nil {
		s.put("passwd", f.Accounts)
		for _, a := range slices.Backward(f.Accounts) {
			s.users[a.UID] = a.Name
		}
		s.users[0] = "root"
	}
}

func (s *subject) groups() {
	if f := s.parsed("/etc/group"); f != nil {
		s.put("group", f.Groups)
		for _, g := range slices.Backward(f.Groups) {
			s.group[g.GID] = g.Name
		}
		s.group[0] = "root"
	}
}

func (s *subject) shadow() {
	if f := s.parsed("/etc/shadow"); f != nil {
		s.put("shadow", f.Passwords)
	}
}

func (s *subject) loginDefs() {
	if f := s.parsed("/etc/login.defs"); f != nil {
		s.put("login_defs", lastOptions(f.Directives))
	}
}

func (s *subject) useradd() {
	if f := s.parsed("/etc/default/useradd"); f != nil {
		s.put("useradd", lastOptions(f.Directives))
	}
}

func (s *subject) cryptoPolicy() {
	if f := s.parsed("/etc/crypto-policies/config"); f != nil && len(f.Directives) > 0 {
		s.put("crypto_policy", first(f.Directives[0].Args))
	}
}

func (s *subject) limits() {
	limits := []Limit{}
	found := false
	for _, pattern := range []string{"/etc/security/limits.conf", "/etc/security/limits.d/*.conf"} {
		for _, f := range s.glob(pattern) {
			found = true
			for _, d := range f.Directives {
				if len(d.Args) == 3 && len(limits) < maxEntries {
					limits = append(limits, Limit{d.Args[0], d.Args[1], d.Name, d.Args[2]})
				}
			}
		}
	}
	if found {
		s.put("limits", limits)
	}
}

func (s *subject) profile() {
	profile, found := &Profile{Umasks: []string{}, Timeouts: []int{}}, false
	for _, pattern := range []string{"/etc/profile", "/etc/profile.d/*.sh", "/etc/bash.bashrc", "/etc/bashrc"} {
		for _, f := range s.glob(pattern) {
			found = found || f.Path == "/etc/profile"
			for _, d := range f.Directives {
				switch {
				case len(profile.Umasks)+len(profile.Timeouts) >= maxEntries:
				case d.Name == "umask":
					profile.Umasks = append(profile.Umasks, first(d.Args))
				case d.Name == "TMOUT":
					profile.Timeouts = append(profile.Timeouts, number(first(d.Args)))
				}
			}
		}
	}
	if found {
		s.put("profile", profile)
	}
}

func (s *subject) banners() {
	banners := []Banner{}
	for _, p := range []string{"/etc/issue", "/etc/issue.net", "/etc/motd"} {
		f := s.parsed(p)
		if f == nil {
			continue
		}
		b := Banner{Path: p, Escapes: []string{}}
		for _, d := range f.Directives {
			switch d.Name {
			case "escapes":
				b.Escapes = append(b.Escapes, d.Args...)
			case "text":
				b.Text = true
			}
		}
		if b.Text {
			banners = append(banners, b)
		}
	}
	if len(banners) > 0 {
		s.put("banners", banners)
	}
}

// lastOptions is a map of options where the last of a name counts.
func lastOptions(ds []Directive) map[string]string {
	m := make(map[string]string, len(ds))
	for _, d := range ds {
		m[d.Name] = strings.Join(d.Args, " ")
	}
	return m
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func (s *subject) yum() {
	yum, found := &Yum{Main: map[string]string{}, Repos: []Repo{}}, false
	for _, p := range []string{"/etc/yum.conf", "/etc/dnf/dnf.conf", "/etc/yum.repos.d/*.repo"} {
		for _, f := range s.glob(p) {
			found = true
			var repo *Repo
			for _, d := range f.Directives {
				switch {
				case d.Section == "main":
					if d.Name != "" {
						yum.Main[d.Name] = first(d.Args)
					}
				case d.Name == "" && len(yum.Repos) < maxEntries:
					yum.Repos = append(yum.Repos, Repo{ID: d.Section, File: f.Path, Options: map[string]string{}})
					repo = &yum.Repos[len(yum.Repos)-1]
				case repo != nil:
					repo.Options[d.Name] = first(d.Args)
				}
			}
		}
	}
	if found {
		s.put("yum", yum)
	}
}

func (s *subject) apt() {
	apt, found := &APT{Options: map[string]string{}, Sources: []Source{}}, false
	for _, p := range []string{"/etc/apt/apt.conf.d/*", "/etc/apt/apt.conf"} {
		for _, f := range s.glob(p) {
			found = true
			for _, d := range f.Directives {
				apt.Options[d.Name] = strings.ToLower(first(d.Args))
			}
		}
	}
	for _, p := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*"} {
		for _, f := range s.glob(p) {
			found = true
			for _, d := range f.Directives {
				if len(apt.Sources) < maxEntries {
					apt.Sources = append(apt.Sources, Source{File: f.Path, Scheme: d.Name, Trusted: slices.Contains(d.Args, "trusted")})
				}
			}
		}
	}
	if found {
		s.put("apt", apt)
	}
}

func (s *subject) apk() {
	if f := s.parsed("/etc/apk/repositories"); f != nil {
		schemes := []string{}
		for _, d := range f.Directives {
			schemes = append(schemes, d.Name)
		}
		s.put("apk", schemes)
	}
}

// loose lists files by their mode. The lists are there as soon as the image has
// accounts: no such file is a good answer, not a missing one.
func (s *subject) loose() {
	if !s.has["passwd"] && len(s.paths) == 0 {
		return
	}
	setID, writable := []Node{}, []Node{}
	for _, p := range s.paths {
		f := s.files[p]
		if f.Dir {
			continue
		}
		if f.Mode&0o6000 != 0 && len(setID) < MaxLooseFiles {
			setID = append(setID, s.node(f))
		}
		if f.Mode&0o002 != 0 && len(writable) < MaxLooseFiles {
			writable = append(writable, s.node(f))
		}
	}
	s.put("set_id", setID)
	s.put("world_writable", writable)
}
