package contract

import "slices"

// keptLists are the lists of what operators decided, and of what a decision would
// be about.
func (k *known) keptLists(vul string) []listing {
	concerned := func(ask terms) bool {
		return holds(k.found, "vul_id", ask["vul_id"]) || holds(k.history, "vul_id", ask["vul_id"])
	}
	lists := []listing{
		{op: "ListGeneralImageVulOperations", base: members("vul_id", vul, "image_type", "local"), of: k.history, known: concerned,
			key: named("image_id", "handle_type", "user_name", "remark", "status", "app_name", "app_version"),
			filters: []filter{exact("vul_id", "vul_id"), exact("image_id", "image_id"), family("image_type", "registry"), part("image_name", "image_name"),
				word("status", "status", "vul_status_unfix", "vul_status_ignored"), part("user_name", "user_name"),
				word("handle_type", "handle_type", "ignore", "not_ignore", "add_to_whitelist"), part("app_name", "app_name"), part("app_version", "app_version"), part("remark", "remark")}},
		{op: "ListImageWhiteLists", base: members("global_image_type", "local", "type", "vulnerability"), filters: []filter{
			part("vul_name", "vul_name"), word("vul_type", "vul_type", "linux_vul", "app_vul"), family("global_image_type", "registry"), alike("type", "vulnerability")}},
	}
	ids, vuls := present(k.found, "image_id"), []any{vul, "no-such-value"}
	var byVul, byImage []any
	for _, id := range ids[1:] {
		byVul = append(byVul, members("vul_id", vul, "image_id_list", []any{id, "no-such-value"}))
		byImage = append(byImage, members("image_id", id, "vul_id_list", vuls))
	}
	// A decision is about the content of an image, under all its names.
	contents := map[[2]any]bool{}
	for _, r := range k.found {
		if slices.Contains(ids[1:], r["image_id"]) {
			contents[[2]any{r["tenant"], r["image_digest"]}] = true
		}
	}
	listed := func(r row) bool { return contents[[2]any{r["tenant"], r["image_digest"]}] }
	for _, s := range []struct {
		kind   string
		member string
		list   []any
		match  func(row) bool
	}{
		{"all_vul", "", nil, func(row) bool { return true }},
		{"specific_image_all_vul", "body.image_id_list", ids[1:], listed},
		{"specific_vul_all_image", "body.vul_id_list", vuls, func(r row) bool { return r["vul_id"] == vul }},
		{"vul_view", "body.vul_data_list", byVul, func(r row) bool { return r["vul_id"] == vul && listed(r) }},
		{"image_view", "body.image_data_list", byImage, func(r row) bool { return r["vul_id"] == vul && listed(r) }},
	} {
		l := listing{op: "ListImageHandleAffectVulnerabilities", of: k.found, once: true, key: named("image_id", "vul_id"), empty: s.kind != "all_vul",
			base: members("body.image_type", "local", "body.type", "linux_vul", "body.operate_type", "ignore", "body.select_type", s.kind),
			match: func(r row, ask terms) bool {
				return s.match(r) && (ask["body.operate_type"] != "not_ignore" || r["decided"] == 1.)
			},
			filters: []filter{part("image_name", "image_name"), part("vul_name", "vul_id"), word("body.type", "vul_type", "linux_vul", "app_vul"),
				word("body.handle_status", "handled", "unhandled", "handled"), family("body.image_type", "registry", "cicd"),
				alike("body.operate_type", "ignore", "not_ignore", "manual_repair", "add_to_whitelist"), alike("body.remark", "漏")}}
		if s.member != "" {
			l.base[s.member] = s.list
		}
		lists = append(lists, l)
	}
	return lists
}

// ruleImages are the images of a rule of the whitelist.
func ruleImages(id any) listing {
	return listing{op: "ShowImageWhiteListDetail", base: members("id", id, "global_image_type", "local", "type", "vulnerability"), in: "image_info"}
}

// pathLists are the paths that are not looked at for secrets.
func pathLists() (lists []listing) {
	for _, op := range []string{"ShowFilePathWhiteLists", "ShowFilePathWhiteDetail"} {
		for _, in := range []string{"default_path", "customized_path"} {
			lists = append(lists, listing{op: op, in: in, whole: true, filters: []filter{part("file_path", "")}})
		}
	}
	return lists
}
