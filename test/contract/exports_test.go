package contract

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/internal/auth"
)

// exportSize is more than any export of the tests has.
const exportSize = 10_000

// exported waits for a task and fetches its file.
func (s *server) exported(task string) (name string, body []byte) {
	s.t.Helper()
	c := s.client()
	for range 1000 {
		resp, err := c.ListQueryExportTask(&model.ListQueryExportTaskRequest{TaskId: task, Region: new("r"), EnterpriseProjectId: new("0")})
		if err != nil {
			s.t.Fatal(err)
		}
		latest, err := c.ShowLatestExportTaskByType(&model.ShowLatestExportTaskByTypeRequest{TaskId: task, ExportTaskType: new("image")})
		if err != nil || *latest.TaskId != task || *resp.TaskId != task || *resp.TaskName != *latest.TaskName {
			s.t.Fatalf("%v, %v, %v", resp, latest, err)
		}
		switch *resp.TaskStatus {
		case "running":
			if resp.FileId != nil {
				s.t.Fatalf("a file before it is made: %v", resp)
			}
			time.Sleep(10 * time.Millisecond)
			continue
		case "success":
			return *resp.FileName, s.download(*resp.FileId)
		}
		s.t.Fatalf("task %v", resp)
	}
	s.t.Fatal("the export does not end")
	return "", nil
}

func (s *server) download(file string) []byte {
	s.t.Helper()
	resp, err := s.client().ListDownloadExportedFile(&model.ListDownloadExportedFileRequest{FileId: file})
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return body
}

// records are the values of some columns of the CSV file in an archive, in a row
// with blanks between them.
func records(t *testing.T, body []byte, columns ...string) []string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil || len(z.File) != 1 {
		t.Fatalf("no archive of one file: %v", err)
	}
	f, err := z.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	text, ok := bytes.CutPrefix(text, []byte("\xef\xbb\xbf"))
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || !ok {
		t.Fatalf("not CSV with a byte order mark: %v", err)
	}
	out := []string{}
	for _, r := range rows[1:] {
		var cells []string
		for _, c := range columns {
			at := slices.Index(rows[0], c)
			if at < 0 {
				t.Fatalf("no column %s in %q", c, rows[0])
			}
			cells = append(cells, r[at])
		}
		out = append(out, strings.Join(cells, " "))
	}
	return out
}

// counted holds that the statistic says how many records an export has.
func (s *server) counted(kind string, body *model.BatchExportSwrBaselineInfoRequestInfo, records []string) {
	s.t.Helper()
	resp, err := s.client().ShowImageSecurityReportStatistic(&model.ShowImageSecurityReportStatisticRequest{Region: "r", SecurityReportType: kind, Body: body})
	if err != nil || *resp.TotalNum != int64(len(records)) {
		s.t.Errorf("statistic of %s: %v, %v; the export has %d", kind, resp, err, len(records))
	}
}

// every is what an export of everything is asked with.
func every() *model.BatchExportSwrBaselineInfoRequestInfo {
	return &model.BatchExportSwrBaselineInfoRequestInfo{OperateAll: new(true), ImageType: new("local_image")}
}

