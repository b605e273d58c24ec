package contract

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/internal/check/secret"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

// token is one of a forge, made here as password is.
var token = "ghp_" + (rand.Text() + rand.Text())[:36]

// A checkedLayer is what the checks find in a layer.
type checkedLayer struct {
	n       int
	secrets []report.Secret
	malware []report.Malware
	deletes []string // files of the layers below
}

// A checkedImage was looked at for everything.
type checkedImage struct {
	name   string
	layers []checkedLayer
	env    []string
}

// scanChecked lets the agent hold more images, and scans them.
func (s *server) scanChecked(planted ...checkedImage) {
	s.t.Helper()
	list := images()
	configs := map[image.Digest]json.RawMessage{}
	var ask []store.ScanImage
	for _, p := range planted {
		ids := []string{}
		history := []map[string]any{}
		for _, l := range p.layers {
			ids = append(ids, string(digest(l.n)))
			history = append(history, map[string]any{"created_by": "COPY " + p.name + " /"})
		}
		cfg, err := json.Marshal(map[string]any{
			"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": ids},
			"config": map[string]any{"Env": p.env, "User": "1000"}, "history": history,
		})
		if err != nil {
			s.t.Fatal(err)
		}
		configs[image.DigestOf(cfg)] = cfg
		list = append(list, fleet.ImageState{Engine: "docker", ConfigDigest: image.DigestOf(cfg), Names: []image.Ref{{Name: p.name, Tag: "1"}}, Size: 5000, CreatedMS: 1})
		ask = append(ask, store.ScanImage{Name: p.name, Version: "1"})
		for _, l := range p.layers {
			for _, r := range []report.LayerReport{
				{Analyzers: "packages-" + analyzers, Whiteouts: l.deletes},
				{Analyzers: "secrets-" + analyzers, Secrets: l.secrets},
				{Analyzers: "malware-" + analyzers, Malware: l.malware},
			} {
				r.DiffID, r.Complete = string(digest(l.n)), true
				if err := s.store.PutLayer(s.t.Context(), &r); err != nil {
					s.t.Fatal(err)
				}
			}
		}
	}
	req := fleet.SyncRequest{Host: fleet.Host{ID: "host-id-1", Name: "node-1"}, Analyzers: analyzers, ImagesHash: "checked", Images: &list}
	if _, err := s.store.Sync(s.t.Context(), s.agent, req, nowMS()); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.store.Scan(s.t.Context(), s.first.Project.ID, store.ScanRequest{TaskType: store.TaskManual, List: ask}); err != nil {
		s.t.Fatal(err)
	}
	req.Images, req.Want = nil, 10
	resp, err := s.store.Sync(s.t.Context(), s.agent, req, nowMS())
	if err != nil || len(resp.Jobs) != len(planted) {
		s.t.Fatalf("%+v, %v", resp, err)
	}
	for _, j := range resp.Jobs {
		cfg, err := image.ParseConfig(configs[j.ConfigDigest])
		if err != nil {
			s.t.Fatal(err)
		}
		keys := report.JoinKeys([]string{"packages-" + analyzers, "secrets-" + analyzers, "malware-" + analyzers})
		img := &fleet.ImageReport{ConfigDigest: j.ConfigDigest, Analyzers: keys, DiffIDs: cfg.DiffIDs, Config: configs[j.ConfigDigest]}
		if err := s.store.Finish(s.t.Context(), s.agent, j.ID, fleet.FinishRequest{Image: img}, nowMS()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// secretsIn are those that the rules find in a file.
func secretsIn(t *testing.T, path, content string) []report.Secret {
	t.Helper()
	e, err := secret.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	found, err := e.ScanBytes(t.Context(), path, []byte(content))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v, %v", path, found, err)
	}
	return secret.Reported(found)
}

// Places of secrets in the image "leaky". The first stands in a file that a
// later layer deletes.
const (
	tokenFile = "/srv/app/ci.yml"
	passFile  = "/srv/app/db.ini"
	passEnv   = "env:DB_PASSWORD"
)

// scanLeaky scans an image with three secrets, one that shares a layer with it,
// and one without. It returns the id of the first.
func (s *server) scanLeaky() string {
	s.t.Helper()
	base := checkedLayer{n: 11, secrets: slices.Concat(
		secretsIn(s.t, tokenFile, "x: 1\ntoken: "+token+"\n"), secretsIn(s.t, passFile, "[db]\npassword = "+password+"\n"))}
	s.scanChecked(
		checkedImage{name: "leaky", layers: []checkedLayer{base, {n: 12, deletes: []string{tokenFile}}}, env: []string{"DB_PASSWORD=" + password}},
		checkedImage{name: "sister", layers: []checkedLayer{base}},
		checkedImage{name: "clean", layers: []checkedLayer{{n: 13}}})
	return s.imageID("leaky:1")
}

// paths of rows, with the state of those that are handled.
func sensitivePaths(t *testing.T, total *int32, rows *[]model.ImageSensitiveInfo) []string {
	t.Helper()
	out := []string{}
	for _, r := range *rows {
		p := *r.FilePath
		if *r.HandleStatus != "unhandled" {
			p += " " + *r.HandleStatus
		}
		if r.OperateAccept != nil {
			p += " " + *r.OperateAccept
		}
		if strings.Contains(*r.Content+*r.Description+*r.Name, password) || strings.Contains(*r.Content, token) {
			t.Errorf("%s: the answer holds the secret", p)
		}
		out = append(out, p)
	}
	if total == nil {
		t.Error("no total_num")
	}
	return out
}

func TestListImageSensitive(t *testing.T) {
	s := newServer(t)
	id := s.scanLeaky()
	c := s.client()
	all := []string{tokenFile, passFile, passEnv}
	for _, tc := range []struct {
		name string
		req  model.ListImageSensitiveRequest
		want []string
	}{
		{"local_image", model.ListImageSensitiveRequest{}, all},
		{"local", model.ListImageSensitiveRequest{ImageType: "local"}, all},
		{"another family", model.ListImageSensitiveRequest{ImageType: "private_image"}, []string{}},
		{"the image id alone is the key", model.ListImageSensitiveRequest{Namespace: new("n"), ImageName: new("other"), ImageVersion: new("9")}, all},
		{"path", model.ListImageSensitiveRequest{FilePath: new("app/d")}, []string{passFile}},
		{"another path", model.ListImageSensitiveRequest{FilePath: new("APP")}, []string{}},
		{"severity", model.ListImageSensitiveRequest{Severity: new("critical")}, []string{tokenFile}},
		{"another severity", model.ListImageSensitiveRequest{Severity: new("low")}, []string{}},
		{"open", model.ListImageSensitiveRequest{HandleStatus: new("unhandled")}, all},
		{"handled", model.ListImageSensitiveRequest{HandleStatus: new("handled")}, []string{}},
		{"page", model.ListImageSensitiveRequest{Offset: new(int32(2)), Limit: new(int32(10))}, []string{passEnv}},
		{"past the end", model.ListImageSensitiveRequest{Offset: new(int32(3))}, []string{}},
		{"a clean image", model.ListImageSensitiveRequest{ImageId: s.imageID("clean:1")}, []string{}},
		{"an image that was not scanned", model.ListImageSensitiveRequest{ImageId: s.imageID(none)}, []string{}},
		{"everything", model.ListImageSensitiveRequest{Region: new("r"), EnterpriseProjectId: new("0"), Limit: new(int32(200)), Offset: new(int32(0)), ImageId: id,
			FilePath: new("db"), Severity: new("medium"), HandleStatus: new("unhandled")}, []string{passFile}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req.ImageType == "" {
				tc.req.ImageType = "local_image"
			}
			if tc.req.ImageId == "" {
				tc.req.ImageId = id
			}
			resp, err := c.ListImageSensitive(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, sensitivePaths(t, resp.TotalNum, resp.DataList)); d != "" {
				t.Error(d)
			}
			if n := int(*resp.TotalNum); n != len(*resp.DataList)+int(given(tc.req.Offset)) {
				t.Errorf("total_num %d", n)
			}
		})
	}
	resp, err := c.ListImageSensitive(&model.ListImageSensitiveRequest{ImageType: "local", ImageId: id})
	if err != nil {
		t.Fatal(err)
	}
	got := (*resp.DataList)[0]
	if len(*got.SensitiveInfoId) != 16 || *got.LatestScanTime == 0 || !strings.Contains(*got.Content, "****") {
		t.Errorf("got %v", got)
	}
	got.SensitiveInfoId, got.LatestScanTime, got.Content, got.Name = nil, nil, nil, nil
	want := model.ImageSensitiveInfo{Severity: new("critical"), Position: new(string(digest(11))), FilePath: new(tokenFile), HandleStatus: new("unhandled"),
		Description: new("A token of a service in line 2. A later layer deletes the file: it is in the image all the same.")}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if env := (*resp.DataList)[2]; env.Position != nil || *env.Content != "DB_PASSWORD=********" {
		t.Errorf("got %v", env)
	}
	for name, tc := range map[string]struct {
		req  model.ListImageSensitiveRequest
		code string
	}{
		"no image_type":      {model.ListImageSensitiveRequest{ImageId: id}, "HSS.0001"},
		"unknown image_type": {model.ListImageSensitiveRequest{ImageId: id, ImageType: "x"}, "HSS.0001"},
		"unknown severity":   {model.ListImageSensitiveRequest{ImageId: id, ImageType: "local", Severity: new("High")}, "HSS.0001"},
		"unknown state":      {model.ListImageSensitiveRequest{ImageId: id, ImageType: "local", HandleStatus: new("x")}, "HSS.0001"},
		"unknown image":      {model.ListImageSensitiveRequest{ImageId: "nope", ImageType: "local"}, "HSS.0011"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ListImageSensitive(&tc.req)
			refused(t, err, 400, tc.code)
		})
	}
}

