package contract

// exportQuestions are about exports and their statistic.
func exportQuestions() asking {
	const (
		all = "operate_all=true image_type=local_image latest_version=true has_malicious_file=true has_vul=true has_unsafe_setting=true risky=true "
		// Only records that have rules and vulnerabilities are selected by them.
		norRules = "build_command_risk_level=high build_command_risk_name=none build_command_rule_id_list=none "
		norVuls  = "vul_type=linux_vul vul_id_list=none "
		listed   = "operate_all=false image_type=local_image "
		one      = "SELECT id AS image_id_list FROM images WHERE id = $image_id"
		row      = "SELECT i.id AS image_id, i.severity_level, " + isFiltered + " FROM images i WHERE i.id = $image_id"
		where    = filtered + ` AND i.id = $image_id AND i.severity_level = $severity_level AND i.vul_num > 0 AND EXISTS (SELECT 1 FROM malware m WHERE m.content_id = i.content_id)
	AND EXISTS (SELECT 1 FROM asked a WHERE a.image = i.id AND a.failed = 1) AND NOT EXISTS (SELECT 1 FROM images j WHERE j.name = i.name AND j.updated_at > i.updated_at)`
		running = " AND EXISTS (SELECT 1 FROM container k WHERE k.image_id = i.id)"
		bad     = "SELECT m.path FROM malware m JOIN images i ON i.content_id = m.content_id WHERE "
		rules   = "SELECT a.rule_id FROM asked a JOIN images i ON i.id = a.image WHERE "
		vuls    = "SELECT s.advisory FROM seen s JOIN images i ON i.id = s.image WHERE "
		risk    = "SELECT id AS image_id, 'run without' AS build_command_risk_name, 'BC-PIPE-SHELL' AS build_command_rule_id_list FROM images WHERE id = $image_id"
		built   = "SELECT b.rule_id FROM build_risk b JOIN images i ON i.content_id = b.content_id WHERE i.id = $image_id AND b.rule_id = $build_command_rule_id_list"
		made    = "SELECT record_num FROM export_task WHERE id = $answered_task_id"
		only    = "operate_all=false image_type=local_image security_report_type=build-command-risks build_command_risk_level=high "
	)
	count := func(rows string) string { return "SELECT COUNT(*) FROM (" + rows + ") x" }
	nothing := func(members ...string) (out []question) {
		for _, m := range members {
			out = append(out, question{with: "operate_all=true image_type=local_image " + m + "=none", nothing: ofRegistry})
		}
		return out
	}
	empty := nothing("namespace", "instance_name", "cicd_name")
	for i := range empty {
		empty[i].want, empty[i].after = "SELECT '0'", made
	}
	const records = " vul_type=linux_vul vul_id_list=" + openssl
	foreign := nothing("namespace", "instance_name", "instance_id", "cicd_name")
	return asking{
		"BatchExportLocalVulTask": {
			{contained: true, with: "operate_all=true handle_status=unhandled has_container=true" + records, row: "SELECT " + isFiltered + " FROM images i WHERE i.id = $image_id",
				want: vuls + filtered + running + " AND s.state = 'unhandled' AND s.vul_type = $vul_type AND s.advisory = $vul_id_list"},
			{with: "operate_all=false", row: one, want: vuls + "i.id = $image_id_list"},
		},
		"BatchExportBaselineTask": append([]question{
			{contained: true, with: all + norRules + norVuls + "has_container=true", row: row, want: rules + where + running},
			{with: listed, row: one, want: rules + "i.id = $image_id_list"},
		}, foreign...),
		"ExportImageSecurityReportTask": append([]question{
			{with: all + norRules, row: row, want: count(bad + where), after: made},
			{with: listed, row: one, want: count(bad + "i.id = $image_id_list"), after: made},
			{with: only, row: risk, want: count(built), after: made},
		}, empty...),
		"ShowImageSecurityReportStatistic": append([]question{
			{contained: true, with: all + norRules + norVuls + "has_container=true", row: row, want: bad + where + running},
			{with: listed, row: one, want: bad + "i.id = $image_id_list"},
			{with: only, row: risk, want: built},
			{with: listed + "security_report_type=vulnerability" + records, row: one, want: vuls + "i.id = $image_id_list AND s.vul_type = $vul_type AND s.advisory = $vul_id_list"},
		}, foreign...),
	}
}
