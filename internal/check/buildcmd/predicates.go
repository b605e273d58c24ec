package buildcmd

import (
	"slices"
	"strings"
)

// What rules ask of commands and instructions, in the order of rules.go.

func secretPair(pairs []Pair) bool {
	return slices.ContainsFunc(pairs, func(p Pair) bool { return secretName(p.Name) && secretValue(p.Value) })
}

func pairsMatch(pairs []Pair, is func(string) bool) bool {
	return slices.ContainsFunc(pairs, func(p Pair) bool { return is(p.Value) })
}

// passwordOption reports whether a password is an argument of a command.
func passwordOption(_ *look, c *command) bool {
	if c.is("useradd", "usermod", "chpasswd", "grep", "sed", "echo", "printf", "test", "[", "dpkg-reconfigure") {
		return false // other rules, or no use of it
	}
	if v, ok := c.value("--password", "--passwd", "--http-password", "--proxy-password", "--storepass", "--keypass", "--passphrase", "--token", "--auth-token", "--api-key", "--secret"); ok && secretValue(v) {
		return true
	}
	for i, a := range c.args[:max(0, len(c.args)-1)] {
		switch a {
		case "-storepass", "-keypass", "-srcstorepass", "-deststorepass":
			// The password of Java's own trust store is public.
			if next := c.args[i+1]; secretValue(next) && next != "changeit" {
				return true
			}
		}
	}
	switch {
	case c.is("curl", "wget", "http"):
		if v, ok := c.value("-u", "--user"); ok {
			_, p, has := strings.Cut(v, ":")
			return has && secretValue(p)
		}
		for _, a := range c.args {
			if !strings.Contains(a, ":") {
				continue
			}
			if m := authHeader().FindStringSubmatch(a); m != nil && secretValue(m[1]) {
				return true
			}
		}
	case c.is("mysql", "mysqladmin", "mariadb", "mysqldump", "mariadb-admin"):
		for _, a := range c.args {
			if v, ok := strings.CutPrefix(a, "-p"); ok && secretValue(v) {
				return true
			}
		}
	case c.is("sshpass", "docker", "podman"):
		v, ok := c.value("-p")
		return ok && secretValue(v) && (c.name == "sshpass" || c.has("login"))
	}
	return false
}

var authHeader = pattern(`(?i)^(?:-H)?\s*(?:authorization|private-token|x-api-key|x-auth-token|x-jfrog-art-api)\s*:\s*(?:(?:bearer|basic|token)\s+)?(\S+)`)

// secretFile reports whether a path is that of a file with keys or
// credentials.
func secretFile(p string) bool {
	b := strings.TrimSuffix(p, "/")
	b = strings.TrimSuffix(b, "/*")
	dir := ""
	if i := strings.LastIndexByte(b, '/'); i >= 0 {
		dir, b = b[:i], b[i+1:]
	}
	switch b {
	case "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".ssh", ".netrc", "_netrc", ".git-credentials", ".pgpass", ".my.cnf", ".npmrc", ".pypirc", ".aws", ".kube", "kubeconfig", ".dockercfg", ".env",
		".htpasswd", ".vault-token", ".terraformrc", "terraform.tfstate", "credentials.json", "service-account.json", "serviceaccount.json", ".gnupg", ".s3cfg", ".boto", ".obsutilconfig":
		return true
	}
	switch {
	case strings.HasPrefix(b, ".env.") && b != ".env.example" && b != ".env.sample" && b != ".env.template":
		return true
	case b == "config.json" && strings.HasSuffix(dir, ".docker"), b == "credentials" && strings.HasSuffix(dir, ".aws"), b == "config" && strings.HasSuffix(dir, ".kube"):
		return true
	case strings.HasSuffix(b, ".p12"), strings.HasSuffix(b, ".pfx"), strings.HasSuffix(b, ".ppk"), strings.HasSuffix(b, ".kdbx"), strings.HasSuffix(b, "_rsa"), strings.HasSuffix(b, "_ed25519"):
		return true
	case strings.HasSuffix(b, ".pem"), strings.HasSuffix(b, ".key"):
		return strings.Contains(b, "key") && !strings.Contains(b, "pub") && !strings.Contains(dir, "keyring")
	}
	return false
}

