package password

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/md5crypt"
	"github.com/go-crypt/crypt/algorithm/scrypt"
	"github.com/go-crypt/crypt/algorithm/sha1crypt"
	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"

	"github.com/onceover/onceover/test/shareddata"
)

// A maker hashes a password cheaply.
type maker struct {
	kind string
	hash func(t testing.TB, word string) string
}

func made[H algorithm.Hash](h H, err error) func(testing.TB, string) string {
	return func(t testing.TB, word string) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		d, err := h.Hash(word)
		if err != nil {
			t.Fatal(err)
		}
		return d.Encode()
	}
}

func makers() []maker {
	return []maker{
		{KindMD5, made(md5crypt.New())},
		{KindSHA1, made(sha1crypt.New(sha1crypt.WithIterations(1000)))},
		{KindSHA256, made(shacrypt.New(shacrypt.WithSHA256(), shacrypt.WithIterations(1000)))},
		{KindSHA512, made(shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithIterations(1000)))},
		{KindYescrypt, made(scrypt.New(scrypt.WithVariant(scrypt.VariantYescrypt), scrypt.WithLN(10), scrypt.WithR(8), scrypt.WithP(1)))},
		{KindBcrypt, func(t testing.TB, word string) string {
			h, err := bcrypt.GenerateFromPassword([]byte(word), 4)
			if err != nil {
				t.Fatal(err)
			}
			return string(h)
		}},
	}
}

// strong is made of parts so that it is nobody's password.
const strong = "kD9" + "vQ2" + "#xR7" + "mLw"

// fewWords is the top of the list: enough for a verdict, and quick with the race
// detector on.
func fewWords() *Words {
	w, _ := NewWords(nil)
	w.all = w.all[:40]
	return w
}

func shadowFile(lines ...string) File {
	return File{Path: shadowPath, Layer: "sha256:layer", Content: []byte(strings.Join(lines, "\n") + "\n")}
}

func one(t *testing.T, files []File, o Options) Account {
	t.Helper()
	r := Check(context.Background(), files, o)
	if len(r.Accounts) != 1 {
		t.Fatalf("%d accounts, want one: %+v", len(r.Accounts), r)
	}
	return r.Accounts[0]
}

func TestWeakAndStrongAreToldApart(t *testing.T) {
	for _, m := range makers() {
		t.Run(m.kind, func(t *testing.T) {
			weak := one(t, []File{shadowFile("root:" + m.hash(t, "admin@123") + ":19000:0:99999:7:::")}, Options{Words: fewWords()})
			if weak.Status != StatusWeak || weak.Rule != RuleCommon || weak.Kind != m.kind || weak.Masked != "a****3" {
				t.Errorf("weak password: %+v", weak)
			}
			if weak.Changed != 19000 || weak.Layer != "sha256:layer" || weak.Line != 1 || weak.Suggestion == "" {
				t.Errorf("what stands around the password: %+v", weak)
			}
			name := one(t, []File{shadowFile("deploy:" + m.hash(t, "deploy123") + ":1::::::")}, Options{Words: fewWords()})
			if name.Status != StatusWeak || name.Rule != RuleUser {
				t.Errorf("password made of the name: %+v", name)
			}
			empty := one(t, []File{shadowFile("root:" + m.hash(t, "") + ":1::::::")}, Options{Words: fewWords()})
			if empty.Status != StatusWeak || empty.Rule != RuleEmpty || empty.Tried != 1 {
				t.Errorf("hash of the empty password: %+v", empty)
			}
			good := one(t, []File{shadowFile("root:" + m.hash(t, strong) + ":1::::::")}, Options{Words: fewWords()})
			if good.Status != StatusStrong || good.Tried < minGuesses || good.Rule != "" || good.Masked != "" || good.Suggestion != "" {
				t.Errorf("strong password: %+v", good)
			}
		})
	}
}

