package baseline

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

// FactsVersion names the shape and meaning of facts. It is part of the key of
// a layer report: it changes whenever the same file would give other facts.
const FactsVersion = "baseline/1"

// Limits of one file.
const (
	// MaxFileBytes is the most that Facts reads of a file.
	MaxFileBytes = 1 << 20
	// maxLineBytes is the longest line that is understood.
	maxLineBytes = 16 << 10
	// maxEntries is how many lines, accounts, or elements of one file are
	// kept.
	maxEntries = 4096
	// maxArgs is how many arguments of a line are kept.
	maxArgs = 64
	// maxValueBytes is how much of one value is kept.
	maxValueBytes = 512
	// maxDepth is how deep blocks and elements may nest.
	maxDepth = 32
)

// ErrLimit is wrapped by the error of a file that crosses a limit. The facts
// that come with it hold what was read before.
var ErrLimit = errors.New("limit crossed")

// A Stat is what the layer says of a file.
type Stat struct {
	// Mode has the type, the permissions and the set-id bits.
	Mode fs.FileMode
	// UID and GID are the owner; -1 if the layer does not tell.
	UID, GID int
	// Size in bytes.
	Size int64
}

// A File is what one file of an image says, without its secrets. Which of the
// lists is filled depends on the path.
type File struct {
	Path string `json:"path"`
	// Mode holds permissions, set-id and sticky bits as stat(2) has them.
	Mode uint32 `json:"mode"`
	// Dir marks a directory.
	Dir  bool  `json:"dir,omitempty"`
	UID  int   `json:"uid"`
	GID  int   `json:"gid"`
	Size int64 `json:"size"`

	// Parsed says that the content was read and is what its path says.
	Parsed bool `json:"parsed,omitempty"`
	// Partial says that not all of the content was understood, because it
	// is damaged or crosses a limit. Rules about it are not verified.
	Partial bool `json:"partial,omitempty"`
	// Directives are the lines of an options file, in order.
	Directives []Directive `json:"directives,omitempty"`
	Accounts   []Account   `json:"accounts,omitempty"`
	Passwords  []Password  `json:"passwords,omitempty"`
	Groups     []Group     `json:"groups,omitempty"`
	PAM        []PAMRule   `json:"pam,omitempty"`
	Sudo       []SudoRule  `json:"sudo,omitempty"`
}

// A Directive is one option as it stands in a file. Args are kept only for
// options that hold no secret.
type Directive struct {
	// Section is the block or section around it: "match" in sshd_config,
	// "http/server/location" for nginx, "mysqld" in my.cnf, the path of
	// elements in XML.
	Section string `json:"section,omitempty"`
	// Block numbers the innermost server block of nginx, or the element of
	// an XML file, from 1; 0 is outside.
	Block int    `json:"block,omitempty"`
	Name  string `json:"name"`
	// Args are its values, or "name=value" for attributes.
	Args []string `json:"args,omitempty"`
	// State is of a secret value: "set", "empty", and what else the parser
	// of the file says. Empty where there is no secret.
	State string `json:"state,omitempty"`
}

// A kind is how the content of a file is read.
type kind int

const (
	kindNone kind = iota // not a file of ours
	kindStat             // mode and owner only
	kindSSHD
	kindPasswd
	kindShadow
	kindGroup
	kindOptions // "name value" or "name = value"
	kindShell   // umask and variables of a shell profile
	kindLimits
	kindPAM
	kindSudo
	kindBanner
	kindRepo // INI of yum
	kindAptConf
	kindAptSources
	kindAPKRepos
	kindPolicy // one word
	kindNginx
	kindRedis
	kindMySQL
	kindTomcat
)

