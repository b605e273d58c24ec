package baseline

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func mustFacts(t *testing.T, p, content string) *File {
	t.Helper()
	f, err := Facts(p, Stat{Mode: 0o644, Size: int64(len(content))}, []byte(content))
	if err != nil {
		t.Fatalf("%s: %v", p, err)
	}
	return f
}

func TestWants(t *testing.T) {
	tests := []struct {
		path  string
		mode  fs.FileMode
		wants bool
		reads bool
	}{
		{"/etc/passwd", 0o644, true, true},
		{"/etc/passwd", fs.ModeSymlink | 0o777, false, true},
		{"/etc/passwd.bak", 0o644, false, false},
		{"/srv/etc/passwd", 0o644, false, false},
		{"/etc/shadow-", 0o600, true, false},
		{"/etc/cron.d", fs.ModeDir | 0o755, true, false},
		{"/etc", fs.ModeDir | 0o755, false, false},
		{"/etc/ssh/ssh_host_rsa_key", 0o600, true, false},
		{"/etc/ssh/ssh_host_rsa_key.pub", 0o600, false, false},
		{"/etc/nginx/conf.d/a.conf", 0o644, true, true},
		{"/etc/nginx/certs/a.key", 0o644, true, false},
		{"/etc/nginx/certs/a.pem", 0o644, true, false},
		{"/etc/redis/6379/redis.conf", 0o644, true, true},
		{"/root/.my.cnf", 0o600, true, true},
		{"/root/.netrc", 0o600, true, false},
		{"/opt/app/conf/server.xml", 0o600, true, true},
		{"/etc/tomcat9/tomcat-users.xml", 0o600, true, true},
		{"/opt/app/server.xml", 0o600, false, false},
		{"/usr/bin/anything", 0o755, false, false},
		{"/usr/bin/anything", fs.ModeSetuid | 0o755, true, false},
		{"/usr/bin/anything", fs.ModeSetgid | 0o755, true, false},
		{"/srv/data", 0o666, true, false},
		{"/dev/null", fs.ModeDevice | 0o666, false, false},
	}
	for _, tt := range tests {
		if got := Wants(tt.path, tt.mode); got != tt.wants {
			t.Errorf("Wants(%s, %v) = %v", tt.path, tt.mode, got)
		}
		if got := Loose(tt.path, tt.mode); got != (tt.wants && (tt.path == "/usr/bin/anything" || tt.path == "/srv/data")) {
			t.Errorf("Loose(%s, %v) = %v", tt.path, tt.mode, got)
		}
		if got := Reads(tt.path); got != tt.reads {
			t.Errorf("Reads(%s) = %v", tt.path, got)
		}
	}
}

func TestStat(t *testing.T) {
	f, err := Facts("/usr/bin/x", Stat{Mode: fs.ModeSetuid | fs.ModeSticky | 0o751, UID: 3, GID: -1, Size: 7}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&File{Path: "/usr/bin/x", Mode: 0o5751, UID: 3, GID: -1, Size: 7}, f); diff != "" {
		t.Error(diff)
	}
	if f, err := Facts("/usr/bin/x", Stat{Mode: 0o755}, nil); f != nil || err != nil {
		t.Errorf("an ordinary file: %+v, %v", f, err)
	}
}

func TestShadow(t *testing.T) {
	long := strings.Repeat("aB./", 10)
	tests := []struct{ field, state, hash string }{
		{"", "empty", ""},
		{"!", "none", ""},
		{"!!", "none", ""},
		{"*", "none", ""},
		{"!*", "none", ""},
		{"x", "none", ""},
		{"$1$" + long, "set", "md5crypt"},
		{"$2b$12$" + long, "set", "bcrypt"},
		{"$5$" + long, "set", "sha256crypt"},
		{"$6$rounds=5000$" + long, "set", "sha512crypt"},
		{"!$6$" + long, "locked", "sha512crypt"},
		{"!!$6$" + long, "locked", "sha512crypt"},
		{"$y$j9T$" + long, "set", "yescrypt"},
		{"$gy$j9T$" + long, "set", "gost-yescrypt"},
		{"$7$" + long, "set", "scrypt"},
		{"$sm3$" + long, "set", "sm3crypt"},
		{"$sha1$40000$" + long, "set", "sha1crypt"},
		{"$md5,rounds=904$" + long, "set", "sunmd5"},
		{"_J9.." + "K0AyUubDrfOgO4s", "set", "bsdi-des"},
		{"ab" + "CdEfGhIjKlM", "set", "des"},
		{"something else entirely", "set", "unknown"},
	}
	for _, tt := range tests {
		f := mustFacts(t, "/etc/shadow", "u:"+tt.field+":19000:0:99999:7:::\n")
		want := []Password{{Name: "u", State: tt.state, Hash: tt.hash, LastChange: 19000, MaxDays: 99999, WarnDays: 7, Inactive: -1, Expire: -1}}
		if diff := cmp.Diff(want, f.Passwords); diff != "" {
			t.Errorf("%q: %s", tt.field, diff)
		}
	}
}

