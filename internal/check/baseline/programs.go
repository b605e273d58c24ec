package baseline

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

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