// watched are the paths that scans keep facts of, as patterns of path.Match.
// The first that fits counts. docs/baseline.md lists them.
var watched = []struct {
	pattern string
	kind    kind
}{
	{"/etc/ssh/sshd_config", kindSSHD},
	{"/etc/ssh/sshd_config.d/*.conf", kindSSHD},
	{"/etc/ssh/ssh_host_*_key", kindStat},
	{"/etc/ssh/ssh_config", kindStat},
	{"/etc/passwd", kindPasswd},
	{"/etc/shadow", kindShadow},
	{"/etc/group", kindGroup},
	{"/etc/passwd-", kindStat},
	{"/etc/shadow-", kindStat},
	{"/etc/group-", kindStat},
	{"/etc/gshadow", kindStat},
	{"/etc/gshadow-", kindStat},
	{"/etc/login.defs", kindOptions},
	{"/etc/default/useradd", kindOptions},
	{"/etc/adduser.conf", kindOptions},
	{"/etc/security/pwquality.conf", kindOptions},
	{"/etc/security/pwquality.conf.d/*.conf", kindOptions},
	{"/etc/security/faillock.conf", kindOptions},
	{"/etc/security/pwhistory.conf", kindOptions},
	{"/etc/security/limits.conf", kindLimits},
	{"/etc/security/limits.d/*.conf", kindLimits},
	{"/etc/security/opasswd", kindStat},
	{"/etc/security/*.conf", kindStat},
	{"/etc/pam.d/*", kindPAM},
	{"/etc/authselect/*-auth", kindPAM},
	{"/etc/profile", kindShell},
	{"/etc/profile.d/*.sh", kindShell},
	{"/etc/bash.bashrc", kindShell},
	{"/etc/bashrc", kindShell},
	{"/etc/sudoers", kindSudo},
	{"/etc/sudoers.d/*", kindSudo},
	{"/etc/issue", kindBanner},
	{"/etc/issue.net", kindBanner},
	{"/etc/motd", kindBanner},
	{"/etc/crypto-policies/config", kindPolicy},
	{"/etc/yum.conf", kindRepo},
	{"/etc/dnf/dnf.conf", kindRepo},
	{"/etc/yum.repos.d/*.repo", kindRepo},
	{"/etc/apt/apt.conf", kindAptConf},
	{"/etc/apt/apt.conf.d/*", kindAptConf},
	{"/etc/apt/sources.list", kindAptSources},
	{"/etc/apt/sources.list.d/*.list", kindAptSources},
	{"/etc/apt/sources.list.d/*.sources", kindAptSources},
	{"/etc/apt/trusted.gpg", kindStat},
	{"/etc/apt/trusted.gpg.d/*", kindStat},
	{"/etc/apk/repositories", kindAPKRepos},
	{"/etc/apk/keys/*", kindStat},
	{"/etc/crontab", kindStat},
	{"/etc/crontabs/*", kindStat},
	{"/etc/cron.allow", kindStat},
	{"/etc/cron.deny", kindStat},
	{"/etc/at.allow", kindStat},
	{"/etc/at.deny", kindStat},
	{"/etc/cron.hourly", kindStat},
	{"/etc/cron.daily", kindStat},
	{"/etc/cron.weekly", kindStat},
	{"/etc/cron.monthly", kindStat},
	{"/etc/cron.d", kindStat},
	{"/etc/cron.*/*", kindStat},
	{"/etc/hosts.equiv", kindStat},
	{"/etc/shells", kindStat},
	{"/etc/securetty", kindStat},
	{"/etc/ld.so.preload", kindStat},
	{"/etc/ld.so.conf", kindStat},
	{"/etc/ld.so.conf.d/*", kindStat},
	{"/etc/environment", kindStat},
	{"/etc/fstab", kindStat},
	{"/etc/exports", kindStat},
	{"/etc/ssl/private/*", kindStat},
	{"/etc/pki/tls/private/*", kindStat},
	{"/root", kindStat},
	{"/tmp", kindStat},
	{"/var/tmp", kindStat},
	{"/root/.*", kindStat},
	{"/root/.ssh/*", kindStat},
	{"/root/.docker/config.json", kindStat},
	{"/root/.kube/config", kindStat},
	{"/home/*/.rhosts", kindStat},
	{"/home/*/.shosts", kindStat},
	{"/home/*/.netrc", kindStat},
	{"/home/*/.forward", kindStat},
	{"/home/*/.ssh/*", kindStat},
	{"/home/*/.bash_history", kindStat},
	{"/var/spool/cron/*", kindStat},
	{"/var/spool/cron/crontabs/*", kindStat},

	{"/etc/nginx/*.key", kindStat},
	{"/etc/nginx/*/*.key", kindStat},
	{"/etc/nginx/*/*.pem", kindStat},
	{"/etc/nginx/*.conf", kindNginx},
	{"/etc/nginx/*/*", kindNginx},
	{"/usr/local/nginx/conf/*.conf", kindNginx},
	{"/usr/local/nginx/conf/*/*", kindNginx},
	{"/usr/local/openresty/nginx/conf/*.conf", kindNginx},
	{"/usr/local/openresty/nginx/conf/*/*", kindNginx},

	{"/etc/redis.conf", kindRedis},
	{"/etc/redis/*.conf", kindRedis},
	{"/etc/redis/*/*.conf", kindRedis},
	{"/usr/local/etc/redis/*.conf", kindRedis},
	{"/usr/local/etc/redis.conf", kindRedis},
	{"/usr/local/redis/*.conf", kindRedis},
	{"/opt/redis/*.conf", kindRedis},

	{"/etc/my.cnf", kindMySQL},
	{"/etc/my.cnf.d/*.cnf", kindMySQL},
	{"/etc/mysql/*.cnf", kindMySQL},
	{"/etc/mysql/*/*.cnf", kindMySQL},
	{"/usr/local/mysql/*.cnf", kindMySQL},
	{"/usr/local/mysql/etc/*.cnf", kindMySQL},
	{"/root/.my.cnf", kindMySQL},
}