func TestBatchExportLocalVulTask(t *testing.T) {
	s := newServer(t)
	c := s.client()
	listed := func(images ...string) []string {
		out := []string{}
		for _, image := range images {
			for _, v := range vulnerabilities(t, c, s.imageID(image)) {
				out = append(out, image[:strings.LastIndex(image, ":")]+" "+*v.VulId+" "+*v.AppName+" "+*v.Version)
			}
		}
		slices.Sort(out)
		return out
	}
	all := listed(s.names()...)
	if len(all) < 3 {
		t.Fatalf("nothing to export: %q", all)
	}
	for _, tc := range []struct {
		name string
		size int32
		body *model.BatchExportLocalVulInfoRequestInfo
		want []string
	}{
		{"all", exportSize, &model.BatchExportLocalVulInfoRequestInfo{OperateAll: new(true)}, all},
		{"one image", exportSize, &model.BatchExportLocalVulInfoRequestInfo{ImageIdList: &[]string{s.imageID(web)}, ImageName: new("ignored")}, listed(web)},
		{"a filter alone", exportSize, &model.BatchExportLocalVulInfoRequestInfo{ImageName: new("no such image")}, []string{}},
		{"both spellings of queued", exportSize, &model.BatchExportLocalVulInfoRequestInfo{OperateAll: new(true), ScanStatus: new("waiting_for_scan")}, []string{}},
		{"stopped", exportSize, &model.BatchExportLocalVulInfoRequestInfo{OperateAll: new(true), ScanStatus: new("image_scan_stop")}, []string{}},
		{"type", exportSize, &model.BatchExportLocalVulInfoRequestInfo{OperateAll: new(true), VulType: new("app_vul"), ScanStatus: new("success")}, having(all, "CVE-2024-35195")},
		{"ids", exportSize, &model.BatchExportLocalVulInfoRequestInfo{VulIdList: &[]string{openssl}}, having(all, openssl)},
		{"handled", exportSize, &model.BatchExportLocalVulInfoRequestInfo{OperateAll: new(true), HandleStatus: new("handled")}, []string{}},
		{"unhandled", exportSize, &model.BatchExportLocalVulInfoRequestInfo{OperateAll: new(true), HandleStatus: new("unhandled")}, all},
		{"some", 2, &model.BatchExportLocalVulInfoRequestInfo{OperateAll: new(true)}, nil},
		{"none", 0, &model.BatchExportLocalVulInfoRequestInfo{OperateAll: new(true)}, []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := c.BatchExportLocalVulTask(&model.BatchExportLocalVulTaskRequest{Region: "r", ExportSize: tc.size, Body: tc.body})
			if err != nil {
				t.Fatal(err)
			}
			_, body := s.exported(*resp.TaskId)
			got := records(t, body, "image_name", "vul_id", "app_name", "app_version")
			slices.Sort(got)
			if tc.want == nil && len(got) != int(tc.size) {
				t.Errorf("%q, want %d", got, tc.size)
			} else if d := cmp.Diff(tc.want, got); tc.want != nil && d != "" {
				t.Error(d)
			}
			if int(*resp.RecordTotalNum) != len(got) {
				t.Errorf("record_total_num %d, records %d", *resp.RecordTotalNum, len(got))
			}
		})
	}
	s.counted("vulnerability", every(), all)

	// What is handled says so.
	if _, err := c.HandleImageVulnerability(&model.HandleImageVulnerabilityRequest{Body: &model.HandleImageVulnerabilityRequestBody{
		ImageType: "local", Type: "linux_vul", OperateType: "ignore", SelectType: "specific_image_all_vul", ImageIdList: &[]string{s.imageID(web)},
	}}); err != nil {
		t.Fatal(err)
	}
	for status, body := range map[string]*model.BatchExportLocalVulInfoRequestInfo{
		"handled": {OperateAll: new(true), HandleStatus: new("handled")}, "unhandled": {OperateAll: new(true), HandleStatus: new("unhandled")},
	} {
		resp, err := c.BatchExportLocalVulTask(&model.BatchExportLocalVulTaskRequest{Region: "r", ExportSize: exportSize, Body: body})
		if err != nil {
			t.Fatal(err)
		}
		_, file := s.exported(*resp.TaskId)
		got := records(t, file, "handle_status")
		if len(got) == 0 || slices.ContainsFunc(got, func(r string) bool { return r != status }) {
			t.Errorf("an export of what is %s: %q", status, got)
		}
	}
}

// having are the rows with a text in them.
func having(rows []string, part string) []string {
	return slices.DeleteFunc(slices.Clone(rows), func(r string) bool { return !strings.Contains(r, part) })
}

// names are all images as "name:version".
func (s *server) names() []string {
	s.t.Helper()
	resp, err := s.client().ListImageLocal(&model.ListImageLocalRequest{Limit: new(int32(200))})
	if err != nil {
		s.t.Fatal(err)
	}
	var out []string
	for _, i := range *resp.DataList {
		out = append(out, *i.ImageName+":"+*i.ImageVersion)
	}
	return out
}