// The system's crypt(3) makes hashes with the costs that distributions use:
// an oracle that shares no code with the one that verifies.
func TestSystemCryptAgrees(t *testing.T) {
	perl, err := exec.LookPath("perl")
	if err != nil {
		t.Skip("no perl, whose crypt is the system's")
	}
	for _, tc := range []struct{ kind, setting string }{
		{KindMD5, "$1$abcdefgh$"},
		{KindSHA1, "$sha1$3000$abcdefgh$"},
		{KindSHA256, "$5$abcdefgh$"}, {KindSHA256, "$5$rounds=2000$abcdefghijklmnop$"},
		{KindSHA512, "$6$abcdefgh$"}, {KindSHA512, "$6$rounds=1000$s$"},
		{KindYescrypt, "$y$j9T$abcdefgh$"}, {KindYescrypt, "$y$j75$abcdefgh$"},
		{KindBcrypt, "$2b$05$" + "abcdefghijklmnopqrstuu"}, {KindBcrypt, "$2a$10$" + "abcdefghijklmnopqrstuu"}, {KindBcrypt, "$2y$06$" + "abcdefghijklmnopqrstuu"},
		{KindGost, "$gy$j75$abcdefgh$"}, {KindDES, "ab"}, {KindBSDi, "_J9..rasm"}, {KindNT, "$3$"}, {KindSunMD5, "$md5,rounds=5$abcdefgh$"},
	} {
		t.Run(tc.kind+tc.setting, func(t *testing.T) {
			out, err := exec.Command(perl, "-e", "print crypt($ARGV[0], $ARGV[1]) // ''", "web", tc.setting).Output()
			if err != nil {
				t.Fatal(err)
			}
			hash := string(out)
			if hash == "" || hash[0] == '*' {
				t.Skip("this system's crypt does not know " + tc.setting)
			}
			got := one(t, []File{shadowFile("web:" + hash + ":1::::::")}, Options{})
			want, rule := StatusWeak, RuleUser
			switch tc.kind {
			case KindGost, KindDES, KindBSDi, KindNT, KindSunMD5:
				want, rule = StatusUnverified, ""
			}
			if got.Kind != tc.kind || got.Status != want || got.Rule != rule {
				t.Errorf("%s is %+v", tc.setting, got)
			}
			if want == StatusUnverified && got.Reason == "" {
				t.Error("no reason given")
			}
		})
	}
}

func TestStates(t *testing.T) {
	passwd := File{Path: passwdPath, Content: []byte(
		"root:x:0:0::/root:/bin/ash\nbin:x:1:1::/:/sbin/nologin\nopen::1000:1000::/:\nold:" + strings.Repeat("a", 13) + ":1001:1::/:/bin/sh\nroot:x:0:0::/root:/bin/sh\n+nis::::::\nbroken\n")}
	shadow := shadowFile("root:::0:::::", "bin:!::0:::::", "ghost:::0:::::", "open:$6$a$b:1::::::", "no colon")
	r := Check(context.Background(), []File{shadow, passwd}, Options{})
	type row struct {
		User, Status, Rule, Kind, Path string
		Line                           int
		Login                          bool
	}
	var got []row
	for _, a := range r.Accounts {
		got = append(got, row{a.User, a.Status, a.Rule, a.Kind, a.Path, a.Line, a.Login})
	}
	want := []row{
		{"open", StatusEmpty, RuleEmpty, "", passwdPath, 3, true},
		{"old", StatusUnverified, "", KindDES, passwdPath, 4, true},
		{"root", StatusEmpty, RuleEmpty, "", shadowPath, 1, true},
		{"bin", StatusLocked, "", "", shadowPath, 2, false},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	wantProblems := []Problem{{passwdPath, 7, "not a line of passwd"}, {shadowPath, 5, "not a line of shadow"}}
	if d := cmp.Diff(wantProblems, r.Problems); d != "" {
		t.Error(d)
	}
	if len(r.Weak()) != 2 {
		t.Errorf("weak accounts: %+v", r.Weak())
	}
}

func TestHostileCosts(t *testing.T) {
	key := strings.Repeat("a", 86)
	for _, tc := range []struct{ name, hash, kind, reason string }{
		{"rounds", "$6$rounds=999999999$salt$" + key, KindSHA512, "too costly"},
		{"more rounds than there are", "$6$rounds=4294967295$salt$" + key, KindSHA512, "malformed"},
		{"negative rounds", "$5$rounds=-1$salt$" + key[:43], KindSHA256, "malformed"},
		{"sha1 rounds", "$sha1$4294967295$salt$" + key[:28], KindSHA1, "too costly"},
		{"bcrypt 31", "$2b$31$" + key[:53], KindBcrypt, "too costly"},
		{"bcrypt 99", "$2b$99$" + key[:53], KindBcrypt, "malformed"},
		{"yescrypt N", "$y$jzT$salt$" + key[:43], KindYescrypt, "too costly"},
		{"yescrypt memory", "$y$jFT$salt$" + key[:43], KindYescrypt, "too costly"},
		{"yescrypt r", "$y$jDz$salt$" + key[:43], KindYescrypt, "too costly"},
		{"yescrypt salt that is none", "$y$j9T$a$" + key[:42] + ".", KindYescrypt, "malformed"},
		{"yescrypt flags", "$y$.9T$salt$" + key[:43], KindYescrypt, "not computed"},
		{"yescrypt salt", "$y$j9T$" + strings.Repeat("a", 200) + "$" + key[:43], KindYescrypt, "malformed"},
		{"long salt", "$6$" + strings.Repeat("s", 200) + "$" + key, KindSHA512, "malformed"},
		{"long", "$6$" + strings.Repeat("s", 1000), KindUnknown, "longer"},
		{"empty key", "$6$salt$", KindSHA512, "malformed"},
		{"dollars", "$$$$$", KindUnknown, "no known kind"},
		{"one dollar", "$", KindUnknown, "no known kind"},
		{"unknown", "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", KindUnknown, "no known kind"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			start := time.Now()
			got := one(t, []File{shadowFile("root:" + tc.hash + ":1::::::")}, Options{})
			if got.Status != StatusUnverified || got.Kind != tc.kind || !strings.Contains(got.Reason, tc.reason) || got.Tried != 0 {
				t.Errorf("%+v", got)
			}
			if d := time.Since(start); d > time.Second {
				t.Errorf("took %s", d)
			}
		})
	}
}

