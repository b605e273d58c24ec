package baseline

import (
	"slices"
	"testing"
)

// Families of the rows below.
var (
	everyone = []string{Debian, Ubuntu, RHEL, OpenEuler, Alpine}
	withPAM  = []string{Debian, Ubuntu, RHEL, OpenEuler}
	debians  = []string{Debian, Ubuntu}
	redHat   = []string{RHEL, OpenEuler}
	alpines  = []string{Alpine}
)

// flips says of every rule in which families a hardened image passes and a
// loosened one fails, and what is found in the first of the families. Loosened
// image 2 holds what cannot be bad at once with the rest.
var flips = []struct {
	id               string
	families         []string
	loosened         int
	hardened, failed string
}{
	{"ACC-01", everyone, 1, "none", "toor"},
	{"ACC-02", everyone, 1, "none", "guest"},
	{"ACC-03", everyone, 1, "none", "guest, +"},
	{"ACC-04", everyone, 1, "none", "app, app, twin"},
	{"ACC-05", everyone, 1, "none", "app, app"},
	{"ACC-06", everyone, 1, "none", "root, shadow, wheel, same"},
	{"ACC-07", everyone, 1, "none", "app, app"},
	{"ACC-08", everyone, 1, "none", "bin"},
	{"ACC-09", everyone, 1, "none", "guest, bin, twin, +"},
	{"ACC-10", everyone, 1, "none", "root (md5crypt)"},
	{"ACC-11", everyone, 1, "none", "root (md5crypt)"},
	{"ACC-12", everyone, 1, "none", "root, app"},
	{"ACC-13", everyone, 1, "none", "root, app"},
	{"ACC-14", everyone, 1, "none", "root, app"},
	{"ACC-15", withPAM, 1, "30", "-1"},
	{"ACC-16", everyone, 1, "none", "toor, guest"},
	{"ACC-17", everyone, 1, "none", "guest"},
	{"ACC-18", everyone, 1, "none", "docker"},
	{"ACC-19", everyone, 1, "none", "wheel"},
	{"ACC-20", everyone, 1, "none", "toor, member"},
	{"ACC-21", everyone, 1, "none", "+"},
	{"ACC-22", everyone, 1, "none", "toor, bin, twin, member"},
	{"ACC-23", everyone, 1, "none", "app"},
	{"ACC-24", everyone, 1, "none", "app"},
	{"DOCKER-01", everyone, 1, "1000:1000", "root"},
	{"DOCKER-02", everyone, 2, "none", "toor"},
	{"DOCKER-03", everyone, 1, "set", "none"},
	{"DOCKER-04", everyone, 1, "none", "DB_PASSWORD"},
	{"DOCKER-05", everyone, 1, "none", "HTTP_PROXY"},
	{"DOCKER-06", everyone, 1, "none", "22/tcp"},
	{"DOCKER-07", everyone, 1, "none", "/etc"},
	{"DOCKER-08", everyone, 1, "none", "PATH"},
	{"DOCKER-09", everyone, 1, "none", "/tmp/x.so"},
	{"DOCKER-10", everyone, 1, "none", "NODE_TLS_REJECT_UNAUTHORIZED"},
	{"DOCKER-11", everyone, 1, "none", "ALLOW_EMPTY_PASSWORD"},
	{"DOCKER-12", everyone, 1, "none", "sshd"},
	{"DOCKER-13", everyone, 1, "false", "true"},
	{"DOCKER-14", everyone, 1, "org.opencontainers.image.source", "none"},
	{"DOCKER-15", everyone, 2, "1000:1000", "toor"},
	{"DOCKER-16", everyone, 1, "0", "1"},
	{"DOCKER-17", everyone, 1, "none", "/tmp"},
	{"DOCKER-18", everyone, 1, "none", "NODE_ENV"},
	{"DOCKER-19", everyone, 1, "SIGTERM", "SIGKILL"},
	{"ENV-01", everyone, 1, "027", "002, 022"},
	{"ENV-02", everyone, 1, "none", "TMOUT=0"},
	{"ENV-03", everyone, 1, "hard core 0", "soft core unlimited"},
	{"ENV-04", everyone, 1, "none", "/etc/issue"},
	{"FILE-01", everyone, 1, "0644 root:root", "0644 root:app"},
	{"FILE-02", everyone, 1, "0640 root:shadow", "0644 root:root"},
	{"FILE-03", everyone, 1, "0600 root:root", "0644 root:root"},
	{"FILE-04", everyone, 1, "0600 root:root", "0666 root:root"},
	{"FILE-05", everyone, 1, "0755 root:root", "0777 root:root"},
	{"FILE-06", everyone, 1, "0644 root:root", "0646 root:root"},
	{"FILE-07", everyone, 1, "0644 root:root", "0664 root:root"},
	{"FILE-08", everyone, 1, "0640 root:shadow", "0644 root:root"},
	{"FILE-09", everyone, 1, "0600 root:root", "0666 root:root"},
	{"FILE-10", everyone, 1, "empty", "10 bytes"},
	{"FILE-11", everyone, 1, "empty", "2 bytes"},
	{"FILE-12", everyone, 1, "empty", "3 bytes"},
	{"FILE-13", everyone, 1, "empty", "10 bytes"},
	{"FILE-14", everyone, 1, "0600 root:root", "0644 root:root"},
	{"FILE-15", everyone, 1, "empty", "20 bytes"},
	{"FILE-16", everyone, 1, "0700 root:root", "0755 root:root"},
	{"FILE-17", everyone, 1, "1777 root:root", "0777 root:root"},
	{"FILE-18", everyone, 1, "0644 root:root", "0666 root:root"},
	{"FILE-19", everyone, 1, "0644 root:root", "0666 root:root"},
	{"FILE-20", everyone, 1, "0600 root:root", "0644 root:root"},
	{"FILE-21", everyone, 1, "empty", "9 bytes"},
	{"FILE-22", everyone, 1, "none", "/bin/bash 4755, /opt/tool 4755"},
	{"FILE-23", everyone, 1, "none", "/bin/bash 4755"},
	{"FILE-24", everyone, 1, "none", "/etc/apt/sources.list 0666, /etc/crontab 0666, /etc/ld.so.conf 0666, /etc/login.defs 0646, /etc/my.cnf 0666, /etc/nginx/nginx.conf 0666, /etc/passwd 0666, /etc/ssh/sshd_config 0666, /root/.bashrc 0666, /usr/bin/app 0757"},
	{"FILE-25", everyone, 1, "none", "/srv/data 0666"},
	{"LOG-01", everyone, 1, "90", "99999"},
	{"LOG-02", everyone, 1, "1", "0"},
	{"LOG-03", everyone, 1, "7", "3"},
	{"LOG-04", everyone, 1, "sha512", "md5"},
	{"LOG-05", everyone, 1, "027", "022"},
	{"LOG-06", redHat, 1, "8", "5"},
	{"LOG-07", everyone, 1, "5", "20"},
	{"LOG-08", everyone, 1, "60", "600"},
	{"LOG-09", everyone, 1, "5000", "1000"},
	{"LOG-10", everyone, 1, "no", "yes"},
	{"LOG-11", everyone, 1, "yes", "no"},
	{"LOG-12", everyone, 1, "0700", "0755"},
	{"MYSQL-01", everyone, 1, "mysql", "root"},
	{"MYSQL-02", everyone, 1, "off", "on"},
	{"MYSQL-03", everyone, 1, "0", "on"},
	{"MYSQL-04", everyone, 1, "127.0.0.1", "0.0.0.0"},
	{"MYSQL-05", everyone, 1, "0", "1"},
	{"MYSQL-06", everyone, 1, "/var/lib/mysql-files", "on"},
	{"MYSQL-07", everyone, 1, "none", "old-passwords"},
	{"MYSQL-08", everyone, 1, "/var/log/mysqld.log", "not set"},
	{"MYSQL-09", everyone, 1, "off", "on"},
	{"MYSQL-10", everyone, 1, "none", "[client]"},
	{"MYSQL-11", everyone, 1, "on", "off"},
	{"MYSQL-12", everyone, 1, "none", "TLSv1.1"},
	{"MYSQL-13", everyone, 1, "100", "100000"},
	{"MYSQL-14", everyone, 1, "off", "1"},
	{"MYSQL-15", everyone, 1, "90", "0"},
	{"MYSQL-16", everyone, 1, "STRONG", "not set"},
	{"MYSQL-17", everyone, 1, "0644 root:root", "0666 root:root"},
	{"MYSQL-18", everyone, 1, "0600 root:root", "0644 root:root"},
	{"NGINX-01", everyone, 1, "none", "example.com"},
	{"NGINX-02", everyone, 1, "none", "http"},
	{"NGINX-03", everyone, 1, "nginx", "root"},
	{"NGINX-04", everyone, 1, "none", "example.com"},
	{"NGINX-05", everyone, 1, "none", "example.com"},
	{"NGINX-06", everyone, 1, "none", "example.com"},
	{"NGINX-07", everyone, 1, "none", "example.com"},
	{"NGINX-08", everyone, 1, "none", "example.com"},
	{"NGINX-09", everyone, 1, "none", "example.com"},
	{"NGINX-10", everyone, 1, "/dev/stderr warn", "/dev/null crit"},
	{"NGINX-11", everyone, 1, "none", "http"},
	{"NGINX-12", everyone, 1, "client_header_timeout 60, client_body_timeout 60, send_timeout 60", "client_header_timeout 60, client_body_timeout 600s, send_timeout 60"},
	{"NGINX-13", everyone, 1, "none", "http/server/location"},
	{"NGINX-14", everyone, 1, "none", "example.com"},
	{"NGINX-15", everyone, 1, "none", "example.com"},
	{"NGINX-16", everyone, 1, "limit_req_zone", "none"},
	{"NGINX-17", everyone, 1, "none", "http/server/location"},
	{"NGINX-18", everyone, 1, "none", "example.com"},
	{"NGINX-19", everyone, 1, "0644 root:root", "0666 root:root"},
	{"NGINX-20", everyone, 1, "0600 root:root", "0644 root:root"},
	{"PAM-01", withPAM, 2, "pam_pwquality.so", "not set"},
	{"PAM-02", withPAM, 1, "10", "6"},
	{"PAM-03", withPAM, 1, "minclass=3, dcredit=0, ucredit=0, lcredit=0, ocredit=0", "minclass=1, dcredit=0, ucredit=0, lcredit=0, ocredit=0"},
	{"PAM-04", withPAM, 2, "pam_faillock.so", "not set"},
	{"PAM-05", withPAM, 1, "5", "100"},
	{"PAM-06", withPAM, 1, "900", "5"},
	{"PAM-07", withPAM, 1, "5", "0"},
	{"PAM-08", withPAM, 1, "obscure, use_authtok, try_first_pass, yescrypt", "md5, shadow"},
	{"PAM-09", withPAM, 1, "none", "sufficient pam_unix.so"},
	{"PAM-10", everyone, 1, "none", "sufficient pam_permit.so"},
	{"PAM-11", everyone, 1, "required pam_wheel.so", "sufficient pam_wheel.so"},
	{"PAM-12", everyone, 1, "none", "sufficient pam_wheel.so"},
	{"PAM-13", withPAM, 1, "3", "10"},
	{"PAM-14", withPAM, 1, "enforce_for_root", "not set"},
	{"PAM-15", withPAM, 1, "even_deny_root", "not set"},
	{"REDIS-01", everyone, 1, "requirepass is set", "users are set"},
	{"REDIS-02", everyone, 1, "127.0.0.1 -::1", "0.0.0.0"},
	{"REDIS-03", everyone, 1, "yes", "no"},
	{"REDIS-04", everyone, 1, "none", "flushall, flushdb, config, keys"},
	{"REDIS-05", everyone, 1, "none", "default"},
	{"REDIS-06", everyone, 1, "0", "6379"},
	{"REDIS-07", everyone, 1, "notice", "warning"},
	{"REDIS-08", everyone, 1, "300", "0"},
	{"REDIS-09", everyone, 1, "100mb", "0"},
	{"REDIS-10", everyone, 1, "700", "777"},
	{"REDIS-11", everyone, 1, "none", "enable-debug-command"},
	{"REDIS-12", everyone, 1, "6380", "0"},
	{"REDIS-13", everyone, 1, "0640 root:app", "0644 root:root"},
	{"REPO-01", debians, 1, "none", "apt::get::allowunauthenticated"},
	{"REPO-02", debians, 1, "none", "/etc/apt/sources.list"},
	{"REPO-03", debians, 1, "none", "acquire::https::verify-peer"},
	{"REPO-04", redHat, 1, "1", "0"},
	{"REPO-05", redHat, 1, "none", "base"},
	{"REPO-06", redHat, 1, "none", "main"},
	{"REPO-07", alpines, 1, "none", "http"},
	{"REPO-08", redHat, 1, "DEFAULT:NO-SHA1", "LEGACY"},
	{"SSH-01", everyone, 1, "no", "yes"},
	{"SSH-02", everyone, 1, "no", "yes"},
	{"SSH-03", everyone, 1, "2", "2,1"},
	{"SSH-04", everyone, 1, "4", "6"},
	{"SSH-05", everyone, 1, "yes", "no"},
	{"SSH-06", everyone, 1, "no", "yes"},
	{"SSH-07", everyone, 1, "300", "0"},
	{"SSH-08", everyone, 1, "3", "0"},
	{"SSH-09", everyone, 1, "1m", "120"},
	{"SSH-10", everyone, 1, "VERBOSE", "QUIET"},
	{"SSH-11", everyone, 1, "no", "yes"},
	{"SSH-12", everyone, 1, "no", "yes"},
	{"SSH-13", everyone, 1, "none", "aes128-cbc"},
	{"SSH-14", everyone, 1, "none", "hmac-md5"},
	{"SSH-15", everyone, 1, "none", "diffie-hellman-group1-sha1"},
	{"SSH-16", everyone, 1, "none", "+ssh-rsa"},
	{"SSH-17", withPAM, 1, "yes", "no"},
	{"SSH-18", everyone, 1, "no", "yes"},
	{"SSH-19", everyone, 1, "/etc/issue.net", "none"},
	{"SSH-20", everyone, 1, "10", "100"},
	{"SSH-21", everyone, 1, "10:30:100", "1000"},
	{"SSH-22", everyone, 1, "yes", "no"},
	{"SSH-23", everyone, 1, "allowgroups", "none"},
	{"SSH-24", everyone, 1, "no", "yes"},
	{"SSH-25", everyone, 1, "no", "yes"},
	{"SSH-26", everyone, 1, "no", "yes"},
	{"SSH-27", everyone, 1, "none", "permitrootlogin yes"},
	{"SSH-28", everyone, 1, "yes", "no"},
	{"SSH-29", everyone, 1, "0600 root:root", "0666 root:root"},
	{"SSH-30", everyone, 1, "empty", "10 bytes"},
	{"SSH-31", everyone, 1, "0600 root:root", "0644 root:root"},
	{"SSH-32", everyone, 1, "empty", "10 bytes"},
	{"SSH-33", everyone, 1, "no", "yes"},
	{"SUDO-01", everyone, 1, "none", "dev"},
	{"SUDO-02", everyone, 1, "none", "ALL"},
	{"SUDO-03", everyone, 1, "env_reset, use_pty, logfile=/var/log/sudo.log, secure_path=/usr/sbin:/usr/bin:/sbin:/bin, timestamp_timeout=5", "!env_reset, !authenticate, visiblepw, timestamp_timeout=-1"},
	{"SUDO-04", everyone, 1, "logfile=/var/log/sudo.log", "none"},
	{"SUDO-05", everyone, 1, "none", "ops"},
	{"SUDO-06", everyone, 1, "none", "!authenticate"},
	{"SUDO-07", everyone, 1, "none", "timestamp_timeout=-1"},
	{"SUDO-08", everyone, 1, "none", "log"},
	{"SUDO-09", everyone, 1, "none", "visiblepw"},
	{"SUDO-10", everyone, 1, "env_reset, secure_path=/usr/sbin:/usr/bin:/sbin:/bin", "!env_reset"},
	{"SUDO-11", everyone, 1, "0440 root:root", "0644 root:root"},
	{"TOMCAT-01", everyone, 1, "none", "/usr/local/tomcat/conf/server.xml"},
	{"TOMCAT-02", everyone, 1, "none", "tomcat (user name)"},
	{"TOMCAT-03", everyone, 1, "none", "tomcat"},
	{"TOMCAT-04", everyone, 1, "none", "port 8009"},
	{"TOMCAT-05", everyone, 1, "none", "port 8080"},
	{"TOMCAT-06", everyone, 1, "none", "port 8080"},
	{"TOMCAT-07", everyone, 1, "none", "localhost"},
	{"TOMCAT-08", everyone, 1, "false", "true"},
	{"TOMCAT-09", everyone, 1, "true", "false"},
	{"TOMCAT-10", everyone, 1, "30", "600"},
	{"TOMCAT-11", everyone, 1, "showServerInfo false, showReport false", "none"},
	{"TOMCAT-12", everyone, 1, "none", "/usr/local/tomcat/conf/context.xml"},
	{"TOMCAT-13", everyone, 1, "none", "Resources"},
	{"TOMCAT-14", everyone, 1, "none", "Connector"},
	{"TOMCAT-15", everyone, 1, "org.apache.catalina.valves.AccessLogValve", "none"},
	{"TOMCAT-16", everyone, 1, "Realm", "none"},
	{"TOMCAT-17", everyone, 1, "none", "/usr/local/tomcat/conf/context.xml"},
	{"TOMCAT-18", everyone, 1, "0600 root:root", "0644 root:root"},
}