func TestPasswd(t *testing.T) {
	f := mustFacts(t, "/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nsync:*:4:65534::/bin:/bin/sync\nodd:!:-2:x::/:\n\n# comment\n")
	want := []Account{
		{Name: "root", UID: 0, GID: 0, Home: "/root", Shell: "/bin/bash", Login: true, Password: "shadow"},
		{Name: "sync", UID: 4, GID: 65534, Home: "/bin", Shell: "/bin/sync", Password: "locked"},
		{Name: "odd", UID: -1, GID: -1, Home: "/", Login: true, Password: "locked"},
	}
	if diff := cmp.Diff(want, f.Accounts); diff != "" {
		t.Error(diff)
	}
	f, err := Facts("/etc/passwd", Stat{Mode: 0o644}, []byte("a:x:1:1::/:/bin/sh\nbroken:line\nb:x:2:2::/:/bin/sh\n"))
	if err == nil || len(f.Accounts) != 2 {
		t.Errorf("damaged: %v, %+v", err, f.Accounts)
	}
	if err != nil && strings.Contains(err.Error(), "broken") {
		t.Errorf("the error tells what stands in the file: %v", err)
	}
}

func TestSSHD(t *testing.T) {
	f := mustFacts(t, "/etc/ssh/sshd_config", "PermitRootLogin=no # never\nPORT 22\n  AllowUsers a b \"c d\"\nSetEnv TOKEN=x\nMatch User a\n\tX11Forwarding yes\nMatch all\nBanner none\n")
	want := []Directive{
		{Name: "permitrootlogin", Args: []string{"no"}},
		{Name: "port", Args: []string{"22"}},
		{Name: "allowusers", Args: []string{"a", "b", "c d"}},
		{Name: "setenv"},
		{Name: "match", Args: []string{"User", "a"}},
		{Section: "match", Name: "x11forwarding", Args: []string{"yes"}},
		{Section: "match", Name: "match", Args: []string{"all"}},
		{Name: "banner", Args: []string{"none"}},
	}
	if diff := cmp.Diff(want, f.Directives); diff != "" {
		t.Error(diff)
	}
}

func TestNginx(t *testing.T) {
	f := mustFacts(t, "/etc/nginx/nginx.conf", `# c
user  www-data ;
http{server_tokens off;map $a $b { default "x;{"; }
 server{listen 80;location ~ "\.(php|x)$"{deny all;}
  proxy_pass http://u:`+`p@up/${x}y; proxy_set_header Authorization "Basic x"; add_header X-Frame-Options DENY; add_header X-Key secret;
  access_by_lua_block { local t = { a = "{" } } } }
 server{listen 81;}
}`)
	want := []Directive{
		{Name: "user", Args: []string{"www-data"}},
		{Name: "http"},
		{Section: "http", Name: "server_tokens", Args: []string{"off"}},
		{Section: "http", Name: "map"},
		{Section: "http/map", Name: "default"},
		{Section: "http", Block: 1, Name: "server"},
		{Section: "http/server", Block: 1, Name: "listen", Args: []string{"80"}},
		{Section: "http/server", Block: 1, Name: "location", Args: []string{"~", `\.(php|x)$`}},
		{Section: "http/server/location", Block: 1, Name: "deny", Args: []string{"all"}},
		{Section: "http/server", Block: 1, Name: "proxy_pass", Args: []string{"http"}},
		{Section: "http/server", Block: 1, Name: "proxy_set_header", Args: []string{"Authorization"}},
		{Section: "http/server", Block: 1, Name: "add_header", Args: []string{"X-Frame-Options", "DENY"}},
		{Section: "http/server", Block: 1, Name: "add_header", Args: []string{"X-Key"}},
		{Section: "http", Block: 2, Name: "server"},
		{Section: "http/server", Block: 2, Name: "listen", Args: []string{"81"}},
	}
	if diff := cmp.Diff(want, f.Directives); diff != "" {
		t.Error(diff)
	}
}