// watchedRoots are the first letters of the directories that patterns start
// in. Wants sees every file of a layer: most end here.
var watchedRoots = [256]bool{'e': true, 'r': true, 't': true, 'v': true, 'h': true, 'u': true, 'o': true}

// A watch is a pattern with what rules it out quickly: how many slashes it has,
// and what it begins with.
type watch struct {
	pattern, prefix string
	slashes         int
	kind            kind
}

var watchIndex = sync.OnceValue(func() []watch {
	out := make([]watch, len(watched))
	for i, w := range watched {
		prefix := w.pattern
		if j := strings.IndexAny(prefix, "*?["); j >= 0 {
			prefix = prefix[:j]
		}
		out[i] = watch{w.pattern, prefix, strings.Count(w.pattern, "/"), w.kind}
	}
	return out
})

// tomcatFiles are the names of Tomcat's own configuration. They count below
// a directory named "conf" or "tomcat…".
var tomcatFiles = []string{"server.xml", "tomcat-users.xml", "web.xml", "context.xml"}

func kindOf(p string) kind {
	// "/root/.my.cnf" is parsed although "/root/.*" would have it first.
	if p == "/root/.my.cnf" {
		return kindMySQL
	}
	if strings.HasSuffix(p, ".xml") && slices.Contains(tomcatFiles, path.Base(p)) {
		if dir := path.Base(path.Dir(p)); dir == "conf" || strings.HasPrefix(dir, "tomcat") {
			return kindTomcat
		}
	}
	if len(p) < 2 || !watchedRoots[p[1]] {
		return kindNone
	}
	slashes := strings.Count(p, "/")
	for _, w := range watchIndex() {
		if w.slashes != slashes || !strings.HasPrefix(p, w.prefix) {
			continue
		}
		if len(w.prefix) == len(w.pattern) {
			if len(p) == len(w.prefix) {
				return w.kind
			}
		} else if ok, err := path.Match(w.pattern, p); ok && err == nil {
			return w.kind
		}
	}
	return kindNone
}

