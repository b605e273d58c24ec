package contract

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/report"
)

func members(pairs ...any) map[string]any {
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1]
	}
	return out
}

// severityOf is the severity of a rank as HSS says it, which has no word for
// what is unknown.
func severityOf(r row) string {
	s := report.SeverityName(int64(r["severity"].(float64)))
	if !slices.Contains([]string{"Critical", "High", "Medium"}, s) {
		return "Low"
	}
	return s
}

func necessityOf(r row) string {
	return map[string]string{"Critical": "immediate_repair", "High": "immediate_repair", "Medium": "delay_repair", "Low": "not_needed_repair"}[severityOf(r)]
}

// by is a filter of words for what a function says of a row.
func by(param string, of func(row) string, words ...any) filter {
	return filter{param: param, values: func([]row) []any { return words }, match: func(r row, v any) bool { return of(r) == v }}
}

// statusOf is the fine state: what HSS calls ignored is all that is handled, and
// nothing is in any other state.
func statusOf(r row) string {
	return map[string]string{"handled": "vul_status_ignored", "unhandled": "vul_status_unfix"}[text(r["handled"])]
}

var (
	handleStatus = together("handled", word("handle_status", "handled", "unhandled", "handled"))[0]
	isHandled    = together("handled", flag("is_handled", func(r row, v any) bool { return (r["handled"] == "handled") == v }))[0]
	vulStatus    = together("handled", by("status", statusOf, "vul_status_unfix", "vul_status_ignored"))[0]
	necessities  = by("repair_necessity", necessityOf, "immediate_repair", "delay_repair", "not_needed_repair")
	ofVulType    = word("type", "vul_type", "linux_vul", "app_vul")
)

// severities is a filter for the level of a finding.
func severities(param string) filter {
	return by(param, severityOf, "Critical", "High", "Medium", "Low")
}

// cve is a filter for a part of one of the CVEs of an advisory.
func (k *known) cve() filter {
	return filter{param: "cve_id", values: func([]row) []any { return []any{"CVE-2024", "CVE-2023-45853", "cve", "no-such-text"} },
		match: func(r row, v any) bool {
			return slices.ContainsFunc(k.cves[text(r["vul_id"])], func(id string) bool { return strings.Contains(id, v.(string)) })
		}}
}

// grouped names groups of the rows that a listing selects: what a key says of
// them, with how many images each is about.
func (l listing) grouped(key func(row) string, more func(group []row) string) func(terms) []string {
	return func(ask terms) (out []string) {
		groups := map[string][]row{}
		for _, r := range l.of {
			if l.selects(r, ask) {
				groups[key(r)] = append(groups[key(r)], r)
			}
		}
		for k, g := range groups {
			out = append(out, k+" | "+more(g))
		}
		return out
	}
}

// imagesIn counts images.
func imagesIn(group []row) string {
	ids := map[any]bool{}
	for _, r := range group {
		ids[r["image_id"]] = true
	}
	return fmt.Sprint(len(ids))
}

// openIn counts images in which something is not handled.
func openIn(group []row) string {
	return imagesIn(slices.DeleteFunc(slices.Clone(group), func(r row) bool { return r["handled"] == "handled" }))
}

// with is a listing with a test that needs the listing.
func (l listing) with(want func(listing) func(terms) []string) listing {
	l.want = want(l)
	return l
}

