package password

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/onceover/onceover/internal/report"
)

// The reason of an account whose hash is too costly, and how it is counted.
const (
	costly      = "too costly"
	classCostly = "one guess costs more than an account may"
)

// What was found out about an account.
const (
	// StatusWeak: a guess is the password.
	StatusWeak = "weak"
	// StatusEmpty: no password is needed.
	StatusEmpty = "empty"
	// StatusStrong: none of the guesses is the password. At least
	// minGuesses were made, or all there are.
	StatusStrong = "strong"
	// StatusUnverified: too few guesses could be made; Reason says why.
	StatusUnverified = "unverified"
	// StatusLocked: no password opens the account.
	StatusLocked = "locked"
)

// Why a password is weak.
const (
	RuleEmpty  = "empty"
	RuleUser   = "user-name"
	RuleOwn    = "user-defined-word"
	RuleCommon = "common-password"
	// The last three are for passwords that stand there as they are.
	RuleShort    = "too-short"
	RuleOneKind  = "one-kind-of-character"
	RuleRepeated = "few-characters"
)

// Services that an account is for. HSS knows "system" only.
const (
	ServiceSystem = "system"
	ServiceRedis  = "redis"
	ServiceTomcat = "tomcat"
	ServiceMySQL  = "mysql"
)

const (
	// DefaultAccountBudget is how much computing one account may cost.
	DefaultAccountBudget = 2 * time.Second
	// DefaultImageBudget is how much all accounts of an image may cost.
	DefaultImageBudget = 10 * time.Second
	// minGuesses is how many guesses make a password strong that none of
	// them met: the empty one, variants of the name, the top of the list.
	minGuesses = 25
	// shortPassword is the length below which a plain password is weak.
	shortPassword = 8
)

// A Cache keeps verdicts. Keys are hashes of the stored password, the name of
// the account and the version of the words; values hold no secret. It must be
// safe for concurrent use, and may forget what it likes.
type Cache interface {
	Verdict(key string) (Verdict, bool)
	Keep(key string, v Verdict)
}

// A Verdict is what guessing found out.
type Verdict struct {
	Status string `json:"status"`
	// Rule says why the password is weak.
	Rule string `json:"rule,omitempty"`
	// Masked shows the ends of a weak password.
	Masked string `json:"masked,omitempty"`
	// Reason says why the account is unverified, or not all guesses were
	// made.
	Reason string `json:"reason,omitempty"`
	// Tried of Candidates guesses were made.
	Tried      int `json:"tried"`
	Candidates int `json:"candidates"`
}

// An Account is one account with what was found out about it.
type Account struct {
	User string `json:"user"`
	// Service is what the account is for, one of the Service constants.
	Service string `json:"service"`
	// Path and Line of the file that keeps the password; Layer as the file
	// had it.
	Path  string `json:"path"`
	Line  int    `json:"line"`
	Layer string `json:"layer,omitempty"`
	// Kind of the stored password, one of the Kind constants; empty if
	// there is none.
	Kind string `json:"kind,omitempty"`
	// Login says whether the account has a shell; those of services always do.
	Login bool `json:"login"`
	// Changed is the day of the last change, in days since 1970-01-01;
	// 0 if it is not known.
	Changed int `json:"changed,omitempty"`
	Verdict
	// Suggestion is what to do about it, empty if nothing.
	Suggestion string `json:"suggestion,omitempty"`
}

// Weak reports whether the password is weak or empty.
func (a Account) Weak() bool {
	return a.Status == StatusWeak || a.Status == StatusEmpty
}

// Severity is how bad a weak password is: an account without a shell lets nobody
// in by itself. It is "" for a password that is not known to be weak.
func (a Account) Severity() string {
	switch {
	case !a.Weak():
		return ""
	case a.Login:
		return report.SeverityHigh
	default:
		return report.SeverityMedium
	}
}

// Days is for how many days the password has been in use, 0 if unknown.
func (a Account) Days(now time.Time) int {
	if a.Changed == 0 {
		return 0
	}
	return max(0, int(now.Unix()/86400)-a.Changed)
}

// Options of Check. The zero value is ready.
type Options struct {
	// Words to guess; nil for ours alone.
	Words *Words
	// Cache of verdicts; nil for none.
	Cache Cache
	// Budgets in computing time by fixed prices; 0 for the defaults.
	AccountBudget, ImageBudget time.Duration
}

// A Result is what Check found out.
type Result struct {
	// Words is the version of the word list.
	Words string `json:"words"`
	// Accounts in the order of files and lines.
	Accounts []Account `json:"accounts,omitempty"`
	// Unverified counts accounts that no verdict was reached on, by
	// reason; accounts beyond the limit are among them.
	Unverified map[string]int `json:"unverified,omitempty"`
	// Spent is what the guesses cost by their prices.
	Spent    time.Duration `json:"spent"`
	Problems []Problem     `json:"problems,omitempty"`
	// Users are those of /etc/passwd, if the result is that of the one file:
	// shadow is joined with them when layers are merged.
	Users []User `json:"users,omitempty"`
	// ManyUsers says that there are too many users to tell.
	ManyUsers bool `json:"many_users,omitempty"`
}