func TestBatchExportBaselineTask(t *testing.T) {
	s, ids := settled(t)
	c := s.client()
	for name, id := range ids {
		body := &model.BatchExportSwrBaselineInfoRequestInfo{OperateAll: new(false), ImageIdList: &[]string{id}}
		resp, err := c.BatchExportBaselineTask(&model.BatchExportBaselineTaskRequest{ExportSize: exportSize, Body: body})
		if err != nil {
			t.Fatal(err)
		}
		want, err := pages(func(offset int32) (int64, *[]model.ImageCheckRuleResponseInfo, error) {
			r, err := c.ListCheckRulesInfo(&model.ListCheckRulesInfoRequest{Type: "image", ImageType: "local", ImageId: &id, Offset: &offset, Limit: new(int32(200))})
			if err != nil {
				return 0, nil, err
			}
			return int64(*r.TotalNum), r.DataList, nil
		}, func(r model.ImageCheckRuleResponseInfo) string {
			return strings.Join([]string{*r.CheckName, *r.Standard, *r.CheckRuleId, *r.CheckRuleName, *r.Severity, *r.ScanResult}, " ")
		})
		if err != nil || (len(want) == 0) != (name == "blind") {
			t.Fatalf("%s: %d rules, %v", name, len(want), err)
		}
		_, file := s.exported(*resp.TaskId)
		got := records(t, file, "check_name", "standard", "check_rule_id", "check_rule_name", "severity", "scan_result")
		slices.Sort(want)
		slices.Sort(got)
		if d := cmp.Diff(want, got); d != "" || int(*resp.RecordTotalNum) != len(got) {
			t.Errorf("%s: record_total_num %d: %s", name, *resp.RecordTotalNum, d)
		}
		s.counted("risk-config", body, got)
	}
}

