package baseline

import (
	"encoding/json"
	"io/fs"
	"strings"
	"testing"
)

// A testFile is a file of a made-up image.
type testFile struct {
	path     string
	mode     fs.FileMode
	uid, gid int
	content  string
}

// A testImage is a made-up image: its files, in which later ones take the
// place of earlier ones, and its configuration in JSON.
type testImage struct {
	distribution Distribution
	files        []testFile
	config       string
}

// facts makes an Image as a scan would: through Facts, and through JSON, which
// is how facts travel.
func (i testImage) facts(t testing.TB) Image {
	t.Helper()
	out := Image{Distribution: i.distribution}
	for _, f := range i.files {
		file, err := Facts(f.path, Stat{Mode: f.mode, UID: f.uid, GID: f.gid, Size: int64(len(f.content))}, []byte(f.content))
		if err != nil {
			t.Fatalf("%s: %v", f.path, err)
		}
		if file == nil {
			t.Fatalf("%s: not wanted", f.path)
		}
		b, err := json.Marshal(file)
		if err != nil {
			t.Fatal(err)
		}
		var back File
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		out.Files = append(out.Files, &back)
	}
	if i.config != "" {
		c, err := ParseConfig([]byte(i.config))
		if err != nil {
			t.Fatal(err)
		}
		out.Config = c
	}
	return out
}

// testFamilies are an image of each family.
var testFamilies = []struct {
	family       string
	checkName    string
	distribution Distribution
}{
	{Debian, "Debian 12", Distribution{ID: "debian", VersionID: "12"}},
	{Ubuntu, "Ubuntu 24.04", Distribution{ID: "ubuntu", VersionID: "24.04", Like: []string{"debian"}}},
	{RHEL, "CentOS 7", Distribution{ID: "centos", VersionID: "7", Like: []string{"rhel", "fedora"}}},
	{OpenEuler, "openEuler 22.03", Distribution{ID: "openEuler", VersionID: "22.03"}},
	{Alpine, "Alpine", Distribution{ID: "alpine", VersionID: "3.20.3"}},
}

// Hashes are made here: none stands in the source.
func testHash(prefix string) string { return prefix + "saltsalt$" + strings.Repeat("Ab1.", 20) }

const systemAccounts = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
sync:x:4:65534:sync:/bin:/bin/sync
app:x:1000:1000::/home/app:/bin/sh
`

const systemGroups = `root:x:0:
daemon:x:1:
disk:x:6:root
shadow:x:42:
app:x:1000:app
nogroup:x:65534:
`

// hardened are the files of a well-kept image.
func hardened(family string) []testFile {
	files := []testFile{
		{"/etc/passwd", 0o644, 0, 0, systemAccounts},
		{"/etc/group", 0o644, 0, 0, systemGroups},
		{"/etc/shadow", 0o640, 0, 42, "root:!:19000:1:90:7:::\ndaemon:*:19000:0:99999:7:::\nsync:*:19000::::::\napp:!" + testHash("$6$") + ":19000:1:90:7:30::\n"},
		{"/etc/passwd-", 0o644, 0, 0, ""},
		{"/etc/shadow-", 0o600, 0, 0, ""},
		{"/etc/security/opasswd", 0o600, 0, 0, ""},
		{"/etc/login.defs", 0o644, 0, 0, `# comment