// A User is an account as /etc/passwd has it.
type User struct {
	Name string `json:"name"`
	// Login says whether the account has a shell, Shadow whether its
	// password is kept in /etc/shadow.
	Login  bool `json:"login,omitempty"`
	Shadow bool `json:"shadow,omitempty"`
}

// Weak are the accounts whose password is weak or empty.
func (r Result) Weak() []Account {
	var out []Account
	for _, a := range r.Accounts {
		if a.Weak() {
			out = append(out, a)
		}
	}
	return out
}

// Wants reports whether Check or CheckComplexity reads the file at p.
func Wants(p string) bool {
	switch p {
	case passwdPath, shadowPath:
		return true
	}
	return configOf(p) != nil || complexityFile(p)
}

const passwdPath, shadowPath = "/etc/passwd", "/etc/shadow"

// Check guesses the passwords of the accounts in files. Files that it does not
// know are ignored; the order of files does not matter. When ctx is done it
// stops guessing and says so of the accounts that are left.
func Check(ctx context.Context, files []File, o Options) Result {
	if o.Words == nil {
		o.Words = defaultWords()
	}
	o.AccountBudget = cmp.Or(o.AccountBudget, DefaultAccountBudget)
	o.ImageBudget = cmp.Or(o.ImageBudget, DefaultImageBudget)

	var r reader
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	var passwd, shadow *File
	for i, f := range files {
		switch f.Path {
		case passwdPath:
			passwd = &files[i]
		case shadowPath:
			shadow = &files[i]
		default:
			if read := configOf(path.Clean(f.Path)); read != nil {
				read(&r, f)
			}
		}
	}
	r.system(passwd, shadow)

	g := guesser{Options: o}
	trials := make([]*trial, len(r.entries))
	for i := range r.entries {
		trials[i] = g.open(&r.entries[i])
	}
	g.guess(ctx, trials)

	res := Result{Words: o.Words.Version(), Spent: g.spent, Unverified: map[string]int{}}
	for _, t := range trials {
		g.close(t)
		if t.entry.Status == StatusUnverified {
			res.Unverified[t.class]++
		}
		res.Accounts = append(res.Accounts, t.entry.Account)
	}
	if r.left > 0 {
		res.Unverified[fmt.Sprintf("more than %d accounts", maxAccounts)] = r.left
	}
	if r.hidden > 0 {
		r.problems = append(r.problems, Problem{Text: fmt.Sprintf("%d more problems", r.hidden)})
	}
	if len(res.Unverified) == 0 {
		res.Unverified = nil
	}
	res.Problems = r.problems
	slices.SortStableFunc(res.Accounts, func(a, b Account) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line))
	})
	return res
}

// A guesser pays for guesses.
type guesser struct {
	Options
	spent time.Duration
}

// A trial is an account while it is guessed.
type trial struct {
	entry *entry
	stored
	// done says that there is a verdict.
	done bool
	key  string
	// kept says that the verdict depends on this account alone.
	kept     bool
	variants []string
	words    []string
	next     int // index into variants, then words
	spent    time.Duration
	// class is the reason in a form that can be counted.
	class string
}

func (t *trial) candidates() int { return len(t.variants) + len(t.words) }

// open makes the trial of an account, which may be over at once.
func (g *guesser) open(e *entry) *trial {
	t := &trial{entry: e, kept: true}
	switch {
	case e.Service == ServiceSystem && locked(e.secret):
		t.finish(Verdict{Status: StatusLocked})
		return t
	case e.secret == "":
		t.finish(Verdict{Status: StatusEmpty, Rule: RuleEmpty})
		return t
	case e.Service == ServiceSystem:
		t.stored = parseHash(e.secret)
	default:
		t.stored = parsePlain(e.secret)
	}
	e.Kind = t.kind
	if t.why != "" {
		t.unverified(t.why, t.why)
		return t
	}
	t.variants, t.words = variants(e.User), g.Words.list(int64(t.price))
	e.Candidates = t.candidates()
	if t.price > g.AccountBudget {
		t.unverified(fmt.Sprintf("%s: one guess takes about %s, the account has %s",
			costly, t.price.Round(100*time.Millisecond), g.AccountBudget), classCostly)
		return t
	}
	if g.Cache != nil {
		sum := sha256.Sum256([]byte(strings.Join([]string{e.Service, e.secret, e.User, g.Words.Version(), g.AccountBudget.String()}, "\x00")))
		t.key = hex.EncodeToString(sum[:])
		if v, ok := g.Cache.Verdict(t.key); ok {
			t.kept = false // it is there already
			t.finish(v)
			t.class = classOf(v.Reason)
		}
	}
	return t
}