// resultLists are the lists of what scans found, about an image and
// everywhere.
func (k *known) resultLists(image, vul string) []listing {
	local := members("image_type", "local_image")
	of := members("image_type", "local_image", "image_id", image)
	exposed := k.exposed()
	ofRegistries := []any{"private_image", "harbor", "cicd"}
	families := []any{"registry", "cicd", "cluster"}
	return []listing{
		{op: "ListLocalImageAppInfo", base: members("image_id", image), of: k.installed, key: named("app_name", "app_version"), known: k.imageIs,
			filters: []filter{part("app_name", "app_name"), exact("image_id", "image_id")}},
		{op: "ListImageApps", base: of, of: k.installed, key: named("app_name", "app_version"), known: k.imageIs,
			filters: append(inert("namespace", "image_name", "tag_name"), part("app_name", "app_name"), exact("image_id", "image_id"), family("image_type", ofRegistries...))},
		{op: "ListGlobalImageApps", base: local, filters: []filter{part("app_name", "app_name"), family("image_type", "registry", "cicd"),
			flag("is_compliant", func(r row, v any) bool { return v == true || r["is_compliant"] == false })}},
		{op: "ListImageVulnerabilities", base: of, of: k.found, key: func(r row) string {
			return fmt.Sprint(r["vul_id"], " ", r["app_name"], " ", or(r["app_version"], r["version"]), " ", or(r["layer"], r["position"]))
		}, known: k.imageIs,
			filters: append(inert("instance_id", "namespace", "image_name", "tag_name"), alike("image_type", "local", "harbor", "jfrog"), necessities,
				part("vul_id", "vul_id"), part("app_name", "app_name"), ofVulType, handleStatus, exact("image_id", "image_id"))},
		{op: "ListVulnerabilityCve", base: members("vul_id", vul)},
		listing{op: "ListGlobalVulnerabilities", of: k.found, key: named("vul_id", "history_number", "undeal_number"),
			filters: []filter{necessities, part("vul_id", "vul_id"), ofVulType}}.
			with(func(l listing) func(terms) []string {
				return l.grouped(named("vul_id"), func(g []row) string { return imagesIn(g) + " | " + openIn(g) })
			}),
		listing{op: "ListGeneralImageVuls", base: members("image_type", "local", "type", "linux_vul", "handle_status", "unhandled"), of: k.found, key: named("vul_id", "image_num"),
			filters: append(nowhere("cluster_id"), severities("severity_level"), part("vul_id", "vul_id"), part("vul_name", "vul_id"), k.cve(), vulStatus, ofVulType, handleStatus,
				family("image_type", families...), labels())}.
			with(func(l listing) func(terms) []string { return l.grouped(named("vul_id"), imagesIn) }),
		{op: "ListVulAffectImages", base: members("image_type", "local", "type", "linux_vul", "is_handled", false, "vul_id", vul), of: k.found, once: true, key: named("image_id"),
			filters: append(nowhere("registry_name", "registry_type", "cluster_id"), exact("image_id", "image_id"), part("image_name", "image_name"),
				severities("repair_necessity"), vulStatus, isHandled, exact("vul_id", "vul_id"), ofVulType, family("image_type", families...))},
		listing{op: "ListVulRepoImage", base: members("vul_id", vul), of: k.found, key: named("image_name", "app_name", "version", "tag_count"),
			filters: append(nowhere("namespace"), part("image_name", "image_name"), part("app_name", "app_name"), exact("image_id", "image_id"), exact("vul_id", "vul_id"))}.
			with(func(l listing) func(terms) []string {
				return l.grouped(named("image_name", "app_name", "app_version"), imagesIn)
			}),
		{op: "ListVulWhiteListVulOptions", base: members("image_type", "local", "category", "image"), of: k.found, once: true, key: named("vul_id"),
			filters: []filter{part("vul_name", "vul_id"), word("vul_type", "vul_type", "linux_vul", "app_vul", "windows_vul", "web_cms"),
				family("image_type", "registry"), anyOf("category", []any{"image"}, "host")},
			match: func(r row, ask terms) bool { return ask["vul_type"] != nil || r["vul_type"] == "linux_vul" }},
		{op: "ListVulAffectImageApps", base: members("image_type", "local", "is_handled", false, "image_id", image, "vul_id", vul), of: k.found, once: true, key: named("app_name"),
			known: k.imageIs, empty: true,
			filters: []filter{family("image_type", families...), isHandled, exact("vul_id", "vul_id"), exact("image_id", "image_id")}},
		{op: "ListVulContainers", base: members("vul_id", vul, "type", "linux_vul"), of: exposed, once: true, key: named("container_id"), empty: len(exposed) == 0,
			match: func(r row, _ terms) bool { return r["running"] == 1. },
			filters: append(nowhere("cluster_id"), part("container_name", "container_name"), handleStatus, severities("severity_level"), exact("vul_id", "vul_id"),
				bound("min_scan_time", "first_scan_time", 1), bound("max_scan_time", "first_scan_time", -1),
				by("type", func(r row) string { return text(r["vul_type"]) }, "linux_vul", "app_vul", "windows_vul", "web_cms", "urgent_vul"),
				by("status", statusOf, "vul_status_unfix", "vul_status_ignored", "vul_status_fixed", "vul_status_verified"))},
	}
}

// or is the one of two values that there is.
func or(v, other any) any {
	if v == nil {
		return other
	}
	return v
}

// alike are values that all select the same.
func alike(param string, values ...any) filter {
	return filter{param: param, values: func([]row) []any { return values }}
}

// labels ask for what is labelled, which nothing is.
func labels() filter {
	f := nowhere("label_list")[0]
	f.values = func([]row) []any { return []any{[]any{"no-such-label", "another"}} }
	return f
}

