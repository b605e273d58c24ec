package contract

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"
)

// A conformRow says what an operation must answer or do. Of a request with
// everything it knows, members that exclude each other among it, only that it is
// answered is checked, and that it lists no more; questions say the rest.
type conformRow struct {
	// count is SQL; in it $name is a known value. It tells total_num, or for
	// what writes how much more there must be afterwards.
	count string
	// more is what a write adds to count, if it is not a list.
	more *int64
	// member is the member to compare with count; if it is empty total_num,
	// and the page must have as many rows.
	member string
	// contained says that containers have to run.
	contained bool
	// says checks what is no number.
	says func(c *conformer, answer map[string]any) bool
	// before is done before each call.
	before func(c *conformer)
}

// with names what SQL asks about: images, with what is kept of their contents;
// places of software in images, and the findings there; rules that images were
// asked.
const with = `WITH images AS (
	SELECT i.id, i.name, i.version, i.local_type, i.size, i.updated_at, i.content_id, c.config_digest, c.scan_status, c.first_scan_time, c.latest_scan_time, c.vul_num, c.severity_level
	FROM image i JOIN content c ON c.id = i.content_id),
installed AS (
	SELECT i.id AS image, i.name AS image_name, i.version AS image_version, i.content_id, i.first_scan_time, pp.part_id, pp.n, pp.package_id, pp.counted, pp.path, pp.owned_by, p.type, p.name, p.version
	FROM images i JOIN content_part cp ON cp.content_id = i.content_id JOIN part_package pp ON pp.part_id = cp.part_id JOIN package p ON p.id = pp.package_id
	WHERE pp.declared = 0),
seen AS (
	SELECT x.*, v.advisory, f.vul_id, f.vul_type, f.severity,
		CASE WHEN f.first_seen > x.first_scan_time THEN f.first_seen ELSE x.first_scan_time END AS first_seen,
		CASE WHEN EXISTS (SELECT 1 FROM vul_handled h WHERE h.content_id = x.content_id AND h.vul_id = f.vul_id)
			OR EXISTS (SELECT 1 FROM whitelist w WHERE w.vul_id = f.vul_id AND w.rule_type = 'all_images') THEN 'handled' ELSE 'unhandled' END AS state
	FROM installed x JOIN finding f ON f.package_id = x.package_id JOIN vulnerability v ON v.id = f.vul_id
	WHERE x.counted = 1),
asked AS (
	SELECT i.id AS image, i.name AS image_name, i.version AS image_version, b.check_name, b.standard, r.rule_id, r.failed, r.severity
	FROM image i JOIN content_baseline h ON h.content_id = i.content_id JOIN baseline b ON b.id = h.baseline_id JOIN baseline_rule r ON r.baseline_id = b.id)
`

func one() *int64 { return new(int64(1)) }

