package contract

import (
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/go-crypt/crypt/algorithm/shacrypt"
	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/check/baseline"
	passwords "github.com/onceover/onceover/internal/check/password"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

// The keys of an agent that makes all checks of settings.
const (
	keyPackages  = "packages-0123456789abcdef"
	keyBaseline  = "baseline-0123456789abcdef"
	keyPasswords = "passwords-0123456789abcdef"
)

var keyAll = report.JoinKeys([]string{keyPackages, keyBaseline, keyPasswords})

// A planted file is one of an image whose settings are looked at.
type plantedFile struct {
	path    string
	mode    fs.FileMode
	content string
}

// settings are what the analysers make of files.
func settings(t *testing.T, files []plantedFile) (base, pass []report.Setting) {
	t.Helper()
	tell := func(list []report.Setting, a analyze.Analyzer, p plantedFile) []report.Setting {
		f := analyzetest.File(p.path, []byte(p.content))
		f.Info = analyzetest.Info{Base: path.Base(p.path), Perm: p.mode, Bytes: f.Size}
		if !a.Wants(p.path, f.Info) {
			return list
		}
		facts, err := a.Analyze(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if facts != nil {
			list = append(list, facts.Settings...)
		}
		return list
	}
	for _, f := range files {
		base = tell(base, baseline.NewAnalyzer(), f)
		base = tell(base, passwords.NewRulesAnalyzer(), f)
		pass = tell(pass, passwords.NewAnalyzer(nil), f)
	}
	return base, pass
}

// A planted image is held by the agent beside the others.
type plantedImage struct {
	name    string
	n       int // of its layer
	files   []plantedFile
	without bool // an agent that looks for packages only
}

// scanPlanted lets the agent hold images more and scans them. It returns their
// ids by name.
func (s *server) scanPlanted(planted ...plantedImage) map[string]string {
	s.t.Helper()
	s.scanSettings(planted...)
	ids := map[string]string{}
	for _, p := range planted {
		ids[p.name] = s.imageID(p.name + ":1")
	}
	return ids
}

func (s *server) scanSettings(planted ...plantedImage) {
	s.t.Helper()
	list, byDigest := images(), map[image.Digest]plantedImage{}
	var wanted []store.ScanImage
	for _, p := range planted {
		list = append(list, fleet.ImageState{Engine: "docker", ConfigDigest: configDigest(p.n), Names: []image.Ref{{Name: p.name, Tag: "1"}}, Size: 3 << 30, CreatedMS: 1})
		byDigest[configDigest(p.n)] = p
		wanted = append(wanted, store.ScanImage{Name: p.name, Version: "1"})
	}
	req := fleet.SyncRequest{Host: fleet.Host{ID: "host-id-1", Name: "node-1"}, Analyzers: keyAll, ImagesHash: "planted", Images: &list}
	if _, err := s.store.Sync(s.t.Context(), s.agent, req, nowMS()); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.store.Scan(s.t.Context(), s.first.Project.ID, store.ScanRequest{TaskType: store.TaskManual, List: wanted}); err != nil {
		s.t.Fatal(err)
	}
	req.Images, req.Want = nil, 10
	resp, err := s.store.Sync(s.t.Context(), s.agent, req, nowMS())
	if err != nil || len(resp.Jobs) != len(planted) {
		s.t.Fatalf("%+v, %v", resp, err)
	}
	for _, j := range resp.Jobs {
		p := byDigest[j.ConfigDigest]
		base, pass := settings(s.t, p.files)
		l := layer(2)
		l.DiffID, l.Analyzers = string(digest(p.n)), keyPackages
		parts, keys := []*report.LayerReport{l}, keyPackages
		if !p.without {
			keys = keyAll
			parts = append(parts, &report.LayerReport{DiffID: l.DiffID, Analyzers: keyBaseline, Complete: true, Settings: base},
				&report.LayerReport{DiffID: l.DiffID, Analyzers: keyPasswords, Complete: true, Settings: pass})
		}
		for _, r := range parts {
			if err := s.store.PutLayer(s.t.Context(), r); err != nil {
				s.t.Fatal(err)
			}
		}
		if err := s.store.Finish(s.t.Context(), s.agent, j.ID, fleet.FinishRequest{Image: &fleet.ImageReport{
			ConfigDigest: j.ConfigDigest, Analyzers: keys, DiffIDs: []image.Digest{digest(p.n)}, Config: imageConfig(p.n)}}, nowMS()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// hash is a line of shadow's password, made when it is asked for.
func hash(t *testing.T, word string) string {
	t.Helper()
	h, err := shacrypt.New(shacrypt.WithSHA512(), shacrypt.WithIterations(1000))
	if err != nil {
		t.Fatal(err)
	}
	d, err := h.Hash(word)
	if err != nil {
		t.Fatal(err)
	}
	return d.Encode()
}

const accounts = "root:x:0:0:root:/root:/bin/bash\nguest:x:1000:1000::/home/guest:/bin/sh\nsvc:x:1001:1001::/srv:/usr/sbin/nologin\n"

// soft is an image with every kind of bad setting.
func soft(t *testing.T) []plantedFile {
	weak := hash(t, strings.Join([]string{"123", "456"}, ""))
	return []plantedFile{
		{"/etc/passwd", 0o644, accounts},
		{"/etc/shadow", 0o640, "root:" + weak + ":20000:0:99999:7:::\nguest::20000:0:99999:7:::\nsvc:!:20000:0:99999:7:::\n"},
		{"/etc/login.defs", 0o644, "PASS_MAX_DAYS 99999\nPASS_MIN_LEN 5\n"},
		{"/etc/pam.d/common-password", 0o644, "password [success=1 default=ignore] pam_unix.so obscure\n"},
		{"/etc/ssh/sshd_config", 0o644, "PermitRootLogin yes\nPermitEmptyPasswords yes\nMaxAuthTries 3\n"},
		{"/etc/redis/redis.conf", 0o644, "requirepass redis\n"},
	}
}

// hard is one without.
func hard(t *testing.T) []plantedFile {
	strong := hash(t, strings.Join([]string{"vP7", "qz-Lm", "w4Ke", "19tR"}, ""))
	return []plantedFile{
		{"/etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/bash\n"},
		{"/etc/shadow", 0o640, "root:" + strong + ":20000:1:90:7:30::\n"},
		{"/etc/login.defs", 0o644, "PASS_MAX_DAYS 90\nPASS_MIN_DAYS 1\nPASS_MIN_LEN 12\nUMASK 027\nENCRYPT_METHOD YESCRYPT\n"},
		{"/etc/pam.d/common-password", 0o644, "password requisite pam_pwquality.so retry=3\npassword [success=1 default=ignore] pam_unix.so obscure use_authtok yescrypt\n"},
		{"/etc/security/pwquality.conf", 0o644, "minlen = 14\nucredit = -1\nlcredit = -1\ndcredit = -1\nocredit = -1\nenforce_for_root\n"},
		{"/etc/ssh/sshd_config", 0o600, "PermitRootLogin no\nPermitEmptyPasswords no\nMaxAuthTries 3\n"},
	}
}

const (
	sshRoot, sshEmpty, sshTries = "SSH-01", "SSH-02", "SSH-04"
)

// settled is a server with both, and an image that was not looked at.
func settled(t *testing.T) (*server, map[string]string) {
	s := newServer(t)
	return s, s.scanPlanted(
		plantedImage{name: "soft", n: 11, files: soft(t)},
		plantedImage{name: "hard", n: 12, files: hard(t)},
		plantedImage{name: "blind", n: 13, without: true},
	)
}

func TestListImageRiskConfigs(t *testing.T) {
	s, ids := settled(t)
	c := s.client()
	type row struct {
		Name, Standard, Severity string
		Failed                   bool
	}
	for _, tc := range []struct {
		name string
		req  model.ListImageRiskConfigsRequest
		want []row
	}{
		{"soft", model.ListImageRiskConfigsRequest{ImageId: new(ids["soft"]), CheckName: new("SSH")},
			[]row{{"SSH", "cn_standard", "High", true}, {"SSH", "hw_standard", "High", true}}},
		{"all", model.ListImageRiskConfigsRequest{ImageType: "local", CheckName: new("SSH"), Standard: new("cn_standard")}, []row{{"SSH", "cn_standard", "High", true}}},
		{"name", model.ListImageRiskConfigsRequest{ImageName: new("sof"), ImageVersion: new("1"), CheckName: new("SSH"), Standard: new("hw_standard")}, []row{{"SSH", "hw_standard", "High", true}}},
		{"another version", model.ListImageRiskConfigsRequest{ImageName: new("sof"), ImageVersion: new("2")}, []row{}},
		{"the id overrides", model.ListImageRiskConfigsRequest{ImageId: new(ids["soft"]), ImageName: new("hard"), CheckName: new("Redis"), Standard: new("hw_standard")}, []row{{"Redis", "hw_standard", "High", true}}},
		{"not in the image", model.ListImageRiskConfigsRequest{ImageId: new(ids["hard"]), CheckName: new("Redis")}, []row{}},
		{"severity", model.ListImageRiskConfigsRequest{ImageId: new(ids["soft"]), CheckName: new("SSH"), Severity: new("Security")}, []row{}},
		{"unknown severity", model.ListImageRiskConfigsRequest{ImageType: "local", Severity: new("Worse")}, []row{}},
		{"unknown standard", model.ListImageRiskConfigsRequest{ImageType: "local", Standard: new("x")}, []row{}},
		{"unknown image_type", model.ListImageRiskConfigsRequest{ImageType: "x"}, []row{}},
		{"registry", model.ListImageRiskConfigsRequest{ImageType: "registry"}, []row{}},
		{"not looked at", model.ListImageRiskConfigsRequest{ImageId: new(ids["blind"])}, []row{}},
		{"not scanned", model.ListImageRiskConfigsRequest{ImageId: new(s.imageID(none))}, []row{}},
		{"past the end", model.ListImageRiskConfigsRequest{Offset: new(int32(1000))}, []row{}},
		{"everything", model.ListImageRiskConfigsRequest{EnterpriseProjectId: new("0"), Offset: new(int32(1)), Limit: new(int32(10)), Namespace: new("n"), InstanceId: new("i"),
			ImageId: new(ids["soft"]), CheckName: new("SSH"), Severity: new("High")}, []row{{"SSH", "hw_standard", "High", true}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req.ImageType == "" {
				tc.req.ImageType = "local_image"
			}
			resp, err := c.ListImageRiskConfigs(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := []row{}
			for _, r := range *resp.DataList {
				got = append(got, row{*r.CheckName, *r.Standard, *r.Severity, *r.FailedRuleNum > 0})
				if *r.CheckType != *r.CheckName || *r.CheckTypeDesc == "" || *r.CheckRuleNum < *r.FailedRuleNum || *r.CheckRuleNum == 0 {
					t.Errorf("row %v", r)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	// The distribution has a baseline of its own.
	resp, err := c.ListImageRiskConfigs(&model.ListImageRiskConfigsRequest{ImageType: "local", CheckName: new("Debian 12")})
	if err != nil || len(*resp.DataList) != 2 {
		t.Errorf("%v, %v", resp, err)
	}
	_, err = c.ListImageRiskConfigs(&model.ListImageRiskConfigsRequest{})
	refused(t, err, 400, "HSS.0001")
	_, err = c.ListImageRiskConfigs(&model.ListImageRiskConfigsRequest{ImageType: "local", ImageId: new("nope")})
	refused(t, err, 400, "HSS.0011")
}

func TestListImageRiskConfigRules(t *testing.T) {
	s, ids := settled(t)
	c := s.client()
	// results are those of the three rules that the images differ in.
	results := func(t *testing.T, rows *[]model.ImageRiskConfigsCheckRulesResponseInfo) map[string]string {
		t.Helper()
		out := map[string]string{}
		for _, r := range *rows {
			if *r.CheckRuleName == "" || *r.CheckName != "SSH" || *r.CheckType != "SSH" || *r.Standard != "cn_standard" {
				t.Errorf("row %v", r)
			}
			if id := *r.CheckRuleId; id == sshRoot || id == sshEmpty || id == sshTries {
				out[id] = *r.ScanResult + " " + *r.Severity
			}
		}
		return out
	}
	asSoft := map[string]string{sshRoot: "failed High", sshEmpty: "failed High", sshTries: "pass Medium"}
	for _, tc := range []struct {
		name string
		req  model.ListImageRiskConfigRulesRequest
		want map[string]string
	}{
		{"soft", model.ListImageRiskConfigRulesRequest{ImageId: new(ids["soft"])}, asSoft},
		{"hard", model.ListImageRiskConfigRulesRequest{ImageId: new(ids["hard"])}, map[string]string{sshRoot: "pass High", sshEmpty: "pass High", sshTries: "pass Medium"}},
		{"all", model.ListImageRiskConfigRulesRequest{ImageType: "local"}, asSoft},
		{"failed", model.ListImageRiskConfigRulesRequest{ResultType: new("failed")}, map[string]string{sshRoot: "failed High", sshEmpty: "failed High"}},
		{"passed", model.ListImageRiskConfigRulesRequest{ResultType: new("pass"), ImageName: new("soft")}, map[string]string{sshTries: "pass Medium"}},
		{"name", model.ListImageRiskConfigRulesRequest{CheckRuleName: new("Empty passwords")}, map[string]string{sshEmpty: "failed High"}},
		{"severity", model.ListImageRiskConfigRulesRequest{Severity: new("Medium")}, map[string]string{sshTries: "pass Medium"}},
		{"no such severity", model.ListImageRiskConfigRulesRequest{Severity: new("Critical")}, map[string]string{}},
		{"not looked at", model.ListImageRiskConfigRulesRequest{ImageId: new(ids["blind"])}, map[string]string{}},
		{"registry", model.ListImageRiskConfigRulesRequest{ImageType: "private_image"}, map[string]string{}},
		{"past the end", model.ListImageRiskConfigRulesRequest{Offset: new(int32(500))}, map[string]string{}},
		{"everything", model.ListImageRiskConfigRulesRequest{Region: new("r"), EnterpriseProjectId: new("0"), Offset: new(int32(0)), Limit: new(int32(10)), Namespace: new("n"), InstanceId: new("i"),
			ImageName: new("soft"), ImageVersion: new("1"), ImageId: new(ids["soft"]), ResultType: new("failed"), CheckRuleName: new("Root does not"), Severity: new("High")},
			map[string]string{sshRoot: "failed High"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req.ImageType == "" {
				tc.req.ImageType = "local_image"
			}
			if tc.req.Limit == nil {
				tc.req.Limit = new(int32(200))
			}
			tc.req.CheckName, tc.req.Standard = "SSH", "cn_standard"
			resp, err := c.ListImageRiskConfigRules(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, results(t, resp.DataList)); d != "" {
				t.Error(d)
			}
		})
	}
	// A name with a blank goes through the path, and failed rules come first.
	resp, err := c.ListImageRiskConfigRules(&model.ListImageRiskConfigRulesRequest{ImageType: "local_image", CheckName: "Debian 12", Standard: "cn_standard", ImageId: new(ids["soft"])})
	if err != nil || *resp.TotalNum < 10 || *(*resp.DataList)[0].ScanResult != "failed" {
		t.Errorf("%v, %v", resp, err)
	}
	for name, tc := range map[string]struct {
		req  model.ListImageRiskConfigRulesRequest
		code string
	}{
		"no image_type":      {model.ListImageRiskConfigRulesRequest{CheckName: "SSH", Standard: "cn_standard"}, "HSS.0001"},
		"no standard":        {model.ListImageRiskConfigRulesRequest{ImageType: "local", CheckName: "SSH"}, "HSS.0001"},
		"unknown standard":   {model.ListImageRiskConfigRulesRequest{ImageType: "local", CheckName: "SSH", Standard: "x"}, "HSS.0001"},
		"unknown result":     {model.ListImageRiskConfigRulesRequest{ImageType: "local", CheckName: "SSH", Standard: "cn_standard", ResultType: new("x")}, "HSS.0001"},
		"unknown check_name": {model.ListImageRiskConfigRulesRequest{ImageType: "local", CheckName: "Nope", Standard: "cn_standard"}, "HSS.0011"},
		"unknown image":      {model.ListImageRiskConfigRulesRequest{ImageType: "local", CheckName: "SSH", Standard: "cn_standard", ImageId: new("nope")}, "HSS.0011"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ListImageRiskConfigRules(&tc.req)
			refused(t, err, 400, tc.code)
		})
	}
}

func TestShowImageCheckRuleDetail(t *testing.T) {
	s, ids := settled(t)
	c := s.client()
	ask := func(req model.ShowImageCheckRuleDetailRequest) model.ShowImageCheckRuleDetailRequest {
		req.ImageType, req.CheckName, req.CheckType, req.CheckRuleId, req.Standard = "local_image", "SSH", "SSH", sshRoot, "hw_standard"
		return req
	}
	for _, tc := range []struct {
		name  string
		req   model.ShowImageCheckRuleDetailRequest
		found string // "" for no list
	}{
		{"soft", ask(model.ShowImageCheckRuleDetailRequest{ImageId: new(ids["soft"])}), "yes"},
		{"hard", ask(model.ShowImageCheckRuleDetailRequest{ImageId: new(ids["hard"])}), "no"},
		{"the first that fails", ask(model.ShowImageCheckRuleDetailRequest{ImageName: new("")}), ""},
		{"by name", ask(model.ShowImageCheckRuleDetailRequest{Region: new("r"), EnterpriseProjectId: new("0"), Namespace: new("n"), InstanceId: new("i"), ImageName: new("hard"), ImageVersion: new("1")}), "no"},
		{"several", ask(model.ShowImageCheckRuleDetailRequest{ImageName: new("t")}), "yes"}, // soft; "hard" has no t
		{"not looked at", ask(model.ShowImageCheckRuleDetailRequest{ImageId: new(ids["blind"])}), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := c.ShowImageCheckRuleDetail(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			if *resp.Description == "" || *resp.Audit == "" || *resp.Remediation == "" || *resp.Reference == "" {
				t.Errorf("got %v", resp)
			}
			if tc.found == "" {
				if resp.CheckInfoList != nil {
					t.Errorf("cases %v", *resp.CheckInfoList)
				}
				return
			}
			if resp.CheckInfoList == nil || len(*resp.CheckInfoList) != 1 {
				t.Fatalf("cases %v", resp.CheckInfoList)
			}
			k := (*resp.CheckInfoList)[0]
			if *k.CurrentValue != tc.found || *k.SuggestValue == "" || k.CheckDescription == nil {
				t.Errorf("case %v", k)
			}
		})
	}
	for name, change := range map[string]func(*model.ShowImageCheckRuleDetailRequest){
		"rule":       func(r *model.ShowImageCheckRuleDetailRequest) { r.CheckRuleId = "NOPE" },
		"name":       func(r *model.ShowImageCheckRuleDetailRequest) { r.CheckName, r.CheckType = "Nginx", "Nginx" },
		"type":       func(r *model.ShowImageCheckRuleDetailRequest) { r.CheckType = "Nginx" },
		"image":      func(r *model.ShowImageCheckRuleDetailRequest) { r.ImageId = new("nope") },
		"image type": func(r *model.ShowImageCheckRuleDetailRequest) { r.ImageType = "shared_image" },
	} {
		t.Run("another "+name, func(t *testing.T) {
			req := ask(model.ShowImageCheckRuleDetailRequest{})
			change(&req)
			_, err := c.ShowImageCheckRuleDetail(&req)
			refused(t, err, 400, "HSS.0011")
		})
	}
	_, err := c.ShowImageCheckRuleDetail(&model.ShowImageCheckRuleDetailRequest{ImageType: "local", CheckName: "SSH", CheckType: "SSH", Standard: "cn_standard"})
	refused(t, err, 400, "HSS.0001")
}

func TestListCheckRules(t *testing.T) {
	s, ids := settled(t)
	c := s.client()
	for _, tc := range []struct {
		name   string
		req    model.ListCheckRulesInfoRequest
		result string // of SSH-01, "" for no row
		images int32
	}{
		{"all", model.ListCheckRulesInfoRequest{}, "failed", 1},
		{"failed", model.ListCheckRulesInfoRequest{ScanResult: new("failed")}, "failed", 1},
		{"passed", model.ListCheckRulesInfoRequest{ScanResult: new("pass")}, "", 0},
		{"hard", model.ListCheckRulesInfoRequest{ImageId: new(ids["hard"])}, "pass", 1},
		{"name", model.ListCheckRulesInfoRequest{ImageName: new("hard"), ImageVersion: new("1"), Namespace: new("n"), InstanceId: new("i"), EnterpriseProjectId: new("0")}, "pass", 1},
		{"registry", model.ListCheckRulesInfoRequest{ImageType: "registry"}, "", 0},
		{"not looked at", model.ListCheckRulesInfoRequest{ImageId: new(ids["blind"])}, "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req.ImageType == "" {
				tc.req.ImageType = "local"
			}
			tc.req.Type = "image"
			seen, result, images := 0, "", int32(0)
			for offset := int32(0); ; {
				tc.req.Limit, tc.req.Offset = new(int32(200)), &offset
				resp, err := c.ListCheckRulesInfo(&tc.req)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range *resp.DataList {
					seen++
					if *r.CheckTypeDesc == "" || *r.CheckRuleName == "" || *r.LatestScanTime == 0 || *r.ImageNum == 0 || *r.Severity == "" || *r.CheckType != *r.CheckName {
						t.Errorf("row %v", r)
					}
					if *r.CheckRuleId == sshRoot && *r.Standard == "cn_standard" {
						result, images = *r.ScanResult, *r.ImageNum
					}
				}
				if offset += int32(len(*resp.DataList)); len(*resp.DataList) == 0 {
					if int(*resp.TotalNum) != seen {
						t.Errorf("total_num %d of %d", *resp.TotalNum, seen)
					}
					break
				}
			}
			if result != tc.result || images != tc.images {
				t.Errorf("got %q in %d images", result, images)
			}
		})
	}
	for name, req := range map[string]model.ListCheckRulesInfoRequest{
		"no type":       {ImageType: "local"},
		"another type":  {ImageType: "local", Type: "host"},
		"no image_type": {Type: "image"},
		"result":        {Type: "image", ImageType: "local", ScanResult: new("x")},
	} {
		_, err := c.ListCheckRulesInfo(&req)
		t.Run(name, func(t *testing.T) { refused(t, err, 400, "HSS.0001") })
	}

	for _, tc := range []struct {
		name string
		req  model.ListCheckRuleResourcesRequest
		want []string
	}{
		{"all", model.ListCheckRuleResourcesRequest{}, []string{"hard", "soft"}},
		{"failed", model.ListCheckRuleResourcesRequest{ScanResult: new("failed")}, []string{"soft"}},
		{"passed", model.ListCheckRuleResourcesRequest{ScanResult: new("pass"), EnterpriseProjectId: new("0")}, []string{"hard"}},
		{"page", model.ListCheckRuleResourcesRequest{Offset: new(int32(1)), Limit: new(int32(10))}, []string{"soft"}},
		{"registry", model.ListCheckRuleResourcesRequest{ImageType: "registry"}, []string{}},
	} {
		t.Run("resources "+tc.name, func(t *testing.T) {
			if tc.req.ImageType == "" {
				tc.req.ImageType = "local_image"
			}
			tc.req.Type, tc.req.CheckName, tc.req.CheckRuleId, tc.req.Standard = "image", "SSH", sshRoot, "cn_standard"
			resp, err := c.ListCheckRuleResources(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, r := range *resp.DataList {
				got = append(got, *r.ImageName)
				if *r.ImageVersion != "1" || len(*r.ImageDigest) != 71 || *r.ImageType != "local_image" || *r.ImageSize != 1<<31-1 {
					t.Errorf("row %v", r)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	_, err := c.ListCheckRuleResources(&model.ListCheckRuleResourcesRequest{Type: "image", ImageType: "local", CheckName: "SSH", CheckRuleId: "NOPE", Standard: "cn_standard"})
	refused(t, err, 400, "HSS.0011")
	_, err = c.ListCheckRuleResources(&model.ListCheckRuleResourcesRequest{Type: "image", ImageType: "local", CheckRuleId: sshRoot, Standard: "cn_standard"})
	refused(t, err, 400, "HSS.0001")
}

func TestShowImageBaselineStatistic(t *testing.T) {
	s, ids := settled(t)
	c := s.client()
	ask := func(req model.ShowImageBaselineStatisticRequest) *model.ShowImageBaselineStatisticResponse {
		t.Helper()
		resp, err := c.ShowImageBaselineStatistic(&req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	one := ask(model.ShowImageBaselineStatisticRequest{ImageType: "local_image", ImageId: new(ids["soft"])})
	// A rule of two standards is one setting.
	resp, err := c.ListCheckRulesInfo(&model.ListCheckRulesInfoRequest{Type: "image", ImageType: "local", ImageId: new(ids["soft"]), ScanResult: new("failed"), Limit: new(int32(200))})
	if err != nil {
		t.Fatal(err)
	}
	failed := map[string]bool{}
	for _, r := range *resp.DataList {
		failed[*r.CheckRuleId] = true
	}
	if int(*one.SecurityCheck) != len(failed) || len(failed) < 3 || *one.ImageWeakPwd != 3 || *one.PwdPolicy != 1 {
		t.Errorf("soft: %v, %d failed", one, len(failed))
	}
	hardened := ask(model.ShowImageBaselineStatisticRequest{Region: new("r"), EnterpriseProjectId: new("0"), ImageType: "local", Namespace: new("n"), InstanceId: new("i"), ImageName: new("hard"), ImageVersion: new("1")})
	if *hardened.ImageWeakPwd != 0 || *hardened.PwdPolicy != 0 || *hardened.SecurityCheck >= *one.SecurityCheck {
		t.Errorf("hard: %v", hardened)
	}
	all := ask(model.ShowImageBaselineStatisticRequest{ImageType: "local"})
	if *all.SecurityCheck != *one.SecurityCheck+*hardened.SecurityCheck || *all.ImageWeakPwd != 3 || *all.PwdPolicy != 1 {
		t.Errorf("all: %v", all)
	}
	if n := ask(model.ShowImageBaselineStatisticRequest{ImageType: "local", ImageId: new(ids["blind"])}); n.SecurityCheck != nil || n.ImageWeakPwd != nil || n.PwdPolicy != nil {
		t.Errorf("not looked at: %v", n)
	}
	if n := ask(model.ShowImageBaselineStatisticRequest{ImageType: "registry"}); *n.SecurityCheck+*n.ImageWeakPwd+*n.PwdPolicy != 0 {
		t.Errorf("registry: %v", n)
	}
	_, err = c.ShowImageBaselineStatistic(&model.ShowImageBaselineStatisticRequest{})
	refused(t, err, 400, "HSS.0001")
	_, err = c.ShowImageBaselineStatistic(&model.ShowImageBaselineStatisticRequest{ImageType: "local", ImageId: new("nope")})
	refused(t, err, 400, "HSS.0011")
}
