package contract

import "maps"

// asking are the questions of an operation.
type asking map[string][]question

// questions are those of all operations.
func questions() asking {
	out := asking{}
	for _, a := range []asking{fleetQuestions(), vulQuestions(), checkQuestions(), writeQuestions(), exportQuestions()} {
		maps.Copy(out, a)
	}
	return out
}

// of are the questions of an operation; without one, what every request can have
// is asked for.
func (a asking) of(op string) []question {
	if q := a[op]; len(q) > 0 {
		return q
	}
	return []question{{}}
}

// has is a condition that a column has a part.
func has(column, member string) string {
	return "replace(" + column + ", $" + member + ", '') <> " + column
}

const (
	// ofRegistry is why nothing is found.
	ofRegistry = "local images have none, so none is found"
	// byID are members that do not select beside an image's id.
	byID = " namespace=none image_name=none"
)

// filtered selects images by what filters of their list say, and isFiltered
// draws these from an image; both stand after a WITH of images i.
const (
	isFiltered = `i.name AS image_name, i.version AS image_version, i.scan_status, i.size AS image_size, i.updated_at - 1 AS start_latest_update_time,
	i.updated_at + 1 AS end_latest_update_time, i.latest_scan_time - 1 AS start_latest_scan_time, i.latest_scan_time + 1 AS end_latest_scan_time`
	filtered = `replace(i.name, $image_name, '') <> i.name AND i.version = $image_version AND i.scan_status = $scan_status AND i.size = $image_size
	AND i.updated_at BETWEEN $start_latest_update_time AND $end_latest_update_time AND i.latest_scan_time BETWEEN $start_latest_scan_time AND $end_latest_scan_time`
)