// Show 5 of the issue: 10,000 accounts, hostile ones among them, end within
// the budget, and everyone that was not verified is counted with the reason.
func TestTenThousandAccounts(t *testing.T) {
	hash := made(shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithIterations(5000)))
	var passwd, shadow strings.Builder
	for i := range 10_000 {
		shell := "/sbin/nologin"
		if i%2 == 0 {
			shell = "/bin/sh"
		}
		fmt.Fprintf(&passwd, "u%d:x:%d:1::/:%s\n", i, i+1000, shell)
		secret := "$6$rounds=999999999$salt$" + strings.Repeat("a", 86)
		if i%10 == 0 {
			secret = "$6$" + fmt.Sprint(i) + "$" + strings.Repeat("b", 86)
		}
		if i == 9999 {
			secret = hash(t, "u9999")
		}
		fmt.Fprintf(&shadow, "u%d:%s:1::::::\n", i, secret)
	}
	shadow.WriteString("root:" + hash(t, "root") + ":1::::::\n")
	passwd.WriteString("root:x:0:0::/:/bin/sh\n")
	files := []File{{Path: passwdPath, Content: []byte(passwd.String())}, {Path: shadowPath, Content: []byte(shadow.String())}}
	// A part of the budget keeps the test quick; its use is the same.
	o := Options{ImageBudget: DefaultImageBudget / 40}
	start := time.Now()
	r := Check(context.Background(), files, o)
	t.Logf("%d accounts, %s spent of %s, %s by the clock, unverified: %v", len(r.Accounts), r.Spent, o.ImageBudget, time.Since(start).Round(time.Millisecond), r.Unverified)
	if r.Spent > o.ImageBudget {
		t.Errorf("spent %s of %s", r.Spent, o.ImageBudget)
	}
	if len(r.Accounts) != 10_001 {
		t.Errorf("%d accounts", len(r.Accounts))
	}
	want := map[string]int{"one guess costs more than an account may": 8999, "the budget of the image is spent": 1001}
	if d := cmp.Diff(want, r.Unverified); d != "" {
		t.Error(d)
	}
	if w := r.Weak(); len(w) != 1 || w[0].User != "root" || w[0].Rule != RuleUser {
		t.Errorf("the superuser comes first: %+v", w)
	}
	// The cap on accounts.
	var many strings.Builder
	for i := range maxAccounts + 5 {
		fmt.Fprintf(&many, "u%d:!:1::::::\n", i)
	}
	r = Check(context.Background(), []File{{Path: shadowPath, Content: []byte(many.String())}}, o)
	if len(r.Accounts) != maxAccounts || r.Unverified["more than 20000 accounts"] != 5 {
		t.Errorf("%d accounts, %v", len(r.Accounts), r.Unverified)
	}
}

