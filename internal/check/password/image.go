package password

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// Results are the accounts of an image that was scanned, from its settings of
// kind report.SettingAccounts, in the order of files and lines, and how many
// have no verdict, by reason. Only here are passwd and shadow joined: an account
// that passwd does not have is none, and passwd says who has a shell. An error
// names the path of a result that cannot be read, and never its content.
func Results(inv report.Inventory) ([]Account, map[string]int, error) {
	var files []Result
	var passwd *Result
	for _, s := range inv.Settings {
		if s.Kind != report.SettingAccounts {
			continue
		}
		var r Result
		if err := json.Unmarshal(s.Body, &r); err != nil {
			return nil, nil, fmt.Errorf("read the accounts of %s: not a result", s.Path)
		}
		for i := range r.Accounts {
			a := &r.Accounts[i]
			a.Path, a.Layer = s.Path, s.Layer
			a.Suggestion = suggestion(*a)
		}
		if s.Path == passwdPath && !r.ManyUsers {
			passwd = &r
		}
		files = append(files, r)
	}
	var users map[string]User
	if passwd != nil {
		users = make(map[string]User, len(passwd.Users))
		for _, u := range passwd.Users {
			users[u.Name] = u
		}
	}
	var out []Account
	unverified := map[string]int{}
	for _, r := range files {
		for reason, n := range r.Unverified {
			unverified[reason] += n
		}
		for _, a := range r.Accounts {
			if a.Path == shadowPath && passwd != nil {
				u, known := users[a.User]
				if !known || !u.Shadow {
					// No such account, or passwd keeps its password.
					if a.Status == StatusUnverified {
						unverified[classOf(a.Reason)]--
					}
					continue
				}
				a.Login = u.Login
			}
			out = append(out, a)
		}
	}
	for reason, n := range unverified {
		if n <= 0 {
			delete(unverified, reason)
		}
	}
	return out, unverified, nil
}

// classOf is the reason of an account in the form that is counted: without what
// concerns the account alone.
func classOf(reason string) string {
	class, _, _ := strings.Cut(reason, ":")
	if class == costly {
		return classCostly
	}
	return class
}

// ComplexityOf is CheckComplexity of an image that was scanned, from its
// settings of kind report.SettingRules.
func ComplexityOf(inv report.Inventory) (Complexity, bool, error) {
	var files []File
	for _, s := range inv.Settings {
		if s.Kind != report.SettingRules {
			continue
		}
		var text string
		if err := json.Unmarshal(s.Body, &text); err != nil {
			return Complexity{}, false, fmt.Errorf("read the rules of %s: not a text", s.Path)
		}
		files = append(files, File{Path: s.Path, Layer: s.Layer, Content: []byte(text)})
	}
	c, ok := CheckComplexity(files)
	return c, ok, nil
}