func conformTable() map[string]conformRow {
	return map[string]conformRow{
		"ListImageLocal":           {count: "SELECT COUNT(*) FROM image"},
		"ListLocalImageAppInfo":    {count: "SELECT COUNT(*) FROM (SELECT DISTINCT type, name, version FROM installed WHERE image = $image_id AND counted = 1) x"},
		"ListImageApps":            {count: "SELECT COUNT(*) FROM (SELECT DISTINCT type, name, version FROM installed WHERE image = $image_id AND counted = 1) x"},
		"ListGlobalImageApps":      {count: "SELECT COUNT(*) FROM installed"},
		"ListLocalImageHosts":      {count: "SELECT COUNT(*) FROM (SELECT DISTINCT agent_id, engine FROM image_host) x"},
		"ListLocalImageContainers": {contained: true, count: "SELECT COUNT(*) FROM container"},
		"ListContainerImages":      {count: "SELECT COUNT(*) FROM image"},
		"ListContainerImageLogs":   {count: "SELECT COUNT(*) FROM image_log"},
		"ListImageScanTask":        {count: "SELECT COUNT(*) FROM scan_task"},
		"ListImageScanPolicy": {says: func(c *conformer, a map[string]any) bool {
			return a["enabled"] == (c.db.count("SELECT COUNT(*) FROM scan_policy WHERE enabled = 1") > 0)
		}},
		"ShowImageAssetStatistics":      {count: "SELECT COUNT(*) FROM image", member: "local_num"},
		"ShowImagePayPerScanStatistics": {count: "SELECT COUNT(*) FROM image", member: "total.local"},

		"ListImageVulnerabilities":     {count: "SELECT COUNT(*) FROM seen WHERE image = $image_id"},
		"ListVulnerabilityCve":         {count: "SELECT COUNT(*) FROM vulnerability_cve e JOIN vulnerability v ON v.id = e.vul_id WHERE v.advisory = $vul_id"},
		"ListGlobalVulnerabilities":    {count: "SELECT COUNT(DISTINCT advisory) FROM seen"},
		"ListGeneralImageVuls":         {count: "SELECT COUNT(DISTINCT advisory) FROM seen WHERE vul_type = $type"},
		"ListVulAffectImages":          {count: "SELECT COUNT(DISTINCT image) FROM seen WHERE advisory = $vul_id"},
		"ListVulAffectImageApps":       {count: "SELECT COUNT(DISTINCT name) FROM seen WHERE advisory = $vul_id AND image = $image_id"},
		"ListVulRepoImage":             {count: "SELECT COUNT(*) FROM (SELECT DISTINCT image_name, name, version FROM seen WHERE advisory = $vul_id) x"},
		"ListVulAffectImageContainers": {contained: true, count: "SELECT COUNT(*) FROM container WHERE image_id = $image_id"},
		"ListVulContainers":            {contained: true, count: "SELECT COUNT(DISTINCT k.container_id) FROM container k JOIN seen s ON s.image = k.image_id WHERE k.running = 1 AND s.advisory = $vul_id"},
		"ListVulContainerApps":         {contained: true, count: "SELECT COUNT(DISTINCT s.name) FROM container k JOIN seen s ON s.image = k.image_id WHERE k.container_id = $container_id AND s.advisory = $vul_id"},

		"ListImageMalware":  {count: "SELECT COUNT(*) FROM malware m JOIN image i ON i.content_id = m.content_id WHERE i.id = $image_id"},
		"ListGlobalMalware": {count: "SELECT COUNT(*) FROM malware m JOIN image i ON i.content_id = m.content_id"},
		"ListImageFiles":    {count: "SELECT COALESCE(SUM(f.num), 0) FROM file_part f JOIN content_part cp ON cp.part_id = f.part_id JOIN image i ON i.content_id = cp.content_id WHERE i.id = $image_id"},
		"ShowImageFilesStat": {count: "SELECT COALESCE(SUM(f.num), 0) FROM file_part f JOIN content_part cp ON cp.part_id = f.part_id JOIN image i ON i.content_id = cp.content_id WHERE i.id = $image_id",
			member: "total_files_num"},
		"ListGlobalImageFiles":     {count: "SELECT COALESCE(SUM(num), 0) FROM (SELECT DISTINCT f.list_id, f.num FROM file_part f JOIN content_part cp ON cp.part_id = f.part_id JOIN image i ON i.content_id = cp.content_id) x"},
		"ListImageSensitive":       {count: "SELECT COUNT(*) FROM content_secret s JOIN image i ON i.content_id = s.content_id WHERE i.id = $image_id"},
		"ListImageSensitiveInfo":   {count: "SELECT COUNT(DISTINCT s.secret_id) FROM content_secret s JOIN image i ON i.content_id = s.content_id"},
		"ListImageNonCompliantApp": {count: "SELECT COUNT(*) FROM (SELECT DISTINCT d.part_id, d.n FROM non_compliant d JOIN content_part cp ON cp.part_id = d.part_id JOIN image i ON i.content_id = cp.content_id WHERE i.id = $image_id) x"},
		"ListImageBasicImage":      {count: "SELECT COUNT(*) FROM images WHERE name = 'planted-base'"},

		"ListImageRiskConfigs":     {count: "SELECT COUNT(*) FROM (SELECT DISTINCT check_name, standard FROM asked) x"},
		"ListImageRiskConfigRules": {count: "SELECT COUNT(DISTINCT rule_id) FROM asked WHERE check_name = $check_name AND standard = $standard"},
		"ListCheckRulesInfo":       {count: "SELECT COUNT(*) FROM (SELECT DISTINCT check_name, standard, rule_id FROM asked) x"},
		"ListCheckRuleResources":   {count: "SELECT COUNT(*) FROM asked WHERE check_name = $check_name AND standard = $standard AND rule_id = $check_rule_id"},
		"ShowImageCheckRuleDetail": {says: func(_ *conformer, a map[string]any) bool { return a["description"] != "" && a["remediation"] != "" }},
		"ShowImageBaselineStatistic": {count: "SELECT COUNT(*) FROM image i JOIN password_account w ON w.content_id = i.content_id WHERE w.status IN ('weak', 'empty')",
			member: "image_weak_pwd"},
		"ListImageWeakPwdUsers":            {count: "SELECT COUNT(*) FROM image i JOIN password_account w ON w.content_id = i.content_id WHERE w.status IN ('weak', 'empty')"},
		"ListImagePwdComplexity":           {count: "SELECT COUNT(*) FROM image i JOIN password_rules r ON r.content_id = i.content_id"},
		"ListImageBuildCommandRisks":       {count: "SELECT COUNT(DISTINCT b.rule_id) FROM image i JOIN build_risk b ON b.content_id = i.content_id"},
		"ListImageBuildCommandRisksImages": {count: "SELECT COUNT(*) FROM image i JOIN build_risk b ON b.content_id = i.content_id WHERE b.rule_id = $rule_id"},

		"ShowExtendedWeakPassword": {says: func(c *conformer, a map[string]any) bool {
			return words(a) == c.db.count("SELECT COUNT(*) FROM weak_words")
		}},
		"ShowFilePathWhiteLists":  {count: "SELECT COUNT(*) FROM path_whitelist", member: "customized_path"},
		"ShowFilePathWhiteDetail": {count: "SELECT COUNT(*) FROM path_whitelist", member: "customized_path"},

		"BatchScanLocalImage":       {count: "SELECT COUNT(*) FROM scan_task", more: one(), before: (*conformer).rest},
		"CreateManualImageScanTask": {count: "SELECT COUNT(*) FROM scan_task", more: one(), before: (*conformer).rest},
		"StopImageScanTask":         {count: "SELECT COUNT(*) FROM scan_task WHERE state = 'stopped'", more: one(), before: (*conformer).longTask},
		"ModifyImageScanPolicy": {says: func(c *conformer, _ map[string]any) bool {
			return c.db.count("SELECT COUNT(*) FROM scan_policy WHERE enabled = 1 AND cycle = 3") == 1
		}},

		"ShowImageSecurityReportStatistic": {count: "SELECT COUNT(*) FROM malware m JOIN image i ON i.content_id = m.content_id", member: "total_num"},
		"BatchExportLocalVulTask":          {count: "SELECT COUNT(*) FROM seen", member: "record_total_num"},
		"BatchExportBaselineTask":          {count: "SELECT COUNT(*) FROM asked", member: "record_total_num"},
		"ExportImageSecurityReportTask":    {count: "SELECT COUNT(*) FROM export_task", more: one()},
		"ListQueryExportTask":              {before: (*conformer).exported, says: exportTask},
		"ShowLatestExportTaskByType":       {before: (*conformer).exported, says: exportTask},
		"ListDownloadExportedFile":         {before: (*conformer).exported, count: "SELECT SUM(LENGTH(body)) FROM export_chunk WHERE file_id = $file_id", member: "bytes"},

		"HandleImageVulnerability":             {count: "SELECT COUNT(*) FROM vul_operation", more: one()},
		"ListImageHandleAffectVulnerabilities": {count: "SELECT COUNT(*) FROM (SELECT DISTINCT image, advisory FROM seen WHERE vul_type = $type) x", member: "total_vul_num"},
		"ListGeneralImageVulOperations":        {count: "SELECT COUNT(*) FROM vul_operation_image o JOIN vulnerability v ON v.id = o.vul_id WHERE v.advisory = $vul_id"},
		"ListImageWhiteLists":                  {count: "SELECT COUNT(*) FROM whitelist"},
		"ListVulWhiteListVulOptions":           {count: "SELECT COUNT(DISTINCT advisory) FROM seen WHERE vul_type = $type"},
		"AddImageWhiteLists":                   {says: whitelisted},
		"ShowImageWhiteListDetail": {before: (*conformer).whitelist, says: func(c *conformer, a map[string]any) bool {
			return a["id"] == c.known["id"] && a["vul_id"] == c.known["listed"]
		}},
		"ChangeImageWhiteList": {before: (*conformer).whitelist, says: func(c *conformer, _ map[string]any) bool {
			return c.db.count("SELECT COUNT(*) FROM whitelist WHERE description = 'of the test'") > 0
		}},
		"DeleteImageWhiteLists": {before: (*conformer).whitelist, says: func(c *conformer, _ map[string]any) bool {
			return !slices.Contains(c.whitelists(), c.known["id"].(string))
		}},

		"ChangeExtendedWeakPassword": {says: func(c *conformer, _ map[string]any) bool {
			return c.db.count("SELECT COUNT(*) FROM weak_words WHERE words LIKE '%a word of the test%'") == 1
		}},
		"ChangeFilePathWhiteLists": {says: func(c *conformer, _ map[string]any) bool {
			return c.db.count("SELECT COUNT(*) FROM path_whitelist WHERE path = '/srv/none'") == 1
		}},
		"ChangeFilePathWhiteDetail": {says: func(c *conformer, _ map[string]any) bool {
			return c.db.count("SELECT COUNT(*) FROM path_whitelist WHERE path = '/srv/none'") == 1
		}},
		"ChangeSensitiveInfo": {says: func(c *conformer, _ map[string]any) bool {
			return c.db.count("SELECT COUNT(*) FROM secret_decision") == 1
		}},
	}
}

