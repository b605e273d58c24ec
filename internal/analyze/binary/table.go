package binary

// programs is the table. Each form was taken from real binaries, most of them
// from the packages of four Debian releases (real_test.go), or stands where the
// program's own source prints its version; docs/analysers.md tells which of
// them could not be tried on a real binary.
var programs = []program{
	// Language runtimes.
	{files: []string{"node", "nodejs", "libnode"}, evidence: []evidence{
		{name: "node", literal: "nodejs.org/download/release/v", pattern: form(`nodejs\.org/download/release/v<V>/node-v`)},
		{name: "node", literal: "node.js/v", pattern: form(`node\.js/v<V>`)},
		{name: "node", literal: "v0.1", pattern: form(`\x00(?:node )?v(0\.1[0-2]\.\d{1,2})\x00`), alone: true},
	}},
	{files: []string{"deno"}, evidence: []evidence{
		{name: "deno", literal: "Deno/", pattern: form(`Deno/<V>(?:Deno/|\+[0-9a-f]{7})`)},
		{name: "deno", literal: "release/v", pattern: form(`deno-[0-9a-f]{40}<V>release/v`)},
		{name: "deno", literal: "release/v", pattern: form(`deno-[0-9a-f]{40}release/v<V>windows`)},
		{name: "deno", literal: "Deno/", pattern: form(`[^-]Deno/<V>`), alone: true},
	}},
	{files: []string{"bun"}, evidence: []evidence{
		{name: "bun", literal: "\x00Bun/", pattern: form(`\x00Bun/<V>\x00`)},
		{name: "bun", literal: "Bun v", pattern: form(`\nBun v<V>\nbun-\d`)},
		{name: "bun", literal: "--target=bun-v", pattern: form(`--target=bun-v<V>\n`)},
	}},
	{files: []string{"python", "libpython"}, evidence: []evidence{
		{name: "python", literal: "\x00%.80s (%.80s) %.80s\x00", pattern: form(`[^\d.]<P>\+?\x00%\.80s \(%\.80s\) %\.80s\x00`)},
		{name: "python", literal: "\x00<prefix>/", pattern: form(`[^\d.]<P>\+?\x00(?:[^\x00]{1,30}\x00)?<prefix>/(?:lib/)?pythonX\.X`)},
		{name: "python", literal: "\x00Python %s\n\x00", pattern: form(`[^\d.](2\.7\.\d{1,2})\+?\x00Python %s\n\x00`)},
		{name: "python", literal: "\x003.", pattern: form(`\x00<P>\+?\x00`), alone: true, named: true, also: "pythonX.X"},
		// Linkers keep one text that is the end of another only there: the
		// directory it was built or installed in, as pyenv does.
		{name: "python", literal: "/Python-", pattern: form(`/Python-<P>\x00`), alone: true, named: true, also: "pythonX.X"},
		{name: "python", literal: "/versions/", pattern: form(`/versions/<P>\x00`), alone: true, named: true, also: "pythonX.X"},
	}},
	{files: []string{"libpypy"}, evidence: []evidence{
		{name: "pypy", literal: "[PyPy ", pattern: form(`\[PyPy <V>`)},
	}},
	{files: []string{"ruby", "libruby"}, evidence: []evidence{
		{name: "ruby", literal: "ruby ", pattern: form(`\x00ruby (\d\.\d{1,2}\.\d{1,2}(?:preview\d|rc\d|dev)?)(?:p\d+)? \(20\d\d-`)},
	}},
	{files: []string{"php"}, evidence: php("php-cli")},
	{files: []string{"php-fpm"}, evidence: php("php-fpm")},
	{files: []string{"php-cgi"}, evidence: php("php-cgi")},
	{files: []string{"phpdbg"}, evidence: php("phpdbg")},
	{files: []string{"libphp"}, evidence: php("libphp")},
	{files: []string{"perl", "libperl"}, evidence: []evidence{
		{name: "perl", literal: "/perl", pattern: form(`/perl5?/(?:site_perl/|vendor_perl/)?(5\.\d{1,2}\.\d{1,2})[/\x00]`), alone: true},
		{name: "perl", literal: "\x00panic: sysconf: %s\x00", pattern: form(`\x00v(5\.\d{1,2}\.\d{1,2})\x00panic: sysconf: %s\x00`)},
	}},
	{files: []string{"libjvm"}, evidence: []evidence{
		{name: "openjdk", literal: "OpenJDK ", pattern: form(`OpenJDK (?:64-Bit |32-Bit |)(?:Server|Client|Minimal|Zero) VM \((\d{1,3}(?:\.\d{1,3}){0,4}\+\d{1,4})`)},
	}},
	{files: []string{"libjulia-internal", "libjulia"}, evidence: []evidence{
		{name: "julia", literal: "\x00branch\x00commit\x00", pattern: form(`[^\d.](\d\.\d{1,2}\.\d{1,2}(?:-(?:alpha|beta|rc)\d)?)\x00branch\x00commit\x00`)},
		{name: "julia", literal: "__init__\x00", pattern: form(`__init__\x00<V>\x00verify`)},
		{name: "julia", literal: "\x001.", pattern: form(`\x00<V>\x00`), alone: true, also: "julia"},
	}},
	{files: []string{"lua", "luac", "liblua"}, evidence: []evidence{
		{name: "lua", literal: "Lua 5.", pattern: form(`Lua (5\.\d\.\d)  ?Copyright \(C\) 1994-20`)},
	}},
	{files: []string{"luajit", "libluajit"}, evidence: []evidence{
		{name: "luajit", literal: "LuaJIT 2.", pattern: form(`LuaJIT (2\.\d\.[0-9][0-9a-z.-]{0,20})\x00`)},
	}},
	{files: []string{"beam.smp", "erlexec"}, evidence: []evidence{
		{name: "erlang", literal: "/otp", pattern: form(`/otp(?:_src_|-)(\d{2}(?:\.\d{1,3}){1,4}(?:-rc\d)?)/erts/`)},
		{name: "erlang", literal: "Erlang/OTP ", pattern: form(`Erlang/OTP \d\d%s \[erts-[^\x00]{1,200}\x00+(\d{2}(?:\.\d{1,3}){1,4}(?:-rc\d)?)\x00`)},
		{name: "erlang", literal: "Erlang/OTP ", pattern: form(`\x00(\d{2}(?:\.\d{1,3}){1,4}(?:-rc\d)?)\x00+Erlang/OTP \d\d%s`)},
	}},
	{files: []string{"dart"}, evidence: []evidence{
		{name: "dart", literal: " (stable) (", pattern: form(`\x00<V> \(stable\) \([A-Z][a-z]{2} `)},
		{name: "dart", literal: " (beta) (", pattern: form(`\x00(\d\.\d{1,2}\.\d{1,2}-\d{1,4}\.\d{1,2}\.beta) \(beta\) \([A-Z][a-z]{2} `)},
	}},
	{files: []string{"ghc"}, evidence: []evidence{
		{name: "ghc", literal: "\x00GHC ", pattern: form(`\x00GHC (\d{1,2}\.\d{1,2}\.\d{1,2})\x00`)},
		{name: "ghc", literal: "\x00libHSghc-", pattern: form(`\x00libHSghc-(\d{1,2}\.\d{1,2}\.\d{1,2})-(?:[a-zA-Z0-9]+-)?ghc\d`)},
	}},
	{files: []string{"swipl"}, evidence: []evidence{
		{name: "swipl", literal: "/swipl-", pattern: form(`/swipl-<V>/`), alone: true},
	}},
	{files: []string{"librustc_driver", "libstd"}, evidence: []evidence{
		{name: "rust", literal: "rustc version ", pattern: form(`rustc version (\d\.\d{1,3}\.\d{1,2}(?:-(?:nightly|beta)(?:\.\d{1,2})?)?)(?: \(|clang LLVM)`)},
	}},
	{files: []string{"gcc", "g++", "cc1", "cc1plus"}, evidence: []evidence{
		{name: "gcc", literal: "GCC: (GNU) ", pattern: form(`GCC: \(GNU\) <V>\x00`), alone: true},
	}},

	// Web servers and proxies.
	{files: []string{"nginx", "nginx-debug", "openresty"}, evidence: []evidence{
		{name: "nginx", literal: "nginx version: nginx/", pattern: form(`nginx version: nginx/<V>`)},
		{name: "openresty", literal: "nginx version: openresty/", pattern: form(`nginx version: openresty/<V4>`)},
	}},
	{files: []string{"httpd", "apache"}, evidence: []evidence{
		{name: "httpd", literal: "\x00Apache/2.", pattern: form(`\x00Apache/<V>[ \x00]`), alone: true},
	}},
	{files: []string{"haproxy"}, evidence: []evidence{
		{name: "haproxy", literal: ", released 20", pattern: form(`version (\d\.\d{1,2}(?:\.|-dev|-rc)\d{1,3})[^\x00,]{0,60}, released 20`)},
		{name: "haproxy", literal: "\x00HAProxy version", pattern: form(`\x00(\d\.\d{1,2}(?:\.|-dev|-rc)\d{1,3})(?:-[^\x00]{1,60})?\x00+HAProxy version`)},
		{name: "haproxy", literal: "HA-Proxy version ", pattern: form(`HA-Proxy version (\d\.\d{1,2}(?:\.|-dev)\d{1,3})`)},
		{name: "haproxy", literal: "\x00haproxy_", pattern: form(`\x00(\d\.\d{1,2}(?:\.|-dev|-rc)\d{1,3})(?:-[^\x00]{1,60})?\x00haproxy_`)},
	}},
	{files: []string{"varnishd", "libvarnishapi"}, evidence: []evidence{
		{name: "varnish", literal: "varnish-", pattern: form(`varnish-<V> revision [0-9a-f]{40}`)},
	}},
	{files: []string{"lighttpd"}, evidence: []evidence{
		{name: "lighttpd", literal: "lighttpd/1.", pattern: form(`\x00lighttpd/<V>\x00`), alone: true},
	}},
	{files: []string{"envoy"}, evidence: []evidence{
		{name: "envoy", literal: "\x001.", pattern: form(`\x00(1\.[1-9]\d\.\d{1,2}(?:-dev)?)\x00`), alone: true, also: "reloadable_features"},
	}},
	{files: []string{"squid"}, evidence: []evidence{
		{name: "squid", literal: "\x00squid/", pattern: form(`\x00squid/<W>\x00`)},
	}},
	{files: []string{"fluent-bit"}, evidence: []evidence{
		{name: "fluent-bit", literal: "Fluent", pattern: form(`\x00<V>\x00(?:\x1b\[1m\x00|\x00{0,7})(?:%s)?Fluent`)},
	}},

	// Databases and brokers.
	{files: []string{"redis-server", "redis-check-rdb", "redis-check-aof"}, evidence: inMemory("redis")},
	{files: []string{"valkey-server", "valkey-check-rdb", "valkey-check-aof"}, evidence: inMemory("valkey")},
	{files: []string{"memcached"}, evidence: []evidence{
		{name: "memcached", literal: "\x00memcached 1.", pattern: form(`\x00memcached <V>\n?\x00`), alone: true},
	}},
	{files: []string{"postgres"}, evidence: []evidence{
		{name: "postgresql", literal: "postgres (PostgreSQL) ", pattern: form(`postgres \(PostgreSQL\) (\d{1,2}(?:\.\d{1,2}){0,2}(?:(?:alpha|beta|rc)\d{1,2})?)[ \n]`)},
		{name: "postgresql", literal: "PostgreSQL ", pattern: form(`PostgreSQL (\d{1,2}(?:\.\d{1,2}){0,2}(?:(?:alpha|beta|rc)\d{1,2})?) (?:\([^)\x00]{1,60}\) )?on [a-z0-9_]{2,12}-`)},
	}},
	{files: []string{"mysqld", "mariadbd", "mysql", "mariadb"}, evidence: []evidence{
		{name: "mariadb", literal: "-MariaDB", pattern: form(`\x00<V>-MariaDB[^\x00]{0,80}\x00`)},
		{name: "mariadb", literal: "/mariadb-", pattern: form(`/mariadb-<V>[-/]`)},
		{name: "percona-xtradb-cluster", literal: "/Percona-XtraDB-Cluster-", pattern: form(`/Percona-XtraDB-Cluster-<V>`)},
		{name: "percona-server", literal: "/percona-server-", pattern: form(`/percona-server-(\d\.\d\.\d{1,2}(?:-\d{1,2})?)`)},
		{name: "mysql-cluster", literal: "/mysql-cluster-gpl-", pattern: form(`/mysql-cluster-gpl-<V>`)},
		{name: "mysql-cluster", literal: "-ndb-", pattern: form(`\x00\d\.\d\.\d{1,2}-ndb-<V>\x00`)},
		{name: "mysql", literal: "/mysql-", pattern: form(`/mysql-<V>(?:-[a-z]+)?/`)},
		{name: "mysql", literal: "mysql_real_esc", pattern: form(`\x00<V>\x00+mysql_real_esc`)},
	}},
	{files: []string{"mongod", "mongos"}, evidence: []evidence{
		{name: "mongodb", literal: "\x00tcmalloc", pattern: form(`[^\d.]<V>\x00+tcmalloc`), alone: true},
		{name: "mongodb", literal: "\x00heap_size", pattern: form(`[^\d.]<V>\x00+heap_size`), alone: true},
		{name: "mongodb", literal: "\x00cppdefines", pattern: form(`[^\d.]<V>\x00+cppdefines`), alone: true},
	}},
	{files: []string{"sqlite", "libsqlite"}, evidence: []evidence{
		{name: "sqlite", literal: "\x003.", pattern: form(`\x00(3\.\d{1,2}\.\d{1,2}(?:\.\d)?)\x00`), alone: true, also: "sqlite_master"},
	}},
	{files: []string{"xtrabackup"}, evidence: []evidence{
		{name: "percona-xtrabackup", literal: "/percona-xtrabackup-", pattern: form(`/percona-xtrabackup-(\d\.\d\.\d{1,2}(?:-\d{1,2})?)`)},
	}},
	{files: []string{"arangod", "arangosh"}, evidence: []evidence{
		{name: "arangodb", literal: " [linux]\x00", pattern: form(`\x00(\d\.\d{1,2}\.\d{1,2}(?:-\d)?) (?:enterprise )?\[linux\]\x00`)},
	}},
	{files: []string{"sqlcipher", "libsqlcipher"}, evidence: []evidence{
		{name: "sqlcipher", literal: "\x00community\x00", pattern: form(`\x00community\x00<V>\x00`)},
	}},
	{files: []string{"pgbouncer"}, evidence: []evidence{
		{name: "pgbouncer", literal: "\x00PgBouncer 1.", pattern: form(`\x00PgBouncer <V>\x00`)},
	}},
	{files: []string{"mosquitto"}, evidence: []evidence{
		{name: "mosquitto", literal: "\x00mosquitto version ", pattern: form(`\x00<V>\x00mosquitto version %s`)},
	}},

	// Shells, tools, init programs.
	{files: []string{"busybox"}, evidence: []evidence{
		{name: "busybox", literal: "BusyBox v", pattern: form(`\x00BusyBox v<V>`)},
	}},
	{files: []string{"toybox"}, evidence: []evidence{
		{name: "toybox", literal: "\x00--long\x00", pattern: form(`\x00--long\x00(0\.\d{1,2}\.\d{1,2})(?:-[^\x00]{0,40})?\x00`)},
	}},
	{files: []string{"bash"}, evidence: []evidence{
		{name: "bash", literal: "@(#)Bash version ", pattern: form(`@\(#\)Bash version <V>\(\d+\) [a-z0-9]+ GNU`)},
	}},
	{files: []string{"zsh"}, evidence: []evidence{
		{name: "zsh", literal: "\x00zsh %s (", pattern: form(`\x00(\d\.\d{1,2}(?:\.\d{1,2}){0,2})\x00zsh %s \(`)},
		{name: "zsh", literal: "/zsh/", pattern: form(`/zsh/(\d\.\d{1,2}(?:\.\d{1,2}){0,2})\x00`), alone: true},
	}},
	{files: []string{"curl", "libcurl", "libcurl-gnutls", "libcurl-nss"}, evidence: []evidence{
		{name: "curl", literal: "\x00curl/", pattern: form(`\x00curl/<V>\x00`)},
		{name: "curl", literal: "\x00libcurl/", pattern: form(`\x00libcurl/<V>\x00`)},
	}},
	{files: []string{"wget"}, evidence: []evidence{
		// zlib's version, 1.2 or 1.3, stands there too.
		{name: "wget", literal: "\x001.", pattern: form(`\x00(1\.\d{2}(?:\.\d{1,2})?)\x00`), alone: true, also: "GNU Wget"},
	}},
	{files: []string{"git"}, evidence: []evidence{
		{name: "git", literal: "git/", pattern: form(`git/(\d\.\d{1,2}\.\d{1,2}(?:\.\d{1,2})?(?:-rc\d)?)[^\x00/ ]{0,40}\x00`), alone: true},
	}},
	{files: []string{"sshd", "ssh", "sshd-session", "ssh-keygen", "ssh-agent"}, evidence: []evidence{
		{name: "openssh", literal: "\x00OpenSSH_", pattern: form(`\x00OpenSSH_(\d{1,2}\.\d{1,2}p\d)(?:[ -][^\x00*,]{0,60})?\x00`)},
	}},
	{files: []string{"gpg", "gpgv", "gpgsm"}, evidence: []evidence{
		{name: "gnupg", literal: "\x00GNU/Linux\x00", pattern: form(`\x00<V>\x00GNU/Linux\x00`)},
	}},
	{files: []string{"getopt", "mount"}, evidence: []evidence{
		{name: "util-linux", literal: "\x00util-linux ", pattern: form(`\x00util-linux (2\.\d{2}(?:\.\d{1,2})?)\x00`)},
	}},
	{files: []string{"rsync"}, evidence: []evidence{
		{name: "rsync", literal: "\x003.", pattern: form(`\x00(3\.\d{1,2}\.\d{1,2})\x00`), alone: true, also: "rsync"},
	}},
	{files: []string{"sudo"}, evidence: []evidence{
		{name: "sudo", literal: "Sudo version %s\n\x00", pattern: form(`Sudo version %s\n\x00(1\.\d{1,2}\.\d{1,2}(?:p\d{1,2})?)\x00`)},
	}},
	{files: []string{"jq"}, evidence: []evidence{
		{name: "jq", literal: "\x001.", pattern: form(`\x00(1\.\d{1,2}(?:\.\d)?(?:rc\d)?)\x00`), alone: true, also: "jq: error"},
	}},
	{files: []string{"gzip"}, evidence: []evidence{
		{name: "gzip", literal: "\x001.", pattern: form(`\x00(1\.\d{1,2})\x00`), alone: true, also: "GZIP"},
	}},
	{files: []string{"zstd"}, evidence: []evidence{
		{name: "zstd", literal: "\x00v1.", pattern: form(`\x00v<V>\x00`), alone: true},
	}},
	{files: []string{"xz"}, evidence: []evidence{
		{name: "xz", literal: "\x00xz (XZ Utils) ", pattern: form(`\x00xz \(XZ Utils\) (5\.\d{1,2}\.\d{1,2}(?:alpha|beta)?)\x00`)},
	}},
	{files: []string{"tini", "tini-static", "docker-init", "tini-muslc-static"}, evidence: []evidence{
		{name: "tini", literal: "tini version ", pattern: form(`tini version <V>`)},
	}},
	{files: []string{"ffmpeg", "ffprobe", "ffplay", "libavcodec", "libavformat", "libavutil", "libavfilter", "libavdevice", "libswresample", "libswscale"}, evidence: []evidence{
		{name: "ffmpeg", literal: "%s version ", pattern: form(`%s version n?<W>[^\x00]{0,60}\x00`)},
		{name: "ffmpeg", literal: "%s version %s\x00", pattern: form(`\x00n?<W>[^\x00]{0,40}\x00%s version %s\x00`)},
		{name: "ffmpeg", literal: "FFmpeg version ", pattern: form(`FFmpeg version n?<W>[^\x00]{0,60}\x00`)},
	}},
	{files: []string{"magick", "libMagickCore"}, evidence: []evidence{
		{name: "imagemagick", literal: "ImageMagick ", pattern: form(`ImageMagick (\d\.\d{1,2}\.\d{1,2}-\d{1,3}) `)},
	}},
	{files: []string{"gs", "libgs"}, evidence: []evidence{
		{name: "ghostscript", literal: "/ghostscript/", pattern: form(`/ghostscript/(\d{1,2}\.\d{1,2}(?:\.\d)?)/Resource/`), alone: true},
	}},
	{files: []string{"dumb-init"}, evidence: []evidence{
		{name: "dumb-init", literal: "\x001.", pattern: form(`\x00<V>\n\x00`), alone: true, also: "dumb-init v"},
	}},
	{files: []string{"chrome", "chromium", "headless_shell", "chrome-headless-shell"}, evidence: []evidence{
		{name: "chrome", literal: "\x00Default\x00", pattern: form(`\x00(\d{2,3}\.0\.\d{4}\.\d{1,3})\x00(?:chrome\x00)?Default\x00`)},
	}},

	// Servers of the network.
	{files: []string{"unbound"}, evidence: []evidence{
		{name: "unbound", literal: "\x00unbound 1.", pattern: form(`\x00unbound <V>\x00`), alone: true},
	}},
	{files: []string{"dnsmasq"}, evidence: []evidence{
		{name: "dnsmasq", literal: "\x00dnsmasq-2.", pattern: form(`\x00dnsmasq-(2\.\d{1,3}(?:(?:test|rc)\d{1,2})?)\x00`)},
	}},
	{files: []string{"stunnel"}, evidence: []evidence{
		{name: "stunnel", literal: "\x00stunnel 5.", pattern: form(`\x00stunnel (5\.\d{1,2}) on `)},
	}},
	{files: []string{"proftpd"}, evidence: []evidence{
		{name: "proftpd", literal: "\x00ProFTPD Version ", pattern: form(`\x00ProFTPD Version (\d\.\d{1,2}\.\d{1,2}[a-z]?(?:rc\d)?)\x00`)},
	}},
	{files: []string{"slapd", "ldapsearch"}, evidence: []evidence{
		{name: "openldap", literal: "$OpenLDAP: ", pattern: form(`\$OpenLDAP: (?:slapd|ldapsearch) <V>`)},
	}},
	{files: []string{"exim"}, evidence: []evidence{
		{name: "exim", literal: "\x00<<eximversion>>", pattern: form(`\x00(4\.\d{1,3}(?:\.\d)?)\x00<<eximversion>>`)},
	}},

	// Libraries that programs are shipped with.
	{files: []string{"openssl", "libcrypto", "libssl"}, evidence: []evidence{
		{name: "openssl", literal: "OpenSSL ", pattern: form(`OpenSSL (\d\.\d{1,2}\.\d{1,2}[a-z]{0,2}(?:-(?:alpha|beta|pre)\d{1,2})?)(?:-fips|-dev)? +\d{1,2} [A-Z][a-z]{2} \d{4}`)},
		{name: "aws-lc", literal: "AWS-LC ", pattern: form(`OpenSSL \d\.\d\.\d \(compatible; AWS-LC <V>\)`)},
		{name: "libressl", literal: "LibreSSL ", pattern: form(`\x00LibreSSL <V>\x00`)},
	}},
	{files: []string{"libgnutls"}, evidence: []evidence{
		{name: "gnutls", literal: "\x00GNUTLS_", pattern: form(`\x00(3\.\d{1,2}\.\d{1,2})\x00GNUTLS_`)},
		{name: "gnutls", literal: "\x003.", pattern: form(`\x00(3\.\d{1,2}\.\d{1,2})\x00`), alone: true},
	}},
	{files: []string{"liblzma"}, evidence: []evidence{
		{name: "xz", literal: "\x005.", pattern: form(`\x00(5\.\d{1,2}\.\d{1,2}(?:alpha|beta)?)\x00`), alone: true},
	}},
	{files: []string{"libkrb"}, evidence: []evidence{
		{name: "krb5", literal: "KRB5_BRAND: krb5-", pattern: form(`KRB5_BRAND: krb5-(1\.\d{1,2}(?:\.\d{1,2})?)-final`)},
		{name: "heimdal", literal: "Heimdal ", pattern: form(`\$Version: Heimdal <V> \$`)},
	}},
	{files: []string{"libQt5Core", "libQt6Core", "libQtCore"}, evidence: []evidence{
		{name: "qtbase", literal: "\x00Qt ", pattern: form(`\x00Qt (\d\.\d{1,2}\.\d{1,2}) \([a-z0-9_]+-`)},
		{name: "qtbase", literal: "QtCore library version ", pattern: form(`QtCore library version <V>\n`)},
	}},
	{files: []string{"libz"}, evidence: []evidence{
		{name: "zlib", literal: " deflate 1.", pattern: form(` deflate (1\.\d{1,2}(?:\.\d{1,2}){0,2}) Copyright 1995-20`)},
	}},
	{files: []string{"libexpat"}, evidence: []evidence{
		{name: "expat", literal: "\x00expat_2.", pattern: form(`\x00expat_<V>\x00`)},
	}},
	{files: []string{"libc", "ld-musl"}, evidence: []evidence{
		{name: "glibc", literal: "GNU C Library (", pattern: form(`GNU C Library \([^\x00)]{1,80}\) (?:stable|development) release version (2\.\d{1,3}(?:\.\d{1,4})?)`)},
		{name: "musl", literal: "\x001.", pattern: form(`\x00(1\.\d\.\d{1,2})\x00`), alone: true, also: "musl libc ("},
	}},

	// Scripts and text files.
	{files: []string{"release"}, text: true, evidence: []evidence{
		{name: "graalvm", literal: "GRAALVM_VERSION=", pattern: form(`(?:^|\n)GRAALVM_VERSION="?(\d{2}(?:\.\d{1,3}){1,4})"?\s`)},
		{name: "openjdk", literal: "JAVA_RUNTIME_VERSION=", pattern: form(`(?:^|\n)JAVA_RUNTIME_VERSION="(\d{1,3}(?:\.\d{1,3}){0,4}\+\d{1,4})[^\n]{0,60}"`)},
		{name: "openjdk", literal: "JAVA_VERSION=", pattern: form(`(?:^|\n)JAVA_VERSION="(1\.\d\.\d(?:_\d{1,3})?|\d{1,3}(?:\.\d{1,3}){0,4})"`)},
	}},
	{files: []string{"OTP_VERSION"}, text: true, evidence: []evidence{
		{name: "erlang", literal: ".", pattern: form(`^(\d{2}(?:\.\d{1,3}){1,4}(?:-rc\d)?)\s*$`)},
	}},
}

