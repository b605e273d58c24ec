package secret

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/test/planted"
)

func scanText(t testing.TB, e *Engine, path, text string) []Secret {
	t.Helper()
	found, err := e.ScanBytes(t.Context(), path, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// rulesOf are the rules of what was found, in order.
func rulesOf(found []Secret) []string {
	var ids []string
	for _, f := range found {
		ids = append(ids, f.Rule)
	}
	return ids
}

func TestSecretSaysWhereAndHidesWhat(t *testing.T) {
	e := engine(t)
	r := rand.New(rand.NewPCG(1, 1))
	v := planted.Text(r, "ghp_[0-9A-Za-z]{36}")
	other := planted.Text(r, "[0-9A-Za-z]{20}")
	text := "first\n  GITHUB_TOKEN=\"" + v + "\" " + other + "\n"
	got := scanText(t, e, "/app/run.sh", text)
	if len(got) != 1 {
		t.Fatalf("found %v, want one", rulesOf(got))
	}
	if got[0].Hash == "" || len(got[0].Hash) != 16 {
		t.Errorf("hash %q, want 16 digits", got[0].Hash)
	}
	got[0].Hash = ""
	masked := v[:4] + "********" + v[36:]
	want := Secret{
		Rule: "github-pat", Title: "GitHub personal access token", Kind: Token, Severity: Critical, Path: "/app/run.sh", Line: 2, Column: 17,
		Masked: masked, Length: 40, Context: `GITHUB_TOKEN="` + masked,
	}
	if d := cmp.Diff(want, got[0]); d != "" {
		t.Error(d)
	}
}

func TestHash(t *testing.T) {
	e := engine(t)
	r := rand.New(rand.NewPCG(1, 9))
	strong := "token: " + planted.Text(r, "ghp_[0-9A-Za-z]{36}") + "\n"
	weak := "password: " + planted.Text(r, planted.Password)[:8] + "\n"
	hash := func(e *Engine, path, text string) string {
		got := scanText(t, e, path, text)
		if len(got) != 1 {
			t.Fatalf("%q: found %v, want one", text, rulesOf(got))
		}
		return got[0].Hash
	}
	if a, b := hash(e, "/a.yaml", strong), hash(e, "/b.yaml", "x\n"+strong); a != b || a == "" {
		t.Errorf("one value has the hashes %q and %q", a, b)
	}
	if h := hash(e, "/a.yaml", weak); h != "" {
		t.Errorf("a value that can be guessed has the hash %q", h)
	}
	s := e.WithSalt([]byte("salt of this deployment"))
	if a, b := hash(s, "/a.yaml", strong), hash(e, "/a.yaml", strong); a == b {
		t.Error("the salt does not change the hash")
	}
	if hash(s, "/a.yaml", weak) == "" {
		t.Error("with a salt, a short value has no hash")
	}
}

func TestKeysThatNeedTelling(t *testing.T) {
	e := engine(t)
	keys := keyPlants(t)
	for _, tt := range []struct {
		name, from, path string
		want             []string
		encrypted, test  bool
		severity         Severity
	}{
		{"plain", "/etc/ssl/private/rsa.pem", "/etc/ssl/private/rsa.pem", []string{"private-key"}, false, false, Critical},
		{"encrypted", "/etc/ssl/private/locked.pem", "/x.pem", []string{"private-key-encrypted"}, true, false, Medium},
		{"openssh", "/root/.ssh/id_ed25519", "/root/.ssh/id_ed25519", []string{"openssh-private-key"}, false, false, Critical},
		{"openssh encrypted", "/root/.ssh/id_locked", "/root/.ssh/id_rsa", []string{"openssh-private-key-encrypted"}, true, false, Medium},
		{"of a test", "/etc/ssl/private/rsa.pem", "/app/tests/rsa.pem", []string{"private-key"}, false, true, High},
		{"of a test of a package", "/etc/ssl/private/rsa.pem", "/app/node_modules/tls/test/rsa.pem", nil, false, false, ""},
		{"of documentation", "/etc/ssl/private/rsa.pem", "/usr/share/doc/openssl/demo.pem", nil, false, false, ""},
		{"within JSON", "/app/service-account.json", "/app/sa.json", []string{"private-key"}, false, false, Critical},
		{"in base64", "/app/secret.yaml", "/app/secret.yaml", []string{"private-key-base64"}, false, false, Critical},
		{"DER", "/app/key.der", "/app/key.der", []string{"private-key-der"}, false, false, Critical},
		{"JKS", "/app/app.jks", "/app/app.jks", []string{"java-key-store"}, true, false, High},
		{"PKCS #12", "/app/app.p12", "/app/app.p12", []string{"pkcs12-key-store"}, true, false, High},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := e.ScanBytes(t.Context(), tt.path, keys[tt.from])
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, rulesOf(got)); d != "" {
				t.Fatal(d)
			}
			if tt.want == nil {
				return
			}
			if f := got[0]; f.Encrypted != tt.encrypted || f.Test != tt.test || f.Severity != tt.severity {
				t.Errorf("encrypted %v, test %v, severity %s", f.Encrypted, f.Test, f.Severity)
			}
		})
	}
}

