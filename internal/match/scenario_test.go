package match

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/test/vunnel"
)

// A scenarioFinding is a finding by what its record says: its CVEs, or its id
// if it has none.
type scenarioFinding struct{ About, Fix, State string }

type scenarioCase struct {
	distro  report.Distro
	typ     string
	name    string
	version string
	source  string
	module  string
	// want in the order of About; none if the package has no vulnerability.
	want []scenarioFinding
}

func fixedIn(about, version string) scenarioFinding {
	return scenarioFinding{about, version, report.FixAvailable}
}
func open(about string) scenarioFinding  { return scenarioFinding{about, "", report.FixNone} }
func never(about string) scenarioFinding { return scenarioFinding{about, "", report.FixWont} }

// outside are scenarios without a table, and why.
var outside = map[string]string{
	"gobin-httpclient":       "the source of a Go program: test/fixture and package gobinary have built programs",
	"gobin-httpserver":       "the source of a Go program",
	"gobin-xnet-html":        "the source of a Go program",
	"gobin-xnet-http2server": "the source of a Go program",
	"Makefile":               "builds those programs",
	"oracle-java-se":         "its one record is NVD's and names products by CPE: Onceover does not match by CPE",
}

var (
	alpine318 = report.Distro{ID: "alpine", VersionID: "3.18.9"}
	wolfi     = report.Distro{ID: "wolfi", VersionID: "20230201"}
	debian12  = report.Distro{ID: "debian", VersionID: "12"}
	rhel      = func(v string) report.Distro { return report.Distro{ID: "rhel", VersionID: v} }
	eus       = func(v string) report.Distro { return report.Distro{ID: "rhel", VersionID: v, Stream: "eus"} }
	ubuntu    = func(v string) report.Distro { return report.Distro{ID: "ubuntu", VersionID: v} }
	sles      = func(v string) report.Distro { return report.Distro{ID: "sles", VersionID: v} }
)