func words(a map[string]any) int64 { return size(a["extended_weak_password"]) }

func size(v any) int64 {
	list, _ := v.([]any)
	return int64(len(list))
}

// check compares an answer with the database, exactly or, if more was asked for
// than what count says, as a bound. before is count from before the call, limit
// the length of the page that was asked for.
func (r conformRow) check(c *conformer, t *testing.T, exactly bool, limit, before int64, answer map[string]any) {
	t.Helper()
	if r.says != nil && !r.says(c, answer) {
		t.Errorf("exactly=%v: the database says otherwise: %.1500s", exactly, asJSON(answer))
	}
	if r.count == "" {
		return
	}
	now := c.sql(r.count)
	if r.more != nil {
		if exactly && now != before+*r.more {
			t.Errorf("%d after %d in the database", now, before)
		}
		return
	}
	member := cmp.Or(r.member, "total_num")
	n := numberOf(answer, member)
	if n < 0 || n > now || exactly && n != now {
		t.Errorf("exactly=%v: %s is %v, %d in the database: %.1500s", exactly, member, n, now, asJSON(answer))
	}
	if list, ok := answer["data_list"].([]any); r.member == "" && (!ok || int64(len(list)) != min(n, limit)) {
		t.Errorf("exactly=%v: total_num %v, %d rows", exactly, n, len(list))
	}
}