// madeHere reports whether a script makes the file that it deletes later.
func madeHere(sc script, file string) bool {
	for _, c := range sc.commands {
		if c.is("rm", "shred", "unlink") {
			continue
		}
		if strings.Contains(c.text, strings.TrimSuffix(file, "/")) || strings.Contains(c.text, base(strings.TrimSuffix(file, "/"))) {
			return true
		}
	}
	return false
}

func fromStage(s Step) bool {
	return slices.ContainsFunc(s.Flags, func(f string) bool { return strings.HasPrefix(f, "--from=") })
}

// pipedToShell reports whether a command runs what another downloads.
func pipedToShell(_ *look, c *command) bool {
	if !c.interpreter() && c.name != "eval" && !slices.Contains(c.wrap, "xargs") {
		return false
	}
	for from, n := c.from, 0; from != nil && n < 10; from, n = from.from, n+1 {
		if downloads(from) {
			// python -m json.tool and the like only read.
			return !c.short('m') && (!c.is("python", "python3", "perl", "ruby", "node", "php") || !c.short('c') && !c.short('e') && !c.short('n'))
		}
	}
	for _, a := range c.args {
		if downloadInside().MatchString(a) {
			return true
		}
	}
	return false
}

// downloadInside is a download within a word: "$(curl …)", "<(wget …)".
var downloadInside = pattern("(?:\\$\\(|<\\(|`)\\s*(?:sudo\\s+)?(?:/\\S*/)?(?:curl|wget|fetch|aria2c)\\s")

func downloads(c *command) bool {
	return c.is("curl", "wget", "aria2c", "fetch", "lwp-download", "axel")
}

func decodes(c *command) bool {
	return c.is("base64", "base32") && (c.short('d') || c.short('D') || c.has("--decode")) || c.is("xxd") && c.short('r') || c.is("openssl") && c.has("base64", "enc") && c.has("-d")
}

// plainURL reports whether an argument is a URL without encryption that leads
// out of the machine.
func plainURL(a string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(a), "http://")
	if !ok {
		if rest, ok = strings.CutPrefix(strings.ToLower(a), "ftp://"); !ok {
			return false
		}
	}
	host, _, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	return host != "" && host != "localhost" && !strings.HasPrefix(host, "127.") && host != "[::1]" && !strings.HasPrefix(host, "$") && host != "0.0.0.0"
}

// tlsOff reports whether a command is told not to check certificates.
func tlsOff(_ *look, c *command) bool {
	if slices.ContainsFunc(c.env, tlsOffPair) {
		return true
	}
	switch {
	case c.is("curl"):
		return c.has("--insecure", "--proxy-insecure") || c.curlShort('k')
	case c.is("wget", "aria2c"):
		return c.has("--no-check-certificate", "--check-certificate=false") || slices.Contains(c.args, "--check-certificate=false")
	case c.is("git"):
		return strings.Contains(strings.ToLower(strings.Join(c.args, " ")), "sslverify=false") || c.has("config") && c.hasFold("http.sslverify") && c.hasFold("false") || c.hasFold("http.sslverify") && c.has("0")
	case pipCommand(c):
		return c.has("--trusted-host") || c.has("config") && strings.Contains(c.all(), "trusted-host")
	case c.is("npm", "yarn", "pnpm"):
		return c.has("--strict-ssl=false", "--no-strict-ssl") || slices.Contains(c.args, "--strict-ssl=false") || (c.has("strict-ssl", "strict-ssl=false", "enableStrictSsl") && (c.has("false") || slices.Contains(c.args, "strict-ssl=false")))
	case c.is("apt-get", "apt"):
		return verifyOff().MatchString(c.all())
	case c.is("yum", "dnf", "microdnf", "tdnf"):
		return strings.Contains(c.all(), "sslverify=0") || strings.Contains(c.all(), "sslverify=false")
	case c.is("conda", "mamba", "micromamba"):
		return c.has("ssl_verify") && c.has("false", "False", "no") || c.has("--insecure", "-k")
	case c.is("helm", "kubectl", "skopeo", "oras", "docker", "podman", "buildah"):
		return c.has("--insecure-skip-tls-verify") || slices.Contains(c.args, "--tls-verify=false") || slices.Contains(c.args, "--src-tls-verify=false")
	case c.is("echo", "printf", "tee", "sed"):
		return verifyOff().MatchString(c.all()) || strings.Contains(c.all(), "sslverify=0")
	}
	return false
}

