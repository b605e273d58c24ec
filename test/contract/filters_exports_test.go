package contract

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"
)

// A reporting is a kind of report, the operation that exports it, and filters on
// its records.
type reporting struct {
	kind, op string
	filters  []filter
	// base is what the others do not ask: that all images are meant if it is
	// nil.
	base terms
}

// exports are listings of the records that exports have. Of the filters on images
// those act that act says; all images are told by their rows in ListImageLocal.
func (k *known) exports(sp *spec, images []row, list ...reporting) (out []listing) {
	ofImages := k.imageFilters(images)
	for _, r := range list {
		l := listing{op: r.op, base: members("body.operate_all", true), whole: true, most: 1, fetch: r.fetch,
			known: func(ask terms) bool { id, ok := ask["body.image_id"]; return !ok || holds(images, "image_id", id) }}
		of := map[any]row{}
		for _, i := range images {
			of[i["image_id"]] = i
		}
		mine := ofImages
		if r.base != nil {
			l.base, l.known = r.base, nil
			mine = nil
		}
		for _, f := range mine {
			if f.match != nil {
				match := f.match
				f.match = func(record row, v any) bool { return match(of[record["image_id"]], v) }
			}
			l.filters = append(l.filters, f)
		}
		l.match = func(record row, ask terms) bool {
			i := of[record["image_id"]]
			if ids, ok := r.base["body.image_id_list"].([]any); ok {
				return slices.Contains(ids, record["image_id"])
			}
			if _, named := ask["body.image_name"]; named && ask["body.image_version"] != nil && i["image_version"] != ask["body.image_version"] {
				return false
			}
			return within(i, ask, "body.start_latest_update_time", "body.end_latest_update_time", "latest_update_time", true) &&
				within(i, ask, "body.start_latest_scan_time", "body.end_latest_scan_time", "latest_scan_time", i["scan_status"] == "success")
		}
		l.filters = append(l.filters, r.filters...)
		// Each operation has a body of its own.
		l.filters = slices.DeleteFunc(l.filters, func(f filter) bool { return !slices.Contains(sp.bodyOf(r.op), f.param) })
		out = append(out, l)
	}
	return out
}

// imageFilters are the filters of reports on images.
func (k *known) imageFilters(images []row) []filter {
	some := func(f filter) filter {
		values := f.values(images)
		f.values = func([]row) []any { return values }
		return f
	}
	times := func(param, member string) filter {
		return some(filter{param: param, values: func(rows []row) []any { return append(present(rows, member), 4070880000000.) }})
	}
	found := func(param, member string) filter { // looked at, and with something or without
		return flag(param, func(i row, v any) bool { n, ok := i[member].(float64); return ok && (n > 0) == v })
	}
	version := some(exact("body.image_version", "image_version"))
	version.match = nil // alone it does not select
	return slices.Concat(nowhere("body.namespace", "body.instance_name", "body.instance_id", "body.cicd_name"),
		together("name", some(part("body.image_name", "image_name")), version),
		together("updated", times("body.start_latest_update_time", "latest_update_time"), times("body.end_latest_update_time", "latest_update_time")),
		together("scanned", times("body.start_latest_scan_time", "latest_scan_time"), times("body.end_latest_scan_time", "latest_scan_time")), []filter{
			some(exact("body.image_id", "image_id")),
			word("body.scan_status", "scan_status", "success", "unscan", "failed", "scanning", "image_oversized", "download_failed"),
			some(filter{param: "body.image_size", values: func(rows []row) []any { return append(present(rows, "image_size"), 1.) }, match: func(i row, v any) bool { return i["image_size"] == v }}),
			flag("body.has_vul", func(i row, v any) bool { return i["scan_status"] == "success" && (i["vul_num"].(float64) > 0) == v }),
			flag("body.has_container", func(i row, v any) bool { return (i["container_num"].(float64) > 0) == v }),
			found("body.has_malicious_file", "malicious_file_num"), found("body.has_unsafe_setting", "unsafe_setting_num"),
			word("body.severity_level", "severity_level", "Security", "Low", "Medium", "High"),
			flag("body.risky", func(i row, v any) bool {
				risks := number(i["vul_num"]) + number(i["unsafe_setting_num"]) + number(i["malicious_file_num"])
				return number(i["latest_scan_time"]) > 0 && (risks > 0 || holds(k.risks, "image_id", i["image_id"]) || holds(k.secrets, "image_id", i["image_id"])) == v
			}),
			flag("body.latest_version", func(i row, v any) bool {
				return v == false || !slices.ContainsFunc(images, func(o row) bool {
					a, b := o["latest_update_time"].(float64), i["latest_update_time"].(float64)
					return o["image_name"] == i["image_name"] && (a > b || a == b && text(o["image_id"]) > text(i["image_id"]))
				})
			}),
			// All images are meant.
			{param: "body.image_id_list", values: func([]row) []any { return []any{[]any{images[0]["image_id"]}, []any{"no-such-value"}} }},
		})
}