// TestExportImageSecurityReportTask holds each type of report against the lists.
func TestExportImageSecurityReportTask(t *testing.T) {
	for _, tc := range []struct {
		kind    string
		begin   func(s *server)
		columns []string
		listed  func(t *testing.T, s *server) []string
	}{
		{"malwares", func(s *server) { s.scanInfected() }, []string{"image_name", "file_name", "file_path"}, func(t *testing.T, s *server) []string {
			return ok(t, func(offset int32) (*int32, *[]model.GlobalMalwareInfo, error) {
				r, err := s.client().ListGlobalMalware(&model.ListGlobalMalwareRequest{ImageType: "local", Offset: &offset})
				return r.TotalNum, r.DataList, err
			}, func(r model.GlobalMalwareInfo) string { return *r.ImageName + " " + *r.FileName + " " + *r.FilePath })
		}},
		{"apps", func(s *server) { s.deny(denyRules) }, []string{"image_name", "app_name", "app_version", "app_path", "layer_digest", "vul_num", "is_compliant"}, func(t *testing.T, s *server) []string {
			return ok(t, func(offset int32) (*int32, *[]model.ImageAppResponseInfo, error) {
				r, err := s.client().ListGlobalImageApps(&model.ListGlobalImageAppsRequest{Offset: &offset})
				return r.TotalNum, r.DataList, err
			}, func(r model.ImageAppResponseInfo) string {
				return fmt.Sprint(*r.ImageName, " ", *r.AppName, " ", *r.AppVersion, " ", *r.AppPath, " ", *r.LayerDigest, " ", *r.VulNum, " ", *r.IsCompliant)
			})
		}},
		{"files", func(s *server) { s.scanFiles() }, []string{"image_name", "file_name", "file_path"}, func(t *testing.T, s *server) []string {
			return ok(t, func(offset int32) (*int32, *[]model.ImageFileInfo, error) {
				r, err := s.client().ListImageFiles(&model.ListImageFilesRequest{ImageId: s.imageID("files:1"), ImageType: "local_image", Offset: &offset})
				return r.TotalNum, r.DataList, err
			}, func(r model.ImageFileInfo) string { return "files " + *r.FileName + " " + *r.FilePath })
		}},
		{"sensitive-info", func(s *server) { s.scanLeaky() }, []string{"sensitive_info_id", "name", "file_path", "content", "layer_digest", "handle_status"}, func(t *testing.T, s *server) (out []string) {
			for _, name := range s.names() {
				out = append(out, ok(t, func(offset int32) (*int32, *[]model.ImageSensitiveInfo, error) {
					r, err := s.client().ListImageSensitive(&model.ListImageSensitiveRequest{ImageId: s.imageID(name), ImageType: "local_image", Offset: &offset})
					return r.TotalNum, r.DataList, err
				}, func(r model.ImageSensitiveInfo) string {
					return strings.Join([]string{*r.SensitiveInfoId, *r.Name, *r.FilePath, *r.Content, of(r.Position), *r.HandleStatus}, " ")
				})...)
			}
			return out
		}},
		{"non-compliant-app", func(s *server) { s.deny(denyRules) }, []string{"id", "app_name", "app_version", "app_path", "layer_digest"}, func(t *testing.T, s *server) (out []string) {
			for _, name := range s.names() {
				out = append(out, ok(t, func(offset int32) (*int32, *[]model.ImageNonCompliantAppInfo, error) {
					r, err := s.client().ListImageNonCompliantApp(&model.ListImageNonCompliantAppRequest{ImageId: s.imageID(name), ImageType: "local_image", Offset: &offset})
					return r.TotalNum, r.DataList, err
				}, func(r model.ImageNonCompliantAppInfo) string {
					return strings.Join([]string{*r.Id, *r.AppName, *r.AppVersion, *r.AppPath, *r.LayerDigest}, " ")
				})...)
			}
			return out
		}},
		{"build-command-risks", func(s *server) { s.scanBuilt() }, []string{"rule_id", "image_name", "risk_num"}, func(t *testing.T, s *server) (out []string) {
			rules := ok(t, func(offset int32) (*int32, *[]model.ImageBuildCommandRiskResponseInfo, error) {
				r, err := s.client().ListImageBuildCommandRisks(&model.ListImageBuildCommandRisksRequest{ImageType: "local", Offset: &offset})
				return r.TotalNum, r.DataList, err
			}, func(r model.ImageBuildCommandRiskResponseInfo) string { return *r.RuleId })
			for _, rule := range rules {
				out = append(out, ok(t, func(offset int32) (*int32, *[]model.BuildCommandRisksImageResponseInfo, error) {
					r, err := s.client().ListImageBuildCommandRisksImages(&model.ListImageBuildCommandRisksImagesRequest{ImageType: "local", RuleId: rule, Offset: &offset})
					return r.TotalNum, r.DataList, err
				}, func(r model.BuildCommandRisksImageResponseInfo) string {
					return fmt.Sprint(rule, " ", *r.ImageName, " ", *r.RiskDetailInfo.RiskNum)
				})...)
			}
			return out
		}},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			s := newServer(t)
			tc.begin(s)
			resp, err := s.client().ExportImageSecurityReportTask(&model.ExportImageSecurityReportTaskRequest{Body: &model.ExportImageSecurityReportTaskRequestInfo{
				ExportSize: exportSize, SecurityReportType: tc.kind, OperateAll: true, ImageType: new("local_image")}})
			if err != nil {
				t.Fatal(err)
			}
			name, body := s.exported(*resp.TaskId)
			got, want := records(t, body, tc.columns...), tc.listed(t, s)
			slices.Sort(got)
			slices.Sort(want)
			if d := cmp.Diff(want, got); d != "" || len(want) == 0 || !strings.HasSuffix(name, ".zip") {
				t.Errorf("%s (-lists +export):\n%s", name, d)
			}
			for _, secret := range []string{password, token} {
				if bytes.Contains([]byte(strings.Join(records(t, body, everyColumn(t, body)...), " ")), []byte(secret)) {
					t.Error("a secret is in the export")
				}
			}
			s.counted(tc.kind, every(), got)
		})
	}
}

