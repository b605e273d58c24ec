package planted

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"golang.org/x/crypto/bcrypt"
)

// A Plot is an image with something of everything, and what is in it.
type Plot struct {
	Image Image
	// Base is an image whose layers are the lowest of Image.
	Base Image
	// Values are the secrets: keys, tokens, passwords and hashes of
	// passwords. None of them may stand in anything that is told of the
	// image.
	Values []string
	// Kinds of secrets by the path of the file.
	Kinds map[string]string
	// Deleted is the path of a secret that a later layer deletes.
	Deleted string
	// Malware by path.
	Malware map[string]Sample
	// Users whose password is weak.
	Users []string
	// Denied is the package that DenyList, in YAML, denies.
	Denied, DenyList string
	// Unowned are executables that belong to no package.
	Unowned []string
}

// Refs of the images.
const (
	BadRef   = "planted:1"
	BaseRef  = "planted-base:1"
	CleanRef = "clean:1"
)

// CleanName is the name in CleanRef.
const CleanName = "clean"

// Bad makes the image with everything in it. Values differ with r.
func Bad(r *rand.Rand) (*Plot, error) {
	p := &Plot{Kinds: map[string]string{}, Malware: map[string]Sample{}, Denied: "telnetd", Deleted: "/build/deploy.env"}
	p.DenyList = "deny:\n  - id: no-telnet\n    reason: Log-ins go over SSH.\n    severity: High\n    name: \"telnet*\"\n"
	system, apps := p.system(), p.apps(r)
	secrets, err := p.secrets(r)
	if err != nil {
		return nil, err
	}
	settings, err := p.settings(r)
	if err != nil {
		return nil, err
	}
	token := func(pattern string) string {
		v := Text(r, pattern)
		p.Values = append(p.Values, v)
		return v
	}
	password := func() string { return token(Password) }
	deleted := File{Path: p.Deleted, Content: []byte("DEPLOY_TOKEN=" + token("glpat-[0-9A-Za-z_-]{20}") + "\n")}
	p.Kinds[p.Deleted] = "deleted"
	p.Base = Image{Ref: BaseRef, Layers: []Layer{{Command: "/bin/sh -c #(nop) ADD file:5d3b in / ", Files: system}}}
	p.Image = Image{
		Ref: BadRef,
		Layers: append(slices.Clone(p.Base.Layers),
			Layer{Command: "RUN /bin/sh -c curl -fsSL http://get.example.test/install.sh | sh # buildkit", Files: apps},
			Layer{Command: "RUN |1 NPM_TOKEN=" + token("npm_[0-9A-Za-z]{36}") + " /bin/sh -c npm ci # buildkit", Files: secrets},
			Layer{Command: "RUN /bin/sh -c curl -u ci:" + password() + " -kO https://repo.corp.test/deploy.env # buildkit", Files: []File{deleted}},
			Layer{Command: "RUN /bin/sh -c git clone https://ci:" + password() + "@git.corp.test/shop.git && rm /build/deploy.env # buildkit", Removed: []string{p.Deleted}},
			Layer{Command: "COPY samples / # buildkit", Files: p.malware()},
			Layer{Command: "RUN /bin/sh -c chmod -R 777 /srv && echo root:" + password() + " | chpasswd # buildkit", Files: settings},
		),
		Config: Config{
			Env: []string{
				"PATH=/tmp/bin:/usr/bin:/bin", "GITHUB_TOKEN=" + token("ghp_[0-9A-Za-z]{36}"),
				"DATABASE_URL=postgres://shop:" + password() + "@db.corp.test/shop",
			},
			Labels:       map[string]string{"deploy.key": token("AKIA[A-Z2-7]{16}"), "deploy.password": password()},
			Entrypoint:   []string{"/usr/sbin/sshd", "-D"},
			ExposedPorts: map[string]struct{}{"22/tcp": {}, "23/tcp": {}},
		},
	}
	for _, e := range p.Image.Config.Env {
		p.Image.Steps = append(p.Image.Steps, "ENV "+e)
	}
	p.Image.Steps = append(p.Image.Steps, "ADD http://files.example.test/tool /usr/bin/tool # buildkit")
	p.Values = slices.DeleteFunc(p.Values, func(v string) bool { return len(v) < 7 })
	return p, nil
}