// recordFilters are those on records, of which a kind of report has its own; the
// others do nothing to it.
func recordFilters(own ...filter) []filter {
	out := own
	for _, f := range inertLists("body.vul_id_list", "body.build_command_rule_id_list") {
		if !slices.ContainsFunc(own, func(o filter) bool { return o.param == f.param }) {
			out = append(out, f)
		}
	}
	for _, f := range []filter{alike("body.vul_type", "linux_vul", "app_vul"), alike("body.build_command_risk_level", "low", "high"), alike("body.build_command_risk_name", "no-such-text")} {
		if !slices.ContainsFunc(own, func(o filter) bool { return o.param == f.param }) {
			out = append(out, f)
		}
	}
	return out
}

func inertLists(params ...string) (out []filter) {
	for _, p := range params {
		out = append(out, alike(p, []any{"no-such-value"}))
	}
	return out
}

// listOf is a filter for any of some values of a member.
func listOf(param, member string, lists ...[]any) filter {
	f := filter{param: param, match: func(r row, v any) bool { return slices.Contains(v.([]any), r[member]) }}
	f.values = func([]row) []any {
		var out []any
		for _, l := range lists {
			out = append(out, l)
		}
		return out
	}
	return f
}

// fetch counts the records of an export, and makes it if the asker wants a file.
// What the statistic cannot count is always exported.
func (r reporting) fetch(a *asker, ask terms) ([]row, int, error) {
	statistic := maps.Clone(ask)
	statistic["security_report_type"], statistic["region"] = r.kind, "r"
	handled := statistic["body.handle_status"] != nil // which the statistic does not know
	delete(statistic, "body.handle_status")
	total := -1
	if !handled {
		out, err := a.call("ShowImageSecurityReportStatistic", statistic)
		if err != nil {
			return nil, 0, err
		}
		total = int(*out.(*model.ShowImageSecurityReportStatisticResponse).TotalNum)
	}
	if !a.whole && !handled {
		return nil, total, nil
	}
	request := maps.Clone(ask)
	request["export_size"], request["region"] = exportSize, "r"
	if r.op == "ExportImageSecurityReportTask" {
		maps.Copy(request, members("body.export_size", exportSize, "body.security_report_type", r.kind, "body.image_type", "local_image"))
	}
	out, err := a.call(r.op, request)
	if err != nil {
		return nil, 0, err
	}
	var made struct {
		Task    string `json:"task_id"`
		Records *int   `json:"record_total_num"`
	}
	if err := json.Unmarshal(asJSON(out), &made); err != nil {
		return nil, 0, err
	}
	if total < 0 {
		total = *made.Records
	}
	if made.Records != nil && *made.Records != total {
		return nil, 0, fmt.Errorf("record_total_num %d, total_num %d", *made.Records, total)
	}
	rows, err := a.file(made.Task)
	return rows, total, err
}