// numberOf is a number of an answer by its path, or the length of a list, -1 if
// there is neither.
func numberOf(answer map[string]any, path string) int64 {
	var v any = answer
	for key := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	switch v := v.(type) {
	case float64:
		return int64(v)
	case []any:
		return int64(len(v))
	}
	return -1
}

// sql counts; $name is a known value.
func (c *conformer) sql(query string) int64 {
	c.t.Helper()
	return c.db.count(with + c.expand(query, nil))
}

// rest waits until nothing is left to scan.
func (c *conformer) rest() {
	c.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if c.db.count("SELECT COUNT(*) FROM scan_job WHERE state IN ('waiting', 'leased')") == 0 {
			return
		}
	}
	c.t.Fatal("scans do not end")
}

// longTask begins a task that lasts: it scans an image an hour.
func (c *conformer) longTask() {
	c.t.Helper()
	c.rest()
	if _, err := c.CreateManualImageScanTask(&model.CreateManualImageScanTaskRequest{GlobalImageType: new("local"),
		Body: &model.CreateManualImageScanTaskReqInfo{IsAll: new(true), RateLimit: new(int32(1))}}); err != nil {
		c.t.Fatal(err)
	}
	tasks, err := c.ListImageScanTask(&model.ListImageScanTaskRequest{Type: "image_scan", GlobalImageType: new("local"), TaskStatus: new("scanning")})
	if err != nil || len(*tasks.DataList) == 0 {
		c.t.Fatalf("no task runs: %v, %v", tasks, err)
	}
	var task struct {
		ID string `json:"task_id"`
	}
	if err := json.Unmarshal(asJSON((*tasks.DataList)[0]), &task); err != nil {
		c.t.Fatal(err)
	}
	c.known["task_id"] = task.ID
}

