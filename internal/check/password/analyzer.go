package password

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const (
	// fileBudget is how much computing the accounts of one file may cost, by
	// fixed prices. The scanner gives a file 30 seconds of processor time: a
	// processor three times slower than the prices say still ends within it.
	fileBudget = 8 * time.Second
	// resultVersion is part of keys: raise it when a result has another
	// shape, or budgets change.
	resultVersion = "accounts/1"
	// rulesVersion is the same for the texts that ComplexityOf reads.
	rulesVersion = "password-rules/1"
	// maxUserBytes bounds the users of a result, and maxAccountBytes its
	// accounts, as JSON. Both fit into a setting.
	maxUserBytes    = 3 << 20
	maxAccountBytes = 4 << 20
)

// analyzer guesses the passwords in one file. It sees no other: passwd and
// shadow may come from different layers and are joined by Results.
type analyzer struct {
	words  *Words
	budget time.Duration
}

// NewAnalyzer is an analyze.Analyzer that tells what Check finds out about the
// accounts of a file as report.Setting of kind report.SettingAccounts. words may
// be nil for ours alone. Hashes and passwords do not leave it.
func NewAnalyzer(words *Words) analyze.Analyzer {
	if words == nil {
		words = defaultWords()
	}
	return analyzer{words, fileBudget}
}

// Key implements analyze.Analyzer.
func (a analyzer) Key() string { return resultVersion + "+" + a.words.Version() }

// Wants implements analyze.Analyzer.
func (analyzer) Wants(path string, _ fs.FileInfo) bool {
	return path == passwdPath || path == shadowPath || configOf(path) != nil
}

// Analyze implements analyze.Analyzer.
func (a analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	content, err := start(f, maxFileBytes)
	if err != nil {
		return nil, err
	}
	file := File{Path: f.Path, Content: content}
	res := Check(ctx, []File{file}, Options{Words: a.words, ImageBudget: a.budget})
	facts := &report.Facts{}
	for _, p := range res.Problems {
		text := p.Text
		if p.Line > 0 {
			text = fmt.Sprintf("line %d: %s", p.Line, text)
		}
		facts.Problems = append(facts.Problems, report.Problem{Path: f.Path, Analyzer: a.Key(), Message: text})
	}
	res.Problems = nil
	if f.Path == passwdPath {
		res.addUsers(file)
	} else if len(res.Accounts) == 0 && len(res.Unverified) == 0 && f.Path != shadowPath {
		return facts, ctx.Err()
	}
	res.shorten()
	body, err := json.Marshal(res)
	if err != nil {
		return nil, err
	}
	facts.Settings = []report.Setting{{Kind: report.SettingAccounts, Path: f.Path, Body: body}}
	return facts, ctx.Err()
}

// start is the beginning of a file, one byte more than max if there is more.
func start(f analyze.File, max int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f.Reader(), max+1))
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return b, nil
}

// addUsers says whom passwd knows.
func (res *Result) addUsers(passwd File) {
	var r reader // its problems are told already
	users, names := r.passwd(passwd)
	for _, name := range names {
		u := users[name]
		res.Users = append(res.Users, User{Name: name, Login: u.login, Shadow: u.field == "x"})
	}
	if b, err := json.Marshal(res.Users); err != nil || len(b) > maxUserBytes {
		res.Users, res.ManyUsers = nil, true
	}
}

// shorten leaves out what Results fills in again, and accounts that do not fit.
func (res *Result) shorten() {
	size := 0
	for i := range res.Accounts {
		a := &res.Accounts[i]
		a.Path, a.Layer, a.Suggestion = "", "", ""
		b, err := json.Marshal(a)
		if size += len(b) + 1; err == nil && size <= maxAccountBytes {
			continue
		}
		for _, left := range res.Accounts[i:] {
			if left.Status == StatusUnverified {
				res.Unverified[classOf(left.Reason)]--
			}
		}
		if res.Unverified == nil {
			res.Unverified = map[string]int{}
		}
		res.Unverified[fmt.Sprintf("more than %d bytes of accounts", maxAccountBytes)] = len(res.Accounts) - i
		res.Accounts = res.Accounts[:i]
		return
	}
}

// rules tells the texts that CheckComplexity reads.
type rules struct{}

// NewRulesAnalyzer is an analyze.Analyzer that tells what files say of new
// passwords as report.Setting of kind report.SettingRules: only the lines and
// options that CheckComplexity reads, since others may hold secrets, such as
// that of a database that PAM asks. Of /etc/passwd it tells that it is there.
func NewRulesAnalyzer() analyze.Analyzer { return rules{} }

// Key implements analyze.Analyzer.
func (rules) Key() string { return rulesVersion }

// Wants implements analyze.Analyzer.
func (rules) Wants(path string, _ fs.FileInfo) bool {
	return path == passwdPath || complexityFile(path)
}

// Analyze implements analyze.Analyzer.
func (rules) Analyze(_ context.Context, f analyze.File) (*report.Facts, error) {
	text := ""
	facts := &report.Facts{}
	if f.Path != passwdPath {
		content, err := start(f, maxComplexityBytes)
		if err != nil {
			return nil, err
		}
		if len(content) > maxComplexityBytes {
			content = content[:maxComplexityBytes]
			facts.Problems = []report.Problem{{Path: f.Path, Analyzer: rulesVersion, Message: "larger than what is read of it: the rest is not read"}}
		}
		text = reduced(File{Path: f.Path, Content: content})
	}
	body, err := json.Marshal(text)
	if err != nil {
		return nil, err
	}
	facts.Settings = []report.Setting{{Kind: report.SettingRules, Path: f.Path, Body: body}}
	return facts, nil
}
