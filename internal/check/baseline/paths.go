package baseline

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

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

// A watch is a pattern with what rules it out quickly: how many slashes it has,
// and what it begins with.
type watch struct {
	pattern, prefix string
	slashes         int
	kind            kind
	// order is its place in watched.
	order int
}

// watchIndex are the watches by the beginning of the paths that they fit:
// "/etc/ssh", or "/home" where what follows is a pattern. Wants sees every file
// of a layer, and most begin with none of these.
var watchIndex = sync.OnceValue(func() map[string][]watch {
	out := map[string][]watch{}
	for i, w := range watched {
		prefix := w.pattern
		if j := strings.IndexAny(prefix, "*?["); j >= 0 {
			prefix = prefix[:j]
		}
		first, second := beginnings(w.pattern)
		if len(second) > len(prefix) {
			second = first
		}
		out[second] = append(out[second], watch{w.pattern, prefix, strings.Count(w.pattern, "/"), w.kind, i})
	}
	return out
})

// beginnings are the first element of an absolute path, and the first two.
func beginnings(p string) (first, second string) {
	n := 1 + strings.IndexByte(p[1:], '/')
	if n == 0 {
		return p, p
	}
	m := n + 1 + strings.IndexByte(p[n+1:], '/')
	if m == n {
		return p[:n], p
	}
	return p[:n], p[:m]
}

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
	if len(p) < 2 {
		return kindNone
	}
	index := watchIndex()
	first, second := beginnings(p)
	best, kind := len(watched), kindNone
	for i, list := range [2][]watch{index[first], index[second]} {
		if i == 1 && first == second || len(list) == 0 {
			continue
		}
		slashes := strings.Count(p, "/")
		for _, w := range list {
			if w.order < best && w.slashes == slashes && w.fits(p) {
				best, kind = w.order, w.kind
			}
		}
	}
	return kind
}

func (w watch) fits(p string) bool {
	switch {
	case !strings.HasPrefix(p, w.prefix):
		return false
	case len(w.prefix) == len(w.pattern):
		return len(p) == len(w.prefix)
	}
	ok, err := path.Match(w.pattern, p)
	return ok && err == nil
}

// Bits that make any regular file worth a fact.
const (
	modeSetID      = fs.ModeSetuid | fs.ModeSetgid
	modeWorldWrite = 0o002
)
