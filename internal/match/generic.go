package match

import (
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

// genericNames are the names under which Bitnami's advisories, which follow the
// versions of the authors, know the programs that package binary finds, and
// WordPress. A program without a line here has no advisories: OSV writes none for
// programs that come from no package manager.
//
// MySQL is left out: what Bitnami calls mysql-client has MariaDB's advisories.
var genericNames = map[string]string{
	"alertmanager": "alertmanager", "argo-cd": "argo-cd", "consul": "consul", "docker-cli": "docker-cli",
	"envoy": "envoy", "etcd": "etcd", "fluent-bit": "fluent-bit", "git": "git", "gitea": "gitea",
	"gitlab-runner": "gitlab-runner", "grafana": "grafana", "haproxy": "haproxy", "helm": "helm",
	"httpd": "apache", "influxdb": "influxdb", "libphp": "libphp", "lua": "lua", "mariadb": "mariadb",
	"memcached": "memcached", "minio": "minio", "mongodb": "mongodb", "nats-server": "nats", "nginx": "nginx",
	"node": "node", "openjdk": "java", "openresty": "openresty", "pgbouncer": "pgbouncer",
	"php-cgi": "php", "php-cli": "php", "php-fpm": "php", "phpdbg": "php", "postgresql": "postgresql",
	"prometheus": "prometheus", "python": "python", "rclone": "rclone", "redis": "redis", "ruby": "ruby",
	"sqlite": "sqlite", "valkey": "valkey", "varnish": "varnish", "vault": "vault", "wordpress": "wordpress",
}

// genericLookups are the places where the advisories of a program stand that no
// package manager installed.
func genericLookups(p report.Package) []lookup {
	name := genericNames[p.Name]
	if name == "" || name == "java" && !comparableJava(p.Version) {
		return nil
	}
	return []lookup{{"Bitnami", name, p.Version}}
}

// comparableJava reports whether the advisories count as v does: "17.0.2+8".
// They write 8.0.402 for what calls itself 1.8.0_402, and for that line mix in
// what Oracle alone ships.
func comparableJava(v string) bool {
	major, _, _ := strings.Cut(v, ".")
	major, _, _ = strings.Cut(major, "+")
	n, err := strconv.Atoi(major)
	return err == nil && n >= 9
}

// maxUncovered is how many programs a warning names.
const maxUncovered = 10

// uncovered names the programs for which no advisories are written.
func uncovered(pkgs []report.Package) (names []string, more int) {
	for _, p := range pkgs {
		if p.Type == report.TypeGeneric && !p.Declared && p.OwnedBy == "" && len(genericLookups(p)) == 0 {
			names = append(names, p.Name+" "+p.Version)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if more = len(names) - maxUncovered; more > 0 {
		return names[:maxUncovered], more
	}
	return names, 0
}