// php is the evidence of PHP under one of its server interfaces.
func php(name string) []evidence {
	return []evidence{{name: name, literal: "X-Powered-By: PHP/",
		pattern: form(`\x00X-Powered-By: PHP/(\d\.\d{1,2}\.\d{1,2}(?:(?:alpha|beta|RC)\d)?)[^\x00\r\n]{0,60}\x00`)}}
}

// inMemory is the evidence of Redis and what descends from it: the version
// stands in INFO beside the way atomics are done, and begins the build id, which
// ends with the time in nanoseconds.
func inMemory(name string) []evidence {
	return []evidence{
		{name: name, literal: "-builtin\x00", pattern: form(`[^\d.]<V>\x00(?:[\d.]{1,12}\x00){0,2}(?:c11|atomic|sync)-builtin\x00`)},
		{name: name, literal: "000000000", pattern: form(`[^\d.](\d\.\d{1,2}\.\d{1,2}?)(?:[0-9a-f]{12}|[a-zA-Z][a-zA-Z0-9_.]{0,60})-1\d{9}0{9}`)},
		{name: name, literal: "000000000", pattern: form(`[^\d.](\d\.\d{1,2}\.\d{1,2}?)1[4-9]\d{8}0{9,}\x00`)},
		{name: name, literal: "\x00shutdown_in_milliseconds", pattern: form(`\x00<V>\x00(?:[\da-z.-]{1,16}\x00){1,3}shutdown_in_milliseconds`)},
		{name: name, literal: "edis version ", pattern: form(`Redis version <V>`)},
	}
}
