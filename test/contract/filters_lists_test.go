package contract

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// vulTypes are the types of vulnerabilities, which their rows do not tell.
type vulTypes map[string]string

func ofType(types vulTypes) filter {
	return filter{"type", func([]row) []any { return []any{"linux_vul", "app_vul"} },
		func(r row, v any) bool { return types[text(r["vul_id"])] == v }}
}

func open(param string, yes, no any) filter {
	return filter{param, func([]row) []any { return []any{yes, no} }, func(_ row, v any) bool { return v == yes }}
}

func members(pairs ...any) map[string]any {
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = pairs[i+1]
	}
	return out
}

// resultLists are the lists of what scans found, about an image and
// everywhere.
func resultLists(image string, vul string, types vulTypes) []listing {
	local := members("image_type", "local_image")
	of := members("image_type", "local_image", "image_id", image)
	return []listing{
		{op: "ListLocalImageAppInfo", base: members("image_id", image), filters: []filter{part("app_name", "app_name")}},
		{op: "ListImageApps", base: of, filters: []filter{part("app_name", "app_name")}},
		{op: "ListGlobalImageApps", base: local, filters: []filter{part("app_name", "app_name"),
			flag("is_compliant", func(r row, v any) bool { return v == true || r["is_compliant"] == false })}},
		{op: "ListImageVulnerabilities", base: of, filters: []filter{
			word("repair_necessity", "repair_necessity", "immediate_repair", "delay_repair", "not_needed_repair"),
			part("vul_id", "vul_id"), part("app_name", "app_name"), ofType(types), open("handle_status", "unhandled", "handled")}},
		{op: "ListGlobalVulnerabilities", filters: []filter{
			word("repair_necessity", "repair_necessity", "immediate_repair", "delay_repair", "not_needed_repair"),
			part("vul_id", "vul_id"), ofType(types)}},
		{op: "ListGeneralImageVuls", base: members("image_type", "local", "type", "linux_vul", "handle_status", "unhandled"), filters: []filter{
			word("severity_level", "severity_level", "Critical", "High", "Medium", "Low"), part("vul_id", "vul_id"), part("vul_name", "vul_name"),
			{"cve_id", func([]row) []any { return []any{"CVE-2024", "CVE-2023-45853", "cve", "no-such-text"} }, func(r row, v any) bool {
				list, _ := r["cve_list"].([]any)
				return slices.ContainsFunc(list, func(e any) bool { return strings.Contains(text(e.(row)["cve_id"]), v.(string)) })
			}},
			open("status", "vul_status_unfix", "vul_status_ignored")}},
		{op: "ListVulAffectImages", base: members("image_type", "local", "type", "linux_vul", "is_handled", false, "vul_id", vul), filters: []filter{
			exact("image_id", "image_id"), part("image_name", "image_name"),
			word("repair_necessity", "repair_necessity", "Low", "Medium", "High", "Critical"), open("status", "vul_status_unfix", "vul_status_ignored")}},
		{op: "ListVulRepoImage", base: members("vul_id", vul), filters: []filter{part("image_name", "image_name"), part("app_name", "app_name")}},
		{op: "ListVulWhiteListVulOptions", base: members("image_type", "local", "category", "image"), filters: []filter{part("vul_name", "vul_name")}},
		{op: "ListVulAffectImageApps", base: members("image_type", "local", "is_handled", false, "image_id", image, "vul_id", vul)},
	}
}