// system is a small Debian with an old and a denied package.
func (p *Plot) system() []File {
	packages := [][3]string{
		{"libc6", "2.36-9+deb12u1", "glibc"}, {"zlib1g", "1:1.2.13.dfsg-1", "zlib"}, {"libssl3", "3.0.9-1", "openssl"},
		{p.Denied, "0.17+2.4-2", "netkit-telnet"}, {"coreutils", "9.1-1", "coreutils"},
	}
	var status strings.Builder
	for _, f := range packages {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nSource: %s\nVersion: %s\n\n", f[0], f[2], f[1])
	}
	ls := ELF("usage: ls")
	return []File{
		{Path: "/etc/os-release", Content: []byte("ID=debian\nVERSION_ID=\"12\"\nVERSION=\"12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n")},
		{Path: "/var/lib/dpkg/status", Content: []byte(status.String())},
		{Path: "/var/lib/dpkg/info/coreutils.list", Content: []byte("/.\n/usr\n/usr/bin\n/usr/bin/ls\n")},
		{Path: "/usr/bin/ls", Mode: 0o755, Content: ls},
	}
}

// apps are programs that no package owns, and dependencies that are known.
// Some declare where they come from, with a password in the address.
func (p *Plot) apps(r *rand.Rand) []File {
	p.Unowned = []string{"/usr/local/bin/shop", "/opt/shop/start.sh"}
	password := func() string {
		v := Text(r, Password)
		p.Values = append(p.Values, v)
		return v
	}
	return []File{
		{Path: p.Unowned[0], Mode: 0o755, Content: ELF("shop 1.0")},
		{Path: p.Unowned[1], Mode: 0o755, Content: []byte("#!/bin/sh\nexec shop\n")},
		{Path: "/opt/shop/node_modules/left-pad/package.json", Content: []byte(`{"name":"left-pad","version":"1.3.0","_resolved":"https://ci:` + password() + `@npm.corp.test/left-pad.tgz"}`)},
		{Path: "/opt/shop/package-lock.json", Content: []byte(`{"name":"shop","lockfileVersion":3,"packages":{"node_modules/left-pad":{"version":"1.3.0","resolved":"https://ci:` + password() + `@npm.corp.test/left-pad.tgz"}}}`)},
		{Path: "/opt/shop/requirements.txt", Content: []byte("--index-url https://ci:" + password() + "@pypi.corp.test/simple\nrequests==2.28.1\nshop @ git+https://ci:" + password() + "@git.corp.test/shop.git@v1\n")},
		{Path: "/opt/shop/requests-2.28.1.dist-info/METADATA", Content: []byte("Metadata-Version: 2.1\nName: requests\nVersion: 2.28.1\nDownload-URL: https://ci:" + password() + "@pypi.corp.test/\n\n")},
		// What cannot be parsed must not be quoted by whoever says so.
		{Path: "/opt/broken/package.json", Content: []byte(`{"name":"shop","token":"` + password() + `",,`)},
		{Path: "/opt/broken/composer.lock", Content: []byte(`{"packages":[{"name":"` + password())},
		{Path: "/opt/broken/Cargo.lock", Content: []byte("[[package]]\nname = " + password() + "\n")},
		{Path: "/opt/broken/pnpm-lock.yaml", Content: []byte("packages:\n  " + password() + ": [\n")},
	}
}

func (p *Plot) secrets(r *rand.Rand) ([]File, error) {
	var files []File
	for _, s := range Secrets {
		text, values := s.Grow(r)
		files = append(files, File{Path: s.Path, Content: []byte(text)})
		p.Values = append(p.Values, values...)
		p.Kinds[s.Path] = s.Kind
	}
	keys, err := Keys()
	if err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(keys)) {
		b := keys[path]
		files = append(files, File{Path: path, Content: b})
		p.Kinds[path] = "key " + path
		if block, _ := pem.Decode(b); block != nil {
			p.Values = append(p.Values, base64.StdEncoding.EncodeToString(block.Bytes)[20:60])
		}
	}
	// Files of a layout that is known, and broken.
	for path, text := range map[string]string{
		"/home/a/.docker/config.json":      `{"auths":{"registry.corp.test":{"auth":"{{[0-9A-Za-z+/]{31}=}}",`,
		"/home/a/.kube/config":             "users:\n- name: admin\n  user: {token: {{[0-9a-z]{6}[.][0-9a-z]{16}}}\n",
		"/home/a/.pgpass":                  "db.corp.test:5432:{{" + Password + "}}\n",
		"/opt/old/conf/tomcat-users.xml":   `<tomcat-users><user username="admin" password="{{` + Password + `}}"`,
		"/etc/mysql/conf.d/broken.cnf":     "[client\npassword {{" + Password + "}}\n",
		"/etc/redis/broken.conf":           "requirepass \"{{" + Password + "}}\n",
		"/etc/ssh/sshd_config.d/plain.txt": "# {{" + Password + "}}\n",
	} {
		s := Secret{Path: path, Text: text}
		text, values := s.Grow(r)
		files = append(files, File{Path: path, Content: []byte(text)})
		p.Values = append(p.Values, values...)
	}
	return files, nil
}

