package secret

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onceover/onceover/test/planted"
)

func engine(t testing.TB, packs ...Pack) *Engine {
	t.Helper()
	e, err := New(packs...)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// commands are texts for rules whose patterns have gaps that a random text
// would fill with nonsense.
var commands = map[string]string{
	"curl-header":            `curl -s -H "X-Api-Token: [0-9A-Za-z]{32}" https://corp[.]test/`,
	"curl-password":          `curl -s -u deploy:[0-9A-Za-z]{12} https://corp[.]test/`,
	"mysql-command-password": `mysql -h db -p[0-9A-Za-z]{12} shop`,
	"docker-login-password":  `docker login -u ci -p [0-9A-Za-z]{12} registry[.]corp[.]test`,
	"kubernetes-secret":      `kind: Secret\nmetadata:\n  name: a\ndata:\n  password: [0-9A-Za-z]{24}`,
}

// sampleOf makes a file in which a rule has something to find.
func sampleOf(r *rand.Rand, rl *rule) (path, text string) {
	path = "/app/config/app.conf"
	if rl.Path != "" {
		path = "/app/" + strings.TrimPrefix(planted.Text(r, rl.Path), "/")
	}
	var b strings.Builder
	switch {
	case commands[rl.ID] != "":
		b.WriteString(planted.Text(r, commands[rl.ID]) + "\n")
	case rl.Token != "":
		b.WriteString("value: " + planted.Text(r, rl.Token) + "\n")
	case rl.Regex != "":
		k := rl.Keywords[r.IntN(len(rl.Keywords))]
		m := planted.Text(r, rl.Regex)
		if !strings.Contains(strings.ToLower(m), k) {
			b.WriteString("# " + k + "\n")
		}
		b.WriteString(m + "\n")
	default:
		k := rl.Keywords[r.IntN(len(rl.Keywords))]
		name := strings.Trim(k, `"'=: `)
		if rl.name == nil && !saysSecret(name) || rl.name != nil && !rl.name.MatchString(name) {
			for _, suffix := range []string{"_key", "_token", "_secret", "_client_secret", "_password", "_sk"} {
				if rl.name == nil || rl.name.MatchString(name+suffix) {
					name += suffix
					break
				}
			}
		}
		sign := ": "
		switch last := k[len(k)-1]; {
		case k[0] == '"' || last == '"' || strings.HasSuffix(path, ".json"):
			name = `"` + name + `"`
		case k[0] == '\'':
			name = `'` + name + `'`
		case strings.HasSuffix(k, " ="):
			sign = " = "
		case last == '=':
			sign = "="
		}
		b.WriteString(name + sign + `"` + planted.Text(r, rl.Assign) + "\"\n")
	}
	if rl.With != "" {
		b.WriteString("id: " + planted.Text(r, rl.With) + " \n")
	}
	return path, b.String()
}

// TestEveryRuleFindsItsOwn makes texts of the patterns of each rule. Random
// ones may be placeholders or of little entropy: a third must be found.
func TestEveryRuleFindsItsOwn(t *testing.T) {
	e := engine(t)
	if len(e.rules) < 150 {
		t.Errorf("%d rules, want at least 150", len(e.rules))
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, rl := range e.rules {
		if err := rl.compile(); err != nil {
			t.Errorf("%s: %v", rl.ID, err)
			continue
		}
		const tries = 20
		found, last := 0, ""
		for range tries {
			path, text := sampleOf(r, rl)
			last = path + "\n" + text
			got, err := e.ScanBytes(t.Context(), path, []byte(text))
			if err != nil {
				t.Fatalf("%s: %v", rl.ID, err)
			}
			if len(got) > 0 {
				found++
			}
		}
		if found < tries/3 {
			t.Errorf("%s: found in %d of %d texts, the last of which is\n%s", rl.ID, found, tries, last)
		}
	}
}

// TestOwnRulesAreTOML holds that a reader of the whole language reads the same.
func TestOwnRulesAreTOML(t *testing.T) {
	own, err := readOwn(ownRules)
	if err != nil {
		t.Fatal(err)
	}
	pack, err := readPack("rules.toml", ownRules)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(pack, own, cmpopts.IgnoreUnexported(rule{})); d != "" {
		t.Error(d)
	}
}

// TestKeywordsStandInPatterns holds a keyword to be what the pattern begins
// with: a rule whose keyword its own pattern never matches finds nothing.
func TestKeywordsStandInPatterns(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, rl := range engine(t).rules {
		if rl.Token == "" {
			continue
		}
		for _, k := range rl.Keywords {
			re := regexp.MustCompile(`(?i)^(?:` + rl.Token + `)`)
			ok := false
			for n := 0; n < 200 && !ok; n++ {
				m := strings.ToLower(planted.Text(r, rl.Token))
				ok = strings.HasPrefix(m, k) && re.MatchString(m)
			}
			if !ok {
				t.Errorf("%s: no match begins with the keyword %q", rl.ID, k)
			}
		}
	}
}