// checkLists are the lists of what the other checks found.
func checkLists(image string) []listing {
	local := members("image_type", "local_image")
	of := members("image_type", "local_image", "image_id", image)
	severities := []any{"Security", "Low", "Medium", "High"}
	return []listing{
		{op: "ListImageMalware", base: of, filters: []filter{part("file_name", "file_name")}},
		{op: "ListGlobalMalware", base: local, filters: []filter{part("file_name", "file_name")}},
		{op: "ListImageFiles", base: of, filters: []filter{part("file_name", "file_name")}},
		{op: "ListGlobalImageFiles", base: local, filters: []filter{part("file_name", "file_name")}},
		{op: "ListImageSensitive", base: of, filters: []filter{part("file_path", "file_path"),
			word("severity", "severity", "critical", "high", "medium", "low"), word("handle_status", "handle_status", "unhandled", "handled")}},
		{op: "ListImageRiskConfigs", base: local, filters: []filter{exact("check_name", "check_name"),
			word("severity", "severity", severities...), word("standard", "standard", "hw_standard", "cn_standard")}},
		{op: "ListImageRiskConfigRules", base: members("image_type", "local_image", "standard", "hw_standard", "check_name", "SSH"), filters: []filter{
			word("result_type", "scan_result", "pass", "failed"), part("check_rule_name", "check_rule_name"), word("severity", "severity", severities...)}},
		{op: "ListCheckRulesInfo", base: members("image_type", "local_image", "type", "image", "image_id", image), filters: []filter{
			word("scan_result", "scan_result", "pass", "failed")}},
		{op: "ListImageWeakPwdUsers", base: local, filters: []filter{part("user_name", "user_name"), exactKnown("image_id", "image_id")}},
		// Beside an id the name does not select.
		{op: "ListImageWeakPwdUsers", base: local, filters: []filter{part("user_name", "user_name"), part("image_name", "image_name")}},
		{op: "ListImagePwdComplexity", base: local, filters: []filter{part("image_name", "image_name")}},
		{op: "ListImageNonCompliantApp", base: of, filters: []filter{part("app_name", "app_name")}},
		{op: "ListImageBasicImage", base: of, filters: []filter{part("os_name", "os_name")}},
		{op: "ListImageBuildCommandRisks", base: local, filters: []filter{part("risk_name", "risk_name"), word("risk_level", "risk_level", "low", "medium", "high", "critical")}},
		{op: "ListImageBuildCommandRisksImages", base: members("image_type", "local_image", "rule_id", "BC-USER-ROOT"), filters: []filter{exactKnown("image_id", "image_id")}},
	}
}

// exactKnown is exact where a value that is nowhere is refused.
func exactKnown(param, member string) filter {
	f := exact(param, member)
	f.values = func(rows []row) []any { return present(rows, member) }
	return f
}

// A fact is what the database says of an image on a host, or of a container.
type fact map[string]string