// malware is a file for each sample, and the test file in several wrappings.
func (p *Plot) malware() []File {
	x := Entry{"eicar.com", EICAR()}
	samples := []Sample{
		{"plain", "/srv/files/eicar.com", EICAR(), "eicar"},
		{"tar.gz", "/srv/files/a.tar.gz", Gzip(Tar(x)), "eicar"},
		{"zip", "/srv/files/a.zip", Zip(x), "eicar"},
		{"nested", "/srv/files/b.zip", Zip(Entry{"c.tgz", Gzip(Tar(Entry{"d.zip", Zip(x)}))}), "eicar"},
	}
	var files []File
	for _, s := range append(samples, Malware()...) {
		if _, twice := p.Malware[s.Path]; twice {
			continue
		}
		p.Malware[s.Path] = s
		files = append(files, File{Path: s.Path, Mode: 0o755, Content: s.Content})
	}
	return files
}

// settings loosen the system: files that anyone may write, an open SSH server,
// accounts with weak passwords.
func (p *Plot) settings(r *rand.Rand) ([]File, error) {
	shadow, err := p.accounts(r)
	if err != nil {
		return nil, err
	}
	passwd := "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\n"
	for i, u := range p.Users {
		passwd += fmt.Sprintf("%s:x:%d:%[2]d::/home/%[1]s:/bin/sh\n", u, 1000+i)
	}
	user := p.user(r)
	weak := user + "@123"
	p.Values = append(p.Values, weak)
	// Settings are kept, and what they say is shown: what else stands in their
	// files must be neither.
	hidden := func() string {
		v := Text(r, Password)
		p.Values = append(p.Values, v)
		return v
	}
	return []File{
		{Path: "/etc/profile", Content: []byte("umask 022\n# was " + hidden() + "\nexport TMOUT=0 DB_PASSWORD=" + hidden() + "\n")},
		{Path: "/etc/profile.d/app.sh", Content: []byte("export API_TOKEN='" + hidden() + "'\numask " + hidden() + "\n")},
		{Path: "/etc/security/pwquality.conf.d/x.conf", Content: []byte("# " + hidden() + "\nminlen = 4\n")},
		{Path: "/etc/pam.d/sshd", Content: []byte("auth required pam_mysql.so user=pam passwd=" + hidden() + " host=db\n# " + hidden() + "\n")},
		{Path: "/etc/pam.d/su", Content: []byte("auth sufficient pam_ldap.so bindpw=" + hidden() + "\n")},
		{Path: "/etc/yum.repos.d/corp.repo", Content: []byte("[corp]\nname=corp\nbaseurl=http://ci:" + hidden() + "@repo.corp.test/\ngpgcheck=0\npassword=" + hidden() + "\n")},
		{Path: "/etc/apt/sources.list.d/corp.list", Content: []byte("deb [trusted=yes] http://ci:" + hidden() + "@deb.corp.test stable main\n")},
		{Path: "/etc/apt/apt.conf.d/90proxy", Content: []byte("Acquire::http::Proxy \"http://ci:" + hidden() + "@proxy.corp.test:3128\";\nAPT::Get::AllowUnauthenticated \"true\";\n")},
		{Path: "/etc/apk/repositories", Content: []byte("http://ci:" + hidden() + "@apk.corp.test/main\n")},
		{Path: "/etc/my.cnf", Mode: 0o666, Content: []byte("[mysqld]\nuser=root\nskip-grant-tables\nlocal_infile=1\nwsrep_sst_auth=sst:" + hidden() + "\n# " + hidden() + "\n[client]\npassword=" + hidden() + "\n")},
		{Path: "/etc/redis.conf", Mode: 0o666, Content: []byte("bind 0.0.0.0\nprotected-mode no\nrequirepass " + hidden() + "\nuser app on >" + hidden() + " ~* +@all\nrename-command CONFIG " + hidden() + "\n")},
		{Path: "/usr/local/tomcat/conf/server.xml", Mode: 0o666, Content: []byte(`<Server port="8005" shutdown="` + hidden() + `"><Service name="c"><Connector port="8080" protocol="AJP/1.3" secret="` + hidden() + `" keystorePass="` + hidden() + `"/></Service></Server>`)},
		{Path: "/usr/local/tomcat/conf/tomcat-users.xml", Mode: 0o666, Content: []byte(`<tomcat-users><user username="root" password="` + hidden() + `" roles="manager-gui,manager-script"/></tomcat-users>`)},
		{Path: "/etc/issue", Content: []byte("Welcome to \\s \\r, support password " + hidden() + "\n")},
		{Path: "/etc/sudoers.d/ci", Mode: 0o666, Content: []byte("# " + hidden() + "\nci ALL=(ALL) NOPASSWD: /usr/bin/mysql -p" + hidden() + "\n")},
		{Path: "/etc/ssh/sshd_config.d/50.conf", Mode: 0o666, Content: []byte("ForceCommand /usr/bin/sync --token " + hidden() + "\n")},
		{Path: "/etc/default/useradd", Content: []byte("INACTIVE=-1\nPASSWORD=" + hidden() + "\n")},
		{Path: "/etc/nginx/conf.d/corp.conf", Mode: 0o666, Content: []byte("server {\n  listen 80;\n  location / {\n    proxy_set_header Authorization \"Basic " + hidden() + "\";\n    proxy_pass http://ci:" + hidden() + "@app.corp.test/?token=" + hidden() + ";\n    add_header Access-Control-Allow-Origin *;\n  }\n}\n")},
		{Path: "/etc/passwd", Mode: 0o666, Content: []byte(passwd)},
		{Path: "/etc/group", Mode: 0o666, Content: []byte("root:x:0:\nshadow:x:42:\n")},
		{Path: "/etc/shadow", Mode: 0o644, Content: []byte(shadow)},
		{Path: "/etc/login.defs", Mode: 0o646, Content: []byte("# the old one was " + hidden() + "\nPASS_MAX_DAYS 99999\nLDAP_PASSWORD " + hidden() + "\nPASS_MIN_DAYS 0\nPASS_WARN_AGE 3\nPASS_MIN_LEN 4\nENCRYPT_METHOD MD5\nUMASK 022\n")},
		{Path: "/etc/pam.d/common-password", Content: []byte("password [success=1 default=ignore] pam_unix.so nullok\npassword required pam_permit.so\n")},
		{Path: "/etc/ssh/sshd_config", Mode: 0o666, Content: []byte("PermitRootLogin yes\nPermitEmptyPasswords yes\nProtocol 2,1\nX11Forwarding yes\nStrictModes no\nCiphers aes128-cbc\n")},
		{Path: "/etc/sudoers", Mode: 0o666, Content: []byte("root ALL=(ALL:ALL) ALL\nALL ALL=(ALL) NOPASSWD: ALL\n")},
		{Path: "/etc/nginx/nginx.conf", Mode: 0o666, Content: []byte("user root;\nhttp {\n  autoindex on;\n  ssl_protocols TLSv1;\n  access_log off;\n}\n")},
		{Path: "/srv/app/conf/tomcat-users.xml", Mode: 0o666, Content: []byte(`<tomcat-users><user username="` + user + `" password="` + weak + `" roles="manager-gui"/></tomcat-users>`)},
		{Path: "/usr/bin/backup", Mode: fs.ModeSetuid | 0o777, Content: ELF("backup")},
		{Path: "/tmp", Mode: fs.ModeDir | 0o777},
		{Path: "/root", Mode: fs.ModeDir | 0o777},
	}, nil
}