// selected is the naive test for images: an id, which decides, or a part of a
// name, and a version if there is a name too.
func selected(id, name, version string) func(row, terms) bool {
	return func(r row, ask terms) bool {
		if v, ok := ask[id]; ok {
			return r["image_id"] == v
		}
		n, ok := ask[name]
		v, versioned := ask[version]
		return !ok || strings.Contains(text(r["image_name"]), n.(string)) && (!versioned || r["image_version"] == v)
	}
}

// selecting are filters for images whose test is selected.
func (k *known) selecting(id, name, version string) (out []filter) {
	for param, of := range map[string]func(string, string) filter{id: exact, name: part, version: exact} {
		if param == "" {
			continue
		}
		member := map[string]string{id: "image_id", name: "image_name", version: "image_version"}[param]
		out = append(out, filter{param: param, values: func([]row) []any { return of(param, member).values(k.images) }})
	}
	slices.SortFunc(out, func(a, b filter) int { return strings.Compare(a.param, b.param) })
	return together("image", out...)
}

// checkLists are the lists of what the other checks found. titles are what the
// server says of rules, by id.
func (k *known) checkLists(image string, titles map[string]row) []listing {
	local := members("image_type", "local_image")
	of := members("image_type", "local_image", "image_id", image)
	ofRegistries := []any{"private_image", "harbor", "cicd"}
	levels := []any{"Security", "Low", "Medium", "High"}
	rules := slices.Clone(k.rules)
	for i, r := range rules {
		rules[i] = maps.Clone(r)
		rules[i]["check_rule_name"] = titles[text(r["check_rule_id"])]["check_rule_name"]
	}
	risks := slices.Clone(k.risks)
	for i, r := range risks {
		risks[i] = maps.Clone(r)
		maps.Copy(risks[i], titles[text(r["rule_id"])])
	}
	of3 := func(name, version string, more ...filter) []filter {
		return slices.Concat(inert("namespace", name, version), []filter{family("image_type", ofRegistries...)}, more)
	}
	return []listing{
		{op: "ListImageMalware", base: of, filters: of3("image_name", "tag_name", part("file_name", "file_name"))},
		{op: "ListGlobalMalware", base: local, filters: []filter{part("file_name", "file_name"), family("image_type", "registry", "cicd")}},
		{op: "ListImageFiles", base: of, filters: of3("image_name", "tag_name", part("file_name", "file_name"))},
		{op: "ListGlobalImageFiles", base: local, filters: []filter{part("file_name", "file_name"), family("image_type", "registry", "cicd")}},
		{op: "ListImageSensitive", base: of, filters: of3("image_name", "image_version", part("file_path", "file_path"),
			word("severity", "severity", "critical", "high", "medium", "low"), word("handle_status", "handle_status", "unhandled", "handled"))},
		{op: "ListImageSensitiveInfo", base: local, filters: []filter{family("image_type", "registry", "cicd")}},
		{op: "ListImageNonCompliantApp", base: of, filters: of3("image_name", "image_version", part("app_name", "app_name"))},
		{op: "ListImageBasicImage", base: of, filters: of3("image_name", "image_version", part("os_name", "os_name"))},
		listing{op: "ListImageRiskConfigs", base: local, of: rules, known: k.imageIs, match: selected("image_id", "image_name", "image_version"),
			key: named("check_name", "standard", "severity", "check_rule_num", "failed_rule_num"),
			filters: slices.Concat(inert("namespace", "instance_id"), k.selecting("image_id", "image_name", "image_version"), []filter{exact("check_name", "check_name"),
				word("standard", "standard", "hw_standard", "cn_standard"), family("image_type", "private_image", "registry"), alike("severity", levels...)})}.
			with(func(l listing) func(terms) []string {
				return func(ask terms) []string {
					list := l.grouped(named("check_name", "standard"), baselineIn)(ask)
					return slices.DeleteFunc(list, func(s string) bool { return ask["severity"] != nil && strings.Split(s, " | ")[2] != ask["severity"] })
				}
			}),
		listing{op: "ListImageRiskConfigRules", base: members("image_type", "local_image", "standard", "hw_standard", "check_name", "SSH"), of: rules,
			match: selected("image_id", "image_name", "image_version"), key: named("check_rule_id", "scan_result"),
			known: func(ask terms) bool { return k.imageIs(ask) && holds(rules, "check_name", ask["check_name"]) },
			filters: slices.Concat(inert("namespace", "instance_id"), k.selecting("image_id", "image_name", "image_version"), []filter{alike("result_type", "pass", "failed"),
				word("standard", "standard", "hw_standard", "cn_standard"), part("check_rule_name", "check_rule_name"), exact("check_name", "check_name"),
				by("severity", func(r row) string { return report.SeverityName(int64(r["severity"].(float64))) }, append(levels, "Critical")...),
				family("image_type", "private_image", "shared_image")})}.
			with(func(l listing) func(terms) []string {
				return l.results(named("check_rule_id"), "result_type", func([]row) string { return "" })
			}),
		listing{op: "ListCheckRulesInfo", base: members("image_type", "local_image", "type", "image"), of: rules, known: k.imageIs,
			match: selected("image_id", "image_name", "image_version"), key: named("check_name", "standard", "check_rule_id", "scan_result", "image_num"),
			filters: slices.Concat(inert("namespace", "instance_id"), k.selecting("image_id", "image_name", "image_version"), []filter{alike("scan_result", "pass", "failed"),
				alike("type", "image"), family("image_type", "registry", "cicd")})}.
			with(func(l listing) func(terms) []string {
				return l.results(named("check_name", "standard", "check_rule_id"), "scan_result", func(g []row) string { return " | " + imagesIn(g) })
			}),
		{op: "ListCheckRuleResources", base: members("image_type", "local_image", "type", "image", "standard", "hw_standard", "check_name", "SSH", "check_rule_id", "SSH-01"), of: rules,
			key: named("image_digest", "image_name", "image_version"),
			known: func(ask terms) bool {
				return slices.ContainsFunc(rules, func(r row) bool {
					return r["check_rule_id"] == ask["check_rule_id"] && r["check_name"] == ask["check_name"] && r["standard"] == ask["standard"]
				})
			},
			filters: []filter{alike("type", "image"), family("image_type", "registry", "cicd"), word("scan_result", "scan_result", "pass", "failed"),
				word("standard", "standard", "hw_standard", "cn_standard"), exact("check_name", "check_name"), exact("check_rule_id", "check_rule_id")}},
		{op: "ListImageWeakPwdUsers", base: local, known: k.imageIs, match: selected("image_id", "image_name", "tag_name"),
			filters: slices.Concat(inert("namespace", "instance_id"), k.selecting("image_id", "image_name", "tag_name"), []filter{part("user_name", "user_name"), family("image_type", "registry", "cicd")})},
		{op: "ListImagePwdComplexity", base: local, match: selected("", "image_name", "image_version"),
			filters: slices.Concat(inert("namespace", "instance_id"), k.selecting("", "image_name", "image_version"), []filter{family("image_type", "registry", "cicd")})},
		listing{op: "ListImageBuildCommandRisks", base: local, of: risks, known: k.imageIs, key: named("rule_id", "image_num"),
			filters: []filter{part("risk_name", "risk_name"), word("risk_level", "risk_level", "low", "medium", "high", "critical"), exact("image_id", "image_id"), family("image_type", "registry", "cicd")}}.
			with(func(l listing) func(terms) []string { return l.grouped(named("rule_id"), imagesIn) }),
		{op: "ListImageBuildCommandRisksImages", base: members("image_type", "local_image", "rule_id", "BC-USER-ROOT"), of: risks, key: named("image_id"),
			known:   func(ask terms) bool { return k.imageIs(ask) && ask["rule_id"] != "no-such-value" },
			filters: []filter{exact("image_id", "image_id"), exact("rule_id", "rule_id"), family("image_type", "registry", "cicd")}},
	}
}