// fleetLists are the lists of images, hosts, containers and tasks. holders and
// containers are facts, one for each image on a host, and for each container.
func fleetLists(holders, containers []fact, apps map[string][]string) []listing {
	all := func(facts []fact, name string) []any {
		var rows []row
		for _, f := range facts {
			rows = append(rows, row{name: f[name]})
		}
		return present(rows, name)
	}
	of := func(param string, facts []fact, name string, partly bool) filter {
		return filter{param: param, values: func([]row) []any {
			if partly {
				return parts(all(facts, name))
			}
			return append(all(facts, name), "no-such-value")
		}}
	}
	// has says whether one fact has everything that is asked.
	has := func(facts []fact, ask map[string]any, params map[string]func(f fact, v string) bool, in func(fact) bool) bool {
		asked := false
		for param := range params {
			_, ok := ask[param]
			asked = asked || ok
		}
		return !asked || slices.ContainsFunc(facts, func(f fact) bool {
			for param, match := range params {
				if v, ok := ask[param]; ok && !match(f, v.(string)) {
					return false
				}
			}
			return in(f)
		})
	}
	is := func(name string) func(fact, string) bool { return func(f fact, v string) bool { return f[name] == v } }
	contains := func(name string) func(fact, string) bool {
		return func(f fact, v string) bool { return strings.Contains(f[name], v) }
	}
	digest := func(f fact, v string) bool { return f["digest"] == v }
	key := map[string]func(fact, string) bool{"image_name": is("image_name"), "image_version": is("image_version"), "image_digest": digest}
	scanned := func(r row) bool { return r["scan_status"] == "success" }
	within := func(r row, ask map[string]any, from, to, member string, and func(row) bool) bool {
		a, ok1 := ask[from].(float64)
		b, ok2 := ask[to].(float64)
		if !ok1 || !ok2 || a >= b {
			return true
		}
		n, ok := r[member].(float64)
		return ok && n >= a && n <= b && and(r)
	}
	bounds := func(param, member string) filter {
		return filter{param: param, values: func(rows []row) []any { return append(present(rows, member), 4070880000000.) }}
	}
	return []listing{
		{
			op: "ListImageLocal",
			filters: []filter{
				part("image_name", "image_name"), {param: "image_version", values: func(rows []row) []any { return append(present(rows, "image_version"), "none") }},
				word("scan_status", "scan_status", "success", "unscan", "failed", "scanning", "no-such-status"),
				word("local_image_type", "local_image_type", "swr_image", "other_image", "no-such-type"),
				{param: "image_size", values: func(rows []row) []any { return append(present(rows, "image_size"), 1.) },
					match: func(r row, v any) bool { return r["image_size"] == v }},
				bounds("start_latest_update_time", "latest_update_time"), bounds("end_latest_update_time", "latest_update_time"),
				bounds("start_latest_scan_time", "latest_scan_time"), bounds("end_latest_scan_time", "latest_scan_time"),
				flag("has_vul", func(r row, v any) bool { return scanned(r) && (r["vul_num"].(float64) > 0) == v }),
				flag("has_container", func(r row, v any) bool { return (r["container_num"].(float64) > 0) == v }),
				of("host_name", holders, "host_name", true), of("host_id", holders, "host_id", false), of("host_ip", holders, "private_ip", false),
				of("container_id", containers, "container_id", false), of("container_name", containers, "container_name", true),
				of("pod_id", containers, "pod_id", false), of("pod_name", containers, "pod_name", true),
				{"app_name", func([]row) []any { return []any{"ssl", "requests", "zlib1g", "SSL", "no-such-app"} }, func(r row, v any) bool {
					return slices.ContainsFunc(apps[text(r["image_id"])], func(a string) bool { return strings.Contains(a, v.(string)) })
				}},
			},
			match: func(r row, ask map[string]any) bool {
				this := func(f fact) bool { return f["image_id"] == r["image_id"] }
				if _, named := ask["image_name"]; named && ask["image_version"] != nil && r["image_version"] != ask["image_version"] {
					return false
				}
				return within(r, ask, "start_latest_update_time", "end_latest_update_time", "latest_update_time", func(row) bool { return true }) &&
					within(r, ask, "start_latest_scan_time", "end_latest_scan_time", "latest_scan_time", scanned) &&
					has(holders, ask, map[string]func(fact, string) bool{"host_name": contains("host_name"), "host_id": is("host_id"),
						"host_ip": func(f fact, v string) bool { return f["private_ip"] == v || f["public_ip"] == v }}, this) &&
					has(containers, ask, map[string]func(fact, string) bool{"container_id": is("container_id"), "container_name": contains("container_name"),
						"pod_id": is("pod_id"), "pod_name": contains("pod_name")}, this)
			},
		},
		{
			op: "ListLocalImageHosts",
			filters: []filter{part("host_name", "host_name"), exact("agent_id", "agent_id"), of("image_name", holders, "image_name", false),
				of("image_version", holders, "image_version", false), of("image_digest", holders, "digest", false)},
			match: func(r row, ask map[string]any) bool {
				return has(holders, ask, key, func(f fact) bool { return f["agent_id"] == r["agent_id"] })
			},
		},
		{
			op: "ListLocalImageContainers",
			filters: []filter{exact("container_id", "container_id"), exact("agent_id", "agent_id"), of("image_name", containers, "image_name", false),
				of("image_version", containers, "image_version", false), of("image_digest", containers, "digest", false)},
			match: func(r row, ask map[string]any) bool {
				return has(containers, ask, key, func(f fact) bool {
					return f["container_id"] == r["container_id"] && f["agent_id"] == r["agent_id"]
				})
			},
		},
		{op: "ListContainerImages", filters: []filter{{"keyword",
			func(rows []row) []any { return append(parts(present(rows, "image_name")), "web:", ":2") }, func(r row, v any) bool {
				return strings.Contains(fmt.Sprintf("%v:%v", r["image_name"], r["image_version"]), v.(string))
			}}}},
		{op: "ListImageScanTask", base: members("type", "image_scan", "global_image_type", "local"), filters: []filter{
			word("task_type", "task_type", "manual", "cycle"), part("task_name", "task_name"), exact("task_id", "task_id"),
			bound("create_time", "begin_time", 1), bound("end_time", "begin_time", -1),
			{"task_status", func([]row) []any { return []any{"scanning", "finished"} }, func(r row, v any) bool {
				n := r["task_status"].(float64)
				return (n >= 0 && n < 100) == (v == "scanning")
			}},
			{"scan_scope", func([]row) []any { return []any{0xf0000, 0xf0, 0x7fffffff} }, func(r row, v any) bool {
				return int64(r["scan_scope"].(float64))&int64(v.(int)) != 0
			}}}},
		{op: "ListContainerImageLogs", filters: []filter{
			exact("event_type", "event_type"), exact("event_name", "event_name"), exact("resource_type", "resource_type"), part("resource_name", "resource_name"),
			exact("source_ip", "source_ip"), exact("user_name", "user_name"), bound("start_time", "time", 1), bound("end_time", "time", -1)}},
		{op: "ListVulContainers", base: members("vul_id", openssl, "type", "linux_vul"), filters: []filter{
			part("container_name", "container_name"), open("status", "vul_status_unfix", "vul_status_ignored"), open("handle_status", "unhandled", "handled"),
			word("severity_level", "severity_level", "Critical", "High", "Medium", "Low"), bound("min_scan_time", "first_scan_time", 1), bound("max_scan_time", "first_scan_time", -1)}},
	}
}

