package secret

import (
	"path"
	"slices"
	"strings"
)

// A pathClass is what a path says about a file's content.
type pathClass int

const (
	plain pathClass = iota
	// configuration is of this image: generic rules apply.
	configuration
	// packaged files are as their authors published them.
	packaged
	// tests, examples and documentation of the image's own software.
	tests
	// material for tests and examples within a package: what anybody can
	// download is no secret, so nothing is told of it.
	material
)

// packageRoots are directories below which packages are unpacked.
var packageRoots = []string{
	"/node_modules/", "/site-packages/", "/dist-packages/", "/go/pkg/mod/", "/gems/", "/bower_components/", "/.cargo/registry/", "/.m2/repository/", "/lib/python", "/lib/ruby/", "/lib/perl5/",
}

// systemRoots are those of the distribution, when the path starts with them.
var systemRoots = []string{"/usr/share/", "/usr/lib/", "/usr/lib64/", "/usr/libexec/", "/usr/include/", "/usr/src/", "/usr/local/lib/python", "/usr/local/go/", "/usr/local/include/", "/opt/java/", "/usr/lib/jvm/", "/var/lib/dpkg/", "/var/lib/apt/"}

// systemHoles are directories below those that people fill themselves.
var systemHoles = []string{
	"/usr/share/nginx/html/", "/usr/share/caddy/", "/usr/share/httpd/", "/usr/share/elasticsearch/config/", "/usr/share/opensearch/config/", "/usr/share/kibana/config/", "/usr/share/logstash/config/",
	"/usr/share/logstash/pipeline/", "/usr/share/filebeat/", "/usr/share/grafana/conf/", "/usr/share/tomcat", "/usr/lib/systemd/system/", "/usr/lib/unifi/data/",
}

// testDirs are names of directories with tests, examples and documentation.
var testDirs = map[string]bool{
	"test": true, "tests": true, "testing": true, "testdata": true, "__tests__": true, "test-data": true, "test_data": true, "spec": true, "specs": true,
	"fixture": true, "fixtures": true, "__fixtures__": true, "example": true, "examples": true, "sample": true, "samples": true, "doc": true, "docs": true, "demo": true, "demos": true,
	"man": true, "info": true, "locale": true, "snakeoil": true, "benchmark": true, "benchmarks": true, "mock": true, "mocks": true, "__mocks__": true, "selftests": true,
}

// classOf is the class of a path.
func classOf(p string) pathClass {
	low := strings.ToLower(p)
	root := -1
	seen := uint(0) // the first of each counts
	for i := range len(low) {
		if low[i] != '/' || i+1 == len(low) {
			continue
		}
		for n, r := range packageRoots {
			if low[i+1] == r[1] && seen&(1<<n) == 0 && strings.HasPrefix(low[i:], r) {
				seen |= 1 << n
				root = max(root, i+len(r)-1)
			}
		}
	}
	for _, r := range systemRoots {
		if strings.HasPrefix(low, r) {
			root = max(root, len(r)-1)
		}
	}
	for _, h := range systemHoles {
		if strings.HasPrefix(low, h) && root < len(h) {
			root = -1
		}
	}
	isTest := false
	dir, name := path.Split(low)
	for d := range strings.SplitSeq(dir[root+1:], "/") {
		isTest = isTest || testDirs[d] || strings.HasSuffix(d, "-examples") || strings.HasSuffix(d, "_test") || strings.HasSuffix(d, "_tests")
	}
	for _, prefix := range []string{"readme", "changelog", "test_"} {
		isTest = isTest || strings.HasPrefix(name, prefix)
	}
	for _, part := range []string{"_test.", "_test_", ".test.", ".spec.", "snakeoil"} {
		isTest = isTest || strings.Contains(name, part)
	}
	for _, suffix := range []string{".md", ".rst", ".adoc", ".pod"} {
		isTest = isTest || strings.HasSuffix(name, suffix)
	}
	switch {
	case root >= 0 && isTest:
		return material
	case root >= 0:
		return packaged
	case isTest:
		return tests
	case isConfiguration(name, dir):
		return configuration
	}
	return plain
}

// configExtensions end names of files that people configure software with.
var configExtensions = map[string]bool{
	".env": true, ".ini": true, ".conf": true, ".cfg": true, ".cnf": true, ".config": true, ".properties": true, ".yaml": true, ".yml": true, ".toml": true,
	".json": true, ".xml": true, ".tfvars": true, ".tf": true, ".tfstate": true, ".hcl": true, ".credentials": true, ".rc": true, ".sh": true, ".plist": true, ".service": true,
	".secret": true, ".secrets": true, ".passwd": true, ".password": true, ".local": true, ".production": true, ".prod": true, ".development": true, ".dev": true, ".staging": true,
}

