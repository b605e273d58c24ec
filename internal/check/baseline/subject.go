package baseline

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The types below are what expressions see (docs/baseline.md lists them). Names
// of fields in expressions are those in JSON.
type (
	// A System is the distribution.
	System struct {
		ID      string `json:"id"`
		Version string `json:"version"`
		Family  string `json:"family"`
	}
	// A Node is one file by mode and owner. Perm is octal: "0644". Owner
	// and Group are names where the image knows them, else numbers.
	Node struct {
		Path  string `json:"path"`
		Perm  string `json:"perm"`
		Owner string `json:"owner"`
		Group string `json:"group"`
		UID   int    `json:"uid"`
		GID   int    `json:"gid"`
		Size  int64  `json:"size"`
		Dir   bool   `json:"dir"`
	}
	// SSHD is sshd_config with what it includes. Options are those outside
	// of Match, names in lower case, the first of each; those that add up are
	// joined by blanks. Match are the names set within Match, with value.
	SSHD struct {
		Options map[string]string `json:"options"`
		Match   []string          `json:"match"`
	}
	// PAM is the shared stack: common-* of Debian, system-auth and
	// password-auth of Red Hat, base-* of Alpine.
	PAM struct {
		Auth     []PAMRule `json:"auth"`
		Account  []PAMRule `json:"account"`
		Password []PAMRule `json:"password"`
		Session  []PAMRule `json:"session"`
		// Quality, Lockout and History are the options of the module that
		// checks new passwords, that locks out, that remembers; those of the
		// module's own file, and over them the arguments in the stack. The
		// module is "" if the stack has none.
		QualityModule string            `json:"quality_module"`
		Quality       map[string]string `json:"quality"`
		LockoutModule string            `json:"lockout_module"`
		Lockout       map[string]string `json:"lockout"`
		HistoryModule string            `json:"history_module"`
		History       map[string]string `json:"history"`
		// Unix are the arguments of pam_unix.so for passwords.
		Unix []string `json:"unix"`
	}
	// Limit is a line of limits.conf.
	Limit struct {
		Domain string `json:"domain"`
		Type   string `json:"type"`
		Item   string `json:"item"`
		Value  string `json:"value"`
	}
	// Profile is what /etc/profile, profile.d and bashrc set.
	Profile struct {
		Umasks   []string `json:"umasks"`
		Timeouts []int    `json:"timeouts"`
	}
	// Sudo is sudoers with what it includes.
	Sudo struct {
		Grants []SudoRule `json:"grants"`
		// Defaults are all names of options, "name=value" where kept.
		Defaults []string `json:"defaults"`
	}
	// Banner is a file that is shown at login.
	Banner struct {
		Path    string   `json:"path"`
		Escapes []string `json:"escapes"`
		Text    bool     `json:"text"`
	}
	// Yum is the main section, and the repositories.
	Yum struct {
		Main  map[string]string `json:"main"`
		Repos []Repo            `json:"repos"`
	}
	// Repo is one repository of yum. URL holds the scheme.
	Repo struct {
		ID      string            `json:"id"`
		File    string            `json:"file"`
		Options map[string]string `json:"options"`
	}
	// APT is apt.conf with names in lower case, and the sources.
	APT struct {
		Options map[string]string `json:"options"`
		Sources []Source          `json:"sources"`
	}
	// Source is one source of apt.
	Source struct {
		File    string `json:"file"`
		Scheme  string `json:"scheme"`
		Trusted bool   `json:"trusted"`
	}
	// Nginx is nginx.conf with what it includes.
	Nginx struct {
		Main    map[string]string `json:"main"`
		HTTP    map[string]string `json:"http"`
		Servers []Server          `json:"servers"`
		// Directives are all, in order.
		Directives []Directive `json:"directives"`
	}
	// Server is one server block: its options over those of http, and the
	// headers that it adds, names in lower case.
	Server struct {
		Name    string            `json:"name"`
		Listens []string          `json:"listens"`
		TLS     bool              `json:"tls"`
		Options map[string]string `json:"options"`
		Headers map[string]string `json:"headers"`
	}
	// Redis is redis.conf. Password is "", "empty" or "set".
	Redis struct {
		Options  map[string]string `json:"options"`
		Password string            `json:"password"`
		Users    []RedisUser       `json:"users"`
		Renamed  []string          `json:"renamed"`
	}
	// RedisUser is a line of an ACL.
	RedisUser struct {
		Name        string `json:"name"`
		On          bool   `json:"on"`
		NoPass      bool   `json:"nopass"`
		AllCommands bool   `json:"all_commands"`
	}
	// MySQL is my.cnf with what it includes: the options of the server, and
	// the sections that hold a password for clients.
	MySQL struct {
		Options   map[string]string `json:"options"`
		Passwords []string          `json:"passwords"`
	}
	// Element is an element of one of Tomcat's files.
	Element struct {
		File       string            `json:"file"`
		Section    string            `json:"section"`
		Name       string            `json:"name"`
		Attributes map[string]string `json:"attributes"`
		// State is of the secret that it holds: "set", "empty", "default",
		// "user name".
		State string `json:"state"`
	}
	// TomcatWeb is the web.xml of the server: parameters of its servlets,
	// session timeout in minutes, and the elements.
	TomcatWeb struct {
		Params   map[string]string `json:"params"`
		Timeout  int               `json:"timeout"`
		Elements []Element         `json:"elements"`
	}
)