var verifyOff = pattern(`(?i)Verify-(?:Peer|Host)["'\s=]+"?(?:false|no|0)`)

// curlShort is short for curl, of whose options some take their value at once:
// "-ofile" has no k that counts, "-fsSLk" has one.
func (c *command) curlShort(letter byte) bool {
	for _, a := range c.args {
		if len(a) < 2 || a[0] != '-' || a[1] == '-' {
			continue
		}
		for i := 1; i < len(a); i++ {
			if a[i] == letter {
				return true
			}
			if strings.IndexByte("oHXdAuebmTCEFKUwxyYzrQtPcDh", a[i]) >= 0 {
				break
			}
		}
	}
	return false
}

func (c *command) hasFold(word string) bool {
	return slices.ContainsFunc(c.args, func(a string) bool { return strings.EqualFold(a, word) })
}

// tlsOffPair reports whether a variable switches off checks.
func tlsOffPair(p Pair) bool {
	off := p.Value == "0" || strings.EqualFold(p.Value, "false") || strings.EqualFold(p.Value, "no") || strings.EqualFold(p.Value, "off")
	on := p.Value != "" && !off
	switch strings.ToUpper(p.Name) {
	case "NODE_TLS_REJECT_UNAUTHORIZED", "PYTHONHTTPSVERIFY", "NPM_CONFIG_STRICT_SSL", "CONDA_SSL_VERIFY", "MAMBA_SSL_VERIFY":
		return off
	case "GIT_SSL_NO_VERIFY", "PIP_TRUSTED_HOST", "GOINSECURE", "HELM_KUBEINSECURE_SKIP_TLS_VERIFY", "CURL_INSECURE", "VAULT_SKIP_VERIFY", "UV_INSECURE_HOST":
		return on
	case "GOSUMDB", "GONOSUMCHECK":
		return strings.EqualFold(p.Value, "off")
	case "GOFLAGS":
		return strings.Contains(p.Value, "-insecure")
	}
	return false
}

// unsigned reports whether packages are taken without signatures.
func unsigned(_ *look, c *command) bool {
	all := c.all()
	switch {
	case c.is("apt-get", "apt", "aptitude"):
		return c.has("--allow-unauthenticated", "--force-yes", "--allow-insecure-repositories", "--no-gpg-check") || strings.Contains(all, "AllowUnauthenticated=true") || strings.Contains(all, "AllowInsecureRepositories=true")
	case c.is("apk"):
		return c.has("--allow-untrusted")
	case c.is("yum", "dnf", "microdnf", "tdnf", "zypper"):
		return c.has("--nogpgcheck", "--no-gpgcheck", "--no-gpg-checks", "--no-gpg-check", "--allow-unsigned-rpm") || strings.Contains(all, "gpgcheck=0") || strings.Contains(all, "gpgcheck=false")
	case c.is("rpm"):
		return c.has("--nosignature", "--nodigest", "--noverify")
	case c.is("echo", "printf", "cat", "tee", "sed"):
		return trustedSource().MatchString(all) || gpgOff().MatchString(all)
	case c.is("yum-config-manager"):
		return gpgOff().MatchString(all)
	case c.is("pacman"):
		return strings.Contains(all, "SigLevel")
	}
	return false
}

var (
	trustedSource = pattern(`(?i)\bdeb\s+\[[^\]]*trusted=yes|SigLevel\s*=\s*Never|(?m:^Trusted:\s*yes)`)
	gpgOff        = pattern(`(?i)(?:\b|\\n)gpgcheck\s*=\s*(?:0|false|no)\b`)
)