// fleetQuestions are about images, hosts, containers and tasks.
func fleetQuestions() asking {
	const held = `FROM images i JOIN image_host h ON h.image_id = i.id JOIN agent a ON a.id = h.agent_id JOIN image_digest d ON d.image_id = i.id`
	return asking{
		"ListImageLocal": {
			{contained: true, with: "has_vul=true has_container=true",
				row: "SELECT " + isFiltered + `, i.local_type AS local_image_type, substr(a.host_name, 2) AS host_name, a.host_id, a.private_ip AS host_ip,
	k.container_id, substr(k.name, 2) AS container_name, k.pod_id, substr(k.pod_name, 2) AS pod_name, 'ssl' AS app_name
	FROM images i JOIN container k ON k.image_id = i.id JOIN agent a ON a.id = k.agent_id WHERE k.name = 'front-1'`,
				want: "SELECT i.id FROM images i WHERE " + filtered + ` AND i.local_type = $local_image_type AND i.vul_num > 0
	AND EXISTS (SELECT 1 FROM image_host h JOIN agent a ON a.id = h.agent_id WHERE h.image_id = i.id AND a.host_id = $host_id AND a.private_ip = $host_ip AND ` + has("a.host_name", "host_name") + `)
	AND EXISTS (SELECT 1 FROM container k WHERE k.image_id = i.id AND k.container_id = $container_id AND k.pod_id = $pod_id AND ` + has("k.name", "container_name") + " AND " + has("k.pod_name", "pod_name") + `)
	AND EXISTS (SELECT 1 FROM installed x WHERE x.image = i.id AND ` + has("x.name", "app_name") + ") ORDER BY i.name, i.version, i.id", key: "image_id"},
			{with: "image_name=an app_name=libc scan_status=success",
				want: "SELECT i.id FROM images i WHERE " + has("i.name", "image_name") + " AND EXISTS (SELECT 1 FROM installed x WHERE x.image = i.id AND " + has("x.name", "app_name") +
					") ORDER BY i.name, i.version, i.id", key: "image_id"},
		},
		"ListLocalImageHosts": {{
			row:  "SELECT d.digest AS image_digest, i.name AS image_name, i.version AS image_version, substr(a.host_name, 2) AS host_name, a.id AS agent_id " + held + " WHERE i.id = $image_id",
			want: "SELECT a.id || '|' || h.engine " + held + " WHERE d.digest = $image_digest AND i.name = $image_name AND i.version = $image_version AND a.id = $agent_id AND " + has("a.host_name", "host_name") + " ORDER BY a.host_name, a.id, h.engine",
			key:  "agent_id|docker_name"}},
		"ListLocalImageContainers": {
			{contained: true,
				row: `SELECT d.digest AS image_digest, i.name AS image_name, i.version AS image_version, k.agent_id, k.container_id
	FROM images i JOIN container k ON k.image_id = i.id JOIN image_digest d ON d.image_id = i.id WHERE k.name = 'front-1'`,
				want: `SELECT k.container_id FROM images i JOIN container k ON k.image_id = i.id JOIN image_digest d ON d.image_id = i.id
	WHERE d.digest = $image_digest AND i.name = $image_name AND i.version = $image_version AND k.agent_id = $agent_id AND k.container_id = $container_id ORDER BY k.container_id`, key: "container_id"},
			{contained: true, row: "SELECT name AS image_name FROM images WHERE id = $image_id",
				want: "SELECT k.container_id FROM images i JOIN container k ON k.image_id = i.id WHERE i.name = $image_name ORDER BY k.container_id", key: "container_id"},
		},
		"ListContainerImages": {
			{with: "keyword=ted:1", want: "SELECT i.id FROM images i WHERE " + has("i.name || ':' || i.version", "keyword") + " ORDER BY i.name, i.version, i.id", key: "image_id"},
			{with: "keyword=plant", want: "SELECT i.id FROM images i WHERE " + has("i.name || ':' || i.version", "keyword") + " ORDER BY i.name, i.version, i.id", key: "image_id"},
		},
		"ListContainerImageLogs": {{
			row: `SELECT substr(resource_name, 3, 4) AS resource_name, resource_type, event_type, event_name, source_ip, user_name, at - 100000 AS start_time, at AS end_time
	FROM image_log WHERE event_name = 'image_appeared' AND resource_name LIKE 'planted%' ORDER BY id DESC LIMIT 1`,
			want: `SELECT at || '|' || event_name || '|' || content FROM image_log WHERE resource_type = $resource_type AND event_type = $event_type AND event_name = $event_name
	AND source_ip = $source_ip AND user_name = $user_name AND at BETWEEN $start_time AND $end_time AND ` + has("resource_name", "resource_name") + " ORDER BY id DESC",
			key: "time|event_name|content"}},
		"ListImageScanTask": {{with: "task_status=finished global_image_type=local",
			row: "SELECT id AS task_id, substr(name, 2, 7) AS task_name, task_type, created_at AS create_time, created_at AS end_time, 1 AS scan_scope FROM scan_task WHERE state = 'finished' ORDER BY id LIMIT 1",
			want: `SELECT id FROM scan_task WHERE state <> 'running' AND id = $task_id AND task_type = $task_type AND created_at BETWEEN $create_time AND $end_time AND ` +
				has("name", "task_name") + " ORDER BY created_at DESC, id DESC", key: "task_id"}},
		"ListImageScanPolicy": {{with: "global_image_type=local"}},
		// There is no word for types, so none selects.
		"ShowLatestExportTaskByType": {{with: "export_task_type=any"}},
	}
}