// The places of a layer that two images share are listed once.
func TestListImageSensitiveInfo(t *testing.T) {
	s := newServer(t)
	s.scanLeaky()
	c := s.client()
	all := []string{passEnv, tokenFile, passFile}
	for _, tc := range []struct {
		name string
		req  model.ListImageSensitiveInfoRequest
		want []string
	}{
		{"local", model.ListImageSensitiveInfoRequest{ImageType: new("local")}, all},
		{"local_image", model.ListImageSensitiveInfoRequest{ImageType: new("local_image"), Region: new("r"), EnterpriseProjectId: new("0"), Limit: new(int32(10))}, all},
		{"registry", model.ListImageSensitiveInfoRequest{ImageType: new("registry")}, []string{}},
		{"registry by default", model.ListImageSensitiveInfoRequest{}, []string{}},
		{"past the end", model.ListImageSensitiveInfoRequest{ImageType: new("local"), Offset: new(int32(3))}, []string{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := c.ListImageSensitiveInfo(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := sensitivePaths(t, resp.TotalNum, resp.DataList)
			slices.Sort(got) // two of the same severity have no order that is told
			slices.Sort(tc.want)
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	resp, err := c.ListImageSensitiveInfo(&model.ListImageSensitiveInfoRequest{ImageType: new("local")})
	if err != nil || *(*resp.DataList)[0].FilePath != tokenFile || *resp.TotalNum != 3 || *(*resp.DataList)[0].LatestScanTime == 0 {
		t.Errorf("the worst is not first: %v, %v", resp, err)
	}
	_, err = c.ListImageSensitiveInfo(&model.ListImageSensitiveInfoRequest{ImageType: new("x")})
	refused(t, err, 400, "HSS.0001")
}

func TestChangeSensitiveInfo(t *testing.T) {
	s := newServer(t)
	leaky := s.scanLeaky()
	c := s.client()
	list := func(image string) []string {
		t.Helper()
		resp, err := c.ListImageSensitive(&model.ListImageSensitiveRequest{ImageType: "local", ImageId: image})
		if err != nil {
			t.Fatal(err)
		}
		return sensitivePaths(t, resp.TotalNum, resp.DataList)
	}
	resp, err := c.ListImageSensitive(&model.ListImageSensitiveRequest{ImageType: "local", ImageId: leaky, FilePath: new(tokenFile)})
	if err != nil {
		t.Fatal(err)
	}
	id := *(*resp.DataList)[0].SensitiveInfoId
	change := func(operate *string) {
		t.Helper()
		req := &model.ChangeSensitiveInfoRequest{ImageType: "local_image", EnterpriseProjectId: new("0"), Body: &model.ChangeSensitiveInfoRequestInfo{SensitiveInfoId: id, OperateType: operate}}
		if _, err := c.ChangeSensitiveInfo(req); err != nil {
			t.Fatal(err)
		}
	}
	change(new("ignore"))
	want := []string{tokenFile + " handled ignore", passFile, passEnv}
	if d := cmp.Diff(want, list(leaky)); d != "" {
		t.Errorf("ignored: %s", d)
	}
	if d := cmp.Diff(want[:2], list(s.imageID("sister:1"))); d != "" {
		t.Errorf("an image with the same layer: %s", d)
	}
	hidden, err := c.ListImageSensitive(&model.ListImageSensitiveRequest{ImageType: "local", ImageId: leaky, HandleStatus: new("handled")})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want[:1], sensitivePaths(t, hidden.TotalNum, hidden.DataList)); d != "" || *hidden.TotalNum != 1 {
		t.Errorf("handled: %s", d)
	}
	change(nil) // do_not_ignore is the default
	if d := cmp.Diff([]string{tokenFile + " do_not_ignore", passFile, passEnv}, list(leaky)); d != "" {
		t.Errorf("not ignored: %s", d)
	}
	for name, tc := range map[string]struct {
		image string
		body  *model.ChangeSensitiveInfoRequestInfo
		code  string
	}{
		"no image_type":  {"", &model.ChangeSensitiveInfoRequestInfo{SensitiveInfoId: id}, "HSS.0001"},
		"no body":        {"local", nil, "HSS.0001"},
		"no id":          {"local", &model.ChangeSensitiveInfoRequestInfo{OperateType: new("ignore")}, "HSS.0001"},
		"unknown action": {"local", &model.ChangeSensitiveInfoRequestInfo{SensitiveInfoId: id, OperateType: new("x")}, "HSS.0001"},
		"unknown id":     {"local", &model.ChangeSensitiveInfoRequestInfo{SensitiveInfoId: "nope", OperateType: new("ignore")}, "HSS.0011"},
		"other family":   {"cicd", &model.ChangeSensitiveInfoRequestInfo{SensitiveInfoId: id, OperateType: new("ignore")}, "HSS.0011"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ChangeSensitiveInfo(&model.ChangeSensitiveInfoRequest{ImageType: tc.image, Body: tc.body})
			refused(t, err, 400, tc.code)
		})
	}
}

// The two pairs of operations are about the same list.
func TestFilePathWhiteLists(t *testing.T) {
	s := newServer(t)
	leaky := s.scanLeaky()
	c := s.client()
	if _, err := c.ChangeFilePathWhiteLists(&model.ChangeFilePathWhiteListsRequest{Region: new("r"), EnterpriseProjectId: new("0"),
		Body: &model.ChangeFilePathWhiteDetailRequestInfo{CustomizedPath: &[]string{"/srv/app/", "/opt/a", "/opt/a"}}}); err != nil {
		t.Fatal(err)
	}
	list := func() []string {
		t.Helper()
		resp, err := c.ListImageSensitive(&model.ListImageSensitiveRequest{ImageType: "local", ImageId: leaky})
		if err != nil {
			t.Fatal(err)
		}
		return sensitivePaths(t, resp.TotalNum, resp.DataList)
	}
	if d := cmp.Diff([]string{tokenFile + " handled", passFile + " handled", passEnv}, list()); d != "" {
		t.Errorf("a directory: %s", d)
	}
	show := func(part *string) (builtin, own []string) {
		t.Helper()
		a, err := c.ShowFilePathWhiteLists(&model.ShowFilePathWhiteListsRequest{FilePath: part, EnterpriseProjectId: new("0"), Region: new("r")})
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.ShowFilePathWhiteDetail(&model.ShowFilePathWhiteDetailRequest{FilePath: part})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]*[]string{a.DefaultPath, a.CustomizedPath}, []*[]string{b.DefaultPath, b.CustomizedPath}); d != "" {
			t.Errorf("the deprecated operation: %s", d)
		}
		return *a.DefaultPath, *a.CustomizedPath
	}
	builtin, own := show(nil)
	if d := cmp.Diff([]string{"/srv/app/", "/opt/a"}, own); d != "" {
		t.Error(d)
	}
	if !slices.Contains(builtin, "/proc") || !slices.Contains(builtin, "**/*.png") {
		t.Errorf("default_path %v", builtin)
	}
	builtin, own = show(new("pro"))
	if d := cmp.Diff([]string{"/proc"}, builtin); d != "" || len(own) != 0 {
		t.Errorf("a part: %s, %v", d, own)
	}
	if _, own = show(new("opt")); !slices.Equal(own, []string{"/opt/a"}) {
		t.Errorf("a part: %v", own)
	}
	if _, err := c.ChangeFilePathWhiteDetail(&model.ChangeFilePathWhiteDetailRequest{Body: &model.ChangeFilePathWhiteDetailRequestInfo{CustomizedPath: &[]string{"env:*"}}}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{tokenFile, passFile, passEnv + " handled"}, list()); d != "" {
		t.Errorf("a pattern: %s", d)
	}
	many := make([]string, 20_001)
	for i := range many {
		many[i] = fmt.Sprint("/", i)
	}
	for name, body := range map[string]*model.ChangeFilePathWhiteDetailRequestInfo{
		"no body":       nil,
		"no list":       {},
		"relative path": {CustomizedPath: &[]string{"/a", "srv"}},
		"empty path":    {CustomizedPath: &[]string{""}},
		"too many":      {CustomizedPath: &many},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ChangeFilePathWhiteLists(&model.ChangeFilePathWhiteListsRequest{Body: body})
			refused(t, err, 400, "HSS.0001")
			_, err = c.ChangeFilePathWhiteDetail(&model.ChangeFilePathWhiteDetailRequest{Body: body})
			refused(t, err, 400, "HSS.0001")
		})
	}
	if _, err := c.ChangeFilePathWhiteLists(&model.ChangeFilePathWhiteListsRequest{Body: &model.ChangeFilePathWhiteDetailRequestInfo{CustomizedPath: &[]string{}}}); err != nil {
		t.Fatal(err)
	}
	if _, own = show(nil); len(own) != 0 {
		t.Errorf("emptied: %v", own)
	}
	if d := cmp.Diff([]string{tokenFile, passFile, passEnv}, list()); d != "" {
		t.Errorf("emptied: %s", d)
	}
}