var scenarios = map[string][]scenarioCase{
	"alpine318": {
		// The record of openssl gives one fix, 3.1.4-r5.
		{distro: alpine318, typ: "apk", name: "libcrypto3", source: "openssl", version: "3.1.4-r4", want: []scenarioFinding{fixedIn("CVE-2024-0727", "3.1.4-r5")}},
		{distro: alpine318, typ: "apk", name: "libcrypto3", source: "openssl", version: "3.1.4-r5"},
		// "0" in Alpine's database: the package never had it; dhcp had.
		{distro: alpine318, typ: "apk", name: "bind", version: "9.18.0-r0"},
		{distro: alpine318, typ: "apk", name: "dhcp", version: "4.4.0-r9", want: []scenarioFinding{fixedIn("CVE-2019-6470", "4.4.1-r0")}},
		// Another release has no records here.
		{distro: report.Distro{ID: "alpine", VersionID: "3.19.1"}, typ: "apk", name: "openssl", version: "3.1.4-r4"},
	},
	"chainguard-rolling": {
		// One record about packages of both distributions, with a fix each.
		{distro: report.Distro{ID: "chainguard"}, typ: "apk", name: "langfuse-3-worker", version: "3.152.0-r0", want: []scenarioFinding{fixedIn("CVE-2026-24398", "3.153.0-r0")}},
		{distro: report.Distro{ID: "chainguard"}, typ: "apk", name: "langfuse-fips-3-worker", version: "3.152.0-r0"},
		{distro: wolfi, typ: "apk", name: "langfuse-3-worker", version: "3.152.9-r0", want: []scenarioFinding{fixedIn("CVE-2026-24398", "3.153.0-r0")}},
		// Wolfi's entries do not have the FIPS build.
		{distro: wolfi, typ: "apk", name: "langfuse-fips-3-worker", version: "3.100.0-r0"},
	},
	"wolfi-rolling": {
		{distro: wolfi, typ: "apk", name: "openssl", version: "3.2.0-r9", want: []scenarioFinding{fixedIn("CVE-2024-0727", "3.2.1-r0")}},
		{distro: wolfi, typ: "apk", name: "openssl", version: "3.2.1-r0"},
		{distro: wolfi, typ: "apk", name: "apicurio-registry", version: "3.0.5-r0", want: []scenarioFinding{fixedIn("CVE-2024-47535", "3.0.6-r1")}},
		// Wolfi has looked, and says with "0" that it is not there.
		{distro: wolfi, typ: "apk", name: "apache-nifi", version: "1.0-r0"},
	},
	"rootio-alpine-318": {
		// root.io's build before and after its fix.
		{distro: alpine318, typ: "apk", name: "rootio-wget", version: "1.21.4-r00070", want: []scenarioFinding{fixedIn("CVE-2024-10524", "1.21.4-r00071")}},
		{distro: alpine318, typ: "apk", name: "rootio-wget", version: "1.21.4-r00071"},
		{distro: alpine318, typ: "apk", name: "rootio-libuv", version: "1.44.2-r20070", want: []scenarioFinding{fixedIn("CVE-2024-24806", "1.44.2-r20071")}},
		// Alpine's own package: root.io's records are not about it.
		{distro: alpine318, typ: "apk", name: "wget", version: "1.21.4-r0"},
		// root.io says nothing of openssl: Alpine's record counts for its build too.
		{distro: alpine318, typ: "apk", name: "rootio-openssl", version: "3.1.4-r4", want: []scenarioFinding{fixedIn("CVE-2024-0727", "3.1.4-r5")}},
	},
	"rootio-debian-12": {
		// Debian mends postgresql-15 in 15.15, root.io puts the fix into
		// 15.14: the number is lower, and the fix is in.
		{distro: debian12, typ: "deb", name: "rootio-postgresql-15", version: "15.14-0+deb12u1.root.io.6"},
		{distro: debian12, typ: "deb", name: "rootio-postgresql-15", version: "15.14-0+deb12u1.root.io.5", want: []scenarioFinding{fixedIn("CVE-2025-12817", "15.14-0+deb12u1.root.io.6")}},
		{distro: debian12, typ: "deb", name: "postgresql-15", version: "15.14-0+deb12u1", want: []scenarioFinding{fixedIn("CVE-2025-12817", "15.15-0+deb12u1")}},
		{distro: debian12, typ: "deb", name: "rootio-jq", version: "1.6-2.1.root.io.2"},
		{distro: debian12, typ: "deb", name: "rootio-jq", version: "1.6-2.1.root.io.1", want: []scenarioFinding{fixedIn("CVE-2025-48060", "1.6-2.1.root.io.2")}},
		{distro: debian12, typ: "deb", name: "jq", version: "1.6-2.1", want: []scenarioFinding{fixedIn("CVE-2025-48060", "1.6-2.1+deb12u1")}},
		// The name is Debian's, the version root.io's.
		{distro: debian12, typ: "deb", name: "libpq5", source: "postgresql-15", version: "15.14-0+deb12u1.root.io.6"},
	},
	"rootio-ubuntu-2204": {
		// Ubuntu has no fix, root.io has; the first of its builds counts.
		{distro: ubuntu("22.04"), typ: "deb", name: "patch", version: "2.7.6-7build2", want: []scenarioFinding{open("CVE-2018-6952")}},
		{distro: ubuntu("22.04"), typ: "deb", name: "rootio-patch", version: "2.7.6-7build2.root.io.1"},
		{distro: ubuntu("22.04"), typ: "deb", name: "rootio-libgcrypt20", version: "1.9.4-3ubuntu3.root.io.2"},
		{distro: ubuntu("22.04"), typ: "deb", name: "rootio-binutils", version: "2.38-4ubuntu2.12.root.io.0", want: []scenarioFinding{fixedIn("CVE-2025-1180", "2.38-4ubuntu2.12.root.io.1")}},
		// Ubuntu's fix is 2.4's next, 2.5; root.io's 2.4 has it.
		{distro: ubuntu("22.04"), typ: "deb", name: "rootio-gnupg2", version: "2.2.27-3ubuntu2.4.root.io.1"},
		{distro: ubuntu("22.04"), typ: "deb", name: "gnupg2", version: "2.2.27-3ubuntu2.4", want: []scenarioFinding{fixedIn("CVE-2025-68973", "2.2.27-3ubuntu2.5")}},
	},
	"bitnami": {
		{typ: "bitnami", name: "apache", version: "2.4.43", want: []scenarioFinding{fixedIn("CVE-2020-11984", "2.4.44")}},
		{typ: "bitnami", name: "apache", version: "2.4.10", want: []scenarioFinding{fixedIn("CVE-2020-11985", "2.4.24")}},
		// Between the two ranges, and on both borders of the second.
		{typ: "bitnami", name: "node", version: "13.0.0"},
		{typ: "bitnami", name: "node", version: "14.0.0", want: []scenarioFinding{fixedIn("CVE-2020-8201", "14.11.0")}},
		{typ: "bitnami", name: "node", version: "14.11.0"},
		// A revision of Bitnami's own is of the same release.
		{typ: "bitnami", name: "spark", version: "3.2.1-4", want: []scenarioFinding{fixedIn("CVE-2022-31777", "3.2.2"), fixedIn("CVE-2023-22946", "3.4.0")}},
		{typ: "bitnami", name: "spark", version: "3.3.1", want: []scenarioFinding{fixedIn("CVE-2023-22946", "3.4.0")}},
	},
	"eol-debian8": {
		{distro: report.Distro{ID: "debian", VersionID: "8"}, typ: "deb", name: "gzip", version: "1.3.5-5", want: []scenarioFinding{fixedIn("CVE-1999-1332", "1.3.5-6")}},
		{distro: report.Distro{ID: "debian", VersionID: "8"}, typ: "deb", name: "gzip", version: "1.6-4"},
	},
	"ubuntu-esm": {
		{distro: ubuntu("20.04"), typ: "deb", name: "libwayland", source: "wayland", version: "1.18.0-1", want: []scenarioFinding{fixedIn("CVE-2021-3782", "1.18.0-1ubuntu0.1")}},
		// No fix for everyone; who has none of Pro's builds gets none.
		{distro: ubuntu("16.04"), typ: "deb", name: "libwayland", source: "wayland", version: "1.12.0-1~ubuntu16.04.3", want: []scenarioFinding{open("CVE-2021-3782")}},
		// Pro's build has it, although the release as a whole is open.
		{distro: ubuntu("16.04"), typ: "deb", name: "libwayland", source: "wayland", version: "1.12.0-1~ubuntu16.04.3+esm1"},
		{distro: ubuntu("16.04"), typ: "deb", name: "curl", version: "7.47.0-1ubuntu2.19+esm9", want: []scenarioFinding{open("CVE-2016-9586")}},
		// Two fixes, one later than the other.
		{distro: ubuntu("20.04"), typ: "deb", name: "openssh-server", source: "openssh", version: "1:8.2p1-4ubuntu0.13+esm1", want: []scenarioFinding{fixedIn("CVE-2023-38408", "1:8.2p1-4ubuntu0.20+esm1")}},
		{distro: ubuntu("20.04"), typ: "deb", name: "openssh-server", source: "openssh", version: "1:8.2p1-4ubuntu0.20+esm1"},
		{distro: ubuntu("20.04"), typ: "deb", name: "openssh-server", source: "openssh", version: "1:8.2p1-4ubuntu0.11", want: []scenarioFinding{open("CVE-2023-38408"), open("CVE-2025-61985")}},
	},
	"govulndb-and-ghsa": {
		// Two databases about one vulnerability are one finding. Go's own
		// record has no end, GitHub's has.
		{typ: "golang", name: "github.com/aws/aws-sdk-go", version: "v1.33.0", want: []scenarioFinding{fixedIn("CVE-2020-8912", "1.34.0")}},
		{typ: "golang", name: "github.com/aws/aws-sdk-go", version: "v1.34.0", want: []scenarioFinding{open("CVE-2020-8912")}},
		// One record of Go's stands for two CVEs, each of which has one of
		// GitHub's.
		{typ: "golang", name: "github.com/tidwall/gjson", version: "v1.9.2", want: []scenarioFinding{fixedIn("CVE-2021-42248 CVE-2021-42836", "1.9.3")}},
		{typ: "golang", name: "github.com/tidwall/gjson", version: "v1.9.3"},
		{typ: "golang", name: "golang.org/x/net", version: "v0.0.0-20220826154423-83b083e8dc8b", want: []scenarioFinding{fixedIn("CVE-2022-27664", "0.0.0-20220906165146-f3363e06e74c")}},
		{typ: "golang", name: "golang.org/x/net", version: "v0.7.0"},
		{typ: "golang", name: "github.com/evanphx/json-patch", version: "v0.5.1", want: []scenarioFinding{fixedIn("CVE-2018-14632", "0.5.2")}},
		{typ: "golang", name: "github.com/evanphx/json-patch", version: "v4.12.0+incompatible"},
		{typ: "golang", name: "github.com/redis/go-redis/v9", version: "v9.5.3", want: []scenarioFinding{fixedIn("CVE-2025-29923", "9.5.5")}},
		// GitHub's second interval begins at 9.6.0b1, which is no version of
		// Go; Go's record begins it at 0, so 9.5.5 has it, by that record.
		{typ: "golang", name: "github.com/redis/go-redis/v9", version: "v9.5.5", want: []scenarioFinding{fixedIn("CVE-2025-29923", "9.6.3")}},
		{typ: "golang", name: "github.com/redis/go-redis/v9", version: "v9.6.3"},
		{typ: "golang", name: "stdlib", version: "go1.20.4", want: []scenarioFinding{fixedIn("CVE-2023-29403", "1.20.5")}},
	},
	"govulndb-go": {
		// 1.19.0 is in the second interval, 1.18.6 between the two.
		{typ: "golang", name: "stdlib", version: "go1.19.0", want: []scenarioFinding{fixedIn("CVE-2022-27664", "1.19.1"), fixedIn("CVE-2023-29403", "1.19.10")}},
		{typ: "golang", name: "stdlib", version: "go1.18.6", want: []scenarioFinding{fixedIn("CVE-2023-29403", "1.19.10")}},
		{typ: "golang", name: "stdlib", version: "go1.20.5"},
		// The toolchain is another module: its records are not about what it
		// has built.
		{typ: "golang", name: "toolchain", version: "go1.20.4", want: []scenarioFinding{
			fixedIn("CVE-2023-29402", "1.20.5"), fixedIn("CVE-2023-29404", "1.20.5"), fixedIn("CVE-2023-29405", "1.20.5")}},
	},
	"istio-and-stdlib": {
		{typ: "golang", name: "istio.io/istio", version: "v0.0.0-20260101000000-0123456789ab", want: []scenarioFinding{fixedIn("CVE-2026-41413", "0.0.0-20260410004459-189832a289c1")}},
		// A release is above every pseudo-version of 0.0.0.
		{typ: "golang", name: "istio.io/istio", version: "v1.20.0"},
		// CVE-2022-27664 of the standard library is known here by CPE alone.
		{typ: "golang", name: "stdlib", version: "go1.18.5"},
	},
	"h2-and-vex": {
		{typ: "maven", name: "com.h2database:h2", version: "1.4.200", want: []scenarioFinding{
			fixedIn("CVE-2021-42392", "2.0.206"), fixedIn("CVE-2022-23221", "2.1.210"), fixedIn("CVE-2022-45868", "2.2.220")}},
		// Chainguard's builds of 1.4.200, each with one fix more.
		{typ: "maven", name: "com.h2database:h2", version: "1.4.200-0.cgr.1", want: []scenarioFinding{fixedIn("CVE-2022-23221", "2.1.210"), fixedIn("CVE-2022-45868", "2.2.220")}},
		{typ: "maven", name: "com.h2database:h2", version: "1.4.200-0.cgr.2", want: []scenarioFinding{fixedIn("CVE-2022-45868", "2.2.220")}},
		{typ: "maven", name: "com.h2database:h2", version: "1.4.200-0.cgr.3"},
	},
	"spring-core-and-vex": {
		{typ: "maven", name: "org.springframework:spring-core", version: "5.3.39", want: []scenarioFinding{open("CVE-2025-41249")}},
		{typ: "maven", name: "org.springframework:spring-core", version: "5.3.39-0.cgr.4"},
		{typ: "maven", name: "org.springframework:spring-core", version: "5.3.39-0.cgr.3", want: []scenarioFinding{open("CVE-2025-41249")}},
	},
	"spring-security-and-vex": {
		{typ: "maven", name: "org.springframework.security:spring-security-web", version: "5.8.16", want: []scenarioFinding{open("CVE-2026-22732")}},
		{typ: "maven", name: "org.springframework.security:spring-security-web", version: "5.8.16-0.cgr.1"},
	},
	"spring-webmvc": {
		// "<= 6.1.21" without a fix in that line: a later line has one.
		{typ: "maven", name: "org.springframework:spring-webmvc", version: "5.3.25", want: []scenarioFinding{fixedIn("CVE-2023-20860", "5.3.26"), open("CVE-2025-41242")}},
		{typ: "maven", name: "org.springframework:spring-webmvc", version: "6.2.10"},
		{typ: "maven", name: "org.springframework:spring-webmvc", version: "6.2.9", want: []scenarioFinding{fixedIn("CVE-2025-41242", "6.2.10")}},
	},
	"rootio-maven": {
		{typ: "maven", name: "io.root.org.springframework:spring-core", version: "5.3.40-root.io.1"},
		{typ: "maven", name: "org.springframework:spring-core", version: "5.3.40", want: []scenarioFinding{open("CVE-2025-41249")}},
		{typ: "maven", name: "org.springframework:spring-core", version: "6.2.10", want: []scenarioFinding{fixedIn("CVE-2025-41249", "6.2.11")}},
	},
	"python-name-and-vex": {
		// Names are compared by PEP 503, as the analysers write them.
		{typ: "pypi", name: "oslo-utils", version: "0.1.9", want: []scenarioFinding{fixedIn("CVE-2014-7231", "0.2.0")}},
		{typ: "pypi", name: "django", version: "1.3.1", want: []scenarioFinding{open("CVE-2011-4140")}},
		{typ: "pypi", name: "django", version: "1.2.8"},
		{typ: "pypi", name: "certifi", version: "2020.12.5", want: []scenarioFinding{fixedIn("CVE-2023-37920", "2023.7.22")}},
		{typ: "pypi", name: "certifi", version: "2020.12.5+cgr.1"},
	},
	"rootio-pypi": {
		{typ: "pypi", name: "rootio-apache-airflow-providers-google", version: "8.1.0+root.io.1"},
		{typ: "pypi", name: "apache-airflow-providers-google", version: "8.1.0", want: []scenarioFinding{fixedIn("CVE-2023-25691", "8.10.0")}},
		{typ: "pypi", name: "rootio-langgraph-checkpoint", version: "2.1.0+root.io.1"},
		{typ: "pypi", name: "langgraph-checkpoint", version: "2.1.0+root.io.1"},
		{typ: "pypi", name: "langgraph-checkpoint", version: "2.1.0", want: []scenarioFinding{fixedIn("CVE-2025-64439", "3.0.0")}},
	},
	"npm-scope-handling": {
		// A scope is part of the name: request and @octokit/request are two.
		{typ: "npm", name: "request", version: "2.60.0", want: []scenarioFinding{fixedIn("CVE-2017-16026", "2.68.0")}},
		// The older range ends at 2.47.0, which is not vulnerable; that the
		// record calls 2.68.0 the fix of it too is not kept.
		{typ: "npm", name: "request", version: "2.2.6", want: []scenarioFinding{fixedIn("CVE-2017-16026", "2.47.0")}},
		{typ: "npm", name: "request", version: "8.4.0"},
		{typ: "npm", name: "@octokit/request", version: "8.4.0", want: []scenarioFinding{fixedIn("CVE-2025-25290", "8.4.1")}},
		{typ: "npm", name: "@octokit/request", version: "2.60.0", want: []scenarioFinding{fixedIn("CVE-2025-25290", "8.4.1")}},
		{typ: "npm", name: "@babel/traverse", version: "8.0.0-alpha.3", want: []scenarioFinding{fixedIn("CVE-2023-45133", "8.0.0-alpha.4")}},
		{typ: "npm", name: "@babel/traverse", version: "7.23.2"},
	},
	"rootio-npm": {
		{typ: "npm", name: "@rootio/json-schema", version: "0.2.3-root.io.1"},
		{typ: "npm", name: "json-schema", version: "0.2.3", want: []scenarioFinding{fixedIn("CVE-2021-3918", "0.4.0")}},
		{typ: "npm", name: "@rootio/http-cache-semantics", version: "3.8.1-root.io.1"},
		// An alias of npm: the name is the project's, the version root.io's.
		{typ: "npm", name: "http-cache-semantics", version: "3.8.1-root.io.1"},
		{typ: "npm", name: "http-cache-semantics", version: "3.8.1", want: []scenarioFinding{fixedIn("CVE-2022-25881", "4.1.1")}},
	},
	"rack": {
		{typ: "gem", name: "rack", version: "2.2.18", want: []scenarioFinding{fixedIn("CVE-2025-61772", "2.2.19")}},
		// Between the lines.
		{typ: "gem", name: "rack", version: "3.0.18"},
		{typ: "gem", name: "rack", version: "3.1.16", want: []scenarioFinding{fixedIn("CVE-2025-61772", "3.1.17")}},
		{typ: "gem", name: "rack", version: "3.2.2"},
	},
	"alma8": {
		// AlmaLinux is judged by its own errata. What Red Hat says of its
		// packages, tar open for ever, is not repeated there.
		{distro: report.Distro{ID: "almalinux", VersionID: "8.10"}, typ: "rpm", name: "patch", version: "2.7.6-10.el8", want: []scenarioFinding{fixedIn("CVE-2019-13636", "2.7.6-11.el8")}},
		{distro: report.Distro{ID: "almalinux", VersionID: "8.10"}, typ: "rpm", name: "patch", version: "2.7.6-11.el8"},
		{distro: report.Distro{ID: "almalinux", VersionID: "8.10"}, typ: "rpm", name: "tar", version: "2:1.30-5.el8"},
		// One erratum, three CVEs, of one module stream.
		{distro: report.Distro{ID: "almalinux", VersionID: "8.10"}, typ: "rpm", name: "httpd", version: "2.4.37-39.module_el8.4.0+2000+a.alma", module: "httpd:2.4:1:2", want: []scenarioFinding{
			fixedIn("CVE-2021-20325 CVE-2021-26691 CVE-2021-40438", "2.4.37-43.module_el8.5.0+2597+c4b14997.alma")}},
		{distro: report.Distro{ID: "almalinux", VersionID: "8.10"}, typ: "rpm", name: "httpd", version: "2.4.37-43.module_el8.5.0+2597+c4b14997.alma", module: "httpd:2.4:1:2"},
		{distro: rhel("8.10"), typ: "rpm", name: "tar", version: "2:1.30-5.el8", want: []scenarioFinding{never("CVE-2005-2541")}},
	},
	"eol-rhel7": {
		{distro: rhel("7.9"), typ: "rpm", name: "openssl", version: "1:1.0.2k-16.el7_6", want: []scenarioFinding{fixedIn("CVE-2018-0735", "1:1.0.2k-16.el7_6.1")}},
		{distro: rhel("7.9"), typ: "rpm", name: "openssl", version: "1:1.0.2k-16.el7_6.1"},
		{distro: rhel("7.9"), typ: "rpm", name: "OVMF", version: "20180508-6.gitee3198e672e2.el7", want: []scenarioFinding{never("CVE-2018-0735")}},
	},
	"hummingbird": {
		{distro: report.Distro{ID: "hummingbird", VersionID: "1"}, typ: "rpm", name: "perl", version: "5.42.2-524.hum1", want: []scenarioFinding{fixedIn("CVE-2018-18311", "0:5.42.2-524.1.hum1")}},
		{distro: report.Distro{ID: "hummingbird", VersionID: "1"}, typ: "rpm", name: "perl", version: "5.42.2-524.1.hum1"},
		{distro: report.Distro{ID: "hummingbird", VersionID: "1"}, typ: "rpm", name: "glibc", version: "2.43-5.hum1", want: []scenarioFinding{open("CVE-2026-5928")}},
	},
	"oracle": {
		{distro: report.Distro{ID: "ol", VersionID: "7.9"}, typ: "rpm", name: "rsyslog", version: "8.24.0-57.0.1.el7_9.2", want: []scenarioFinding{fixedIn("CVE-2022-24903", "0:8.24.0-57.0.1.el7_9.3")}},
		{distro: report.Distro{ID: "ol", VersionID: "7.9"}, typ: "rpm", name: "rsyslog", version: "8.24.0-57.0.4.el7_9.3"},
	},
	"rhel-multi-rhsa": {
		// Fixed in several minor releases: the one above the installed
		// version and nearest to it is named, and the last has all.
		{distro: rhel("9.4"), typ: "rpm", name: "glibc", version: "2.34-28.el9", want: []scenarioFinding{fixedIn("CVE-2023-4813", "0:2.34-60.el9_2.7"), fixedIn("CVE-2026-5450", "0:2.34-272.el9_8")}},
		{distro: rhel("9.4"), typ: "rpm", name: "glibc", version: "2.34-100.el9", want: []scenarioFinding{fixedIn("CVE-2026-5450", "0:2.34-272.el9_8")}},
		{distro: rhel("9.4"), typ: "rpm", name: "libtiff", version: "4.4.0-8.el9", want: []scenarioFinding{fixedIn("CVE-2017-17095", "0:4.4.0-10.el9")}},
		// Two intervals: the older line is mended in its own errata.
		{distro: rhel("9.4"), typ: "rpm", name: "python3.9", version: "3.9.18-3.el9_4.5"},
		{distro: rhel("9.4"), typ: "rpm", name: "python3.9", version: "3.9.18-3.el9_4.4", want: []scenarioFinding{fixedIn("CVE-2024-8088", "0:3.9.18-3.el9_4.5")}},
		{distro: rhel("9.4"), typ: "rpm", name: "python3.9", version: "3.9.19-7.el9", want: []scenarioFinding{fixedIn("CVE-2024-8088", "0:3.9.19-8.el9")}},
		{distro: rhel("8.4"), typ: "rpm", name: "microcode_ctl", version: "4:20191115-4.20200602.2.el8_2"},
		{distro: rhel("8.4"), typ: "rpm", name: "microcode_ctl", version: "4:20210216-1.el8", want: []scenarioFinding{fixedIn("CVE-2020-0543", "4:20210216-1.20210608.1.el8_4")}},
		// Fixed in one stream of the module, never vulnerable in another.
		{distro: rhel("8.4"), typ: "rpm", name: "mariadb", version: "3:10.3.27-3.module+el8.2.0+9158+a", module: "mariadb:10.3:1:2", want: []scenarioFinding{fixedIn("CVE-2021-27928", "3:10.3.28-1.module+el8.3.0+10472+7adc332a")}},
		{distro: rhel("8.4"), typ: "rpm", name: "mariadb", version: "3:10.5.1-1.module+el8.2.0+9158+a", module: "mariadb:10.5:1:2"},
		{distro: rhel("7.9"), typ: "rpm", name: "ntp", version: "4.2.6p5-22.el7", want: []scenarioFinding{fixedIn("CVE-2015-7979", "0:4.2.6p5-22.el7_2.2")}},
		{distro: rhel("7.9"), typ: "rpm", name: "ntp", version: "4.2.6p5-25.el7"},
		{distro: rhel("6.10"), typ: "rpm", name: "kernel", version: "2.6.32-754.2.1.el6"},
		{distro: rhel("9.1"), typ: "rpm", name: "kernel", version: "5.14.0-70.el9", want: []scenarioFinding{fixedIn("CVE-2022-50536", "0:5.14.0-162.6.1.el9_1")}},
	},
	"rhel8": {
		{distro: rhel("8.3"), typ: "rpm", name: "glibc", version: "2.28-127.el8", want: []scenarioFinding{fixedIn("CVE-2016-10228", "0:2.28-151.el8")}},
		// CVE-1999-0199 never was in this glibc.
		{distro: rhel("8.3"), typ: "rpm", name: "glibc", version: "2.28-151.el8"},
		{distro: rhel("8.3"), typ: "rpm", name: "openssl", version: "1:1.1.1c-1.el8", want: []scenarioFinding{fixedIn("CVE-2018-0735", "1:1.1.1c-2.el8")}},
		{distro: rhel("8.3"), typ: "rpm", name: "httpd", version: "2.4.37-30.module+el8.3.0+7001+0766b9e7", module: "httpd:2.4:1:2", want: []scenarioFinding{fixedIn("CVE-2018-17199", "0:2.4.37-39.module+el8.4.0+9658+b87b2deb")}},
		{distro: rhel("8.3"), typ: "rpm", name: "httpd", version: "2.4.37-30.module+el8.3.0+7001+0766b9e7", module: "httpd:2.6:1:2"},
	},
	"rhel9-eus": {
		// The release as a whole has no fix; extended updates have one.
		{distro: rhel("9.4"), typ: "rpm", name: "nginx", version: "1:1.20.1-14.el9_4", want: []scenarioFinding{open("CVE-2024-7347")}},
		{distro: eus("9.4"), typ: "rpm", name: "nginx", version: "1:1.20.1-14.el9_4"},
		{distro: eus("9.4"), typ: "rpm", name: "nginx", version: "1:1.20.1-13.el9_4", want: []scenarioFinding{fixedIn("CVE-2024-7347", "1:1.20.1-14.el9_4")}},
		// Extended updates of another minor release are not this image's.
		{distro: eus("9.2"), typ: "rpm", name: "nginx", version: "1:1.20.1-14.el9_4", want: []scenarioFinding{open("CVE-2024-7347")}},
		// Both have a fix, for the one in 9.4, for the other in 9.5.
		{distro: eus("9.4"), typ: "rpm", name: "kernel", version: "5.14.0-427.68.1.el9_4", want: []scenarioFinding{fixedIn("CVE-2021-47527", "0:5.14.0-427.81.1.el9_4")}},
		{distro: eus("9.4"), typ: "rpm", name: "kernel", version: "5.14.0-427.81.1.el9_4"},
		{distro: rhel("9.4"), typ: "rpm", name: "kernel", version: "5.14.0-427.68.1.el9_4", want: []scenarioFinding{open("CVE-2021-47527"), fixedIn("CVE-2024-0340", "0:5.14.0-503.11.1.el9_5")}},
		// A module of an older release under extended support.
		{distro: eus("8.4"), typ: "rpm", name: "nodejs", version: "1:14.18.2-2.module+el8.4.0+13643+6c0ebf22", module: "nodejs:14:1:2"},
		{distro: eus("8.4"), typ: "rpm", name: "nodejs", version: "1:14.17.0-1.module+el8.4.0+1+a", module: "nodejs:14:1:2", want: []scenarioFinding{fixedIn("CVE-2020-7788", "1:14.18.2-2.module+el8.4.0+13643+6c0ebf22")}},
		{distro: eus("8.4"), typ: "rpm", name: "nodejs", version: "1:10.19.0-1.module+el8.1.0+1+a", module: "nodejs:10:1:2", want: []scenarioFinding{fixedIn("CVE-2020-7788", "1:10.23.1-1.module+el8.3.0+9502+012d8a97")}},
		{distro: eus("8.4"), typ: "rpm", name: "rsync", version: "3.1.3-12.el8", want: []scenarioFinding{fixedIn("CVE-2016-9840", "0:3.1.3-23.el8_10")}},
	},
	"sles15": {
		// A service pack is judged by its own records.
		{distro: sles("15.6"), typ: "rpm", name: "python311-Werkzeug", version: "2.3.6-150400.6.3.1", want: []scenarioFinding{fixedIn("CVE-2023-25577", "0:2.3.6-150400.6.6.1")}},
		{distro: sles("15.6"), typ: "rpm", name: "python311-Werkzeug", version: "2.3.6-150400.6.6.1"},
		// CVE-2024-49766 is Windows' alone: SUSE lists the packages as not affected.
		{distro: sles("15.6"), typ: "rpm", name: "python3-Werkzeug", version: "1.0.1-150300.3.3.1"},
		{distro: sles("15.7"), typ: "rpm", name: "glibc", version: "2.38-150600.14.28.1", want: []scenarioFinding{fixedIn("CVE-2024-2961", "0:2.38-150600.14.29.1")}},
		{distro: sles("15.6"), typ: "rpm", name: "glibc", version: "2.38-150600.14.28.1"},
	},
}