// vulQuestions are about vulnerabilities and software.
func vulQuestions() asking {
	named := []question{{with: "app_name=lib" + byID + " tag_name=none",
		want: "SELECT name || '|' || type || '|' || version FROM installed WHERE image = $image_id AND counted = 1 AND " + has("name", "app_name") + " GROUP BY name, type, version ORDER BY name, type, version", key: "app_name|app_type|app_version"}}
	const here = "FROM seen s WHERE s.image = $image_id AND "
	return asking{
		"ListImageApps": named,
		"ListLocalImageAppInfo": {{with: "app_name=lib",
			want: "SELECT name || '|' || type || '|' || version FROM installed WHERE image = $image_id AND counted = 1 AND " + has("name", "app_name") + " GROUP BY name, type, version ORDER BY name, type, version", key: "app_name|app_type|app_version"}},
		"ListGlobalImageApps": {
			{with: "app_name=lib image_type=local", key: "image_id|app_name|app_version",
				want: "SELECT image || '|' || name || '|' || version FROM installed WHERE " + has("name", "app_name") + " ORDER BY content_id, name"},
			{with: "app_name=tel is_compliant=false", key: "image_id|app_name|app_version",
				want: "SELECT x.image || '|' || x.name || '|' || x.version FROM installed x JOIN non_compliant d ON d.part_id = x.part_id AND d.n = x.n WHERE " + has("x.name", "app_name") + " ORDER BY x.content_id"},
		},
		"ListImageNonCompliantApp": {{with: "app_name=tel image_version=none" + byID, key: "app_name|app_version",
			want: "SELECT x.name || '|' || x.version FROM installed x JOIN non_compliant d ON d.part_id = x.part_id AND d.n = x.n WHERE x.image = $image_id AND " + has("x.name", "app_name") + " ORDER BY x.name"}},
		"ListImageBasicImage": {{with: "os_name=ebian image_version=none" + byID, key: "os_version",
			want: "SELECT '12' FROM images i JOIN content_detail d ON d.content_id = i.content_id WHERE i.id = $image_id AND " + has("d.distro", "os_name")}},

		"ListImageVulnerabilities": {
			{with: "repair_necessity=immediate_repair handle_status=unhandled instance_id=none", key: "vul_id|app_name",
				row:  "SELECT substr(advisory, 5) AS vul_id, substr(name, 2, 4) AS app_name, vul_type AS type FROM seen WHERE image = $image_id AND advisory = $vul_id LIMIT 1",
				want: "SELECT s.advisory || '|' || s.name " + here + "s.severity >= 3 AND s.state = 'unhandled' AND s.vul_type = $type AND " + has("s.advisory", "vul_id") + " AND " + has("s.name", "app_name") + " ORDER BY s.severity DESC, s.advisory, s.name"},
			{with: "handle_status=handled", key: "vul_id|app_name", want: "SELECT s.advisory || '|' || s.name " + here + "s.state = 'handled' ORDER BY s.severity DESC, s.advisory, s.name"},
		},
		"ListGlobalVulnerabilities": {
			{with: "repair_necessity=immediate_repair type=linux_vul vul_id=CVE-202", key: "vul_id",
				want: "SELECT s.advisory FROM seen s WHERE s.severity >= 3 AND s.vul_type = 'linux_vul' AND " + has("s.advisory", "vul_id") + " GROUP BY s.advisory ORDER BY MAX(s.severity) DESC, s.advisory"},
			{with: "repair_necessity=delay_repair", key: "vul_id", want: "SELECT DISTINCT s.advisory FROM seen s WHERE s.severity = 2 ORDER BY s.advisory"},
		},
		"ListGeneralImageVuls": {
			{with: "severity_level=High status=vul_status_unfix handle_status=unhandled", key: "vul_id",
				row: `SELECT substr(s.advisory, 5) AS vul_id, substr(s.advisory, 6) AS vul_name, substr(e.cve_id, 1, 9) AS cve_id, s.vul_type AS type
	FROM seen s JOIN vulnerability_cve e ON e.vul_id = s.vul_id WHERE s.severity = 3 AND s.state = 'unhandled' LIMIT 1`,
				want: `SELECT DISTINCT s.advisory FROM seen s JOIN vulnerability_cve e ON e.vul_id = s.vul_id WHERE s.severity = 3 AND s.state = 'unhandled' AND s.vul_type = $type AND ` +
					has("s.advisory", "vul_id") + " AND " + has("s.advisory", "vul_name") + " AND " + has("e.cve_id", "cve_id") + " ORDER BY s.advisory"},
			{with: "handle_status=handled status=vul_status_ignored", key: "vul_id", want: "SELECT DISTINCT s.advisory FROM seen s WHERE s.state = 'handled' AND s.vul_type = 'linux_vul' ORDER BY s.advisory"},
			{with: "label_list=none", nothing: ofRegistry},
			{with: "cluster_id=none", nothing: ofRegistry},
		},
		"ListVulAffectImages": {
			{with: "repair_necessity=High image_name=an status=vul_status_unfix", key: "image_id",
				want: "SELECT s.image FROM seen s WHERE s.advisory = $vul_id AND s.severity = 3 AND s.state = 'unhandled' AND " + has("s.image_name", "image_name") + " GROUP BY s.image, s.image_name, s.image_version ORDER BY s.image_name, s.image_version, s.image"},
			{row: "SELECT image AS image_id, advisory AS vul_id, 1 AS is_handled FROM seen WHERE state = 'handled' AND vul_type = 'linux_vul' LIMIT 1", key: "image_id",
				want: "SELECT DISTINCT s.image FROM seen s WHERE s.advisory = $vul_id AND s.state = 'handled' AND s.image = $image_id"},
			{with: "registry_name=none", nothing: ofRegistry},
			{with: "registry_type=none", nothing: ofRegistry},
			{with: "cluster_id=none", nothing: ofRegistry},
		},
		"ListVulRepoImage": {
			{with: "image_name=an app_name=ssl", key: "image_name|app_name|version",
				want: "SELECT image_name || '|' || name || '|' || version FROM seen WHERE advisory = $vul_id AND " + has("image_name", "image_name") + " AND " + has("name", "app_name") + " GROUP BY image_name, name, version ORDER BY image_name, name, version"},
			{row: "SELECT image AS image_id FROM seen WHERE advisory = $vul_id AND image = $image_id", key: "image_name|app_name|version",
				want: "SELECT DISTINCT image_name || '|' || name || '|' || version FROM seen WHERE advisory = $vul_id AND image = $image_id ORDER BY 1"},
			{with: "namespace=none", nothing: "it is part of the name of a local image"},
		},
		"ListVulContainers": {
			{contained: true, with: "severity_level=High status=vul_status_unfix handle_status=unhandled container_name=nt-2", key: "container_id",
				row: "SELECT first_seen AS min_scan_time, first_seen AS max_scan_time FROM seen WHERE advisory = $vul_id AND image = $image_id",
				want: `SELECT k.container_id FROM seen s JOIN container k ON k.image_id = s.image WHERE k.running = 1 AND s.advisory = $vul_id AND s.severity = 3 AND s.state = 'unhandled'
	AND s.first_seen BETWEEN CAST($min_scan_time AS BIGINT) AND CAST($max_scan_time AS BIGINT) AND ` + has("k.name", "container_name") + " GROUP BY s.content_id, k.agent_id, k.container_id ORDER BY s.content_id, k.agent_id, k.container_id"},
			{contained: true, row: "SELECT advisory AS vul_id FROM seen WHERE state = 'handled' AND vul_type = 'linux_vul' LIMIT 1", with: "handle_status=handled", key: "container_id",
				want: "SELECT DISTINCT k.container_id FROM seen s JOIN container k ON k.image_id = s.image WHERE k.running = 1 AND s.advisory = $vul_id AND s.state = 'handled' ORDER BY k.container_id"},
			{with: "cluster_id=none", nothing: ofRegistry},
		},
		"ListVulContainerApps": {{contained: true, key: "app_name",
			want: "SELECT DISTINCT s.name FROM container k JOIN seen s ON s.image = k.image_id WHERE k.container_id = $container_id AND s.advisory = $vul_id ORDER BY s.name"}},
		"ListVulAffectImageContainers": {{contained: true, key: "container_id", want: "SELECT container_id FROM container WHERE image_id = $image_id AND agent_id = $agent_id ORDER BY container_id"}},
		"ListVulWhiteListVulOptions": {{with: "category=image image_type=local vul_type=app_vul vul_name=2024", key: "vul_id",
			want: "SELECT DISTINCT advisory FROM seen WHERE vul_type = $vul_type AND " + has("advisory", "vul_name") + " ORDER BY 1"}},
	}
}