// plainRepository reports whether packages come by plain HTTP. The
// repositories of Debian and Ubuntu are signed and by default use it.
func plainRepository(_ *look, c *command) bool {
	switch {
	case pipCommand(c):
		if v, ok := c.value("-i", "--index-url", "--extra-index-url", "--find-links", "-f"); ok {
			return plainURL(v)
		}
	case c.is("npm", "yarn", "pnpm"):
		if v, ok := c.value("--registry"); ok {
			return plainURL(v)
		}
		return c.has("registry") && slices.ContainsFunc(c.args, plainURL)
	case c.is("gem"):
		return slices.ContainsFunc(c.args, plainURL)
	case c.is("apk"):
		v, ok := c.value("-X", "--repository")
		return ok && plainURL(v)
	case c.is("yum-config-manager", "dnf", "zypper", "yum"):
		return c.has("--add-repo", "addrepo", "ar", "config-manager", "install", "localinstall") && slices.ContainsFunc(c.args, plainURL)
	case c.is("rpm"):
		return slices.ContainsFunc(c.args, plainURL)
	case c.is("add-apt-repository"):
		return strings.Contains(c.all(), "http://")
	case c.is("echo", "printf", "cat", "tee"):
		for _, m := range repoLine().FindAllStringSubmatch(c.all(), -1) {
			if plainURL(m[1]) && !signedMirror().MatchString(m[1]) {
				return true
			}
		}
	}
	return false
}

var (
	repoLine     = pattern(`(?m)(?:\bdeb(?:-src)?\s+(?:\[[^\]]*\]\s+)?|\bbaseurl\s*=\s*|\bindex-url\s*=\s*|\bregistry\s*=\s*)(http://[^\s"']+)`)
	signedMirror = pattern(`^http://(?:[a-z0-9-]+\.)*(?:debian\.org|ubuntu\.com|freexian\.com)(?:/|$)`)
)

// upgradesAll reports whether a command upgrades everything.
func upgradesAll(_ *look, c *command) bool {
	words := c.operands()
	first := ""
	if len(words) > 0 {
		first = words[0]
	}
	switch {
	case c.is("apt-get", "apt", "aptitude"):
		return c.has("upgrade", "dist-upgrade", "full-upgrade", "safe-upgrade")
	case c.is("yum", "dnf", "microdnf", "tdnf"):
		return (first == "update" || first == "upgrade" || first == "distro-sync") && len(words) == 1
	case c.is("apk"):
		return first == "upgrade" && len(words) == 1
	case c.is("zypper"):
		return first == "up" || first == "update" || first == "dup" || first == "dist-upgrade"
	case c.is("pacman"):
		return c.short('u') && c.short('S')
	}
	return false
}

// cacheLeft reports whether an instruction installs packages and leaves what
// was downloaded.
func cacheLeft(l *look) bool {
	if l.Keyword != "RUN" || cacheMounted(l.Step) {
		return false
	}
	for _, c := range l.script.commands {
		switch {
		case c.is("apt-get", "apt", "aptitude") && c.has("update", "install"):
			if c.has("update") || len(packages(c)) > 0 {
				if !removes(l.script, "/var/lib/apt") && !removes(l.script, "/var/cache/apt") {
					return true
				}
			}
		case c.is("yum", "dnf", "microdnf", "tdnf") && c.has("install", "update", "upgrade", "groupinstall"):
			if !runs(l.script, "clean", "yum", "dnf", "microdnf", "tdnf") && !removes(l.script, "/var/cache/yum") && !removes(l.script, "/var/cache/dnf") && !removes(l.script, "/var/cache/*") {
				return true
			}
		case c.is("zypper") && c.has("install", "in"):
			if !runs(l.script, "clean", "zypper") && !runs(l.script, "cc", "zypper") && !removes(l.script, "/var/cache/zypp") {
				return true
			}
		case c.is("apk") && (c.has("update") || c.has("add") && !c.has("--no-cache")):
			if !removes(l.script, "/var/cache/apk") && !runs(l.script, "clean", "apk") {
				return true
			}
		}
	}
	return false
}