func byRule(rs []Result) map[string]Result {
	m := map[string]Result{}
	for _, r := range rs {
		m[r.RuleID] = r
	}
	return m
}

// firstFound is what the first case with the verdict of the rule found.
func firstFound(r Result) string {
	for _, c := range r.Cases {
		if c.Pass == (r.Status == Pass) {
			return c.Found
		}
	}
	return ""
}

func TestEveryRuleFlips(t *testing.T) {
	set := builtin(t)
	rows := map[string]bool{}
	for _, row := range flips {
		if rows[row.id] {
			t.Errorf("%s stands twice in the table", row.id)
		}
		rows[row.id] = true
		if set.Rule(row.id) == nil {
			t.Errorf("%s is in the table and no rule", row.id)
		}
	}
	for _, r := range set.Rules() {
		if !rows[r.ID] {
			t.Errorf("%s is missing in the table", r.ID)
		}
	}
	for _, f := range testFamilies {
		t.Run(f.family, func(t *testing.T) {
			good := byRule(Evaluate(set, testImage{f.distribution, hardened(f.family), hardenedConfig}.facts(t)))
			bad := []map[string]Result{
				byRule(Evaluate(set, testImage{f.distribution, slices.Concat(hardened(f.family), loosened(f.family)), loosenedConfig}.facts(t))),
				byRule(Evaluate(set, testImage{f.distribution, slices.Concat(hardened(f.family), alsoLoosened(f.family)), alsoLoosenedConfig}.facts(t))),
			}
			for _, row := range flips {
				h, l := good[row.id], bad[row.loosened-1][row.id]
				if !slices.Contains(row.families, f.family) {
					// A rule of other families is not asked at all.
					if h.Status != "" || l.Status != "" {
						t.Errorf("%s: %s, then %s: not a rule for this family", row.id, h.Status, l.Status)
					}
					continue
				}
				if h.Status != Pass {
					t.Errorf("%s of the hardened image: %s %s %+v", row.id, h.Status, h.Reason, h.Cases)
				}
				if l.Status != Failed {
					t.Errorf("%s of the loosened image: %s %s %+v", row.id, l.Status, l.Reason, l.Cases)
				}
				if f.family != row.families[0] {
					continue
				}
				if got := firstFound(h); got != row.hardened {
					t.Errorf("%s of the hardened image found %q: want %q", row.id, got, row.hardened)
				}
				if got := firstFound(l); got != row.failed {
					t.Errorf("%s of the loosened image found %q: want %q", row.id, got, row.failed)
				}
			}
		})
	}
}

