package contract

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// values is a filter whose test is elsewhere, for what some rows have in a
// member.
func values(param string, of func(param, member string) filter, rows []row, member string) filter {
	return filter{param: param, values: func([]row) []any { return of(param, member).values(rows) }}
}

// single says whether one of some rows holds for all that is asked of
// these parameters, each a member.
func single(rows []row, ask terms, exactly, partly map[string]string, in func(row) bool) bool {
	asked := false
	for param := range ask {
		asked = asked || exactly[param] != "" || partly[param] != ""
	}
	return !asked || slices.ContainsFunc(rows, func(r row) bool {
		for param, v := range ask {
			if m := exactly[param]; m != "" && r[m] != v || partly[param] != "" && !strings.Contains(text(r[partly[param]]), v.(string)) {
				return false
			}
		}
		return in(r)
	})
}

// within holds two bounds that act together only.
func within(r row, ask terms, from, to, member string, and bool) bool {
	a, ok1 := ask[from].(float64)
	b, ok2 := ask[to].(float64)
	if !ok1 || !ok2 || a >= b {
		return true
	}
	n, ok := r[member].(float64)
	return ok && n >= a && n <= b && and
}

// fleetLists are the lists of images, hosts, containers and tasks.
func (k *known) fleetLists() []listing {
	key := map[string]string{"image_name": "image_name", "image_version": "image_version", "image_digest": "image_digest"}
	scanned := func(r row) bool { return r["scan_status"] == "success" }
	bounds := func(param, member string) filter {
		return filter{param: param, values: func(rows []row) []any { return append(present(rows, member), 4070880000000.) }}
	}
	return []listing{
		{
			op: "ListImageLocal",
			filters: slices.Concat(
				together("name", part("image_name", "image_name"), filter{param: "image_version", values: func(rows []row) []any { return append(present(rows, "image_version"), "none") }}),
				together("updated", bounds("start_latest_update_time", "latest_update_time"), bounds("end_latest_update_time", "latest_update_time")),
				together("scanned", bounds("start_latest_scan_time", "latest_scan_time"), bounds("end_latest_scan_time", "latest_scan_time")),
				together("host", values("host_name", part, k.holders, "host_name"), values("host_id", exact, k.holders, "host_id"), values("host_ip", exact, k.holders, "private_ip")),
				together("container", values("container_id", exact, k.containers, "container_id"), values("container_name", part, k.containers, "container_name"),
					values("pod_id", exact, k.containers, "pod_id"), values("pod_name", part, k.containers, "pod_name")),
				[]filter{
					word("scan_status", "scan_status", "success", "unscan", "failed", "scanning", "no-such-status"),
					word("local_image_type", "local_image_type", "swr_image", "other_image", "no-such-type"),
					{param: "image_size", values: func(rows []row) []any { return append(present(rows, "image_size"), 1.) },
						match: func(r row, v any) bool { return r["image_size"] == v }},
					flag("has_vul", func(r row, v any) bool { return scanned(r) && (r["vul_num"].(float64) > 0) == v }),
					flag("has_container", func(r row, v any) bool { return (r["container_num"].(float64) > 0) == v }),
					{param: "app_name", values: func([]row) []any { return []any{"ssl", "requests", "zlib1g", "SSL", "no-such-app"} }, match: func(r row, v any) bool {
						return slices.ContainsFunc(k.installed, func(a row) bool {
							return a["image_id"] == r["image_id"] && strings.Contains(text(a["app_name"]), v.(string))
						})
					}},
				}),
			match: func(r row, ask terms) bool {
				this := func(f row) bool { return f["image_id"] == r["image_id"] }
				onHost := func(f row) bool {
					ip, ok := ask["host_ip"]
					return this(f) && (!ok || f["private_ip"] == ip || f["public_ip"] == ip)
				}
				if _, named := ask["image_name"]; named && ask["image_version"] != nil && r["image_version"] != ask["image_version"] {
					return false
				}
				return within(r, ask, "start_latest_update_time", "end_latest_update_time", "latest_update_time", true) &&
					within(r, ask, "start_latest_scan_time", "end_latest_scan_time", "latest_scan_time", scanned(r)) &&
					single(k.holders, ask, map[string]string{"host_id": "host_id"}, map[string]string{"host_name": "host_name"}, onHost) && slices.ContainsFunc(k.holders, onHost) &&
					single(k.containers, ask, map[string]string{"container_id": "container_id", "pod_id": "pod_id"},
						map[string]string{"container_name": "container_name", "pod_name": "pod_name"}, this)
			},
		},
		{
			op: "ListLocalImageHosts",
			filters: append(together("image", values("image_name", exact, k.holders, "image_name"), values("image_version", exact, k.holders, "image_version"),
				values("image_digest", exact, k.holders, "image_digest")), part("host_name", "host_name"), exact("agent_id", "agent_id")),
			match: func(r row, ask terms) bool {
				return single(k.holders, ask, key, nil, func(f row) bool { return f["agent_id"] == r["agent_id"] })
			},
		},
		{
			op: "ListLocalImageContainers",
			filters: append(together("image", values("image_name", exact, k.containers, "image_name"), values("image_version", exact, k.containers, "image_version"),
				values("image_digest", exact, k.containers, "image_digest")), exact("container_id", "container_id"), exact("agent_id", "agent_id")),
			match: func(r row, ask terms) bool {
				return single(k.containers, ask, key, nil, func(f row) bool { return f["container_id"] == r["container_id"] && f["agent_id"] == r["agent_id"] })
			},
		},
		{op: "ListContainerImages", filters: []filter{{param: "keyword",
			values: func(rows []row) []any { return append(parts(present(rows, "image_name")), "web:", ":2") }, match: func(r row, v any) bool {
				return strings.Contains(fmt.Sprintf("%v:%v", r["image_name"], r["image_version"]), v.(string))
			}}}},
		{op: "ListImageScanTask", base: members("type", "image_scan", "global_image_type", "local"), filters: []filter{
			word("task_type", "task_type", "manual", "cycle", "autoSync", "manualSync"), part("task_name", "task_name"), exact("task_id", "task_id"),
			anyOf("type", []any{"image_scan"}, "image_sync"), family("global_image_type", "registry"),
			bound("create_time", "begin_time", 1), bound("end_time", "begin_time", -1),
			{param: "task_status", values: func([]row) []any { return []any{"scanning", "finished"} }, match: func(r row, v any) bool {
				n := r["task_status"].(float64)
				return (n >= 0 && n < 100) == (v == "scanning")
			}},
			{param: "scan_scope", values: func([]row) []any { return []any{0xf0000, 0xf0, 0x7fffffff} }, match: func(r row, v any) bool {
				return int64(r["scan_scope"].(float64))&int64(v.(int)) != 0
			}}}},
		{op: "ListContainerImageLogs", filters: []filter{
			exact("event_type", "event_type"), exact("event_name", "event_name"), exact("resource_type", "resource_type"), part("resource_name", "resource_name"),
			exact("source_ip", "source_ip"), exact("user_name", "user_name"), bound("start_time", "time", 1), bound("end_time", "time", -1)}},
		{op: "ListVulAffectImageContainers", base: k.containerKey(), of: k.containers, key: named("container_id"),
			known: func(ask terms) bool {
				return slices.ContainsFunc(k.holders, func(h row) bool {
					return !slices.ContainsFunc([]string{"image_id", "image_digest", "image_name", "image_version", "agent_id"}, func(m string) bool { return h[m] != ask[m] })
				})
			},
			filters: []filter{exact("image_id", "image_id"), exact("image_digest", "image_digest"), exact("image_name", "image_name"), exact("image_version", "image_version"), exact("agent_id", "agent_id")}},
		{op: "ListVulContainerApps", base: members("container_id", k.containers[0]["container_id"], "vul_id", openssl, "handle_status", "unhandled"), of: k.exposed(), once: true,
			key: named("app_name"), empty: true, known: func(ask terms) bool { return holds(k.containers, "container_id", ask["container_id"]) },
			filters: []filter{values("container_id", exact, k.containers, "container_id").matching("container_id"), exact("vul_id", "vul_id"), handleStatus}},
	}
}

// matching is a filter with the test of exact.
func (f filter) matching(member string) filter {
	f.match = exact(f.param, member).match
	return f
}

// containerKey is what names the image of a container on its host.
func (k *known) containerKey() terms {
	c, out := k.containers[0], terms{}
	for _, m := range []string{"image_id", "image_digest", "image_name", "image_version", "agent_id"} {
		out[m] = c[m]
	}
	return out
}

// bound is a filter for numbers from a bound on (1), or up to it (-1).
func bound(param, member string, side int) filter {
	return filter{param: param, values: func(rows []row) []any { return append(present(rows, member), 4070880000000.) }, match: func(r row, v any) bool {
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