// accounts is /etc/shadow, an account for each kind of hash. The passwords are
// made from the names, which nobody else has.
func (p *Plot) accounts(r *rand.Rand) (string, error) {
	crypt := func(h algorithm.Hash, err error) func(string) (string, error) {
		return func(word string) (string, error) {
			if err != nil {
				return "", err
			}
			d, err := h.Hash(word)
			if err != nil {
				return "", err
			}
			return d.Encode(), nil
		}
	}
	kinds := []struct {
		hash   func(string) (string, error)
		suffix string
	}{
		{crypt(md5crypt.New()), "@123"},
		{crypt(shacrypt.New(shacrypt.WithSHA256(), shacrypt.WithIterations(1000))), "123"},
		{crypt(shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithIterations(1000))), "1234"},
		{crypt(scrypt.New(scrypt.WithVariant(scrypt.VariantYescrypt), scrypt.WithLN(10), scrypt.WithR(8), scrypt.WithP(1))), "@123"},
		{func(word string) (string, error) {
			b, err := bcrypt.GenerateFromPassword([]byte(word), bcrypt.MinCost)
			return string(b), err
		}, "123"},
	}
	shadow := "root:!:19000:0:99999:7:::\n"
	for _, k := range kinds {
		user := p.user(r)
		hash, err := k.hash(user + k.suffix)
		if err != nil {
			return "", fmt.Errorf("hash a password: %w", err)
		}
		p.Users = append(p.Users, user)
		// The hash is a secret as the password is: its tail without the salt.
		p.Values = append(p.Values, user+k.suffix, hash[len(hash)-20:])
		shadow += user + ":" + hash + ":19000:0:99999:7:::\n"
	}
	// And one whose password nobody guesses.
	strong := Text(r, Password)
	hash, err := kinds[2].hash(strong)
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	p.Values = append(p.Values, strong, hash[len(hash)-20:])
	return shadow + "strong:" + hash + ":19000:0:99999:7:::\n", nil
}