func cacheMounted(s Step) bool {
	return slices.ContainsFunc(s.Flags, func(f string) bool { return strings.HasPrefix(f, "--mount=") && strings.Contains(f, "type=cache") })
}

// removes reports whether a script deletes something whose path contains part.
func removes(sc script, part string) bool {
	for _, c := range sc.commands {
		if (c.is("rm") || c.is("find") && c.has("-delete", "rm")) && slices.ContainsFunc(c.args, func(a string) bool { return strings.Contains(a, part) }) {
			return true
		}
	}
	return false
}

// runs reports whether a script runs one of the programs with a word.
func runs(sc script, word string, names ...string) bool {
	return slices.ContainsFunc(sc.commands, func(c *command) bool { return c.is(names...) && c.has(word) })
}

// packages are the names that a package manager is told to install, without
// versions; nil for any other command.
func packages(c *command) []string {
	var verbs []string
	switch {
	case c.is("apt-get", "apt", "aptitude", "yum", "dnf", "microdnf", "tdnf", "conda", "mamba", "brew", "opkg"):
		verbs = []string{"install", "reinstall", "groupinstall"}
	case c.is("zypper"):
		verbs = []string{"install", "in"}
	case c.is("apk"):
		verbs = []string{"add"}
	case c.is("pacman"):
		verbs = nil
		if !c.short('S') {
			return nil
		}
	default:
		return nil
	}
	var out []string
	seen := verbs == nil
	for _, w := range c.operands() {
		if !seen {
			seen = slices.Contains(verbs, w)
			continue
		}
		if i := strings.IndexAny(w, "=<>~:"); i > 0 {
			w = w[:i]
		}
		out = append(out, w)
	}
	return out
}

func pipCommand(c *command) bool {
	return c.is("pip", "pip3", "pip2") || strings.HasPrefix(c.name, "pip3.") || (c.is("python", "python3") || strings.HasPrefix(c.name, "python3.")) && c.has("pip") && c.has("-m")
}

func pipInstalls(c *command) bool { return pipCommand(c) && c.has("install", "wheel") }

// latest reports whether the newest version is installed, whatever it is.
func latest(_ *look, c *command) bool {
	switch {
	case c.is("npm", "yarn", "pnpm", "npx", "go", "bun", "deno"):
		return (c.has("install", "i", "add", "get", "global", "dlx") || c.is("npx")) && slices.ContainsFunc(c.args, func(a string) bool {
			return strings.HasSuffix(a, "@latest") || strings.HasSuffix(a, "@next") || strings.HasSuffix(a, "@master") || strings.HasSuffix(a, "@main")
		})
	case pipCommand(c):
		if !c.has("install") || !c.short('U') && !c.has("--upgrade") || c.short('r') || c.has("--requirement", "--constraint", "-c") {
			return false
		}
		after := c.operands()
		if i := slices.Index(after, "install"); i >= 0 {
			after = after[i+1:]
		}
		return slices.ContainsFunc(after, func(a string) bool {
			return !strings.ContainsAny(a, "=<>~@/$.") && a != ""
		})
	case downloads(c):
		return slices.ContainsFunc(c.args, func(a string) bool { return strings.Contains(a, "/releases/latest/download/") })
	}
	return false
}

// worldWritable reports whether a mode lets everyone write.
func worldWritable(_ *look, c *command) bool {
	switch {
	case c.is("chmod"):
		return slices.ContainsFunc(c.args, opensToAll) && !onlyTemporary(c)
	case c.is("mkdir", "install"):
		return installMode(c, opensToAll)
	case c.is("umask"):
		return c.has("0", "000", "0000")
	}
	return false
}

var (
	octalMode    = pattern(`^[0-7]{3,5}$`)
	symbolicMode = pattern(`^(?:[ugoa]*[-+=][rwxXst]*,?)+$`)
)