func TestDeterministic(t *testing.T) {
	m := makers()
	files := []File{shadowFile("a:"+m[3].hash(t, strong)+":1::::::", "b:"+m[4].hash(t, strong)+":1::::::", "root:"+m[0].hash(t, "toor")+":1::::::")}
	o := Options{ImageBudget: 100 * time.Millisecond}
	first, _ := json.Marshal(Check(context.Background(), files, o))
	second, _ := json.Marshal(Check(context.Background(), files, o))
	if d := cmp.Diff(string(first), string(second)); d != "" {
		t.Error(d)
	}
}

// With the costs that distributions choose, the budget of an account buys
// enough guesses for a verdict.
func TestBudgetBuysEnough(t *testing.T) {
	key := strings.Repeat("a", 86)
	for kind, hash := range map[string]string{
		KindMD5: "$1$salt$" + key[:21] + ".", KindSHA256: "$5$salt$" + key[:43], KindSHA512: "$6$salt$" + key,
		KindSHA1: "$sha1$262144$salt$" + key[:28], KindYescrypt: "$y$j9T$saltsalt$" + key[:42] + ".", KindBcrypt: "$2b$10$" + key[:21] + "u" + key[:31],
	} {
		s := parseHash(hash)
		if s.kind != kind || s.why != "" {
			t.Errorf("%s is %s: %s", hash, s.kind, s.why)
			continue
		}
		if n := int(DefaultAccountBudget / s.price); n < minGuesses {
			t.Errorf("%s: %d guesses at %s", kind, n, s.price)
		}
	}
}

// What comes out holds neither a hash nor a password.
func TestNothingLeaks(t *testing.T) {
	own := "corp" + "-Own!" + "word"
	words, err := NewWords([]string{own})
	if err != nil {
		t.Fatal(err)
	}
	hash := makers()[3].hash(t, own)
	files := []File{
		shadowFile("web:"+hash+":1::::::", "bad line with "+own, "cut:$6$"+own+"$short:1::::::"),
		{Path: "/etc/redis/redis.conf", Content: []byte("requirepass " + own + "\nuser u on >zz" + own + "\n")},
		{Path: "/opt/tomcat/conf/tomcat-users.xml", Content: []byte(`<tomcat-users><user username="m" password="` + own + `"/><user username="x" password="` + own)},
		{Path: "/root/.my.cnf", Content: []byte("[client]\nuser=app\npassword='" + own + "'\n")},
	}
	r := Check(context.Background(), files, Options{Words: words})
	out, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{own, own[2:12], hash, hash[len(hash)-30:], "$6$"} {
		if strings.Contains(string(out), secret) {
			t.Errorf("%q stands in %s", secret, out)
		}
	}
	weak := 0
	for _, a := range r.Accounts {
		if a.Rule == RuleOwn && a.Masked == "c****d" {
			weak++
		}
	}
	if weak != 4 {
		t.Errorf("%d accounts with the operator's word, want 4: %s", weak, out)
	}
}

type memory struct {
	sync.Mutex
	m       map[string]Verdict
	asked   int
	answers int
}

func (c *memory) Verdict(k string) (Verdict, bool) {
	c.Lock()
	defer c.Unlock()
	c.asked++
	v, ok := c.m[k]
	if ok {
		c.answers++
	}
	return v, ok
}

func (c *memory) Keep(k string, v Verdict) {
	c.Lock()
	defer c.Unlock()
	c.m[k] = v
}