// user is a name that nobody has.
func (*Plot) user(r *rand.Rand) string { return "u" + Text(r, "[b-df-hj-np-tv-z]{9}") }

// CleanPackages are those of Clean. They own all of its files but the database of
// packages.
var CleanPackages = []string{"base-files", "site"}

// Clean is a small hardened image: two packages that own all files, an account
// without rights that it runs as, a health check. No distribution is named, so
// that nothing is known of its base.
func Clean() Image {
	status := "Package: base-files\nStatus: install ok installed\nArchitecture: amd64\nVersion: 99\n\n" +
		"Package: site\nStatus: install ok installed\nArchitecture: all\nVersion: 1.0\n\n"
	return Image{
		Ref: CleanRef,
		Layers: []Layer{{Command: "COPY --chown=0:0 root / # buildkit", Files: []File{
			{Path: "/etc/passwd", Content: []byte("app:x:65532:65532::/nonexistent:/sbin/nologin\n")},
			{Path: "/etc/group", Content: []byte("app:x:65532:\n")},
			{Path: "/var/lib/dpkg/status", Content: []byte(status)},
			{Path: "/var/lib/dpkg/info/base-files.list", Content: []byte("/.\n/etc\n/etc/passwd\n/etc/group\n/etc/pam.d\n/etc/pam.d/common-password\n")},
			{Path: "/etc/pam.d/common-password", Content: []byte("password requisite pam_pwquality.so minlen=12 ucredit=-1 lcredit=-1 dcredit=-1 ocredit=-1 enforce_for_root\npassword required pam_unix.so yescrypt use_authtok\n")},
			{Path: "/var/lib/dpkg/info/site.list", Content: []byte("/.\n/srv\n/srv/www\n/srv/www/index.html\n")},
			{Path: "/srv/www/index.html", Content: []byte("<!doctype html><title>Hello</title><p>Hello.\n")},
		}}},
		Steps: []string{"USER 65532:65532", `HEALTHCHECK &{["CMD" "/srv/check"] "30s"}`},
		Config: Config{
			User: "65532:65532", Entrypoint: []string{"/srv/check"},
			Labels:      map[string]string{"org.opencontainers.image.source": "https://git.example.test/site"},
			Healthcheck: &Healthcheck{Test: []string{"CMD", "/srv/check"}, Interval: 30e9},
		},
	}
}

// Forms are the ways in which a value may be written down: as it is, in JSON,
// in base64 at each of the three offsets that it may have in a longer text.
func Forms(value string) []string {
	forms := []string{value}
	if b, err := json.Marshal(value); err == nil {
		forms = append(forms, strings.Trim(string(b), `"`))
	}
	for skip := range 3 {
		b := []byte(strings.Repeat(" ", skip) + value)
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			// Without the letters that hang on what is before and behind.
			s := enc.EncodeToString(b[:len(b)/3*3])
			if skip > 0 {
				s = s[4:]
			}
			if len(s) >= 8 {
				forms = append(forms, s)
			}
		}
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}