// imagesToExport is a body that exports all there is.
func imagesToExport(*conformer) map[string]any {
	return map[string]any{"export_size": 1_000_000, "security_report_type": "malwares",
		"body": map[string]any{"operate_all": true, "export_size": 1_000_000, "security_report_type": "malwares", "image_type": "local_image"}}
}

// exported waits until the files are made, and remembers one.
func (c *conformer) exported() {
	c.t.Helper()
	c.db.rest()
	c.known["task_id"] = c.db.strings("SELECT id FROM export_task WHERE state = 'success' ORDER BY id LIMIT 1")[0]
	c.known["file_id"] = c.db.strings("SELECT file_id FROM export_task WHERE id = '" + c.known["task_id"].(string) + "'")[0]
}

func exportTask(c *conformer, a map[string]any) bool {
	return a["task_id"] == c.known["task_id"] && a["file_id"] == c.known["file_id"] && a["task_status"] == "success"
}

func whitelisted(c *conformer, _ map[string]any) bool {
	return c.db.count("SELECT COUNT(*) FROM whitelist w JOIN vulnerability v ON v.id = w.vul_id WHERE v.advisory = '"+openssl+"'") > 0
}

// whitelist makes sure that there is a rule, and remembers one.
func (c *conformer) whitelist() {
	c.t.Helper()
	if len(c.whitelists()) == 0 {
		if _, err := c.AddImageWhiteLists(&model.AddImageWhiteListsRequest{GlobalImageType: "local", Type: "vulnerability",
			Body: &model.AddImageWhiteListsRequestBody{RuleType: "all_images", VulType: new("linux_vul"), VulIds: &[]string{openssl}}}); err != nil {
			c.t.Fatal(err)
		}
	}
	rule := c.whitelists()[0]
	id, err := strconv.ParseInt(rule, 16, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	c.known["id"] = rule
	c.known["listed"] = c.db.strings(fmt.Sprintf("SELECT v.advisory FROM whitelist w JOIN vulnerability v ON v.id = w.vul_id WHERE w.id = %d", id))[0]
}

// whitelists are the ids of rules, as the API writes them.
func (c *conformer) whitelists() (out []string) {
	c.t.Helper()
	for _, id := range c.db.strings("SELECT id FROM whitelist ORDER BY id") {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%016x", n))
	}
	return out
}
