package contract

import (
	"strings"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"
)

// under puts the names of members below another.
func under(name, text string) string {
	for _, m := range []string{"image_name", "image_version", "scan_status", "image_size", "start_latest_update_time", "end_latest_update_time", "start_latest_scan_time", "end_latest_scan_time"} {
		text = strings.ReplaceAll(text, "$"+m, "${"+name+"."+m+"}")
		text = strings.ReplaceAll(text, "AS "+m, `AS "`+name+"."+m+`"`)
	}
	return strings.Replace(text, "i.scan_status,", `i.scan_status AS "`+name+`.scan_status",`, 1)
}

// writeQuestions are about scans, decisions and whitelists.
func writeQuestions() asking {
	const (
		lastTask = "SELECT image_id FROM task_image WHERE task_id = (SELECT id FROM scan_task ORDER BY created_at DESC, id DESC LIMIT 1) ORDER BY image_id"
		base     = " FROM images i WHERE i.name = 'planted-base'"
		selected = "SELECT i.id FROM images i WHERE "
		listed   = "SELECT i.id AS \"%image_id\", i.config_digest AS \"%image_digest\", i.name AS \"%image_name\", i.version AS \"%image_version\"" + base
		done     = `SELECT o.image_id || '|' || v.advisory FROM vul_operation_image o JOIN vulnerability v ON v.id = o.vul_id JOIN images i ON i.id = o.image_id
	WHERE o.operation_id = (SELECT MAX(id) FROM vul_operation) ORDER BY i.name, i.version, i.id, v.advisory`
		pairs   = "SELECT image || '|' || advisory FROM seen WHERE vul_type = 'linux_vul' AND state = 'unhandled' AND "
		inOrder = " GROUP BY image, image_name, image_version, advisory ORDER BY image_name, image_version, image, advisory"
		rule    = "SELECT m.image_id || '|' || v.advisory || '|' || w.description FROM whitelist w JOIN vulnerability v ON v.id = w.vul_id JOIN whitelist_image m ON m.rule_id = w.id WHERE w.rule_type = 'specific_images'"
	)
	history := "FROM vul_operation_image o JOIN vul_operation p ON p.id = o.operation_id JOIN vulnerability v ON v.id = o.vul_id JOIN images i ON i.id = o.image_id JOIN package a ON a.id = o.package_id WHERE "
	nothing := func(member, why string) question {
		return question{with: "is_all=true query_info." + member, want: "SELECT COUNT(*) FROM scan_task", after: "SELECT COUNT(*) FROM scan_task", nothing: why}
	}
	handle := []question{
		{with: "select_type=specific_image_all_vul handle_status=unhandled remark=none", row: "SELECT id AS image_id_list" + base, want: pairs + "image = $image_id_list" + inOrder},
		{with: "select_type=specific_vul_all_image vul_id_list=" + openssl, want: pairs + "advisory = $vul_id_list" + inOrder},
		{with: "select_type=vul_view vul_data_list.vul_id=" + openssl, row: "SELECT id AS \"vul_data_list.image_id_list\"" + base,
			want: pairs + "advisory = ${vul_data_list.vul_id} AND image = ${vul_data_list.image_id_list}" + inOrder},
		{with: "select_type=image_view image_data_list.vul_id_list=" + openssl, row: "SELECT id AS \"image_data_list.image_id\"" + base,
			want: pairs + "advisory = ${image_data_list.vul_id_list} AND image = ${image_data_list.image_id}" + inOrder},
	}
	preview := make([]question, len(handle))
	for i := range handle {
		preview[i] = handle[i]
		preview[i].with += " image_name=planted vul_name=CVE handle_status=unhandled"
		preview[i].key = "image_id|vul_id"
		handle[i].before, handle[i].after = (*conformer).reopen, done
	}
	decided := func(what string) question {
		return question{with: "operate_type=" + what, want: "SELECT '" + what + "'", after: "SELECT action FROM secret_decision"}
	}
	return asking{
		"BatchScanLocalImage": {
			{with: "operate_all=true", row: "SELECT i.local_type AS local_image_type, " + isFiltered + base,
				want: selected + filtered + " AND i.local_type = $local_image_type ORDER BY i.id", after: lastTask},
			{with: "operate_all=false", row: strings.ReplaceAll(listed, "%", "image_info_list."), want: selected + "i.id = ${image_info_list.image_id}", after: lastTask},
		},
		"CreateManualImageScanTask": {
			{contained: true, with: "is_all=true rate_limit=0 scan_scope=2147483647 query_info.has_vul=true query_info.app_name=ssl",
				row: "SELECT i.local_type AS \"query_info.local_image_type\", a.host_id AS \"query_info.host_id\", substr(a.host_name, 2) AS \"query_info.host_name\", a.private_ip AS \"query_info.private_ip\", " +
					"k.container_id AS \"query_info.container_id\", substr(k.name, 2) AS \"query_info.container_name\", k.pod_id AS \"query_info.pod_id\", substr(k.pod_name, 2) AS \"query_info.pod_name\", " +
					under("query_info", isFiltered) + " FROM images i JOIN container k ON k.image_id = i.id JOIN agent a ON a.id = k.agent_id WHERE k.name = 'front-1'",
				want: selected + under("query_info", filtered) + ` AND i.local_type = ${query_info.local_image_type} AND i.vul_num > 0
	AND EXISTS (SELECT 1 FROM image_host h JOIN agent a ON a.id = h.agent_id WHERE h.image_id = i.id AND a.host_id = ${query_info.host_id} AND a.private_ip = ${query_info.private_ip})
	AND EXISTS (SELECT 1 FROM container k WHERE k.image_id = i.id AND k.container_id = ${query_info.container_id} AND k.pod_id = ${query_info.pod_id})
	AND EXISTS (SELECT 1 FROM installed x WHERE x.image = i.id AND replace(x.name, ${query_info.app_name}, '') <> x.name) ORDER BY i.id`, after: lastTask},
			{with: "is_all=false image_info.id=1 image_info.namespace=none image_info.registry_id=none image_info.registry_name=none image_info.registry_type=Other image_info.instance_id=none image_info.instance_url=none",
				row: strings.ReplaceAll(listed, "%", "image_info."), want: selected + "i.id = ${image_info.image_id}", after: lastTask},
			nothing("namespace=none", ofRegistry), nothing("cluster_id=none", ofRegistry), nothing("image_type=harbor", ofRegistry),
			nothing("public_ip=198.51.100.7", "the agent reaches the server from a private address"),
		},
		"HandleImageVulnerability":             handle,
		"ListImageHandleAffectVulnerabilities": preview,
		"ListGeneralImageVulOperations": {{with: "status=vul_status_ignored", key: "image_id|handle_type|remark",
			row: "SELECT v.advisory AS vul_id, i.id AS image_id, substr(i.name, 2) AS image_name, p.done_by AS user_name, p.action AS handle_type, substr(a.name, 2) AS app_name, " +
				"a.version AS app_version, substr(p.remark, 2) AS remark " + history + "o.handled = 1 AND v.advisory = '" + zlib + "'",
			want: "SELECT i.id || '|' || p.action || '|' || p.remark " + history + "v.advisory = $vul_id AND i.id = $image_id AND p.done_by = $user_name AND p.action = $handle_type AND a.version = $app_version AND o.handled = 1 AND " +
				has("i.name", "image_name") + " AND " + has("a.name", "app_name") + " AND " + has("p.remark", "remark") + " ORDER BY p.id DESC"}},
		"ListImageWhiteLists": {{with: "vul_type=app_vul vul_name=35195", key: "vul_id|rule_type|description",
			want: "SELECT v.advisory || '|' || w.rule_type || '|' || w.description FROM whitelist w JOIN vulnerability v ON v.id = w.vul_id WHERE w.vul_type = $vul_type AND " + has("v.advisory", "vul_name") + " ORDER BY w.added_at DESC, w.id"}},
		"ChangeSensitiveInfo": {decided("ignore"), decided("do_not_ignore")},
		"AddImageWhiteLists": {{
			row: "SELECT id AS \"image_info.image_id\", name AS \"image_info.image_name\"" + base,
			// Which images a rule is for, image_id alone says.
			with: "vul_type=linux_vul vul_ids=" + zlib + " rule_type=specific_images image_info.id=1 image_info.image_type=local_image query_info.image_type=harbor description=base",
			want: "SELECT id || '|' || $vul_ids || '|' || $description" + base, after: rule}},
		"ChangeImageWhiteList": {{
			before: (*conformer).whitelist,
			row:    "SELECT id AS \"image_info.image_id\", name AS \"image_info.image_name\"" + base,
			with:   "rule_type=specific_images image_info.id=1 image_info.image_type=local_image query_info.image_type=harbor description=changed",
			want:   "SELECT id || '|' || $description" + base,
			after:  "SELECT m.image_id || '|' || w.description FROM whitelist w JOIN whitelist_image m ON m.rule_id = w.id WHERE w.description = $description"}},
	}
}

// reopen takes back what is decided.
func (c *conformer) reopen() {
	c.t.Helper()
	if _, err := c.HandleImageVulnerability(&model.HandleImageVulnerabilityRequest{Body: &model.HandleImageVulnerabilityRequestBody{
		ImageType: "local", Type: "linux_vul", OperateType: "not_ignore", SelectType: "all_vul"}}); err != nil {
		c.t.Fatal(err)
	}
}