// ok is pages that fails the test.
func ok[T any](t *testing.T, list func(offset int32) (*int32, *[]T, error), key func(T) string) []string {
	t.Helper()
	rows, err := pages(func(offset int32) (int64, *[]T, error) {
		total, rows, err := list(offset)
		return int64(of(total)), rows, err
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func everyColumn(t *testing.T, body []byte) []string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := z.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	head, err := csv.NewReader(f).Read()
	if err != nil {
		t.Fatal(err)
	}
	return head[1:] // the first has the byte order mark
}

// The filters of a report are those that the others have; here are those that only
// some have.
func TestReportFilters(t *testing.T) {
	s := newServer(t)
	s.scanBuilt()
	c := s.client()
	count := func(kind string, b model.BatchExportSwrBaselineInfoRequestInfo) int64 {
		t.Helper()
		resp, err := c.ShowImageSecurityReportStatistic(&model.ShowImageSecurityReportStatisticRequest{Region: "r", SecurityReportType: kind, Body: &b})
		if err != nil {
			t.Fatal(err)
		}
		return *resp.TotalNum
	}
	risky, all := s.imageID("risky:1"), count("build-command-risks", *every())
	for name, tc := range map[string]struct {
		b    model.BatchExportSwrBaselineInfoRequestInfo
		want int64
	}{
		"rules":                 {model.BatchExportSwrBaselineInfoRequestInfo{BuildCommandRuleIdList: &[]string{pipeShell, "none"}}, 1},
		"level and rule":        {model.BatchExportSwrBaselineInfoRequestInfo{BuildCommandRuleIdList: &[]string{pipeShell}, BuildCommandRiskLevel: new("low")}, 0},
		"name":                  {model.BatchExportSwrBaselineInfoRequestInfo{BuildCommandRiskName: new("no such risk")}, 0},
		"image id":              {model.BatchExportSwrBaselineInfoRequestInfo{ImageId: &risky, BuildCommandRuleIdList: &[]string{secretEnv}}, 1},
		"another organisation":  {model.BatchExportSwrBaselineInfoRequestInfo{OperateAll: new(true), Namespace: new("n")}, 0},
		"another instance":      {model.BatchExportSwrBaselineInfoRequestInfo{InstanceId: new("n")}, 0},
		"a pipeline":            {model.BatchExportSwrBaselineInfoRequestInfo{CicdName: new("n")}, 0},
		"another family":        {model.BatchExportSwrBaselineInfoRequestInfo{OperateAll: new(true), ImageType: new("harbor")}, 0},
		"the other word":        {model.BatchExportSwrBaselineInfoRequestInfo{OperateAll: new(true), ImageType: new("local")}, all},
		"no family":             {model.BatchExportSwrBaselineInfoRequestInfo{OperateAll: new(true)}, all},
		"a state there is not":  {model.BatchExportSwrBaselineInfoRequestInfo{OperateAll: new(true), ScanStatus: new("image_oversized")}, 0},
		"the list before rest":  {model.BatchExportSwrBaselineInfoRequestInfo{ImageIdList: &[]string{risky}, HasVul: new(false), BuildCommandRuleIdList: &[]string{pipeShell}}, 1},
		"latest, all, and name": {model.BatchExportSwrBaselineInfoRequestInfo{OperateAll: new(true), LatestVersion: new(true), ImageName: new("risky"), BuildCommandRuleIdList: &[]string{pipeShell}}, 1},
	} {
		if got := count("build-command-risks", tc.b); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

func TestExportErrors(t *testing.T) {
	s := newServer(t)
	c := s.client()
	vuls := func(size int32, b *model.BatchExportLocalVulInfoRequestInfo) error {
		_, err := c.BatchExportLocalVulTask(&model.BatchExportLocalVulTaskRequest{Region: "r", ExportSize: size, Body: b})
		return err
	}
	report := func(b model.ExportImageSecurityReportTaskRequestInfo) error {
		_, err := c.ExportImageSecurityReportTask(&model.ExportImageSecurityReportTaskRequest{Body: &b})
		return err
	}
	baseline := func(b model.BatchExportSwrBaselineInfoRequestInfo) error {
		_, err := c.BatchExportBaselineTask(&model.BatchExportBaselineTaskRequest{ExportSize: 1, Body: &b})
		return err
	}
	statistic := func(kind string, b model.BatchExportSwrBaselineInfoRequestInfo) error {
		_, err := c.ShowImageSecurityReportStatistic(&model.ShowImageSecurityReportStatisticRequest{Region: "r", SecurityReportType: kind, Body: &b})
		return err
	}
	task := func(id string) error {
		_, err := c.ListQueryExportTask(&model.ListQueryExportTaskRequest{TaskId: id})
		return err
	}
	latest := func(id string) error {
		_, err := c.ShowLatestExportTaskByType(&model.ShowLatestExportTaskByTypeRequest{TaskId: id})
		return err
	}
	download := func(id string) error {
		_, err := c.ListDownloadExportedFile(&model.ListDownloadExportedFileRequest{FileId: id})
		return err
	}
	all := new(true)
	var long []string
	for n := range 10_241 {
		long = append(long, fmt.Sprint(n))
	}
	for name, tc := range map[string]struct {
		err    error
		status int
		code   string
	}{
		"nothing is selected":      {vuls(1, nil), 400, "HSS.0001"},
		"an empty list":            {vuls(1, &model.BatchExportLocalVulInfoRequestInfo{ImageIdList: &[]string{}}), 400, "HSS.0001"},
		"less than nothing":        {vuls(-1, &model.BatchExportLocalVulInfoRequestInfo{OperateAll: all}), 400, "HSS.0001"},
		"no such type":             {vuls(1, &model.BatchExportLocalVulInfoRequestInfo{OperateAll: all, VulType: new("x")}), 400, "HSS.0001"},
		"no such handling":         {vuls(1, &model.BatchExportLocalVulInfoRequestInfo{OperateAll: all, HandleStatus: new("x")}), 400, "HSS.0001"},
		"too many images":          {vuls(1, &model.BatchExportLocalVulInfoRequestInfo{ImageIdList: &long}), 400, "HSS.0001"},
		"too many vulnerabilities": {vuls(1, &model.BatchExportLocalVulInfoRequestInfo{OperateAll: all, VulIdList: &long}), 400, "HSS.0001"},
		"an unknown image":         {vuls(1, &model.BatchExportLocalVulInfoRequestInfo{ImageIdList: &[]string{s.imageID(web), "x"}}), 400, "HSS.0011"},
		"no such report":           {report(model.ExportImageSecurityReportTaskRequestInfo{OperateAll: true, SecurityReportType: "x", ImageType: new("local_image")}), 400, "HSS.0001"},
		"no report":                {report(model.ExportImageSecurityReportTaskRequestInfo{OperateAll: true, ImageType: new("local_image")}), 400, "HSS.0001"},
		"one that is another's":    {report(model.ExportImageSecurityReportTaskRequestInfo{OperateAll: true, SecurityReportType: "vulnerability", ImageType: new("local_image")}), 400, "HSS.0001"},
		"registry by default":      {report(model.ExportImageSecurityReportTaskRequestInfo{OperateAll: true, SecurityReportType: "apps"}), 501, "Onceover.0501"},
		"registry":                 {report(model.ExportImageSecurityReportTaskRequestInfo{OperateAll: true, SecurityReportType: "apps", ImageType: new("harbor")}), 501, "Onceover.0501"},
		"no such family":           {report(model.ExportImageSecurityReportTaskRequestInfo{OperateAll: true, SecurityReportType: "apps", ImageType: new("x")}), 400, "HSS.0001"},
		"files that were not read": {report(model.ExportImageSecurityReportTaskRequestInfo{OperateAll: true, SecurityReportType: "files", ImageType: new("local_image")}), 400, "Onceover.0409"},
		"baselines of a registry":  {baseline(model.BatchExportSwrBaselineInfoRequestInfo{OperateAll: all, ImageType: new("private_image")}), 501, "Onceover.0501"},
		"no such level":            {baseline(model.BatchExportSwrBaselineInfoRequestInfo{OperateAll: all, SeverityLevel: new("x")}), 400, "HSS.0001"},
		"an unknown image id":      {baseline(model.BatchExportSwrBaselineInfoRequestInfo{ImageId: new("x")}), 400, "HSS.0011"},
		"no such statistic":        {statistic("x", *every()), 400, "HSS.0001"},
		"no statistic":             {statistic("", *every()), 400, "HSS.0001"},
		"of nothing":               {statistic("apps", model.BatchExportSwrBaselineInfoRequestInfo{}), 400, "HSS.0001"},
		"task":                     {task("x"), 400, "HSS.0011"},
		"latest task":              {latest("x"), 400, "HSS.0011"},
		"latest task of no id":     {latest(""), 400, "HSS.0001"},
		"file":                     {download("x"), 400, "HSS.0011"},
	} {
		t.Run(name, func(t *testing.T) { refused(t, tc.err, tc.status, tc.code) })
	}
}

// TestDownloadInParts fetches a file by hand, from the middle on, and as XLSX.
func TestDownloadInParts(t *testing.T) {
	s := newServer(t)
	base := "/v5/" + s.first.Project.ID
	status, answer, _ := s.send("POST", base+"/image/local-vulnerability/export?export_size=100&file_format=xlsx", strings.NewReader(`{"operate_all":true}`))
	var made struct {
		Task string `json:"task_id"`
	}
	if err := json.Unmarshal(answer, &made); err != nil || status != 200 {
		t.Fatalf("%d %s", status, answer)
	}
	name, whole := s.exported(made.Task)
	if z, err := zip.NewReader(bytes.NewReader(whole), int64(len(whole))); err != nil || !strings.HasSuffix(name, ".xlsx") || z.File[0].Name != "xl/worksheets/sheet1.xml" {
		t.Fatalf("%s is no workbook: %v", name, err)
	}
	resp, err := s.client().ListQueryExportTask(&model.ListQueryExportTaskRequest{TaskId: made.Task})
	if err != nil {
		t.Fatal(err)
	}
	path := base + "/download/" + *resp.FileId
	get := func(headers map[string]string) (*http.Response, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range headers {
			req.Header.Set(k, v)
		}
		if err := auth.Sign(req, s.first.Key.AK, s.first.Key.Secret, time.Now()); err != nil {
			t.Fatal(err)
		}
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r, b
	}
	all, body := get(nil)
	if all.StatusCode != 200 || !bytes.Equal(body, whole) || all.ContentLength != int64(len(whole)) || all.Header.Get("Accept-Ranges") != "bytes" ||
		all.Header.Get("Content-Type") != "application/octet-stream" || all.Header.Get("Content-Disposition") != "attachment; filename="+name || len(all.Header.Get("X-Request-Id")) != 32 {
		t.Errorf("%d %v", all.StatusCode, all.Header)
	}
	part, rest := get(map[string]string{"Range": "bytes=100-", "If-Range": all.Header.Get("ETag")})
	if part.StatusCode != 206 || !bytes.Equal(rest, whole[100:]) {
		t.Errorf("the rest: %d %v", part.StatusCode, part.Header)
	}
	none, problem := get(map[string]string{"Range": "bytes=9999999-"})
	if none.StatusCode != 416 || !bytes.Contains(problem, []byte(`"error_code":"HSS.0001"`)) {
		t.Errorf("past the end: %d %s", none.StatusCode, problem)
	}
	if status, answer, _ := s.send("POST", base+"/image/baseline/export?export_size=1&file_format=pdf", strings.NewReader(`{"operate_all":true}`)); status != 400 {
		t.Errorf("another format: %d %s", status, answer)
	}
}

// What one project exports, no other sees.
func TestExportsOfAnotherProject(t *testing.T) {
	s := newServer(t)
	resp, err := s.client().BatchExportLocalVulTask(&model.BatchExportLocalVulTaskRequest{Region: "r", ExportSize: 1, Body: &model.BatchExportLocalVulInfoRequestInfo{OperateAll: new(true)}})
	if err != nil {
		t.Fatal(err)
	}
	s.exported(*resp.TaskId)
	task, err := s.client().ListQueryExportTask(&model.ListQueryExportTaskRequest{TaskId: *resp.TaskId})
	if err != nil {
		t.Fatal(err)
	}
	other, err := s.store.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	k, err := s.store.CreateAccessKey(t.Context(), other.ID)
	if err != nil {
		t.Fatal(err)
	}
	foreign := s.clientOf(k.AK, k.Secret, other.ID)
	_, err = foreign.ListQueryExportTask(&model.ListQueryExportTaskRequest{TaskId: *resp.TaskId})
	refused(t, err, 400, "HSS.0011")
	_, err = foreign.ListDownloadExportedFile(&model.ListDownloadExportedFileRequest{FileId: *task.FileId})
	refused(t, err, 400, "HSS.0011")
	_, err = foreign.BatchExportLocalVulTask(&model.BatchExportLocalVulTaskRequest{Region: "r", ExportSize: 1, Body: &model.BatchExportLocalVulInfoRequestInfo{ImageIdList: &[]string{s.imageID(web)}}})
	refused(t, err, 400, "HSS.0011")
	mine, err := foreign.BatchExportLocalVulTask(&model.BatchExportLocalVulTaskRequest{Region: "r", ExportSize: 1, Body: &model.BatchExportLocalVulInfoRequestInfo{OperateAll: new(true)}})
	if err != nil || *mine.RecordTotalNum != 0 {
		t.Errorf("%v, %v", mine, err)
	}
}