// scenarioFiles are the records of all scenarios: scenario, then file.
func scenarioFiles(t *testing.T) map[string]map[string][]byte {
	out := map[string]map[string][]byte{}
	for name, b := range feedtest.Files(t, feedtest.Scenarios, "") {
		_, rest, ok := strings.Cut(name, "/testdata/")
		if !ok {
			continue
		}
		scenario, file, _ := strings.Cut(rest, "/")
		if out[scenario] == nil {
			out[scenario] = map[string][]byte{}
		}
		out[scenario][file] = b
	}
	return out
}

// TestScenarios holds findings against the records of grype's scenarios; what
// is expected is what the records say, not what grype finds.
func TestScenarios(t *testing.T) {
	files := scenarioFiles(t)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if scenarios[name] == nil && outside[name] == "" {
			t.Errorf("scenario %s has neither a table nor a reason", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(scenarios)) {
		t.Run(name, func(t *testing.T) {
			m := scenarioMatcher(t, files[name])
			for _, tc := range scenarios[name] {
				fs, err := m.Package(tc.distro, report.Package{Type: tc.typ, Name: tc.name, Version: tc.version, Source: tc.source, Module: tc.module})
				if err != nil {
					t.Fatal(err)
				}
				var got []scenarioFinding
				for _, f := range fs {
					got = append(got, scenarioFinding{cmp.Or(strings.Join(f.CVEs, " "), f.ID), f.FixedVersion, f.FixState})
				}
				slices.SortFunc(got, func(a, b scenarioFinding) int { return strings.Compare(a.About, b.About) })
				if diff := gocmp.Diff(tc.want, got); diff != "" {
					t.Errorf("%s %s%s: %s %s %s: %s", tc.distro.ID, tc.distro.VersionID, tc.distro.Stream, tc.name, tc.version, tc.module, diff)
				}
			}
		})
	}
}

// scenarioMatcher builds a generation of one scenario.
func scenarioMatcher(t *testing.T, files map[string][]byte) *Matcher {
	t.Helper()
	var records []feed.Record
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.Contains(name, "/results/") {
			continue // how the records were made
		}
		r, err := vunnel.Translate(files[name])
		if errors.Is(err, vunnel.ErrNoAdvisory) {
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		records = append(records, r)
	}
	b, err := vunnel.Custom(records)
	if err != nil {
		t.Fatal(err)
	}
	return fromFeed(t, "custom", map[string][]byte{"scenario.jsonl": b})
}

// TestProNote: both vulnerabilities of openssh are mended for subscribers alone,
// the one of wayland for everyone.
func TestProNote(t *testing.T) {
	m := scenarioMatcher(t, scenarioFiles(t)["ubuntu-esm"])
	for _, tc := range []struct {
		version string
		want    []string
	}{
		{"1:8.2p1-4ubuntu0.11", []string{"Ubuntu Pro has fixes for 2 of the findings that have none for everyone"}},
		{"1:8.2p1-4ubuntu0.20+esm1", nil},
	} {
		_, warnings, err := m.Inventory(report.Inventory{Distro: ubuntu("20.04"), Packages: []report.Package{
			{Type: report.TypeDeb, Name: "openssh-server", Source: "openssh", Version: tc.version},
			{Type: report.TypeDeb, Name: "libwayland", Source: "wayland", Version: "1.18.0-1"},
		}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := slices.DeleteFunc(warnings, func(w string) bool { return !strings.Contains(w, "Pro") })
		if diff := gocmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", tc.version, diff)
		}
	}
}

// TestEndOfLife: the scenarios "eol-debian8" and "eol-rhel7" have when support
// ended; Red Hat sells more, which an image shows by the repositories it was
// made from.
func TestEndOfLife(t *testing.T) {
	m := scenarioMatcher(t, scenarioFiles(t)["eol-debian8"])
	for _, tc := range []struct {
		d    report.Distro
		want string
	}{
		{report.Distro{ID: "debian", VersionID: "8"}, "debian 8 has had no security support since 2020-06-30: what was found later may have no advisory"},
		{report.Distro{ID: "rhel", VersionID: "7.9"}, "rhel 7.9 has had no security support since 2024-06-30: what was found later may have no advisory"},
		{report.Distro{ID: "rhel", VersionID: "7.9", Stream: "els"}, ""},
		{report.Distro{ID: "rhel", VersionID: "9.4"}, ""},
		{report.Distro{ID: "debian", VersionID: "12"}, ""},
	} {
		_, warnings, err := m.Inventory(report.Inventory{Distro: tc.d, Packages: []report.Package{{Type: report.TypeDeb, Name: "a", Version: "1"}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, w := range warnings {
			if strings.Contains(w, "security support") {
				got = w
			}
		}
		if got != tc.want {
			t.Errorf("%v: %q, want %q", tc.d, got, tc.want)
		}
	}
}