// bound is a filter for numbers from a bound on (1), or up to it (-1).
func bound(param, member string, side int) filter {
	return filter{param, func(rows []row) []any { return append(present(rows, member), 4070880000000.) }, func(r row, v any) bool {
		return cmp.Compare(number(r[member]), v.(float64))*side >= 0
	}}
}

// number reads a number, which some lists tell as text.
func number(v any) float64 {
	if s, ok := v.(string); ok {
		n, _ := strconv.ParseFloat(s, 64)
		return n
	}
	n, _ := v.(float64)
	return n
}

const (
	ofRegistries = "local images have nothing of the kind"
	idDecides    = "does not select: the id alone is the key"
	ofSelected   = "which images are selected changes the rows, which do not tell: password_test.go, baseline_test.go and build_test.go ask"
	ofDecisions  = "nothing is decided on this server: the tests of handling and whitelists ask"
	ofKeys       = "what is asked for is a key, without which there is no list"
)

// notAsked are filters, of all lists or of one, and why no question asks for
// them here.
var notAsked = map[string]string{
	"namespace": ofRegistries, "instance_id": ofRegistries, "registry_name": ofRegistries, "registry_type": ofRegistries,
	"cluster_id": ofRegistries, "label_list": ofRegistries,

	"ListImageApps image_name": idDecides, "ListImageApps tag_name": idDecides,
	"ListImageBasicImage image_name": idDecides, "ListImageBasicImage image_version": idDecides,
	"ListImageFiles image_name": idDecides, "ListImageFiles tag_name": idDecides,
	"ListImageMalware image_name": idDecides, "ListImageMalware tag_name": idDecides,
	"ListImageNonCompliantApp image_name": idDecides, "ListImageNonCompliantApp image_version": idDecides,
	"ListImageSensitive image_name": idDecides, "ListImageSensitive image_version": idDecides,
	"ListImageVulnerabilities image_name": idDecides, "ListImageVulnerabilities tag_name": idDecides,

	"ListImageRiskConfigs image_id": ofSelected, "ListImageRiskConfigs image_name": ofSelected, "ListImageRiskConfigs image_version": ofSelected,
	"ListImageRiskConfigRules image_id": ofSelected, "ListImageRiskConfigRules image_name": ofSelected, "ListImageRiskConfigRules image_version": ofSelected,
	"ListCheckRulesInfo image_name": ofSelected, "ListCheckRulesInfo image_version": ofSelected, "ListCheckRuleResources scan_result": ofSelected,
	"ListImageBuildCommandRisks image_id": ofSelected, "ListVulRepoImage image_id": ofSelected,
	"ListImageWeakPwdUsers tag_name": ofSelected, "ListImagePwdComplexity image_version": ofSelected,

	"ListImageWhiteLists global_image_type":     ofDecisions,
	"ListImageWhiteLists type":                  ofDecisions,
	"ListImageWhiteLists vul_name":              ofDecisions,
	"ListImageWhiteLists vul_type":              ofDecisions,
	"ListGeneralImageVulOperations vul_id":      ofDecisions,
	"ListGeneralImageVulOperations image_id":    ofDecisions,
	"ListGeneralImageVulOperations image_type":  ofDecisions,
	"ListGeneralImageVulOperations image_name":  ofDecisions,
	"ListGeneralImageVulOperations status":      ofDecisions,
	"ListGeneralImageVulOperations user_name":   ofDecisions,
	"ListGeneralImageVulOperations handle_type": ofDecisions,
	"ListGeneralImageVulOperations app_name":    ofDecisions,
	"ListGeneralImageVulOperations app_version": ofDecisions,
	"ListGeneralImageVulOperations remark":      ofDecisions,
	"ListVulWhiteListVulOptions vul_type":       ofKeys,

	"ListCheckRuleResources type": ofKeys, "ListCheckRuleResources image_type": ofKeys, "ListCheckRuleResources check_rule_id": ofKeys,
	"ListCheckRuleResources check_name": ofKeys, "ListCheckRuleResources standard": ofKeys,
	"ListImageScanPolicy global_image_type": ofKeys, "ListImageScanPolicy type": ofKeys, "ListImageSensitiveInfo image_type": ofKeys,
	"ListVulAffectImageContainers image_digest": ofKeys, "ListVulAffectImageContainers image_name": ofKeys,
	"ListVulAffectImageContainers image_version": ofKeys, "ListVulAffectImageContainers agent_id": ofKeys,
	"ListVulContainerApps container_id": ofKeys, "ListVulContainerApps vul_id": ofKeys, "ListVulContainerApps handle_status": ofKeys,
}