func opensToAll(mode string) bool {
	if octalMode().MatchString(mode) {
		if len(mode) > 3 && mode[len(mode)-4]&1 != 0 {
			return false // sticky: others may not delete, as in /tmp
		}
		return (mode[len(mode)-1]-'0')&2 != 0
	}
	if !symbolicMode().MatchString(mode) {
		return false
	}
	for part := range strings.SplitSeq(mode, ",") {
		i := strings.IndexAny(part, "+=")
		if i > 0 && strings.ContainsAny(part[:i], "oa") && strings.Contains(part[i:], "w") && !strings.Contains(part[i:], "t") {
			return true
		}
	}
	return false
}

// onlyTemporary reports whether the command is about /tmp and the like alone.
func onlyTemporary(c *command) bool {
	n := 0
	for _, a := range c.operands() {
		if octalMode().MatchString(a) || symbolicMode().MatchString(a) {
			continue
		}
		n++
		if a != "/tmp" && a != "/var/tmp" && a != "/dev/null" {
			return false
		}
	}
	return n > 0
}

func setsID(mode string) bool {
	if octalMode().MatchString(mode) {
		return len(mode) > 3 && (mode[len(mode)-4]-'0')&6 != 0
	}
	if !symbolicMode().MatchString(mode) {
		return false
	}
	for part := range strings.SplitSeq(mode, ",") {
		i := strings.IndexAny(part, "+=")
		if i >= 0 && strings.Contains(part[i:], "s") && (i == 0 || strings.ContainsAny(part[:i], "uga")) {
			return true
		}
	}
	return false
}

func installMode(c *command, is func(string) bool) bool {
	v, ok := c.value("-m", "--mode")
	return ok && is(v)
}

// setsPassword reports whether a command gives an account a password.
func setsPassword(_ *look, c *command) bool {
	switch {
	case c.is("useradd", "usermod"):
		v, ok := c.value("-p", "--password")
		return ok && v != "" && v != "*" && v != "!" && v != "!!" && v != "x"
	case c.is("chpasswd"):
		return true
	case c.is("passwd"):
		return c.has("--stdin") || c.from != nil && c.from.is("echo", "printf", "yes") || c.here != ""
	case c.is("smbpasswd", "vncpasswd", "htpasswd", "saslpasswd2"):
		return c.from != nil || c.here != "" || c.is("htpasswd") && c.short('b')
	case c.is("dscl", "net"):
		return false
	}
	return false
}

// opensSSH reports whether a command writes a setting that opens the SSH server.
// Of a substitution by sed the new text counts.
func opensSSH(_ *look, c *command) bool {
	if c.is("grep", "rm") {
		return false
	}
	if !c.is("sed") {
		return sshOpen().MatchString(c.all())
	}
	for _, a := range c.args {
		if len(a) > 2 && a[0] == 's' && strings.Count(a, a[1:2]) >= 2 {
			a = strings.SplitN(a, a[1:2], 4)[2]
		}
		if sshOpen().MatchString(a) {
			return true
		}
	}
	return false
}

// powerfulGroup reports whether an account joins a group that can become the
// superuser.
func powerfulGroup(_ *look, c *command) bool {
	powerful := func(list string) bool {
		return slices.ContainsFunc(strings.Split(list, ","), func(g string) bool {
			return slices.Contains([]string{"root", "sudo", "wheel", "docker", "disk", "shadow", "admin", "adm", "lxd", "kmem"}, g)
		})
	}
	switch {
	case c.is("usermod", "useradd"):
		for i, a := range c.args {
			groups := a == "--groups" || len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.HasSuffix(a, "G")
			if groups && i+1 < len(c.args) && powerful(c.args[i+1]) {
				return true
			}
			if v, ok := strings.CutPrefix(a, "--groups="); ok && powerful(v) {
				return true
			}
		}
	case c.is("adduser", "addgroup"):
		if w := c.operands(); len(w) == 2 && powerful(w[1]) {
			return true
		}
		v, ok := c.value("-G", "--ingroup")
		return ok && powerful(v)
	case c.is("gpasswd"):
		w := c.operands()
		return (c.short('a') || c.has("--add")) && len(w) > 0 && powerful(w[len(w)-1])
	}
	return false
}