// baselineIn sums up the answers of one baseline and standard: the worst of the
// rules that failed somewhere, how many were asked, and how many failed.
func baselineIn(group []row) string {
	asked, failed, worst := map[any]bool{}, map[any]bool{}, 0.
	for _, r := range group {
		asked[r["check_rule_id"]] = true
		if r["scan_result"] == "failed" {
			failed[r["check_rule_id"]], worst = true, max(worst, r["severity"].(float64))
		}
	}
	severity := "Security"
	if len(failed) > 0 {
		severity = report.SeverityName(int64(worst))
	}
	return fmt.Sprint(severity, " | ", len(asked), " | ", len(failed))
}

// results names rules over the selected images: failed if one of them fails the
// rule, and then more says something of those, else of the others.
func (l listing) results(key func(row) string, param string, more func(group []row) string) func(terms) []string {
	return func(ask terms) (out []string) {
		groups := map[string][]row{}
		for _, r := range l.of {
			if l.selects(r, ask) {
				groups[key(r)] = append(groups[key(r)], r)
			}
		}
		for k, g := range groups {
			result := "pass"
			if bad := slices.DeleteFunc(slices.Clone(g), func(r row) bool { return r["scan_result"] != "failed" }); len(bad) > 0 {
				result, g = "failed", bad
			}
			if v, ok := ask[param]; !ok || v == result {
				out = append(out, k+" | "+result+more(g))
			}
		}
		return out
	}
}