// Summary is the mode and owner for people.
func (n Node) Summary() string { return n.Perm + " " + n.Owner + ":" + n.Group }

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

// include puts the directives of a file and of those that it includes in the
// order in which the program reads them. target says which patterns a
// directive includes, and inner changes what comes from there.
func (s *subject) include(f *File, target func(Directive) []string, inner func(by, d Directive, file string) Directive) []Directive {
	var out []Directive
	inclusions := 0
	var walk func(f *File, depth int, by *Directive)
	walk = func(f *File, depth int, by *Directive) {
		for _, d := range f.Directives {
			if len(out) >= maxIncluded || inclusions >= maxInclusions {
				s.cut(f)
				return
			}
			if by != nil && inner != nil {
				d = inner(*by, d, f.Path)
			}
			patterns := target(d)
			if patterns == nil {
				out = append(out, d)
				continue
			}
			if depth == maxIncludes {
				s.cut(f)
				continue
			}
			for _, pattern := range patterns {
				for _, g := range s.glob(pattern) {
					inclusions++
					walk(g, depth+1, &d)
				}
			}
		}
	}
	walk(f, 0, nil)
	return out
}

// sshdLists are options that add up instead of the first one counting.
var sshdLists = set("acceptenv", "allowgroups", "allowusers", "denygroups", "denyusers", "hostkey", "listenaddress", "permitlisten", "permitopen", "port")

func (s *subject) sshd() {
	f := s.parsed("/etc/ssh/sshd_config")
	if f == nil {
		return
	}
	all := s.include(f, func(d Directive) []string {
		if d.Name != "include" {
			return nil
		}
		out := []string{}
		for _, a := range d.Args {
			if !strings.HasPrefix(a, "/") {
				a = "/etc/ssh/" + a
			}
			out = append(out, path.Clean(a))
		}
		return out
	}, func(by, d Directive, _ string) Directive {
		// What a Match block includes is within it.
		d.Section = cmp.Or(by.Section, d.Section)
		return d
	})
	v := &SSHD{Options: map[string]string{}, Match: []string{}}
	for _, d := range all {
		value := strings.Join(d.Args, " ")
		if d.Section == "match" {
			if d.Name != "match" {
				v.Match = append(v.Match, d.Name+" "+strings.ToLower(value))
			}
			continue
		}
		old, ok := v.Options[d.Name]
		switch {
		case !ok:
			v.Options[d.Name] = value
		case sshdLists[d.Name]:
			v.Options[d.Name] = clip(old + " " + value)
		}
	}
	s.put("sshd", v)
}

// pamStacks are the shared files, those of one family after the other. Where a
// name is a link to what a tool has written, that file stands in for it.
var pamStacks = [][]string{
	{"/etc/pam.d/common-auth"}, {"/etc/pam.d/common-account"}, {"/etc/pam.d/common-password"}, {"/etc/pam.d/common-session"},
	{"/etc/pam.d/system-auth", "/etc/pam.d/system-auth-ac", "/etc/authselect/system-auth"},
	{"/etc/pam.d/password-auth", "/etc/pam.d/password-auth-ac", "/etc/authselect/password-auth"},
	{"/etc/pam.d/base-auth"}, {"/etc/pam.d/base-account"}, {"/etc/pam.d/base-password"}, {"/etc/pam.d/base-session"},
}

