package sheet

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/check/baseline"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

// A column is one value of each record. Its title is that of the member in the
// lists of the API, where these have it.
type column struct {
	title  string
	number bool
	value  func(r *store.ReportRow) string
}

// A reportFile is how the files of a kind of report look.
type reportFile struct {
	name    string
	columns []column
}

// reportFiles are those of all kinds.
var reportFiles = map[string]reportFile{
	store.ReportVulnerability: {"vulnerabilities", columns(
		number("host_num", func(r *store.ReportRow) int64 { return r.Image.HostNum }),
		text("vul_id", func(r *store.ReportRow) string { return r.Finding.VulID }),
		text("cve_ids", func(r *store.ReportRow) string { return strings.ReplaceAll(r.Finding.CVEs, ",", ", ") }),
		text("severity", func(r *store.ReportRow) string { return report.SeverityName(r.Finding.Severity) }),
		column{"cvss_score", true, func(r *store.ReportRow) string { return score(r.Finding.Score) }},
		text("cvss_vector", func(r *store.ReportRow) string { return r.Finding.Vector }),
		text("vul_type", func(r *store.ReportRow) string { return r.Finding.Type }),
		text("app_name", func(r *store.ReportRow) string { return r.Finding.App }),
		text("app_version", func(r *store.ReportRow) string { return r.Finding.Version }),
		text("app_type", func(r *store.ReportRow) string { return r.Finding.AppType }),
		text("app_path", func(r *store.ReportRow) string { return r.Finding.Path }),
		text("layer_digest", func(r *store.ReportRow) string { return r.Finding.Layer }),
		text("fix_state", func(r *store.ReportRow) string { return r.Finding.FixState }),
		text("fixed_version", func(r *store.ReportRow) string { return r.Finding.FixedVersion }),
		text("handle_status", func(r *store.ReportRow) string { return handling(r.Finding.Handled) }),
		when("first_scan_time", func(r *store.ReportRow) int64 { return r.Finding.FirstSeen }),
		scanTime,
		when("publish_time", func(r *store.ReportRow) int64 { return r.Finding.Published }),
		text("description", func(r *store.ReportRow) string { return r.Finding.Summary }),
		text("url", func(r *store.ReportRow) string { return r.Finding.URL }),
	)},
	store.ReportBaseline: {"baselines", columns(
		text("check_name", func(r *store.ReportRow) string { return r.Rule.CheckName }),
		text("check_type_desc", func(r *store.ReportRow) string { return r.Rule.About }),
		text("standard", func(r *store.ReportRow) string { return r.Rule.Standard }),
		text("check_rule_id", func(r *store.ReportRow) string { return r.Rule.Rule.ID }),
		text("check_rule_name", func(r *store.ReportRow) string { return r.Rule.Rule.Name }),
		text("severity", func(r *store.ReportRow) string { return r.Rule.Severity }),
		text("scan_result", func(r *store.ReportRow) string { return result(r.Rule.Failed) }),
		text("description", func(r *store.ReportRow) string { return r.Rule.Rule.Description }),
		text("remediation", func(r *store.ReportRow) string { return r.Rule.Rule.Remediation }),
		scanTime,
	)},
	store.ReportMalware: {"malwares", columns(
		text("file_name", func(r *store.ReportRow) string { return r.Malware.Name }),
		text("file_path", func(r *store.ReportRow) string { return malwarePath(r.Malware) }),
		number("size", func(r *store.ReportRow) int64 { return r.Malware.Size }),
		text("sha256", func(r *store.ReportRow) string { return r.Malware.SHA256 }),
		text("severity", func(r *store.ReportRow) string { return r.Malware.Severity }),
		text("findings", func(r *store.ReportRow) string { return verdicts(r.Malware.Findings) }),
		text("layer_digest", func(r *store.ReportRow) string { return r.Malware.Layer }),
		yesNo("deleted_by_later_layer", func(r *store.ReportRow) bool { return r.Malware.Deleted }),
		scanTime,
	)},
	store.ReportApps: {"apps", columns(
		text("app_name", func(r *store.ReportRow) string { return r.App.Name }),
		text("app_type", func(r *store.ReportRow) string { return r.App.Type }),
		text("app_version", func(r *store.ReportRow) string { return r.App.Version }),
		text("app_path", func(r *store.ReportRow) string { return r.App.Path }),
		text("layer_digest", func(r *store.ReportRow) string { return r.App.Layer }),
		number("vul_num", func(r *store.ReportRow) int64 { return r.App.VulNum }),
		text("is_compliant", func(r *store.ReportRow) string { return known(r.App.Compliant) }),
		scanTime,
	)},
	store.ReportFiles: {"files", columns(
		text("file_name", func(r *store.ReportRow) string { return path.Base(r.File.Path) }),
		text("file_path", func(r *store.ReportRow) string { return r.File.Path }),
		number("size", func(r *store.ReportRow) int64 { return r.File.Size }),
		text("layer_digest", func(r *store.ReportRow) string { return r.File.Layer }),
		scanTime,
	)},
	store.ReportSecrets: {"sensitive-info", columns(
		text("sensitive_info_id", func(r *store.ReportRow) string { return r.Secret.ID }),
		text("name", func(r *store.ReportRow) string { return r.Secret.Title }),
		text("kind", func(r *store.ReportRow) string { return r.Secret.Kind }),
		text("severity", func(r *store.ReportRow) string { return r.Secret.Severity }),
		text("file_path", func(r *store.ReportRow) string { return r.Secret.Path }),
		column{"line", true, func(r *store.ReportRow) string { return line(r.Secret.Line) }},
		text("content", func(r *store.ReportRow) string { return content(r.Secret) }),
		text("layer_digest", func(r *store.ReportRow) string { return r.Secret.Layer }),
		text("handle_status", func(r *store.ReportRow) string { return handling(r.Secret.Handled) }),
		text("operate_accept", func(r *store.ReportRow) string { return r.Secret.Action }),
		yesNo("encrypted", func(r *store.ReportRow) bool { return r.Secret.Encrypted }),
		yesNo("in_tests_or_docs", func(r *store.ReportRow) bool { return r.Secret.Test }),
		yesNo("deleted_by_later_layer", func(r *store.ReportRow) bool { return r.Secret.Deleted }),
		scanTime,
	)},
	store.ReportNonCompliant: {"non-compliant-apps", columns(
		text("id", func(r *store.ReportRow) string { return r.Denied.ID }),
		text("app_name", func(r *store.ReportRow) string { return r.Denied.Name }),
		text("app_type", func(r *store.ReportRow) string { return r.Denied.Type }),
		text("app_version", func(r *store.ReportRow) string { return r.Denied.Version }),
		text("app_path", func(r *store.ReportRow) string { return r.Denied.Path }),
		text("layer_digest", func(r *store.ReportRow) string { return r.Denied.Layer }),
		scanTime,
	)},
	store.ReportBuildRisks: {"build-command-risks", columns(
		text("rule_id", func(r *store.ReportRow) string { return r.Risk.Rule.ID }),
		text("risk_name", func(r *store.ReportRow) string { return r.Risk.Rule.Title }),
		text("risk_level", func(r *store.ReportRow) string { return r.Risk.Rule.Severity }),
		number("risk_num", func(r *store.ReportRow) int64 { return r.Risk.Num }),
		text("build_instructions", func(r *store.ReportRow) string { return strings.Join(r.Risk.Instructions, "\n") }),
		text("description", func(r *store.ReportRow) string { return r.Risk.Rule.Description }),
		text("remediation", func(r *store.ReportRow) string { return r.Risk.Rule.Remediation }),
		scanTime,
	)},
}