// guess tries what is left in three rounds over all accounts, those that
// matter most first: variants of the name, the top of the list, the rest. So a
// budget that does not last has still bought every account the best guesses.
func (g *guesser) guess(ctx context.Context, trials []*trial) {
	order := slices.Clone(trials)
	slices.SortStableFunc(order, func(a, b *trial) int { return cmp.Compare(a.entry.order, b.entry.order) })
	for round := range 3 {
		for _, t := range order {
			end := t.candidates()
			switch round {
			case 0:
				end = len(t.variants)
			case 1:
				end = min(end, len(t.variants)+topWords)
			}
			for !t.done && t.next < end {
				g.try(ctx, t)
			}
		}
	}
}

// try makes the next guess of a trial.
func (g *guesser) try(ctx context.Context, t *trial) {
	if i := t.next - len(t.variants); i >= 0 && slices.Contains(t.variants, t.words[i]) {
		t.next++ // made already
		return
	}
	switch {
	case ctx.Err() != nil:
		t.kept = false
		t.stop("stopped before all guesses were made")
		return
	case t.spent+t.price > g.AccountBudget:
		t.stop("the budget of the account is spent")
		return
	case g.spent+t.price > g.ImageBudget:
		t.kept = false
		t.stop("the budget of the image is spent")
		return
	}
	var word, rule string
	if t.next < len(t.variants) {
		word, rule = t.variants[t.next], RuleUser
	} else {
		word = t.words[t.next-len(t.variants)]
		rule = RuleCommon
		if g.Words.own[word] && !g.Words.common[word] {
			rule = RuleOwn
		}
	}
	t.next++
	t.spent += t.price
	g.spent += t.price
	switch hit, err := t.match(word); {
	case err != nil: // it may quote the hash
		t.unverified("the hash cannot be computed", "the hash cannot be computed")
		return
	case !hit:
		return
	}
	if word == "" {
		rule = RuleEmpty
	}
	t.finish(Verdict{Status: StatusWeak, Rule: rule, Masked: masked(word)})
}

// stop ends a trial whose guesses are not all made. Enough of them are still
// a verdict.
func (t *trial) stop(reason string) {
	text := fmt.Sprintf("%s: %d of %d guesses made", reason, t.next, t.candidates())
	if t.next < minGuesses {
		t.unverified(text, reason)
		return
	}
	t.finish(Verdict{Status: StatusStrong, Reason: text})
}

func (t *trial) unverified(reason, class string) {
	t.class = class
	t.finish(Verdict{Status: StatusUnverified, Reason: reason})
}

func (t *trial) finish(v Verdict) {
	t.done = true
	if v.Candidates == 0 {
		v.Tried, v.Candidates = t.next, t.entry.Candidates
	}
	t.entry.Verdict = v
}

// close makes the verdict of a trial that met none of its guesses.
func (g *guesser) close(t *trial) {
	if !t.done {
		t.finish(Verdict{Status: StatusStrong})
		if t.kind == KindPlain {
			t.judgePlain()
		}
	}
	if g.Cache != nil && t.kept && t.key != "" {
		g.Cache.Keep(t.key, t.entry.Verdict)
	}
	t.entry.Suggestion = suggestion(t.entry.Account)
}

// judgePlain looks at a password that stands there as it is.
func (t *trial) judgePlain() {
	s := []rune(t.entry.secret)
	kinds := [4]bool{}
	distinct := map[rune]bool{}
	for _, c := range s {
		distinct[c] = true
		switch {
		case unicode.IsUpper(c):
			kinds[0] = true
		case unicode.IsLower(c):
			kinds[1] = true
		case unicode.IsDigit(c):
			kinds[2] = true
		default:
			kinds[3] = true
		}
	}
	n := 0
	for _, k := range kinds {
		if k {
			n++
		}
	}
	rule := ""
	switch {
	case len(s) < shortPassword:
		rule = RuleShort
	case len(distinct) < 4:
		rule = RuleRepeated
	case n == 1 && len(s) < 2*shortPassword:
		rule = RuleOneKind
	default:
		return
	}
	// What no list knows is a secret, however weak: show none of it.
	t.entry.Verdict = Verdict{Status: StatusWeak, Rule: rule, Masked: "****", Tried: t.next, Candidates: t.candidates()}
}

// suggestion is what to do about an account.
func suggestion(a Account) string {
	switch a.Status {
	case StatusEmpty:
		if a.Service == ServiceSystem {
			return "Anyone can log in to this account: lock it (passwd -l) or give it a password of its own when the container starts."
		}
		return "Anyone can log in: demand a password and put it in at run time from a secret store."
	case StatusWeak:
		if a.Service == ServiceSystem {
			return "Lock the account (passwd -l) or set a long random password; build no password into an image that others can pull."
		}
		return "Take the password out of the image, choose a long random one and put it in at run time from a secret store."
	case StatusUnverified:
		return "Check this account by hand, or lock it: its password could not be verified."
	}
	return ""
}