PASS_MAX_DAYS	90
PASS_MIN_DAYS	1
PASS_WARN_AGE	7
PASS_MIN_LEN	8
ENCRYPT_METHOD SHA512
UMASK 027
LOGIN_RETRIES 5
LOGIN_TIMEOUT 60
SHA_CRYPT_MIN_ROUNDS 5000
LOG_UNKFAIL_ENAB no
SYSLOG_SU_ENAB yes
HOME_MODE 0700
`},
		{"/etc/default/useradd", 0o644, 0, 0, "INACTIVE=30\nSHELL=/bin/bash\n"},
		{"/etc/profile", 0o644, 0, 0, "export PATH\numask 027\n"},
		{"/etc/profile.d/idle.sh", 0o644, 0, 0, "readonly TMOUT=600\nexport TMOUT\n"},
		{"/etc/security/limits.conf", 0o644, 0, 0, "# core\n* hard core 0\n"},
		{"/etc/issue", 0o644, 0, 0, "Authorised use only\n"},
		{"/etc/pam.d/su", 0o644, 0, 0, "auth sufficient pam_rootok.so\nauth required pam_wheel.so use_uid\nauth include system-auth\n"},
		{"/etc/sudoers", 0o440, 0, 0, `Defaults env_reset, use_pty
Defaults logfile=/var/log/sudo.log
Defaults secure_path="/usr/sbin:/usr/bin:/sbin:/bin"
Defaults timestamp_timeout=5
root ALL=(ALL:ALL) ALL
%wheel ALL=(ALL) /usr/bin/systemctl restart app
@includedir /etc/sudoers.d
`},
		{"/etc/ssh/sshd_config", 0o600, 0, 0, `Include /etc/ssh/sshd_config.d/*.conf
PermitRootLogin no
MaxAuthTries 4
LoginGraceTime 1m
ClientAliveInterval 300
UsePAM yes
PasswordAuthentication no
AllowTcpForwarding no
AllowAgentForwarding no
Banner /etc/issue.net
LogLevel VERBOSE
AllowGroups admin # people
Ciphers aes256-gcm@openssh.com,aes256-ctr
MACs -hmac-md5
KexAlgorithms curve25519-sha256
HostKeyAlgorithms ssh-ed25519
Subsystem sftp internal-sftp
Match User backup
  ForceCommand internal-sftp
`},
		{"/etc/ssh/sshd_config.d/10.conf", 0o600, 0, 0, "X11Forwarding no\n"},
		{"/etc/ssh/ssh_host_ed25519_key", 0o600, 0, 0, ""},
		{"/root/.ssh/authorized_keys", 0o600, 0, 0, ""},
		{"/root/.ssh/id_ed25519", 0o600, 0, 0, ""},
		{"/root/.bashrc", 0o644, 0, 0, "alias ll='ls -l'\n"},
		{"/root/.bash_history", 0o600, 0, 0, ""},
		{"/root/.netrc", 0o600, 0, 0, ""},
		{"/root/.forward", 0o600, 0, 0, ""},
		{"/etc/ld.so.preload", 0o644, 0, 0, ""},
		{"/etc/ld.so.conf", 0o644, 0, 0, "include ld.so.conf.d/*.conf\n"},
		{"/etc/hosts.equiv", 0o600, 0, 0, ""},
		{"/etc/crontab", 0o600, 0, 0, "# m h\n"},
		{"/etc/cron.d", fs.ModeDir | 0o755, 0, 0, ""},
		{"/etc/cron.allow", 0o600, 0, 0, "root\n"},
		{"/etc/ssl/private/server.key", 0o640, 0, 42, "not a key\n"},
		{"/root", fs.ModeDir | 0o700, 0, 0, ""},
		{"/tmp", fs.ModeDir | fs.ModeSticky | 0o777, 0, 0, ""},
		{"/usr/bin/passwd", fs.ModeSetuid | 0o755, 0, 0, "ELF"},
		{"/usr/lib/openssh/ssh-keysign", fs.ModeSetuid | 0o755, 0, 0, "ELF"},

		{"/etc/nginx/nginx.conf", 0o644, 0, 0, `user nginx;
error_log /dev/stderr warn;
events { worker_connections 1024; }
http {
  server_tokens off;
  client_max_body_size 10m;
  limit_req_zone $binary_remote_addr zone=one:10m rate=5r/s;
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_ciphers 'HIGH:!aNULL:!MD5';
  ssl_session_tickets off;
  access_log /var/log/nginx/access.log main;
  add_header X-Content-Type-Options nosniff always;
  add_header X-Frame-Options SAMEORIGIN;
  add_header Strict-Transport-Security "max-age=31536000" always;
  log_format main '$remote_addr "${request}" {';
  include conf.d/*.conf;
}
`},
		{"/etc/nginx/conf.d/site.conf", 0o644, 0, 0, `server {
  listen 443 ssl;
  server_name example.com;
  root /srv/www;
  location / { proxy_pass https://app; proxy_ssl_verify on; }
  location ~ /\. { deny all; }
  content_by_lua_block { if x then return { a = 1 } end }
}
`},
		{"/etc/nginx/server.key", 0o600, 0, 0, "not a key"},

		{"/etc/redis/redis.conf", 0o640, 0, 1000, `bind 127.0.0.1 -::1
port 0
tls-port 6380
requirepass "` + "made" + `-for-tests"
user default off
user app on ~app:* +get
rename-command CONFIG ""
timeout 300
maxmemory 100mb
unixsocket /run/redis.sock
unixsocketperm 700
`},

		{"/etc/my.cnf", 0o644, 0, 0, `[client]
port = 3306
[mysqld]
user=mysql
local_infile=0
bind-address = 127.0.0.1
secure_file_priv=/var/lib/mysql-files
log-error=/var/log/mysqld.log
require_secure_transport=ON
default_password_lifetime=90
!includedir /etc/my.cnf.d
`},
		{"/etc/my.cnf.d/password.cnf", 0o644, 0, 0, "[mysqld]\nvalidate_password.policy = STRONG # ours\n"},
		{"/root/.my.cnf", 0o600, 0, 0, "[client]\nuser=root\n"},

		{"/usr/local/tomcat/conf/server.xml", 0o600, 0, 0, `<?xml version="1.0" encoding="UTF-8"?>
<Server port="-1" shutdown="SHUTDOWN">
  <Service name="Catalina">
    <Connector port="8443" protocol="org.apache.coyote.http11.Http11NioProtocol" SSLEnabled="true">
      <SSLHostConfig protocols="TLSv1.2+TLSv1.3"/>
    </Connector>
    <Engine name="Catalina" defaultHost="localhost">
      <Realm className="org.apache.catalina.realm.LockOutRealm"><Realm className="org.apache.catalina.realm.UserDatabaseRealm"/></Realm>
      <Host name="localhost" appBase="webapps" autoDeploy="false">
        <Valve className="org.apache.catalina.valves.AccessLogValve" directory="logs"/>
        <Valve className="org.apache.catalina.valves.ErrorReportValve" showReport="false" showServerInfo="false"/>
      </Host>
    </Engine>
  </Service>
</Server>
`},
		{"/usr/local/tomcat/conf/tomcat-users.xml", 0o600, 0, 0, `<tomcat-users><user username="ops" password="` + "long-" + `made-up-word" roles="viewer"/></tomcat-users>`},
		{"/usr/local/tomcat/conf/web.xml", 0o600, 0, 0, `<web-app><servlet><servlet-name>default</servlet-name>
<init-param><param-name>listings</param-name><param-value>false</param-value></init-param></servlet>
<session-config><session-timeout>30</session-timeout></session-config></web-app>`},
		{"/usr/local/tomcat/conf/context.xml", 0o600, 0, 0, `<Context><Resources allowLinking="false"/></Context>`},
	}
	switch family {
	case Debian, Ubuntu:
		files = append(files,
			testFile{"/etc/pam.d/common-auth", 0o644, 0, 0, "auth required pam_faillock.so preauth\nauth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n"},
			testFile{"/etc/pam.d/common-password", 0o644, 0, 0, "password requisite pam_pwquality.so retry=3\npassword required pam_pwhistory.so remember=5 use_authtok\npassword [success=1 default=ignore] pam_unix.so obscure use_authtok try_first_pass yescrypt\n"},
			testFile{"/etc/apt/apt.conf.d/99ours", 0o644, 0, 0, "APT { Install-Recommends \"false\"; };\nAcquire::https::Verify-Peer \"true\";\n"},
			testFile{"/etc/apt/sources.list", 0o644, 0, 0, "deb [signed-by=/usr/share/keyrings/d.gpg] https://deb.example.com stable main\n"},
		)
	case RHEL, OpenEuler:
		name := "/etc/pam.d/system-auth"
		if family == RHEL {
			name = "/etc/pam.d/system-auth-ac" // system-auth is a link to it
		}
		files = append(files,
			testFile{name, 0o644, 0, 0, `auth required pam_env.so
auth required pam_faillock.so preauth silent
auth sufficient pam_unix.so try_first_pass
auth required pam_deny.so
password requisite pam_pwquality.so try_first_pass local_users_only \
  retry=3
password sufficient pam_unix.so sha512 shadow try_first_pass use_authtok remember=5
password required pam_deny.so
`},
			testFile{"/etc/yum.conf", 0o644, 0, 0, "[main]\ngpgcheck=1\n"},
			testFile{"/etc/yum.repos.d/base.repo", 0o644, 0, 0, "[base]\nname=Base\nbaseurl=https://example.com/\ngpgcheck=1\n[test]\nenabled=0\ngpgcheck=0\n"},
			testFile{"/etc/crypto-policies/config", 0o644, 0, 0, "# policy\nDEFAULT:NO-SHA1\n"},
		)
	case Alpine:
		files = append(files,
			testFile{"/etc/pam.d/base-auth", 0o644, 0, 0, "auth required pam_env.so\nauth required pam_unix.so\n"},
			testFile{"/etc/apk/repositories", 0o644, 0, 0, "https://dl-cdn.alpinelinux.org/alpine/v3.20/main\n@edge https://dl-cdn.alpinelinux.org/alpine/edge/main\n/var/apk\n"},
			testFile{"/etc/apk/keys/ours.rsa.pub", 0o644, 0, 0, "key\n"},
		)
	}
	if family != Alpine {
		files = append(files,
			testFile{"/etc/security/pwquality.conf", 0o644, 0, 0, "minlen = 10\nminclass = 3\nenforce_for_root\n"},
			testFile{"/etc/security/faillock.conf", 0o644, 0, 0, "deny = 5\nunlock_time = 900\neven_deny_root\n"})
	}
	return files
}

// loosened are the files that make a hardened image a bad one.
func loosened(family string) []testFile {
	files := []testFile{
		{"/etc/passwd", 0o666, 0, 0, systemAccounts + "toor:x:0:0::/root:/bin/sh\nguest::1001:1001::/tmp:/bin/sh\nbin:x:2:2::/bin:/bin/bash\n" +
			"app:x:1000:1000::/home/app:/bin/sh\ntwin:x:1000:7777::/home/twin:/bin/sh\nmember:x:1002:0::/home/member:/bin/sh\n+:::::::\n"},
		{"/etc/group", 0o644, 0, 1000, systemGroups + "wheel:x:0:\ndocker:x:999:app\napp:" + testHash("$1$") + ":1003:\nsame:x:42:\n"},
		{"/etc/shadow", 0o644, 0, 0, "root:" + testHash("$1$") + ":19000:0:99999:3:::\ndaemon:*:19000:0:99999:7:::\nsync:*:19000::::::\nguest::19000:0:99999:7:::\napp:" + testHash("$6$") + ":19000::::::\n"},
		{"/etc/security/opasswd", 0o644, 0, 0, "x\n"},
		{"/etc/login.defs", 0o646, 0, 0, `PASS_MAX_DAYS	99999
PASS_MIN_DAYS	0
PASS_WARN_AGE	3
PASS_MIN_LEN	5
ENCRYPT_METHOD MD5
UMASK 022
LOGIN_RETRIES 20
LOGIN_TIMEOUT 600
SHA_CRYPT_MIN_ROUNDS 1000
LOG_UNKFAIL_ENAB yes
SYSLOG_SU_ENAB no
HOME_MODE 0755
`},
		{"/etc/default/useradd", 0o644, 0, 0, "INACTIVE=-1\n"},
		{"/etc/profile", 0o644, 0, 0, "if [ x ]; then umask 002; else umask 022; fi\n"},
		{"/etc/profile.d/idle.sh", 0o644, 0, 0, "TMOUT=0\n"},
		{"/etc/security/limits.conf", 0o644, 0, 0, "* soft core unlimited\n"},
		{"/etc/issue", 0o664, 0, 0, "Debian \\n \\l \\r\n"},
		{"/etc/pam.d/su", 0o644, 0, 0, "auth sufficient pam_rootok.so\nauth sufficient pam_wheel.so trust\n"},
		{"/etc/sudoers", 0o644, 0, 0, `Defaults !env_reset, !authenticate, visiblepw
Defaults timestamp_timeout=-1
root ALL=(ALL:ALL) ALL
ALL ALL=(ALL) ALL
@includedir /etc/sudoers.d
`},
		{"/etc/sudoers.d/dev", 0o440, 0, 0, "dev ALL=(ALL) NOPASSWD: ALL\nops ALL = ALL, !/bin/su\nlog ALL=(root) /bin/cat /var/log/*\n"},
		{"/etc/ssh/sshd_config", 0o666, 0, 0, `Include sshd_config.d/*.conf
permitrootlogin no
PermitEmptyPasswords yes
Protocol 2,1
IgnoreRhosts no
HostbasedAuthentication yes
ClientAliveCountMax 0
LogLevel QUIET
PermitUserEnvironment=yes
Ciphers aes256-ctr,aes128-cbc
MACs hmac-md5,hmac-sha2-256
KexAlgorithms diffie-hellman-group1-sha1
HostKeyAlgorithms +ssh-rsa
UsePAM no
Banner none
MaxSessions 100
MaxStartups 1000
StrictModes no
PasswordAuthentication yes
GatewayPorts yes
PermitTunnel yes
PrintLastLog no
Match Address 10.0.0.0/8
  PermitRootLogin yes
`},
		// The first value counts, and this file is read first.
		{"/etc/ssh/sshd_config.d/10.conf", 0o600, 0, 0, "X11Forwarding yes\nPermitRootLogin yes\n"},
		{"/etc/ssh/ssh_host_ed25519_key", 0o644, 0, 0, "not a key\n"},
		{"/root/.ssh/authorized_keys", 0o644, 0, 0, "not a key\n"},
		{"/root/.ssh/id_ed25519", 0o600, 0, 0, "not a key\n"},
		{"/root/.bashrc", 0o666, 0, 0, "alias ll='ls -l'\n"},
		{"/root/.bash_history", 0o600, 0, 0, "ls\n"},
		{"/root/.netrc", 0o600, 0, 0, "machine example.com\n"},
		{"/root/.forward", 0o600, 0, 0, "|/bin/sh\n"},
		{"/etc/ld.so.preload", 0o644, 0, 0, "/tmp/x.so\n"},
		{"/etc/ld.so.conf", 0o666, 0, 0, "/tmp\n"},
		{"/etc/hosts.equiv", 0o600, 0, 0, "+\n"},
		{"/etc/crontab", 0o666, 0, 0, "# m h\n"},
		{"/etc/cron.d", fs.ModeDir | 0o777, 0, 0, ""},
		{"/etc/cron.allow", 0o644, 0, 0, "root\n"},
		{"/etc/ssl/private/server.key", 0o644, 0, 0, "not a key\n"},
		{"/root", fs.ModeDir | 0o755, 0, 0, ""},
		{"/tmp", fs.ModeDir | 0o777, 0, 0, ""},
		{"/opt/tool", fs.ModeSetuid | 0o755, 0, 0, "ELF"},
		{"/bin/bash", fs.ModeSetuid | 0o755, 0, 0, "ELF"},
		{"/usr/bin/app", 0o757, 0, 0, "ELF"},
		{"/srv/data", 0o666, 0, 0, "data"},

		{"/etc/nginx/nginx.conf", 0o666, 0, 0, `user root;
error_log /dev/null crit;
http {
  autoindex on;
  client_max_body_size 0;
  client_body_timeout 600s;
  ssl_protocols TLSv1 TLSv1.2;
  ssl_ciphers ALL:!aNULL;
  access_log off;
  include /etc/nginx/sites-enabled/*;
}
`},
		{"/etc/nginx/sites-available/default", 0o644, 0, 0, `server {
  listen [::]:443 ssl http2;
  server_name example.com;
  root /srv/www;
  add_header Access-Control-Allow-Origin "*";
  location /up { dav_methods PUT DELETE; }
  location / { proxy_pass https://user:` + `pw@app; proxy_ssl_verify off; }
}
`},
		{"/etc/nginx/server.key", 0o644, 0, 0, "not a key"},

		{"/etc/redis/redis.conf", 0o644, 0, 0, `bind 0.0.0.0
protected-mode no
port 6379
user default on nopass ~* +@all
loglevel warning
unixsocket /run/redis.sock
unixsocketperm 777
enable-debug-command yes
`},

		{"/etc/my.cnf", 0o666, 0, 0, `[client]
password = "` + "made" + `-up"
[mysqld]
user=root
skip-grant-tables
local_infile
bind-address = 0.0.0.0
symbolic-links=1
secure_file_priv=
old_passwords=1
log_raw=ON
tls_version=TLSv1.1,TLSv1.2
max_connect_errors=100000
loose-allow_suspicious_udfs=1
`},
		{"/root/.my.cnf", 0o644, 0, 0, "[client]\nuser=root\n"},

		{"/usr/local/tomcat/conf/server.xml", 0o644, 0, 0, `<Server port="8005" shutdown="SHUTDOWN">
  <Service name="Catalina">
    <Connector port="8080" protocol="HTTP/1.1" xpoweredBy="true" allowTrace="true"/>
    <Connector port="8443" SSLEnabled="true" sslEnabledProtocols="TLSv1,TLSv1.2" keystorePass="` + "made" + `-up"/>
    <Connector port="8009" protocol="AJP/1.3"/>
    <Engine name="Catalina"><Realm className="org.apache.catalina.realm.UserDatabaseRealm"/><Host name="localhost" autoDeploy="true"/></Engine>
  </Service>
</Server>
`},
		{"/usr/local/tomcat/conf/tomcat-users.xml", 0o644, 0, 0, `<tomcat-users><user username="tomcat" password="` + "tom" + `cat" roles="manager-gui,viewer"/></tomcat-users>`},
		{"/usr/local/tomcat/conf/web.xml", 0o644, 0, 0, `<web-app><servlet><servlet-name>default</servlet-name>
<init-param><param-name>listings</param-name><param-value>true</param-value></init-param>
<init-param><param-name>readonly</param-name><param-value>false</param-value></init-param></servlet>
<session-config><session-timeout>600</session-timeout></session-config></web-app>`},
		{"/usr/local/tomcat/conf/context.xml", 0o644, 0, 0, `<Context privileged="true" useHttpOnly="false"><Resources allowLinking="true"/></Context>`},
	}
	quality := "password requisite pam_pwquality.so retry=10 minlen=6\npassword sufficient pam_unix.so md5 shadow\n"
	lockout := "auth required pam_faillock.so preauth deny=100 unlock_time=5\nauth sufficient pam_unix.so nullok\nauth sufficient pam_permit.so\n"
	switch family {
	case Debian, Ubuntu:
		files = append(files,
			testFile{"/etc/pam.d/common-auth", 0o644, 0, 0, lockout},
			testFile{"/etc/pam.d/common-password", 0o644, 0, 0, quality},
			testFile{"/etc/apt/apt.conf.d/99ours", 0o644, 0, 0, "APT { Get { AllowUnauthenticated \"true\"; }; };\nAcquire::https::Verify-Peer \"false\";\n"},
			testFile{"/etc/apt/sources.list", 0o666, 0, 0, "deb [ trusted=yes ] http://deb.example.com stable main\n"},
		)
	case RHEL, OpenEuler:
		name := "/etc/pam.d/system-auth"
		if family == RHEL {
			name = "/etc/pam.d/system-auth-ac"
		}
		files = append(files,
			testFile{name, 0o644, 0, 0, lockout + quality},
			testFile{"/etc/yum.conf", 0o666, 0, 0, "[main]\ngpgcheck=0\nsslverify=0\n"},
			testFile{"/etc/yum.repos.d/base.repo", 0o644, 0, 0, "[base]\nbaseurl=http://example.com/\ngpgcheck=0\n"},
			testFile{"/etc/crypto-policies/config", 0o644, 0, 0, "LEGACY\n"},
		)
	case Alpine:
		files = append(files,
			testFile{"/etc/pam.d/base-auth", 0o644, 0, 0, lockout},
			testFile{"/etc/apk/repositories", 0o666, 0, 0, "http://dl-cdn.alpinelinux.org/alpine/v3.20/main\n"},
		)
	}
	if family != Alpine {
		files = append(files,
			testFile{"/etc/security/pwquality.conf", 0o644, 0, 0, "minclass = 1\n"},
			testFile{"/etc/security/faillock.conf", 0o644, 0, 0, "deny = 3\n"})
	}
	return files
}

// alsoLoosened are files for what cannot be bad at once with the rest: a stack
// of PAM that lacks the modules whose options are bad there.
func alsoLoosened(family string) []testFile {
	stack := "auth sufficient pam_unix.so\npassword sufficient pam_unix.so\n"
	files := []testFile{{"/etc/passwd", 0o644, 0, 0, systemAccounts + "toor:x:0:0::/root:/bin/sh\n"}}
	switch family {
	case Debian, Ubuntu:
		files = append(files, testFile{"/etc/pam.d/common-auth", 0o644, 0, 0, stack}, testFile{"/etc/pam.d/common-password", 0o644, 0, 0, stack})
	case RHEL:
		files = append(files, testFile{"/etc/pam.d/system-auth-ac", 0o644, 0, 0, stack})
	case OpenEuler:
		files = append(files, testFile{"/etc/pam.d/system-auth", 0o644, 0, 0, stack})
	}
	return files
}

const hardenedConfig = `{"config":{"User":"1000:1000","Env":["PATH=/usr/local/bin:/usr/bin:/bin","NODE_ENV=production","DB_PASSWORD_FILE=/run/secrets/db"],
"ExposedPorts":{"8443/tcp":{}},"Volumes":{"/var/lib/app":{}},"Healthcheck":{"Test":["CMD","true"]},"WorkingDir":"/app","StopSignal":"SIGTERM",
"Entrypoint":["/usr/bin/app"],"Labels":{"org.opencontainers.image.source":"https://example.com"}}}`

var loosenedConfig = `{"config":{"User":"","Env":["PATH=/usr/bin:.:/tmp/bin","LD_PRELOAD=/tmp/x.so","NODE_TLS_REJECT_UNAUTHORIZED=0","ALLOW_EMPTY_PASSWORD=yes",
"DB_PASSWORD=` + "made" + `-up","HTTP_PROXY=http://me:` + "made" + `-up@proxy:3128/","NODE_ENV=development"],
"ExposedPorts":{"22/tcp":{},"8080/tcp":{}},"Volumes":{"/etc":{}},"Healthcheck":{"Test":["NONE"]},"WorkingDir":"/tmp","StopSignal":"SIGKILL",
"Entrypoint":["/bin/sh","-c","/usr/sbin/sshd -D"],"Cmd":["sshd"],"OnBuild":["RUN true"]}}`

const alsoLoosenedConfig = `{"config":{"User":"toor"}}`