// neverConfig are lists of hashes and schemas with such an extension.
var neverConfig = map[string]bool{
	"package.json": true, "package-lock.json": true, "npm-shrinkwrap.json": true, ".package-lock.json": true, "composer.lock": true, "pnpm-lock.yaml": true,
	"tsconfig.json": true, "composer.json": true, "pom.xml": true, "openapi.yaml": true, "openapi.json": true, "swagger.json": true, "swagger.yaml": true,
}

func isConfiguration(name, dir string) bool {
	if neverConfig[name] || strings.Contains(name, ".schema.") || strings.HasPrefix(dir, "/etc/pam.d/") || strings.HasPrefix(dir, "/etc/ssl/certs/") {
		return false
	}
	// A value may stand in a file beside the one in use.
	for _, suffix := range []string{".bak", ".old", ".orig", ".save", ".tmp", "~", ".swp"} {
		name = strings.TrimSuffix(name, suffix)
	}
	if configExtensions[path.Ext(name)] || strings.HasPrefix(name, ".env") {
		return true
	}
	switch name {
	case "dockerfile", "containerfile", "jenkinsfile", "makefile", "credentials", "config", "environment", ".bashrc", ".profile", ".bash_profile", ".zshrc", ".bash_history", ".zsh_history", ".ash_history", ".sh_history", ".psql_history", ".mysql_history", ".rediscli_history", ".python_history", ".envrc", "wp-config.php", "settings.py", "local_settings.py", "config.php", "config.js", "config.py", "database.php":
		return true
	}
	return strings.HasPrefix(name, ".") && strings.HasSuffix(name, "rc")
}

// passedOver are extensions of formats that hold no text.
var passedOver = map[string]bool{
	".png": true, ".jpg": true, ".jpeg": true, ".gif": true, ".bmp": true, ".ico": true, ".webp": true, ".svgz": true, ".tif": true, ".tiff": true, ".xcf": true,
	".mp3": true, ".mp4": true, ".ogg": true, ".oga": true, ".wav": true, ".flac": true, ".avi": true, ".mkv": true, ".webm": true, ".mov": true,
	".ttf": true, ".otf": true, ".woff": true, ".woff2": true, ".eot": true, ".pfb": true, ".pcf": true,
	".gz": true, ".bz2": true, ".xz": true, ".zst": true, ".lz4": true, ".zip": true, ".7z": true, ".rar": true, ".tgz": true, ".jar": true, ".war": true, ".ear": true, ".whl": true, ".deb": true, ".rpm": true, ".apk": true,
	".so": true, ".a": true, ".o": true, ".ko": true, ".dll": true, ".exe": true, ".class": true, ".pyc": true, ".pyo": true, ".elc": true, ".wasm": true, ".node": true, ".mo": true, ".gmo": true, ".pdf": true, ".rdb": true, ".dat": true,
	".beam": true, ".npy": true, ".npz": true, ".rds": true, ".jsa": true,
}

// passedDirs are directories of files that no image puts secrets into.
var passedDirs = []string{"/var/lib/dpkg/info", "/proc", "/sys"}

// PassedOver are the paths that no file is read at, sorted: directories, and
// "**/*.png" for an extension, in any case of its letters.
func PassedOver() []string {
	out := slices.Clone(passedDirs)
	for ext := range passedOver {
		out = append(out, "**/*"+ext)
	}
	slices.Sort(out)
	return out
}

// declarations are ends of the names of files that say in packages what code
// looks like, or translate what it says: nobody writes a value there.
var declarations = []string{".h", ".hh", ".hpp", ".hxx", ".ipp", ".d.ts", ".d.mts", ".d.cts", ".pyi", ".rbs", ".po", ".pot"}

// Wants reports whether Scan has to see a file, from its name and size (in
// bytes) alone: formats that hold no text are passed over, and of binary
// formats those are seen that hold keys. So is what Scan would tell nothing of,
// the tests and documentation of packages.
func (e *Engine) Wants(p string, size int64) bool {
	if size < minFile {
		return false
	}
	within := func(dir string) bool { return strings.HasPrefix(p, dir) && len(p) > len(dir) && p[len(dir)] == '/' }
	if passedOver[strings.ToLower(path.Ext(p))] || isLibrary(p) || slices.ContainsFunc(passedDirs, within) {
		return false
	}
	switch classOf(p) {
	case material:
		return false
	case packaged:
		return !slices.ContainsFunc(declarations, func(end string) bool { return strings.HasSuffix(p, end) })
	}
	return true
}

// isLibrary tells the name of a shared library with its version, libz.so.1.
func isLibrary(p string) bool {
	i := strings.LastIndex(p, ".so.")
	return i >= 0 && strings.Trim(p[i+4:], "0123456789.") == ""
}

// minFile is the size of the shortest file that can hold a secret and what
// tells it to be one.
const minFile = 8