// columns are those of the image, and then others.
func columns(others ...column) []column {
	return append([]column{
		text("image_id", func(r *store.ReportRow) string { return r.Image.ID }),
		text("image_name", func(r *store.ReportRow) string { return r.Image.Name }),
		text("image_version", func(r *store.ReportRow) string { return r.Image.Version }),
		text("image_digest", func(r *store.ReportRow) string { return r.Image.ConfigDigest }),
	}, others...)
}

var scanTime = when("latest_scan_time", func(r *store.ReportRow) int64 { return r.Image.ScanTime })

func titles(columns []column) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.title
	}
	return out
}

func text(title string, value func(*store.ReportRow) string) column {
	return column{title, false, value}
}

func number(title string, value func(*store.ReportRow) int64) column {
	return column{title, true, func(r *store.ReportRow) string { return strconv.FormatInt(value(r), 10) }}
}

func yesNo(title string, value func(*store.ReportRow) bool) column {
	return column{title, false, func(r *store.ReportRow) string { return strconv.FormatBool(value(r)) }}
}

// when is a time (Unix milliseconds) in UTC by RFC 3339; empty for 0.
func when(title string, value func(*store.ReportRow) int64) column {
	return column{title, false, func(r *store.ReportRow) string {
		if ms := value(r); ms != 0 {
			return time.UnixMilli(ms).UTC().Format(time.RFC3339)
		}
		return ""
	}}
}

func score(v float64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

func line(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func result(failed bool) string {
	if failed {
		return string(baseline.Failed)
	}
	return string(baseline.Pass)
}

func handling(handled bool) string {
	if handled {
		return "handled"
	}
	return "unhandled"
}

func known(b *bool) string {
	if b == nil {
		return ""
	}
	return strconv.FormatBool(*b)
}

// content is what the lists show of a secret, never its value.
func content(s *store.Secret) string {
	if s.Context != "" {
		return s.Context
	}
	return s.Masked
}

func malwarePath(m *store.MaliciousFile) string {
	if m.Inner == "" {
		return m.Path
	}
	return m.Path + "!" + m.Inner
}

// verdicts says what was found, a line for each engine's word.
func verdicts(list []report.Malware) string {
	lines := make([]string, len(list))
	for i, f := range list {
		lines[i] = fmt.Sprintf("%s (%s, %s; %s: %s)", f.Name, f.Type, f.Severity, f.Engine, f.Rule)
	}
	return strings.Join(lines, "\n")
}