func TestCache(t *testing.T) {
	c := &memory{m: map[string]Verdict{}}
	files := []File{shadowFile("root:"+makers()[0].hash(t, "toor")+":1::::::", "web:"+makers()[0].hash(t, strong)+":1::::::", "off:!:1::::::")}
	first := Check(context.Background(), files, Options{Cache: c, Words: fewWords()})
	second := Check(context.Background(), files, Options{Cache: c, Words: fewWords()})
	if c.answers != 2 || len(c.m) != 2 || second.Spent != 0 {
		t.Errorf("%d answers, %d kept, %s spent", c.answers, len(c.m), second.Spent)
	}
	if d := cmp.Diff(first.Accounts, second.Accounts); d != "" {
		t.Error(d)
	}
	words, _ := NewWords([]string{"another-one"})
	words.all = words.all[:40]
	Check(context.Background(), files, Options{Cache: c, Words: words})
	if c.answers != 2 {
		t.Error("a new word list was answered from the old one's verdicts")
	}
	// Reasons are counted alike whether they come from the cache or not.
	o := Options{Cache: c, Words: fewWords(), AccountBudget: 3 * priceMD5}
	first, second = Check(context.Background(), files[:1], o), Check(context.Background(), files[:1], o)
	if d := cmp.Diff(first.Unverified, second.Unverified); d != "" || first.Unverified["the budget of the account is spent"] != 2 {
		t.Errorf("%v %s", first.Unverified, d)
	}
	// What depends on other accounts or on the caller is not kept.
	c.m = map[string]Verdict{}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	r := Check(done, files, Options{Cache: c, Words: fewWords()})
	if len(c.m) != 0 || r.Unverified["stopped before all guesses were made"] != 2 {
		t.Errorf("%d kept, %v", len(c.m), r.Unverified)
	}
	Check(context.Background(), files, Options{Cache: c, ImageBudget: priceMD5, Words: fewWords()})
	if len(c.m) != 0 {
		t.Errorf("%d kept of an image whose budget was spent", len(c.m))
	}
}

