package secret

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/onceover/onceover/test/planted"
)

// gitleaks runs the program that ONCEOVER_GITLEAKS names on a directory and
// returns the rules that it reports for each file, by path within it.
func gitleaks(t testing.TB, dir string) map[string][]string {
	t.Helper()
	bin := os.Getenv("ONCEOVER_GITLEAKS")
	if bin == "" {
		t.Skip("ONCEOVER_GITLEAKS does not name the program gitleaks")
	}
	report := filepath.Join(t.TempDir(), "report.json")
	cmd := exec.Command(bin, "dir", dir, "--no-banner", "--log-level=error", "--exit-code=0", "--report-path", report)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gitleaks: %v\n%s", err, out)
	}
	raw, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var found []struct{ RuleID, File string }
	if err := json.Unmarshal(raw, &found); err != nil {
		t.Fatal(err)
	}
	rules := map[string][]string{}
	for _, f := range found {
		rel, err := filepath.Rel(dir, f.File)
		if err != nil {
			t.Fatal(err)
		}
		rules[rel] = append(rules[rel], f.RuleID)
	}
	return rules
}

// excused are rules of gitleaks whose random texts are no secrets.
var excused = map[string]string{
	"asana-client-id": "an identifier, not a secret", "discord-client-id": "an identifier, not a secret", "linkedin-client-id": "an identifier, not a secret",
	"jwt": "no header of a token", "jwt-base64": "no header of a token", "private-key": "no key within",
	"grafana-api-key": "base64 of JSON, whose case counts", "slack-app-token": "shorter than any token", "slack-legacy-token": "shorter than any token", "slack-legacy-bot-token": "shorter than any token",
	"curl-auth-user": "a user without a password, or with one of three letters", "freemius-secret-key": "quotes that do not match", "generic-api-key": "a name of random letters",
	"hashicorp-tf-password": "a name of random words", "kubernetes-secret-yaml": "text of random words", "vault-service-token": "no word of Vault near it",
}

// TestRecallOfGitleaksRules makes texts of gitleaks's own patterns, whose file
// ONCEOVER_GITLEAKS_RULES names, and holds that what gitleaks finds in them
// is found here.
func TestRecallOfGitleaksRules(t *testing.T) {
	file := os.Getenv("ONCEOVER_GITLEAKS_RULES")
	if file == "" {
		t.Skip("ONCEOVER_GITLEAKS_RULES does not name gitleaks.toml")
	}
	var theirs struct {
		Rules []struct {
			ID, Regex string
			Keywords  []string
		}
	}
	if _, err := toml.DecodeFile(file, &theirs); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(5, 6))
	const tries = 10
	for _, rl := range theirs.Rules {
		for n := range tries {
			text := rl.Regex
			if strings.Contains(text, `(?:[ \t\w.-]{0,20})`) && rl.ID != "generic-api-key" {
				_, tail, _ := strings.Cut(text, `[\x60'"\s=]{0,5}`)
				tail, _, _ = strings.Cut(tail, `(?:[\x60'"\s;]`)
				text = rl.Keywords[r.IntN(len(rl.Keywords))] + []string{"_api_key", "_secret_key", "_access_token", "_client_secret"}[n%4] + ` = "` + planted.Text(r, "(?i)"+tail) + `"`
				if strings.HasPrefix(rl.Regex, "(?i)") == false {
					text = strings.Replace(text, "(?i)", "", 1)
				}
			} else if text != "" {
				text = "x = \"" + planted.Text(r, text) + "\" "
			}
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s.%d.conf", rl.ID, n)), []byte(text+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	found := gitleaks(t, dir)
	e := engine(t)
	missed := map[string][]string{}
	both := map[string]int{}
	for rel := range found {
		id := strings.Split(rel, ".")[0]
		text, err := os.ReadFile(filepath.Join(dir, rel))
		if err != nil {
			t.Fatal(err)
		}
		got, err := e.ScanBytes(t.Context(), "/app/etc/"+rel, text)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			missed[id] = append(missed[id], strings.TrimSpace(string(text)))
		} else {
			both[id]++
		}
	}
	ids := []string{}
	for id := range missed {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	t.Logf("gitleaks finds %d rules' texts, %d of which are found here", len(both)+len(missed), len(both))
	for _, id := range ids {
		text := fmt.Sprintf("%s: %d of %d missed: %.200q", id, len(missed[id]), len(missed[id])+both[id], missed[id][0])
		if why := excused[id]; why != "" {
			t.Logf("%s: %s", text, why)
		} else {
			t.Error(text)
		}
	}
}