func (s *subject) su() {
	if f := s.parsed("/etc/pam.d/su"); f != nil {
		s.put("pam_su", f.PAM)
	}
}

func (s *subject) pam() {
	p := &PAM{Auth: []PAMRule{}, Account: []PAMRule{}, Password: []PAMRule{}, Session: []PAMRule{}, Unix: []string{},
		Quality: map[string]string{}, Lockout: map[string]string{}, History: map[string]string{}}
	found := false
	for _, names := range pamStacks {
		for _, name := range names {
			f := s.parsed(name)
			if f == nil {
				continue
			}
			found = true
			for _, r := range f.PAM {
				switch r.Type {
				case "auth":
					p.Auth = append(p.Auth, r)
				case "account":
					p.Account = append(p.Account, r)
				case "password":
					p.Password = append(p.Password, r)
				case "session":
					p.Session = append(p.Session, r)
				}
			}
			break
		}
	}
	if !found {
		return
	}
	p.QualityModule = s.pamModule(p.Password, p.Quality, map[string][]string{
		"pam_pwquality.so": {"/etc/security/pwquality.conf", "/etc/security/pwquality.conf.d/*.conf"},
		"pam_cracklib.so":  nil, "pam_passwdqc.so": nil,
	})
	p.LockoutModule = s.pamModule(p.Auth, p.Lockout, map[string][]string{
		"pam_faillock.so": {"/etc/security/faillock.conf"}, "pam_tally2.so": nil, "pam_tally.so": nil,
	})
	p.HistoryModule = s.pamModule(p.Password, p.History, map[string][]string{"pam_pwhistory.so": {"/etc/security/pwhistory.conf"}})
	for _, r := range p.Password {
		if r.Module != "pam_unix.so" {
			continue
		}
		p.Unix = append(p.Unix, r.Args...)
		// pam_unix remembers too, where it is told to.
		for _, a := range r.Args {
			if n, ok := strings.CutPrefix(a, "remember="); ok && p.HistoryModule == "" {
				p.HistoryModule, p.History["remember"] = "pam_unix.so", n
			}
		}
	}
	s.put("pam", p)
}

// pamModule finds the first of the modules in the rules, and fills options with
// those of its files and its arguments. An argument without a value is "yes".
func (s *subject) pamModule(rules []PAMRule, options map[string]string, modules map[string][]string) string {
	name := ""
	for _, r := range rules {
		files, ok := modules[r.Module]
		if !ok || (name != "" && name != r.Module) {
			continue
		}
		if name == "" {
			for _, pattern := range files {
				for _, f := range s.glob(pattern) {
					for _, d := range f.Directives {
						options[d.Name] = cmp.Or(strings.Join(d.Args, " "), "yes")
					}
				}
			}
		}
		name = r.Module
		for _, a := range r.Args {
			k, v, _ := strings.Cut(a, "=")
			options[k] = cmp.Or(v, "yes")
		}
	}
	return name
}