func TestSudoers(t *testing.T) {
	f := mustFacts(t, "/etc/sudoers", "# c\nDefaults\tenv_reset, secure_path=\"/bin:/sbin\"\nDefaults:bob !authenticate, badpass_message=secret\nUser_Alias A = a, b\n"+
		"A, %wheel ALL=(ALL:ALL) \\\n NOPASSWD: SETENV: /bin/ls *, !/bin/su\n#1000 h = ALL\n#includedir /etc/sudoers.d\n@include local\n")
	want := []SudoRule{
		{Kind: "default", Options: []string{"env_reset", "secure_path=/bin:/sbin"}},
		{Kind: "default", Who: ":bob", Options: []string{"!authenticate", "badpass_message"}},
		{Kind: "grant", Who: "A,", AllHosts: true, AllRunAs: true, NoPassword: true, Negated: true, Wildcard: true, Options: []string{}},
		{Kind: "grant", Who: "#1000", AllCommands: true, Options: []string{}},
		{Kind: "include", Who: "/etc/sudoers.d", Options: []string{}},
		{Kind: "include", Who: "local", Options: []string{}},
	}
	if diff := cmp.Diff(want, f.Sudo); diff != "" {
		t.Error(diff)
	}
}

func TestPAM(t *testing.T) {
	f := mustFacts(t, "/etc/pam.d/x", "#%PAM-1.0\n-auth [default=1 success=ok] /lib/security/pam_unix.so nullok # c\npassword required pam_ldap.so bindpw=secret\n@include common-auth\nauth include system-auth\nbroken\n")
	want := []PAMRule{
		{Type: "auth", Control: "[default=1 success=ok]", Module: "pam_unix.so", Args: []string{"nullok"}},
		{Type: "password", Control: "required", Module: "pam_ldap.so", Args: []string{}},
		{Type: "include", Control: "include", Module: "common-auth", Args: []string{}},
		{Type: "auth", Control: "include", Module: "system-auth", Args: []string{}},
	}
	if diff := cmp.Diff(want, f.PAM); diff != "" {
		t.Error(diff)
	}
}