// file are the records of an export.
func (a *asker) file(task string) ([]row, error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		out, err := a.call("ListQueryExportTask", terms{"task_id": task})
		if err != nil {
			return nil, err
		}
		t := out.(*model.ListQueryExportTaskResponse)
		if *t.TaskStatus == "running" {
			continue
		}
		if *t.TaskStatus != "success" {
			return nil, fmt.Errorf("the export ended as %v", t)
		}
		if out, err = a.call("ListDownloadExportedFile", terms{"file_id": *t.FileId}); err != nil {
			return nil, err
		}
		body := out.(*model.ListDownloadExportedFileResponse).Body
		defer func() { _ = body.Close() }()
		b, err := io.ReadAll(body)
		if err != nil {
			return nil, err
		}
		return csvRows(b)
	}
	return nil, errors.New("the export does not end")
}

// csvRows are the records of the table in an archive, by the titles of the
// columns.
func csvRows(archive []byte) ([]row, error) {
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	f, err := z.File[0].Open()
	if err != nil {
		return nil, err
	}
	table, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	table[0][0] = strings.TrimPrefix(table[0][0], "\ufeff")
	out := []row{}
	for _, cells := range table[1:] {
		r := row{}
		for i, title := range table[0] {
			r[title] = cells[i]
		}
		out = append(out, r)
	}
	return out, nil
}

// fleetExports are those of what packages tell.
func (k *known) fleetExports(sp *spec, images []row) []listing {
	vul := []filter{word("body.vul_type", "vul_type", "linux_vul", "app_vul"), listOf("body.vul_id_list", "vul_id", []any{openssl}, []any{zlib, requests, "no-such-value"}, []any{"no-such-value"})}
	handled := filter{param: "body.handle_status", values: handleStatus.values, match: func(r row, v any) bool {
		return slices.ContainsFunc(k.found, func(f row) bool {
			return f["image_id"] == r["image_id"] && f["vul_id"] == r["vul_id"] && f["handled"] == v
		})
	}}
	some := terms{"body.image_id_list": []any{images[1]["image_id"], images[len(images)/2]["image_id"], images[len(images)-1]["image_id"]}}
	return k.exports(sp, images,
		reporting{"vulnerability", "BatchExportLocalVulTask", append(slices.Clone(vul), handled), nil},
		reporting{"vulnerability", "BatchExportLocalVulTask", append(slices.Clone(vul), handled, alike("body.image_name", "no-such-text"), alike("body.has_container", true)), some},
		reporting{"apps", "ExportImageSecurityReportTask", recordFilters(), nil},
	)
}

// plantedExports are those of every other check.
func (k *known) plantedExports(sp *spec, images []row) []listing {
	risks := []filter{listOf("body.build_command_rule_id_list", "rule_id", []any{userRoot}, []any{pipeShell, "no-such-value"}),
		part("body.build_command_risk_name", "risk_name"), word("body.build_command_risk_level", "risk_level", "critical", "high", "medium", "low")}
	out := k.exports(sp, images,
		reporting{"risk-config", "BatchExportBaselineTask", recordFilters(), nil},
		reporting{"build-command-risks", "ExportImageSecurityReportTask", recordFilters(risks...), nil},
		reporting{"malwares", "ExportImageSecurityReportTask", recordFilters(), nil},
		reporting{"sensitive-info", "ExportImageSecurityReportTask", recordFilters(), nil},
		reporting{"non-compliant-app", "ExportImageSecurityReportTask", recordFilters(), nil},
		reporting{"files", "ExportImageSecurityReportTask", recordFilters(), nil},
	)
	for i := range out[2:] { // which select as the one before
		out[2+i].most = -1
	}
	return out
}

// localImages are all images as the server lists them.
func localImages(t *testing.T, a *asker) []row {
	t.Helper()
	l := listing{op: "ListImageLocal"}
	return a.all(t, l, nil, 200)
}