func (s *subject) sudo() {
	f := s.parsed("/etc/sudoers")
	if f == nil {
		return
	}
	v := &Sudo{Grants: []SudoRule{}, Defaults: []string{}}
	seen := map[string]bool{}
	var walk func(f *File, depth int)
	walk = func(f *File, depth int) {
		if seen[f.Path] {
			return
		}
		seen[f.Path] = true
		for _, r := range f.Sudo {
			switch {
			case len(v.Grants)+len(v.Defaults) >= maxIncluded:
				s.cut(f)
				return
			case r.Kind == "grant":
				v.Grants = append(v.Grants, r)
			case r.Kind == "default":
				v.Defaults = append(v.Defaults, r.Options...)
			case r.Kind == "include" && depth < maxIncludes:
				p := r.Who
				if !strings.HasPrefix(p, "/") {
					p = "/etc/" + p
				}
				p = path.Clean(p)
				if g := s.parsed(p); g != nil {
					walk(g, depth+1)
					continue
				}
				for _, g := range s.glob(p + "/*") {
					// sudo passes over names with a dot and those that end in "~".
					if base := path.Base(g.Path); !strings.Contains(base, ".") && !strings.HasSuffix(base, "~") {
						walk(g, depth+1)
					}
				}
			}
		}
	}
	walk(f, 0)
	s.put("sudo", v)
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

var nginxRoots = []string{"/etc/nginx/nginx.conf", "/usr/local/nginx/conf/nginx.conf", "/usr/local/openresty/nginx/conf/nginx.conf"}

func (s *subject) nginx() {
	var root *File
	for _, p := range nginxRoots {
		if root = s.parsed(p); root != nil {
			break
		}
	}
	if root == nil {
		return
	}
	// Server blocks are numbered within a file: number them within all.
	type place struct {
		file  string
		block int
	}
	numbers := map[place]int{}
	renumber := func(file string, block int) int {
		if block == 0 {
			return 0
		}
		k := place{file, block}
		if numbers[k] == 0 {
			numbers[k] = len(numbers) + 1
		}
		return numbers[k]
	}
	dir := path.Dir(root.Path)
	all := s.include(root, func(d Directive) []string {
		if d.Name != "include" || len(d.Args) == 0 {
			return nil
		}
		p := d.Args[0]
		if !strings.HasPrefix(p, "/") {
			p = dir + "/" + p
		}
		p = path.Clean(p)
		// Debian puts links to sites-available here, which are no files.
		if strings.HasSuffix(p, "/sites-enabled/*") && len(s.glob(p)) == 0 {
			return []string{strings.TrimSuffix(p, "/sites-enabled/*") + "/sites-available/default"}
		}
		return []string{p}
	}, func(by, d Directive, file string) Directive {
		d.Section = strings.Trim(by.Section+"/"+d.Section, "/")
		if d.Block != 0 {
			// Out of the way of the blocks of the file that includes.
			d.Block = -renumber(file, d.Block)
		} else {
			d.Block = by.Block
		}
		return d
	})
	v := &Nginx{Main: map[string]string{}, HTTP: map[string]string{}, Servers: []Server{}, Directives: all}
	index := map[int]int{}
	httpHeaders := map[string]string{}
	for _, d := range all {
		value := strings.Join(d.Args, " ")
		switch {
		case d.Section == "":
			v.Main[d.Name] = value
		case d.Section == "http" && d.Name == "server":
			index[d.Block] = len(v.Servers)
			v.Servers = append(v.Servers, Server{Options: map[string]string{}, Headers: map[string]string{}, Listens: []string{}})
		case d.Section == "http" && d.Name == "add_header" && len(d.Args) > 0:
			httpHeaders[strings.ToLower(d.Args[0])] = strings.Join(d.Args[1:], " ")
		case d.Section == "http":
			v.HTTP[d.Name] = value
		case d.Section == "http/server":
			i, ok := index[d.Block]
			if !ok {
				continue
			}
			srv := &v.Servers[i]
			switch d.Name {
			case "listen":
				srv.Listens = append(srv.Listens, value)
				srv.TLS = srv.TLS || hasWord(value, "ssl") || hasWord(value, "quic")
			case "add_header":
				if len(d.Args) > 0 {
					srv.Headers[strings.ToLower(d.Args[0])] = strings.Join(d.Args[1:], " ")
				}
			case "server_name":
				srv.Name = value
			case "ssl":
				srv.TLS = srv.TLS || value == "on"
			default:
				srv.Options[d.Name] = value
			}
		}
	}
	for i := range v.Servers {
		srv := &v.Servers[i]
		srv.Name = cmp.Or(srv.Name, "_")
		for k, o := range v.HTTP {
			if _, ok := srv.Options[k]; !ok {
				srv.Options[k] = o
			}
		}
		// add_header of a level takes those above away.
		if len(srv.Headers) == 0 {
			srv.Headers = httpHeaders
		}
	}
	s.put("nginx", v)
}

func (s *subject) redis() {
	var roots []*File
	for _, p := range s.paths {
		if f := s.files[p]; f.Parsed && kindOf(p) == kindRedis && !strings.Contains(path.Base(p), "sentinel") {
			roots = append(roots, s.touch(f))
		}
	}
	if len(roots) == 0 {
		return
	}
	v := &Redis{Options: map[string]string{}, Users: []RedisUser{}, Renamed: []string{}}
	for _, root := range roots {
		for _, d := range root.Directives {
			switch {
			case d.Name == "requirepass":
				v.Password = d.State
			case d.Name == "rename-command":
				v.Renamed = append(v.Renamed, d.Args...)
			case d.Name == "user" && len(d.Args) > 0:
				v.Users = append(v.Users, RedisUser{
					Name: d.Args[0], On: slices.Contains(d.Args[1:], "on"),
					NoPass: d.State == "nopass", AllCommands: slices.Contains(d.Args[1:], "allcommands"),
				})
			default:
				v.Options[d.Name] = strings.Join(d.Args, " ")
			}
		}
	}
	s.put("redis", v)
}

// mysqlRoots are the files that the server reads first. Debian's my.cnf is a
// link to one of the last two.
var mysqlRoots = [][]string{
	{"/etc/my.cnf"}, {"/etc/mysql/my.cnf", "/etc/mysql/mariadb.cnf", "/etc/mysql/mysql.cnf"},
	{"/usr/local/mysql/my.cnf"}, {"/usr/local/mysql/etc/my.cnf"},
}

var mysqlServer = set("mysqld", "server", "mariadb", "mariadbd", "mysqld_safe")

func (s *subject) mysql() {
	var all []Directive
	found := false
	for _, names := range mysqlRoots {
		for _, name := range names {
			if f := s.parsed(name); f != nil {
				found = true
				all = append(all, s.include(f, func(d Directive) []string {
					switch d.Name {
					case "!includedir":
						return []string{path.Clean(first(d.Args)) + "/*.cnf"}
					case "!include":
						return []string{path.Clean(first(d.Args))}
					}
					return nil
				}, nil)...)
				break
			}
		}
	}
	if !found {
		return
	}
	if f := s.parsed("/root/.my.cnf"); f != nil {
		all = append(all, f.Directives...)
	}
	v := &MySQL{Options: map[string]string{}, Passwords: []string{}}
	for _, d := range all {
		base, _, _ := strings.Cut(d.Section, "-") // [mysqld-8.0]
		switch {
		case d.State == "set":
			v.Passwords = append(v.Passwords, d.Section)
		case d.Name != "" && (mysqlServer[d.Section] || mysqlServer[base]):
			// An option without a value turns on.
			v.Options[d.Name] = cmp.Or(strings.Join(d.Args, " "), "on")
		}
	}
	s.put("mysql", v)
}

func (s *subject) tomcat() {
	elements := map[string][]Element{}
	web := &TomcatWeb{Params: map[string]string{}, Timeout: -1, Elements: []Element{}}
	for _, p := range s.paths {
		f := s.files[p]
		if !f.Parsed || kindOf(p) != kindTomcat {
			continue
		}
		s.touch(f)
		base := path.Base(p)
		param := ""
		for _, d := range f.Directives {
			if len(elements[base]) >= maxIncluded {
				break
			}
			e := Element{File: p, Section: d.Section, Name: d.Name, Attributes: map[string]string{}, State: d.State}
			for _, a := range d.Args {
				k, v, _ := strings.Cut(a, "=")
				e.Attributes[k] = v
			}
			elements[base] = append(elements[base], e)
			if base != "web.xml" {
				continue
			}
			switch d.Name {
			case "param-name":
				param = first(d.Args)
			case "param-value":
				if param != "" && len(d.Args) > 0 {
					web.Params[param] = first(d.Args)
				}
				param = ""
			case "session-timeout":
				web.Timeout = number(first(d.Args))
			}
		}
	}
	for base, name := range map[string]string{"server.xml": "tomcat_server", "tomcat-users.xml": "tomcat_users", "context.xml": "tomcat_context"} {
		if e := elements[base]; e != nil {
			s.put(name, e)
		}
	}
	if e := elements["web.xml"]; e != nil {
		web.Elements = e
		s.put("tomcat_web", web)
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
