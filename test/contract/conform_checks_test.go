package contract

// checkQuestions are about what the checks other than that for vulnerabilities
// found.
func checkQuestions() asking {
	const (
		ids   = "SELECT id AS image_id FROM images WHERE id = $image_id"
		both  = "SELECT name AS image_name, version AS image_version FROM images WHERE id = $image_id"
		named = "a.image_version = $image_version AND replace(a.image_name, $image_name, '') <> a.image_name"
		rules = "SELECT a.check_name || '|' || a.standard || '|' || a.rule_id FROM asked a WHERE "
		order = " ORDER BY MAX(a.failed) DESC, MAX(a.severity) DESC, a.check_name, a.standard, a.rule_id"
		group = " GROUP BY a.check_name, a.standard, a.rule_id"
		weak  = "FROM images i JOIN password_account w ON w.content_id = i.content_id WHERE w.status IN ('weak', 'empty') AND "
		files = "FROM images i JOIN content_part cp ON cp.content_id = i.content_id JOIN file_part p ON p.part_id = cp.part_id JOIN file_entry e ON e.list_id = p.list_id WHERE replace(e.path, $file_name, '') <> e.path"
		bad   = "FROM malware m JOIN images i ON i.content_id = m.content_id WHERE replace(m.name, $file_name, '') <> m.name"
		tail  = " namespace=none instance_id=none"
	)
	whitelisted := []question{{with: "file_path=srv", want: "SELECT path FROM path_whitelist WHERE " + has("path", "file_path")}}
	return asking{
		"ListCheckRuleResources": {
			{with: "scan_result=failed", key: "image_digest|image_name|image_version",
				want: "SELECT i.config_digest || '|' || i.name || '|' || i.version FROM images i JOIN asked a ON a.image = i.id WHERE a.check_name = $check_name AND a.standard = $standard AND a.rule_id = $check_rule_id AND a.failed = 1 ORDER BY i.name, i.version, i.id"},
		},
		"ListCheckRulesInfo": {
			{with: "scan_result=failed" + tail, row: ids, key: "check_name|standard|check_rule_id", want: rules + "a.image = $image_id" + group + " HAVING MAX(a.failed) = 1" + order},
			{with: "scan_result=pass", row: both, key: "check_name|standard|check_rule_id", want: rules + named + group + " HAVING MAX(a.failed) = 0" + order},
		},
		"ShowImageCheckRuleDetail": {{row: "SELECT id AS image_id, name AS image_name, version AS image_version FROM images WHERE id = $image_id", with: tail}},
		"ListImageRiskConfigs": {
			{with: "severity=High check_name=SSH standard=hw_standard" + tail, row: ids, key: "check_name|standard",
				want: "SELECT a.check_name || '|' || a.standard FROM asked a WHERE a.check_name = $check_name AND a.standard = $standard AND a.image = $image_id GROUP BY a.check_name, a.standard HAVING MAX(a.failed * a.severity) = 3"},
			{row: both, key: "check_name|standard", want: "SELECT a.check_name || '|' || a.standard FROM asked a WHERE " + named + " GROUP BY a.check_name, a.standard ORDER BY a.check_name, a.standard"},
		},
		"ListImageRiskConfigRules": {
			// Names of rules are not in the database: this is that of SSH-01.
			{with: "result_type=failed severity=High" + tail, row: "SELECT id AS image_id, 'does not log in with a password' AS check_rule_name FROM images WHERE id = $image_id", key: "check_rule_id",
				want: "SELECT a.rule_id FROM asked a WHERE a.check_name = $check_name AND a.standard = $standard AND a.image = $image_id AND a.failed = 1 AND a.severity = 3 AND a.rule_id = 'SSH-01'"},
			{with: "result_type=pass", row: both, key: "check_rule_id",
				want: "SELECT a.rule_id FROM asked a WHERE a.check_name = $check_name AND a.standard = $standard AND " + named + group + " HAVING MAX(a.failed) = 0" + order},
		},
		"ShowImageBaselineStatistic": {
			{with: tail, row: ids, want: "SELECT w.user_name " + weak + "i.id = $image_id"},
			{row: both, want: "SELECT w.user_name " + weak + "i.version = $image_version AND " + has("i.name", "image_name")},
		},
		"ListImageWeakPwdUsers": {
			{with: tail, row: "SELECT i.id AS image_id, substr(w.user_name, 2, 5) AS user_name " + weak + "w.n = 0", key: "image_id|user_name",
				want: "SELECT i.id || '|' || w.user_name " + weak + has("w.user_name", "user_name") + " AND i.id = $image_id ORDER BY i.name, i.version, i.id, w.n"},
			{with: "image_name=an tag_name=1", key: "image_id|user_name",
				want: "SELECT i.id || '|' || w.user_name " + weak + has("i.name", "image_name") + " AND i.version = $tag_name ORDER BY i.name, i.version, i.id, w.n"},
		},
		"ListImagePwdComplexity": {{with: "image_type=local image_name=an image_version=1" + tail, key: "image_id",
			want: "SELECT i.id FROM images i JOIN password_rules r ON r.content_id = i.content_id WHERE i.version = $image_version AND " + has("i.name", "image_name") + " ORDER BY i.name, i.version, i.id"}},
		"ListImageBuildCommandRisks": {{with: "risk_level=high", row: "SELECT id AS image_id, 'run without a check' AS risk_name FROM images WHERE id = $image_id", key: "rule_id",
			// The name of this rule.
			want: "SELECT b.rule_id FROM images i JOIN build_risk b ON b.content_id = i.content_id WHERE i.id = $image_id AND b.rule_id = 'BC-PIPE-SHELL'"}},
		"ListImageBuildCommandRisksImages": {{row: ids, key: "image_id", want: "SELECT i.id FROM images i JOIN build_risk b ON b.content_id = i.content_id WHERE i.id = $image_id AND b.rule_id = $rule_id"}},

		"ListImageMalware":  {{with: "file_name=php tag_name=none" + byID, key: "file_path", want: "SELECT m.path " + bad + " AND i.id = $image_id ORDER BY m.n"}},
		"ListGlobalMalware": {{with: "file_name=php", key: "file_path", want: "SELECT m.path " + bad + " ORDER BY m.severity DESC, m.content_id, m.n, i.id"}},
		// Which files are the last of a path is not in a column: these are, and
		// one layer has them all.
		"ListImageFiles":       {{with: "file_name=s.php tag_name=none" + byID, key: "file_path", want: "SELECT e.path " + files + " AND i.id = $image_id ORDER BY e.list_id, e.n"}},
		"ListGlobalImageFiles": {{with: "file_name=s.php image_type=local", key: "file_path", want: "SELECT e.path " + files + " GROUP BY e.list_id, e.n, e.path ORDER BY e.list_id, e.n"}},
		"ShowImageFilesStat":   {{with: "tag_name=none" + byID}},
		"ListImageSensitive": {
			{with: "severity=high handle_status=unhandled file_path=/opt image_version=none" + byID, key: "file_path|position",
				want: "SELECT s.path || '|' || s.layer FROM secret s JOIN content_secret cs ON cs.secret_id = s.id JOIN images i ON i.content_id = cs.content_id WHERE i.id = $image_id AND s.severity = 3 AND s.ignored + s.skipped = 0 AND " + has("s.path", "file_path") + " ORDER BY s.severity DESC, s.path, s.line, s.col, s.id"},
		},
		"ShowFilePathWhiteLists":  whitelisted,
		"ShowFilePathWhiteDetail": whitelisted,
	}
}
