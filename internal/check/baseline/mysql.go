package baseline

import (
	"strings"
)

// mysqlValues are options of my.cnf whose value is kept; others are known by
// name only.
var mysqlValues = set("user", "port", "socket", "datadir", "bind-address", "skip-networking", "skip-name-resolve", "local-infile",
	"secure-file-priv", "skip-grant-tables", "skip-show-database", "symbolic-links", "skip-symbolic-links", "log-error", "log-raw",
	"log-bin", "general-log", "slow-query-log", "old-passwords", "secure-auth", "require-secure-transport", "tls-version", "ssl-ca",
	"ssl-cert", "have-ssl", "max-connect-errors", "max-connections", "default-authentication-plugin", "authentication-policy",
	"default-password-lifetime", "password-history", "password-reuse-interval", "allow-suspicious-udfs", "sql-mode", "sql-safe-updates",
	"expire-logs-days", "binlog-expire-logs-seconds", "validate-password", "validate-password-policy", "validate-password.policy",
	"validate-password-length", "validate-password.length", "plugin-load-add", "automatic-sp-privileges", "safe-user-create",
	"mysqlx", "admin-address", "audit-log", "server-audit-logging", "init-connect-check", "wait-timeout", "interactive-timeout", "chroot")

// parseMySQL reads option files of MySQL and MariaDB: sections, "_" for "-" in
// names, "!include" and "!includedir", whose path is the only argument.
func parseMySQL(b []byte) ([]Directive, error) {
	out, err := parseINI(b, func(d *Directive, value string) {
		if name, path, ok := cutInclude(d.Name, value); ok {
			d.Name, d.Args = name, []string{clip(path)}
			return
		}
		d.Name = strings.TrimPrefix(strings.ReplaceAll(d.Name, "_", "-"), "loose-")
		if i := strings.IndexByte(value, '#'); i > 0 && (value[i-1] == ' ' || value[i-1] == '\t') {
			value = unquote(strings.TrimSpace(value[:i]))
		}
		switch {
		case d.Name == "password" || strings.HasSuffix(d.Name, "-password"):
			d.State = secretState(value)
		case mysqlValues[d.Name] && value != "":
			d.Args = []string{clip(value)}
		}
	})
	return out, err
}

func cutInclude(name, value string) (directive, path string, ok bool) {
	for _, d := range []string{"!includedir", "!include"} {
		if rest, ok := strings.CutPrefix(name, d+" "); ok {
			return d, strings.TrimSpace(rest), true
		}
	}
	return "", "", false
}