func TestNoSecrets(t *testing.T) {
	e := engine(t)
	r := rand.New(rand.NewPCG(2, 3))
	long := planted.Text(r, "[0-9A-Za-z]{40}")
	for _, tt := range []struct{ name, path, text string }{
		{"a reference", "/app/.env", "DB_PASSWORD=${DB_PASSWORD}\nTOKEN=$(cat /run/secrets/token)\n"},
		{"a placeholder", "/app/.env", "API_KEY=your_api_key_goes_here_please\nDB_PASSWORD=changeme\n"},
		{"a comment", "/app/app.conf", "# password = " + long + "\n; secret_key = " + long + "\n"},
		{"a comment of XML", "/root/.m2/settings.xml", "<settings><!--\n<server><password>" + long + "</password></server>\n--></settings>"},
		{"a word", "/app/app.yaml", "password: required\ntoken: null\nsecret: true\n"},
		{"a file", "/app/app.yaml", "password_file: /run/secrets/db\nprivate_key: ./server.key\n"},
		{"a part of a longer word", "/app/x.txt", "q" + planted.Text(r, "ghp_[0-9A-Za-z]{36}") + " " + planted.Text(r, "ghp_[0-9A-Za-z]{50}") + "\n"},
		{"AWS's example", "/app/x.txt", "AKIA" + "IOSFODNN7" + "EXAMPLE\n"},
		{"a public key", "/x.pem", "-----BEGIN PUBLIC KEY-----\n" + strings.Repeat(long, 4) + "\n-----END PUBLIC KEY-----\n"},
		{"the head of a key", "/x.go", `const head = "-----BEGIN RSA PRIVATE ` + `KEY-----"; const end = "-----END"`},
		{"a URL with a variable", "/app/.env", "DATABASE_URL=postgres://user:${PASSWORD}@db/shop\n"},
		{"a URL of a manual", "/app/.env", "DATABASE_URL=postgres://user:password@host/shop\n"},
		{"a generic name in code", "/app/main.py", "password = \"" + long + "\"\n"},
		{"a key store of certificates", "/etc/ssl/certs/java/cacerts", string(planted.JKS(2))},
		{"a PKCS #12 store of certificates", "/x.p12", string(planted.PKCS12(planted.OIDCertBag))},
		{"an unsigned JWT", "/app/x.txt", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.\n"},
		{"a hash of a lock file", "/app/package-lock.json", `"integrity": "sha512-` + long + long + `==", "token": "` + long + `"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := scanText(t, e, tt.path, tt.text); got != nil {
				t.Errorf("found %s: %s", rulesOf(got), got[0].Context)
			}
		})
	}
}

// TestAcrossChunks moves a token and a key over the ends of chunks.
func TestAcrossChunks(t *testing.T) {
	e := engine(t)
	r := rand.New(rand.NewPCG(4, 4))
	v := planted.Text(r, "ghp_[0-9A-Za-z]{36}")
	key := string(keyPlants(t)["/etc/ssl/private/rsa.pem"])
	line := strings.Repeat("-", 99) + "\n"
	for _, tt := range []struct {
		name, secret string
	}{{"token", v}, {"private key", key}} {
		for _, back := range []int{-50, -1, 0, 1, 20, 39, 40, 41, 1000, overlap, overlap + 20, 2 * overlap} {
			for _, chunk := range []int{1, 2} {
				at := chunk*chunkBytes - back
				text := strings.Repeat(line, at/100+1)[:at-1] + "\n" + tt.secret + "\n" + strings.Repeat(line, 12000)
				got, err := e.ScanBytes(t.Context(), "/var/log/app.log", []byte(text))
				if err != nil {
					t.Fatal(err)
				}
				if len(got) != 1 {
					t.Fatalf("%s at %d: found %v, want one", tt.name, at, rulesOf(got))
				}
				if want := strings.Count(text[:at], "\n") + 1; got[0].Line != want || got[0].Column != 1 {
					t.Errorf("%s at %d: line %d, column %d, want %d, 1", tt.name, at, got[0].Line, got[0].Column, want)
				}
			}
		}
	}
}

func TestScanConfig(t *testing.T) {
	e := engine(t)
	r := rand.New(rand.NewPCG(5, 5))
	db, gh, pw, lb := planted.Text(r, planted.Password), planted.Text(r, "ghp_[0-9A-Za-z]{36}"), planted.Text(r, planted.Password), planted.Text(r, "glpat-[0-9A-Za-z]{20}")
	got, err := e.ScanConfig(t.Context(),
		[]string{"PATH=/usr/bin", "DB_PASSWORD=" + db},
		map[string]string{"build.token": lb, "maintainer": "me"},
		[]string{"/bin/sh -c #(nop) CMD [\"sh\"]", "RUN git clone https://x:" + gh + "@github.com/a/b", "RUN mysql -uroot -p" + pw + " shop"})
	if err != nil {
		t.Fatal(err)
	}
	places := map[string]string{}
	for _, f := range got {
		places[f.Path] = f.Rule
	}
	want := map[string]string{"env:DB_PASSWORD": "generic-password", "label:build.token": "gitlab-pat", "history:2": "url-password", "history:3": "mysql-command-password"}
	if d := cmp.Diff(want, places); d != "" {
		t.Error(d)
	}
	told, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{db, gh, pw, lb} {
		if bytes.Contains(told, []byte(v)) {
			t.Errorf("a value is told: %s", told)
		}
	}
}

// TestCleanConfig has what images of well-known software say of themselves.
func TestCleanConfig(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 13))
	hash := func(n string) string { return planted.Text(r, "[0-9a-f]{"+n+"}") }
	got, err := engine(t).ScanConfig(t.Context(), []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin", "LANG=C.UTF-8", "GPG_KEY=" + strings.ToUpper(hash("40")), "PYTHON_SHA256=" + hash("64"),
		"PYTHON_GET_PIP_URL=https://github.com/pypa/get-pip/raw/" + hash("40") + "/public/get-pip.py", "NODE_VERSION=22.1.0", "PKG_RELEASE=1~bookworm",
		"GPG_KEYS=" + strings.ToUpper(hash("40")) + " " + strings.ToUpper(hash("40")), "PHP_ASC_URL=https://www.php.net/get/php.tar.xz.asc", "TOMCAT_SHA512=" + hash("128"),
		"JAVA_HOME=/opt/java/openjdk", "MYSQL_MAJOR=8.0", "GOSU_VERSION=1.17", "REDIS_DOWNLOAD_SHA=" + hash("64"), "POSTGRES_PASSWORD_FILE=/run/secrets/pg", "DB_PASSWORD=", "TOKEN_TTL=3600",
		"SSL_KEY_FILE=/etc/ssl/server.key", "KEYCLOAK_AUTH_SERVER=https://sso.corp.test/auth", "COMPOSER_ALLOW_SUPERUSER=1", "SECRET_NAME=prod/db/main",
	}, map[string]string{
		"org.opencontainers.image.revision": hash("40"), "org.opencontainers.image.source": "https://github.com/docker-library/python.git", "com.docker.image.digest": "sha256:" + hash("64"),
	}, []string{
		"/bin/sh -c #(nop) ADD file:" + hash("64") + " in / ",
		`RUN /bin/sh -c set -eux; apt-get update; apt-get install -y --no-install-recommends ca-certificates curl netbase wget; rm -rf /var/lib/apt/lists/* # buildkit`,
		`RUN /bin/sh -c set -eux; wget -O python.tar.xz "https://www.python.org/ftp/python/3.12.1/Python-3.12.1.tar.xz"; echo "$PYTHON_SHA256 *python.tar.xz" | sha256sum -c -; GNUPGHOME="$(mktemp -d)"; gpg --batch --keyserver hkps://keys.openpgp.org --recv-keys "$GPG_KEY"; find /usr/local -type f -executable | xargs ldd | awk '/=>/ { print $(NF-1) }' | sort -u | xargs -r dpkg-query --search | cut -d: -f1 | sort -u packages.txt`,
		`RUN /bin/sh -c groupadd -r mysql && useradd -r -g mysql mysql && mkdir -p /var/lib/mysql /var/run/mysqld && chown -R mysql:mysql /var/lib/mysql`,
		`RUN /bin/sh -c curl -fsSLO --compressed "https://nodejs.org/dist/v22.1.0/node.tar.xz" && tar -xJf node.tar.xz -C /usr/local --strip-components=1 --no-same-owner && ln -s /usr/local/bin/node /usr/local/bin/nodejs`,
		`RUN /bin/sh -c echo "root:$ROOT_PASSWORD" | chpasswd`, `RUN |1 TOKEN /bin/sh -c curl -H "Authorization: Bearer ${TOKEN}" https://corp.test/x`,
		`CMD ["mysqld" "--user=mysql" "-p" "3306"]`, `ENTRYPOINT ["docker-entrypoint.sh"]`,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range got {
		t.Errorf("%s: %s %s", f.Path, f.Rule, f.Context)
	}
}

// TestHostileInput holds that what is made to cost much ends soon.
func TestHostileInput(t *testing.T) {
	e := engine(t)
	var every strings.Builder
	for k := range e.lengths {
		for _, n := range e.of[k] {
			if n >= 0 {
				every.WriteString(e.rules[n].Keywords[0] + " = ")
			}
		}
	}
	size := 8 << 20
	if testing.Short() {
		size = 1 << 19 // the detector of races is slow
	}
	fill := func(s string) []byte { return []byte(strings.Repeat(s, size/len(s)+1)[:size]) }
	r := rand.New(rand.NewPCG(6, 6))
	noise := make([]byte, size)
	for i := range noise {
		noise[i] = byte(1 + r.IntN(255))
	}
	for _, tt := range []struct {
		name string
		text []byte
		path string
	}{
		{"one line", fill("a"), "/a.conf"},
		{"one line of assignments", fill("password="), "/a.conf"},
		{"keywords of all rules", fill(every.String()), "/a.conf"},
		{"keywords of windows", fill("jdbc:mysql://server=;pwd=curl wget -u "), "/a.conf"},
		{"heads of keys", fill("-----BEGIN RSA PRIVATE " + "KEY-----\n"), "/a.pem"},
		{"heads of keys in base64", fill("LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t"), "/a.yaml"},
		{"tokens", fill("eyJhbGciOiJIUzI1NiJ9" + "." + "eyJhbGciOiJIUzI1NiJ9."), "/a.json"},
		{"URLs", fill("a://b:c@"), "/a.conf"},
		{"passwords of netrc", fill("password a"), "/.netrc"},
		{"lines of pgpass", fill("a:1:b:c:d\n"), "/.pgpass"},
		{"kinds of Kubernetes", fill("kind: Secret\n"), "/a.yaml"},
		{"no UTF-8", noise, "/a.conf"},
		{"quotes", fill(`secret="`), "/a.conf"},
		{"secrets", fill("a token ghp_" + planted.Text(r, "[0-9A-Za-z]{36}") + "\n"), "/a.conf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			found, err := e.ScanBytes(t.Context(), tt.path, tt.text)
			if err != nil && !errors.Is(err, ErrLimit) {
				t.Fatal(err)
			}
			if len(found) > maxSecrets {
				t.Errorf("%d secrets, more than %d", len(found), maxSecrets)
			}
			took := time.Since(start)
			t.Logf("%.1f s for %d MiB, %d found, %v", took.Seconds(), len(tt.text)>>20, len(found), err)
			if took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestContextEndsAScan(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := engine(t).ScanBytes(ctx, "/a", []byte("some text")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

// newlines is a file of nothing else.
type newlines struct{}

func (newlines) ReadAt(b []byte, _ int64) (int, error) {
	for i := range b {
		b[i] = '\n'
	}
	return len(b), nil
}

func TestLimits(t *testing.T) {
	e := engine(t)
	if !testing.Short() { // the detector of races is slow
		if _, err := e.Scan(t.Context(), "/a", newlines{}, maxFile); err != nil {
			t.Errorf("a file of the greatest size: %v", err)
		}
	}
	if _, err := e.Scan(t.Context(), "/a", newlines{}, maxFile+1); !errors.Is(err, ErrLimit) {
		t.Errorf("a greater file: error %v, want %v", err, ErrLimit)
	}

	r := rand.New(rand.NewPCG(11, 11))
	tokens := func(n int, patterns ...string) string {
		var b strings.Builder
		for _, p := range patterns {
			for range n {
				b.WriteString(planted.Text(r, p) + "\n")
			}
		}
		return b.String()
	}
	// Many of one kind do not hide what stands behind them.
	got, err := e.ScanBytes(t.Context(), "/a", []byte(tokens(maxOfRule+1, "ghp_[0-9A-Za-z]{36}")+tokens(1, "glpat-[0-9A-Za-z]{20}")))
	if !errors.Is(err, ErrLimit) || len(got) != maxOfRule+1 || got[maxOfRule].Rule != "gitlab-pat" {
		t.Errorf("found %d, error %v", len(got), err)
	}
	got, err = e.ScanBytes(t.Context(), "/a", []byte(tokens(maxOfRule-1, "ghp_[0-9A-Za-z]{36}", "glpat-[0-9A-Za-z]{20}", "dop_v1_[0-9a-f]{64}", "npm_[0-9A-Za-z]{36}", "lin_api_[0-9A-Za-z]{40}")))
	if !errors.Is(err, ErrLimit) || len(got) != maxSecrets {
		t.Errorf("found %d, error %v", len(got), err)
	}

	if _, err := e.ScanConfig(t.Context(), make([]string, maxConfigItems), nil, nil); err != nil {
		t.Errorf("the most variables: %v", err)
	}
	if _, err := e.ScanConfig(t.Context(), make([]string, maxConfigItems+1), nil, nil); !errors.Is(err, ErrLimit) {
		t.Errorf("more variables: error %v, want %v", err, ErrLimit)
	}
	if _, err := e.ScanConfig(t.Context(), []string{"A=" + strings.Repeat("a", maxConfigText)}, nil, nil); !errors.Is(err, ErrLimit) {
		t.Errorf("a long variable: error %v, want %v", err, ErrLimit)
	}
}

func TestConcurrentScans(t *testing.T) {
	e := engine(t)
	r := rand.New(rand.NewPCG(12, 12))
	var texts []string
	for _, p := range planted.Secrets {
		text, _ := p.Grow(r)
		texts = append(texts, text)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, p := range planted.Secrets {
				if _, err := e.ScanBytes(t.Context(), p.Path, []byte(texts[i])); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestClassOf(t *testing.T) {
	for path, want := range map[string]pathClass{
		"/app/.env":                            configuration,
		"/app/.env.production":                 configuration,
		"/etc/app/app.conf.bak":                configuration,
		"/root/.bash_history":                  configuration,
		"/usr/share/nginx/html/.env":           configuration,
		"/usr/share/nginx/html/docs/.env":      tests,
		"/app/main.py":                         plain,
		"/app/package.json":                    plain,
		"/etc/pam.d/login.conf":                plain,
		"/usr/share/app/app.conf":              packaged,
		"/app/node_modules/a/config.json":      packaged,
		"/app/node_modules/a/test/config.json": material,
		"/usr/share/doc/a/app.conf":            material,
		"/usr/lib/python3/dist-packages/a.ini": packaged,
		"/app/venv/lib/python3.12/test/k.pem":  material,
		"/app/tests/app.conf":                  tests,
		"/app/README.md":                       tests,
		"/app/a_test.go":                       tests,
	} {
		if got := classOf(path); got != want {
			t.Errorf("%s is of class %d, want %d", path, got, want)
		}
	}
}

// A file that is shorter than its size says is read as it is.
func TestFileShorterThanItsSize(t *testing.T) {
	e := engine(t)
	v := planted.Text(rand.New(rand.NewPCG(7, 7)), "ghp_[0-9A-Za-z]{36}")
	found, err := e.Scan(t.Context(), "/a", strings.NewReader(v+"\n"), 1<<30)
	if err != nil || len(found) != 1 {
		t.Errorf("found %d, error %v", len(found), err)
	}
}

func TestPacks(t *testing.T) {
	const good = `
[[rules]]
id = "corp-token"
description = "Token of our own service"
keywords = ["corp_"]
token = 'corp_[0-9a-f]{24}'
entropy = 2.5
severity = "critical"
`
	e := engine(t, Pack{"corp.toml", []byte(good)})
	v := planted.Text(rand.New(rand.NewPCG(8, 8)), "corp_[0-9a-f]{24}")
	if got := rulesOf(scanText(t, e, "/a", "x "+v+"\n")); !cmp.Equal(got, []string{"corp-token"}) {
		t.Errorf("found %v", got)
	}
	if e.Version() == engine(t).Version() {
		t.Error("the pack does not change the version")
	}
	replace := strings.Replace(good, "corp-token", "github-pat", 1)
	if got := rulesOf(scanText(t, engine(t, Pack{"corp.toml", []byte(replace)}), "/a", planted.Text(rand.New(rand.NewPCG(8, 8)), "ghp_[0-9A-Za-z]{36}"))); got != nil {
		t.Errorf("the pack's rule does not take the place of ours: %v", got)
	}

	for _, tt := range []struct{ name, text, want string }{
		{"no TOML", "[[rules]]\nid = \n", "p.toml:2:"},
		{"unknown key", good + "colour = 'red'\n", "p.toml:9: unknown key"},
		{"rules", strings.Repeat("[[rules]]\n", maxPackRules+1), "p.toml: more than"},
		{"long pattern", strings.Replace(good, "{24}'", strings.Repeat("a", maxPattern)+"'", 1), "p.toml:6: rule \"corp-token\": token: the pattern is longer"},
		{"keywords", strings.Replace(good, `["corp_"]`, `[`+strings.Repeat(`"corp_",`, maxKeywords+1)+`]`, 1), "p.toml:5: rule \"corp-token\": a rule has 1 to"},
		{"long keyword", strings.Replace(good, `"corp_"`, `"`+strings.Repeat("c", maxKeyword+1)+`"`, 1), "p.toml:5: rule \"corp-token\": keyword"},
		{"broken pattern", strings.Replace(good, "'corp_[0-9a-f]{24}'", "'corp_([0-9a-f]{24}'", 1), "p.toml:6: rule \"corp-token\": token: error parsing regexp"},
		{"a bomb", strings.Replace(good, "'corp_[0-9a-f]{24}'", "'corp_((a{100}){100}){100}'", 1), "p.toml:6: rule \"corp-token\": token:"},
		{"many instructions", strings.Replace(good, "'corp_[0-9a-f]{24}'", "'corp_(?:[0-9a-f]{900}){9}'", 1), "p.toml:6: rule \"corp-token\": token:"},
		{"no keyword", strings.Replace(good, `["corp_"]`, `[]`, 1), "p.toml:5: rule \"corp-token\": a rule has 1 to"},
		{"short keyword", strings.Replace(good, `["corp_"]`, `["c"]`, 1), "p.toml:5: rule \"corp-token\": keyword"},
		{"two patterns", good + "regex = 'a'\n", "p.toml:3: rule \"corp-token\": a rule has exactly one"},
		{"severity", strings.Replace(good, "critical", "huge", 1), "p.toml:8: rule \"corp-token\": unknown severity"},
		{"twice", good + good, "p.toml:11: a second rule"},
		{"no id", "[[rules]]\ndescription = 'x'\n", "p.toml:1: rule \"\": id must be"},
		{"group", good + "secretGroup = 3\n", "p.toml:9: rule \"corp-token\": secretGroup"},
		{"allow", good + "allow.regexes = ['(']\n", "p.toml:9: rule \"corp-token\": allow.regexes:"},
		{"length", good + "#" + strings.Repeat("x", maxPackBytes), "p.toml: the file is longer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(Pack{"p.toml", []byte(tt.text)})
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
		})
	}
}

func TestWants(t *testing.T) {
	e := engine(t)
	for path, want := range map[string]bool{
		"/app/.env": true, "/root/.ssh/id_rsa": true, "/app/logo.PNG": false, "/usr/lib/libc.so": false, "/app/app.jks": true, "/app/app.p12": true, "/app/lib.jar": false,
		"/usr/local/bin/libx.so.1.2": false, "/app/libx.so.env": true, "/app/key.h": true, "/usr/include/key.h": false, "/app/types.d.ts": true,
		"/app/node_modules/x/types.d.ts": false, "/app/node_modules/x/types.ts": true, "/app/node_modules/x/test/key.pem": false, "/app/test/key.pem": true, "/usr/share/doc/x/key.pem": false,
	} {
		if got := e.Wants(path, 1000); got != want {
			t.Errorf("Wants(%s) is %v", path, got)
		}
	}
	if e.Wants("/app/.env", 3) {
		t.Error("wants a file of three bytes")
	}
}

func TestKeywords(t *testing.T) {
	words := []string{"her", "she", "his", "hers", "er's"}
	var got []string
	newMatcher(words).find([]byte("uSHErs his"), 0, 0, 10, func(w int32, end int) bool {
		got = append(got, fmt.Sprint(words[w], "-", end))
		return true
	})
	if d := cmp.Diff([]string{"she-4", "her-5", "hers-6", "his-10"}, got); d != "" {
		t.Error(d)
	}
}

func FuzzScan(f *testing.F) {
	r := rand.New(rand.NewPCG(9, 9))
	for _, p := range planted.Secrets {
		text, _ := p.Grow(r)
		f.Add(p.Path, []byte(text))
	}
	for path, b := range keyPlants(f) {
		f.Add(path, b)
	}
	e := engine(f)
	f.Fuzz(func(t *testing.T, path string, content []byte) {
		found, err := e.ScanBytes(t.Context(), path, content)
		if err != nil && !errors.Is(err, ErrLimit) {
			t.Fatal(err)
		}
		for _, s := range found {
			if s.Length <= 0 || s.Length > len(content) || len(s.Masked) > maxMask+maxContext || len(s.Context) > maxContext {
				t.Fatalf("%+v", s)
			}
		}
	})
}

func FuzzPack(f *testing.F) {
	f.Add("[[rules]]\nid = 'a'\ndescription = 'b'\nkeywords = ['abc']\ntoken = 'abc[0-9]+'\n")
	f.Add("[[rules]]\nid = 'a'\ndescription = 'b'\nkeywords = ['abc']\nassign = '.*'\nwith = 'x'\nallow.stopwords = ['a']\n")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := readPack("p.toml", text)
		if err != nil && !strings.HasPrefix(err.Error(), "p.toml:") {
			t.Fatal(err)
		}
		for _, r := range rules {
			if r.pattern == nil {
				t.Fatal("a rule without a pattern")
			}
		}
	})
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := New(); err != nil {
			b.Fatal(err)
		}
	}
}

// sourceText is source text of which a thousandth is keywords.
func sourceText() []byte {
	r := rand.New(rand.NewPCG(10, 10))
	var text strings.Builder
	for text.Len() < 4<<20 {
		text.WriteString(planted.Text(r, `(?:[a-z]{2,9} ){4}[a-z]{3,8}[(][a-z]{3,8}, "[a-z]{2,12}"[)];`) + "\n")
		if r.IntN(40) == 0 {
			text.WriteString("token = getToken(secret, password); // https://example.test/ api_key\n")
		}
	}
	return []byte(text.String())
}

func BenchmarkScan(b *testing.B) {
	e := engine(b)
	content := sourceText()
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, err := e.ScanBytes(b.Context(), "/app/main.js", content); err != nil {
			b.Fatal(err)
		}
	}
}