// Whatever a configuration holds as a secret does not leave Facts.
func TestFactsHoldNoSecrets(t *testing.T) {
	const s = "S3cr3t" // part of every value below
	val := s + strings.Repeat("Zx9", 8)
	files := map[string]string{
		"/etc/passwd":                "u:$1$" + val + ":1:1:gecos:/:/bin/sh\n",
		"/etc/shadow":                "u:$6$" + val + ":1::::::\nv:" + val + ":::::::\nbad" + "\n",
		"/etc/group":                 "g:" + val + ":1:\n",
		"/etc/ssh/sshd_config":       "SetEnv A=" + val + "\nForceCommand x " + val + "\nAuthorizedKeysCommand /x " + val + "\nSubsystem x /y " + val + "\n",
		"/etc/pam.d/x":               "auth required pam_mysql.so passwd=" + val + "\n",
		"/etc/profile":               "export TOKEN=" + val + "\nTMOUT=" + val + "\numask " + val + "\n",
		"/etc/issue":                 val,
		"/etc/sudoers":               "u ALL=(ALL) /bin/x --password=" + val + "\nDefaults badpass_message=" + val + ", env_keep+=\"" + val + "\"\n",
		"/etc/yum.repos.d/a.repo":    "[a]\nbaseurl=https://u:" + val + "@h/\npassword=" + val + "\nsslclientkey=" + val + "\n",
		"/etc/apt/sources.list":      "deb https://u:" + val + "@h/ x y\n",
		"/etc/apt/apt.conf.d/a":      "Acquire::http::Proxy \"http://u:" + val + "@h\";\n",
		"/etc/apk/repositories":      "https://u:" + val + "@h/\n",
		"/etc/nginx/nginx.conf":      "http { upstream x { server u:" + val + "; } server { proxy_pass http://u:" + val + "@h; set $k " + val + "; proxy_set_header A " + val + "; add_header X " + val + "; if ($a = " + val + ") { return 403; } rewrite " + val + " x; fastcgi_param P " + val + "; } }",
		"/etc/redis/redis.conf":      "requirepass " + val + "\nmasterauth \"" + val + "\"\nuser a on >" + val + " ~*\nuser b on #" + val + "\nrename-command CONFIG " + val + "\nsentinel auth-pass m " + val + "\n",
		"/etc/my.cnf":                "[client]\npassword=" + val + "\n[mysqld]\nwsrep_sst_auth=u:" + val + "\nssl-key=" + val + "\ninit_connect='SET x=" + val + "'\n",
		"/etc/login.defs":            "LDAP_PASSWORD " + val + "\nAPI_TOKEN=" + val + "\nPASS_MAX_DAYS 90\n",
		"/opt/conf/server.xml":       "<Server port=\"1\" shutdown=\"" + val + "\"><Connector keystorePass=\"" + val + "\" secret=\"" + val + "\" odd=\"" + val + "\"/><Resource url=\"jdbc://" + val + "\" password=\"" + val + "\"/></Server>",
		"/opt/conf/tomcat-users.xml": "<tomcat-users><user username=\"u\" password=\"" + val + "\"/></tomcat-users>",
		"/opt/conf/context.xml":      "<Context><Resource password=\"" + val + "\"/><Parameter name=\"k\" value=\"" + val + "\"/></Context>",
		"/opt/conf/web.xml":          "<web-app><context-param><param-name>apiKey</param-name><param-value>" + val + "</param-value></context-param><init-param><param-value>" + val + "</param-value></init-param></web-app>",
		"/root/.my.cnf":              "[client]\npassword=" + val + "\n",
		"/root/.netrc":               "machine h password " + val + "\n",
		"/etc/ssl/private/k":         val,
		"/etc/security/opasswd":      "u:1:1:$1$" + val + "\n",
	}
	for p, content := range files {
		f, err := Facts(p, Stat{Mode: 0o600, Size: int64(len(content))}, []byte(content))
		b, jerr := json.Marshal(f)
		if jerr != nil {
			t.Fatal(jerr)
		}
		if strings.Contains(string(b), s) {
			t.Errorf("%s: %s", p, b)
		}
		if err != nil && strings.Contains(err.Error(), s) {
			t.Errorf("%s: the error tells it: %v", p, err)
		}
	}
	c, err := ParseConfig([]byte(`{"config":{"Env":["TOKEN=` + val + `","P=http://u:` + val + `@h","GOINSECURE=http://u:` + val + `@h"],"Cmd":["x","` + val + `"],"Labels":{"l":"` + val + `"},"Healthcheck":{"Test":["CMD","` + val + `"]},"OnBuild":["` + val + `"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := json.Marshal(c); strings.Contains(string(b), s) {
		t.Errorf("configuration: %s", b)
	}
}

func TestLimitsOfFiles(t *testing.T) {
	long := strings.Repeat("x", maxLineBytes+1)
	tests := []struct {
		name, path, content string
		size                int64
	}{
		{"size of the content", "/etc/passwd", strings.Repeat("a:x:1:1::/:/bin/sh\n", MaxFileBytes/19+10), 0},
		{"size that is claimed", "/etc/passwd", "", MaxFileBytes + 1},
		{"line", "/etc/login.defs", "A " + long + "\nUMASK 027\n", 0},
		{"joined lines", "/etc/sudoers", strings.Repeat("a\\\n", maxLineBytes), 0},
		{"accounts", "/etc/passwd", strings.Repeat("a:x:1:1::/:/bin/sh\n", maxEntries+1), 0},
		{"passwords", "/etc/shadow", strings.Repeat("a:*:\n", maxEntries+1), 0},
		{"groups", "/etc/group", strings.Repeat("a:x:1:\n", maxEntries+1), 0},
		{"options of sshd", "/etc/ssh/sshd_config", strings.Repeat("port 1\n", maxEntries+1), 0},
		{"options", "/etc/login.defs", strings.Repeat("A 1\n", maxEntries+1), 0},
		{"limits", "/etc/security/limits.conf", strings.Repeat("* - a 1\n", maxEntries+1), 0},
		{"commands of a profile", "/etc/profile", strings.Repeat("umask 1\n", maxEntries+1), 0},
		{"rules of PAM", "/etc/pam.d/x", strings.Repeat("a b c\n", maxEntries+1), 0},
		{"rules of sudo", "/etc/sudoers", strings.Repeat("a b=c\n", maxEntries+2), 0},
		{"repositories", "/etc/yum.conf", strings.Repeat("[a]\n", maxEntries+1), 0},
		{"options of apt", "/etc/apt/apt.conf", strings.Repeat("apt::sandbox::user 1;\n", maxEntries+1), 0},
		{"levels of apt", "/etc/apt/apt.conf", strings.Repeat("a {\n", maxDepth+1), 0},
		{"sources", "/etc/apt/sources.list", strings.Repeat("deb a:b\n", maxEntries+1), 0},
		{"repositories of apk", "/etc/apk/repositories", strings.Repeat("a\n", maxEntries+1), 0},
		{"blocks of nginx", "/etc/nginx/nginx.conf", strings.Repeat("a {", maxDepth+1), 0},
		{"directives of nginx", "/etc/nginx/nginx.conf", strings.Repeat("a;", maxEntries+1), 0},
		{"options of redis", "/etc/redis.conf", strings.Repeat("a b\n", maxEntries+1), 0},
		{"elements", "/opt/conf/server.xml", "<Server>" + strings.Repeat("<a/>", maxEntries+1), 0},
		{"depth of elements", "/opt/conf/server.xml", "<Server>" + strings.Repeat("<a>", maxDepth+1), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Facts(tt.path, Stat{Mode: 0o644, Size: max(tt.size, int64(len(tt.content)))}, []byte(tt.content))
			if !errors.Is(err, ErrLimit) {
				t.Errorf("error %v: want %v", err, ErrLimit)
			}
			if f == nil || f.Path != tt.path {
				t.Errorf("facts %+v: want mode and owner at least", f)
			}
		})
	}
	f, _ := Facts("/etc/login.defs", Stat{Mode: 0o644}, []byte("A "+long+"\nUMASK 027\n"))
	if diff := cmp.Diff([]Directive{{Name: "UMASK", Args: []string{"027"}}}, f.Directives); diff != "" {
		t.Errorf("after a long line: %s", diff)
	}
	f, _ = Facts("/etc/login.defs", Stat{Mode: 0o644}, []byte("A "+strings.Repeat("é", maxValueBytes)+"\x07\n"))
	if v := f.Directives[0].Args[0]; len(v) > maxValueBytes+3 || strings.ContainsRune(v, 7) {
		t.Errorf("a value of %d bytes: %q", len(v), v)
	}
}

func TestDamagedFiles(t *testing.T) {
	for p, content := range map[string]string{
		"/etc/nginx/nginx.conf": "http { server {",
		"/etc/nginx/x.conf":     "a \"b",
		"/etc/nginx/y.conf":     "}",
		"/etc/nginx/z.conf":     "a_by_lua_block { {",
		"/opt/conf/server.xml":  "<Server><a",
		"/etc/passwd":           "\x00",
		"/etc/group":            "g",
	} {
		f, err := Facts(p, Stat{Mode: 0o644}, []byte(content))
		if err == nil {
			t.Errorf("%s: no error", p)
		}
		if f == nil {
			t.Errorf("%s: no facts", p)
		}
	}
	// A server.xml of another program says nothing, and is no error.
	f, err := Facts("/opt/conf/server.xml", Stat{Mode: 0o644}, []byte("<?xml version='1.0'?><server><port/></server>"))
	if err != nil || f.Parsed {
		t.Errorf("server.xml of another program: %v, %+v", err, f)
	}
}