// Bits that make any regular file worth a fact.
const (
	modeSetID      = fs.ModeSetuid | fs.ModeSetgid
	modeWorldWrite = 0o002
)

// Wants reports whether Facts has something to say of the file at an absolute,
// clean path. It wants configuration files by their names, and any regular file
// with a set-id bit or writable by everyone by its mode.
func Wants(p string, mode fs.FileMode) bool {
	switch {
	case mode.IsDir():
		return kindOf(p) == kindStat
	case !mode.IsRegular():
		return false
	case mode&modeSetID != 0 || mode&modeWorldWrite != 0:
		return true
	default:
		return kindOf(p) != kindNone
	}
}

// Loose reports whether Wants takes a file only because of its mode. A hostile
// layer may hold any number of them: see MaxLooseFiles.
func Loose(p string, mode fs.FileMode) bool { return Wants(p, mode) && kindOf(p) == kindNone }

// Reads reports whether Facts needs the content of the file at path p, at most
// MaxFileBytes of it.
func Reads(p string) bool { return kindOf(p) > kindStat }

// Facts reduces a file to what rules may ask for. Content may be nil where
// Reads is false. An error means that the content is damaged or crosses a limit
// (ErrLimit); the facts are then those read before, and always hold mode and
// owner. It is (nil, nil) for a file that Wants refuses.
func Facts(p string, st Stat, content []byte) (*File, error) {
	if !Wants(p, st.Mode) {
		return nil, nil
	}
	f := &File{Path: p, Mode: unixMode(st.Mode), Dir: st.Mode.IsDir(), UID: st.UID, GID: st.GID, Size: st.Size}
	k := kindOf(p)
	if k <= kindStat || f.Dir {
		return f, nil
	}
	var err error
	f.Parsed = true
	if len(content) > MaxFileBytes || st.Size > MaxFileBytes {
		f.Partial = true
		return f, fmt.Errorf("%d bytes: %w: at most %d", max(int64(len(content)), st.Size), ErrLimit, MaxFileBytes)
	}
	if bytes.IndexByte(content, 0) >= 0 {
		f.Partial = true
		return f, errors.New("not text")
	}
	switch k {
	case kindSSHD:
		f.Directives, err = parseSSHD(content)
	case kindPasswd:
		f.Accounts, err = parsePasswd(content)
	case kindShadow:
		f.Passwords, err = parseShadow(content)
	case kindGroup:
		f.Groups, err = parseGroup(content)
	case kindOptions:
		f.Directives, err = parseOptions(content)
	case kindShell:
		f.Directives, err = parseShell(content)
	case kindLimits:
		f.Directives, err = parseLimits(content)
	case kindPAM:
		f.PAM, err = parsePAM(content)
	case kindSudo:
		f.Sudo, err = parseSudoers(content)
	case kindBanner:
		f.Directives, err = parseBanner(content)
	case kindRepo:
		f.Directives, err = parseRepo(content)
	case kindAptConf:
		f.Directives, err = parseAptConf(content)
	case kindAptSources:
		f.Directives, err = parseAptSources(content)
	case kindAPKRepos:
		f.Directives, err = parseAPKRepositories(content)
	case kindPolicy:
		f.Directives, err = parsePolicy(content)
	case kindNginx:
		f.Directives, err = parseNginx(content)
	case kindRedis:
		f.Directives, err = parseRedis(content)
	case kindMySQL:
		f.Directives, err = parseMySQL(content)
	case kindTomcat:
		f.Directives, err = parseTomcat(path.Base(p), content)
		f.Parsed = f.Directives != nil || err != nil
	}
	// A record that is no record hides nothing of the others. An error of
	// syntax or a limit does.
	f.Partial = err != nil && (k == kindNginx || k == kindTomcat || errors.Is(err, ErrLimit))
	return f, err
}

// unixMode is the mode as stat(2) has it, without the type.
func unixMode(m fs.FileMode) uint32 {
	u := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		u |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		u |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		u |= 0o1000
	}
	return u
}