// An image without files has nothing to fail.
func TestMissingFilesAreNotApplicable(t *testing.T) {
	set := builtin(t)
	for _, f := range testFamilies {
		for _, r := range Evaluate(set, Image{Distribution: f.distribution}) {
			if r.Status != NotApplicable || r.Reason == "" || len(r.Cases) > 0 {
				t.Errorf("%s of an empty image of %s: %s %q", r.RuleID, f.family, r.Status, r.Reason)
			}
		}
	}
	// Each file alone fails nothing that speaks of another: taking any file
	// away from the hardened image never makes a rule fail or unverified.
	for _, f := range testFamilies {
		im := testImage{f.distribution, hardened(f.family), hardenedConfig}.facts(t)
		for i, file := range im.Files {
			switch file.Path {
			case "/etc/security/pwquality.conf", "/etc/security/faillock.conf", "/etc/pam.d/common-password", "/etc/pam.d/common-auth",
				"/etc/ssh/sshd_config.d/10.conf", "/etc/nginx/conf.d/site.conf", "/etc/my.cnf.d/password.cnf", "/etc/profile.d/idle.sh":
				continue // parts of one configuration: without them the rest says something else
			}
			without := im
			without.Files = slices.Concat(im.Files[:i], im.Files[i+1:])
			for _, r := range Evaluate(set, without) {
				if r.Status == Failed || r.Status == Unverified {
					t.Errorf("%s without %s: %s is %s %s %+v", f.family, file.Path, r.RuleID, r.Status, r.Reason, r.Cases)
				}
			}
		}
	}
}