func TestPlainText(t *testing.T) {
	for _, tc := range []struct {
		name, path, content string
		want                []string // service user status rule
	}{
		{"redis", "/etc/redis/redis.conf", "# requirepass 123456\nrequirepass foobared\nmasterauth \"" + strong + "\"\n",
			[]string{"redis default weak common-password", "redis default strong "}},
		{"redis users", "/etc/redis/users.acl", "user default on nopass ~* +@all\nuser app on >short1A ~*\nuser off off >123456\nuser h on #" + fmt.Sprintf("%x", sha256.Sum256([]byte("123456"))) + "\n",
			[]string{"redis default empty empty", "redis app weak too-short", "redis h weak common-password"}},
		{"tomcat", "/opt/tomcat/conf/tomcat-users.xml",
			"<?xml version='1.0' encoding='GBK'?>\n<tomcat-users>\n<!-- <user username=\"x\" password=\"y\"/> -->\n<user username=\"tomcat\" password=\"s3cret\" roles=\"manager-gui\"/>\n<user name='a' password='${admin.pw}'/><user username='e' password=''/></tomcat-users>",
			[]string{"tomcat tomcat weak common-password", "tomcat a unverified ", "tomcat e empty empty"}},
		{"mysql", "/etc/mysql/my.cnf", "[client]\nuser = root\npassword = \"mysql\" # of old\n[mysqldump]\npassword=aaaaaaaaaaaa\n[mysqld]\nwsrep_sst_auth=sst:sst\npassword=\n",
			[]string{"mysql root weak common-password", "mysql root weak few-characters", "mysql sst weak user-name"}},
		{"none", "/etc/nginx/nginx.conf", "requirepass 123456\n", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, a := range Check(context.Background(), []File{{Path: tc.path, Content: []byte(tc.content)}}, Options{}).Accounts {
				got = append(got, strings.Join([]string{a.Service, a.User, a.Status, a.Rule}, " "))
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestWords(t *testing.T) {
	w, err := NewWords([]string{"Own-1", "123456"})
	if err != nil {
		t.Fatal(err)
	}
	if w.all[0] != "123456" || w.all[1] != "Own-1" || w.Len() != len(builtInWords())+1 {
		t.Errorf("own words are not mixed in: %v", w.all[:4])
	}
	if w.Version() == defaultWords().Version() {
		t.Error("own words do not change the version")
	}
	for i, word := range builtInWords() {
		if len(word) > MaxWordBytes {
			t.Errorf("word %d is too long", i+1)
		}
	}
	for _, bad := range [][]string{{""}, {strings.Repeat("a", MaxWordBytes+1)}, {"a\nb"}, {"\xff"}, make([]string, MaxOwnWords+1)} {
		if _, err := NewWords(bad); err == nil {
			t.Errorf("%d words were taken", len(bad))
		}
	}
}

func TestLimits(t *testing.T) {
	long := Check(context.Background(), []File{shadowFile("a:"+strings.Repeat("x", maxLineBytes)+":", "b:!:")}, Options{})
	if len(long.Accounts) != 1 || len(long.Problems) != 1 || long.Problems[0].Line != 1 {
		t.Errorf("long line: %+v", long)
	}
	big := Check(context.Background(), []File{{Path: shadowPath, Content: []byte(strings.Repeat("\n", maxFileBytes+1))}}, Options{})
	if len(big.Problems) != 1 {
		t.Errorf("large file: %+v", big.Problems)
	}
	noise := Check(context.Background(), []File{{Path: shadowPath, Content: []byte(strings.Repeat("nonsense\n", 1000))}}, Options{})
	if len(noise.Problems) != maxProblems+1 {
		t.Errorf("%d problems", len(noise.Problems))
	}
	users := Check(context.Background(), []File{{Path: "/root/.my.cnf", Content: []byte(strings.Repeat("password=123456\n", 1000))}}, Options{})
	if len(users.Accounts) != maxConfigAccounts || len(users.Problems) != 1 {
		t.Errorf("%d accounts, %v", len(users.Accounts), users.Problems)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add("root:$6$rounds=999999999$s$x:1::::::\n", "root:x:0:0::/:/bin/sh\n", "requirepass \"x\nuser a on >b #c", "<user username='a' password='b'>", "[a]\npassword=b")
	f.Add("a:$y$j9T$s$:", "a:::::::", "sentinel auth-pass a b", "<?xml encoding='x'?><a", "wsrep-sst-auth=a:b")
	f.Fuzz(func(t *testing.T, shadow, passwd, redis, tomcat, mysql string) {
		files := []File{{Path: shadowPath, Content: []byte(shadow)}, {Path: passwdPath, Content: []byte(passwd)},
			{Path: "/etc/redis.conf", Content: []byte(redis)}, {Path: "/tomcat-users.xml", Content: []byte(tomcat)}, {Path: "/etc/my.cnf", Content: []byte(mysql)},
			{Path: "/etc/pam.d/common-password", Content: []byte(shadow)}, {Path: pwqualityPath, Content: []byte(mysql)}}
		o := Options{AccountBudget: 5 * time.Millisecond, ImageBudget: 20 * time.Millisecond}
		r := Check(context.Background(), files, o)
		if r.Spent > o.ImageBudget {
			t.Errorf("spent %s", r.Spent)
		}
		CheckComplexity(files)
	})
}

func BenchmarkGuess(b *testing.B) {
	for _, m := range makers() {
		s := parseHash(m.hash(b, strong))
		b.Run(m.kind, func(b *testing.B) {
			for b.Loop() {
				s.match("password1")
			}
			b.ReportMetric(float64(s.price.Nanoseconds()), "price-ns/op")
		})
	}
}

// Root file systems as Alpine delivers them: every account is locked.
func TestRealRootFileSystems(t *testing.T) {
	roots, err := filepath.Glob(filepath.Join(shareddata.Dir(t), "images", "alpine-minirootfs-*.tar.gz"))
	if err != nil || len(roots) == 0 {
		t.Fatalf("%d root file systems, %v", len(roots), err)
	}
	for _, root := range []string{roots[0], roots[len(roots)-1]} {
		files := rootFiles(t, root)
		r := Check(context.Background(), files, Options{})
		if len(r.Accounts) < 10 || len(r.Problems) > 0 {
			t.Errorf("%s: %d accounts, %v", root, len(r.Accounts), r.Problems)
		}
		for _, a := range r.Accounts {
			if a.Status != StatusLocked {
				t.Errorf("%s: %+v", root, a)
			}
		}
		if c, ok := CheckComplexity(files); !ok || c.Good() {
			t.Errorf("%s: %+v, %v", root, c, ok)
		}
	}
}

func rootFiles(t *testing.T, root string) []File {
	t.Helper()
	f, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var files []File
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if p := path.Clean("/" + h.Name); Wants(p) && h.Typeflag == tar.TypeReg {
			b, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, File{Path: p, Content: b})
		}
	}
}
