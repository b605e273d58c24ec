package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	sdkauth "github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	hss "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/internal/auth"
	ohss "github.com/onceover/onceover/internal/hss"
)

// TestEveryOperation calls all operations of the contract by their names in
// the SDK, with required members only and with every member set. Those that
// are not built answer 501; no other ever answers with a server error.
func TestEveryOperation(t *testing.T) {
	s := newServer(t)
	c := reflect.ValueOf(s.client())
	ops := ohss.Operations()
	if len(ops) != 88 {
		t.Fatalf("%d operations", len(ops))
	}
	built := 0
	for _, op := range ops {
		method := c.MethodByName(op.ID)
		if !method.IsValid() {
			t.Errorf("the SDK has no operation %s", op.ID)
			continue
		}
		if op.Built {
			built++
		}
		for _, full := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s full=%v", op.ID, full), func(t *testing.T) {
				req := reflect.New(method.Type().In(0).Elem())
				fill(req.Elem(), full)
				out := method.Call([]reflect.Value{req})
				err, _ := out[1].Interface().(error)
				// Without a family it is about registry images.
				registry := op.ID == "CreateManualImageScanTask" && !full
				switch {
				case !op.Built || registry:
					refused(t, err, 501, "Onceover.0501")
				case err != nil:
					e := reflect.ValueOf(err).Elem().FieldByName("StatusCode")
					if !e.IsValid() || e.Int() != 400 {
						t.Errorf("got %v", err)
					}
				}
			})
		}
	}
	if built != 68 {
		t.Errorf("%d operations are built", built)
	}
}

// fill sets the members that a request needs to be sent, or all of them.
func fill(v reflect.Value, full bool) {
	for i := range v.NumField() {
		f := v.Field(i)
		switch name := v.Type().Field(i).Name; {
		case !f.CanSet():
		case f.Kind() == reflect.String && name == "EnterpriseProjectId":
			f.SetString("0")
		case f.Kind() == reflect.String:
			f.SetString("x")
		case f.Kind() == reflect.Pointer && full && f.Type().Elem().Kind() == reflect.Struct:
			f.Set(reflect.New(f.Type().Elem()))
			fill(f.Elem(), full)
		case f.Kind() == reflect.Pointer && full && f.Type().Elem().Kind() != reflect.Slice:
			f.Set(reflect.New(f.Type().Elem()))
			if e := f.Elem(); e.Kind() == reflect.String && name == "EnterpriseProjectId" {
				e.SetString("all_granted_eps")
			} else if e.Kind() == reflect.String {
				e.SetString("x")
			}
		}
	}
}

func TestWhoIsRefused(t *testing.T) {
	s := newServer(t)
	list := func(c *hss.HssClient) error {
		_, err := c.ListImageLocal(&model.ListImageLocalRequest{})
		return err
	}
	refused(t, list(s.clientOf(s.first.Key.AK, "wrong", s.first.Project.ID)), 401, "APIGW.0301")
	refused(t, list(s.clientOf("NOSUCHKEY00000000000", "wrong", s.first.Project.ID)), 401, "APIGW.0301")
	refused(t, list(s.clientOf(s.first.Key.AK, s.first.Key.Secret, strings.Repeat("0", 32))), 403, "HSS.0013")
	refused(t, list(s.clientOf(s.agent.AK, s.agent.Secret, s.first.Project.ID)), 403, "HSS.0013")

	other, err := s.store.CreateProject(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	k, err := s.store.CreateAccessKey(t.Context(), other.ID)
	if err != nil {
		t.Fatal(err)
	}
	foreign := s.clientOf(k.AK, k.Secret, other.ID)
	resp, err := foreign.ListImageLocal(&model.ListImageLocalRequest{})
	if err != nil || *resp.TotalNum != 0 {
		t.Errorf("another project sees %v, %v", resp, err)
	}
	_, err = foreign.ListImageVulnerabilities(&model.ListImageVulnerabilitiesRequest{ImageId: s.imageID(web)})
	refused(t, err, 400, "HSS.0011")
	_, err = foreign.BatchScanLocalImage(&model.BatchScanLocalImageRequest{Body: &model.LocalImageBatchScanRequestBody{ImageInfoList: infos(model.LocalImageInfo{ImageId: new(s.imageID(web))})}})
	refused(t, err, 400, "HSS.0011")
	_, err = foreign.ListVulnerabilityCve(&model.ListVulnerabilityCveRequest{VulId: openssl})
	refused(t, err, 400, "HSS.0011")

	_, err = s.client().ListImageLocal(&model.ListImageLocalRequest{EnterpriseProjectId: new("f3b0c442")})
	refused(t, err, 403, "HSS.0013")
	if err := s.store.SetKeyDisabled(t.Context(), s.first.Key.AK, true); err != nil {
		t.Fatal(err)
	}
	refused(t, list(s.client()), 401, "APIGW.0301")
}

// TestClientFindsItsProject builds the client with a region and without a
// project, so that it asks the server for its projects; outside of Huawei's
// own domain such a client may sign with derived keys as well.
func TestClientFindsItsProject(t *testing.T) {
	s := newServer(t)
	for name, derived := range map[string]bool{"plain": false, "derived": true} {
		t.Run(name, func(t *testing.T) {
			b := basic.NewCredentialsBuilder().WithAk(s.first.Key.AK).WithSk(s.first.Key.Secret).WithIamEndpointOverride(s.url)
			if derived {
				b = b.WithDerivedPredicate(sdkauth.GetDefaultDerivedPredicate())
			}
			cred, err := b.SafeBuild()
			if err != nil {
				t.Fatal(err)
			}
			hc, err := hss.HssClientBuilder().WithDerivedAuthServiceName("hss").WithRegion(region.NewRegion("cn-north-4", s.url)).WithCredential(cred).WithHttpConfig(config.DefaultHttpConfig()).SafeBuild()
			if err != nil {
				t.Fatal(err)
			}
			resp, err := hss.NewHssClient(hc).ListImageLocal(&model.ListImageLocalRequest{})
			if err != nil || *resp.TotalNum != 4 {
				t.Errorf("got %v, %v", resp, err)
			}
		})
	}
}

// send makes a signed request by hand, for what the SDK cannot be made to
// send.
func (s *server) send(method, path string, body io.Reader) (int, []byte, http.Header) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if err := auth.Sign(req, s.first.Key.AK, s.first.Key.Secret, time.Now()); err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, b, resp.Header
}

func TestRawRequests(t *testing.T) {
	s := newServer(t)
	base := "/v5/" + s.first.Project.ID
	scan := base + "/image/local/batch-scan"
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		code                     string
	}{
		{"not JSON", "POST", scan, `{"operate_all":`, 400, "HSS.0002"},
		{"text after JSON", "POST", scan, `{} x`, 400, "HSS.0002"},
		{"wrong type", "POST", scan, `{"operate_all":"yes"}`, 400, "HSS.0001"},
		{"an array", "POST", scan, `[]`, 400, "HSS.0001"},
		{"a wrong list", "POST", scan, `{"image_info_list":{}}`, 400, "HSS.0001"},
		{"null", "POST", scan, `null`, 400, "HSS.0001"},
		{"blanks", "POST", scan, "\n", 400, "HSS.0001"},
		{"a newer member", "POST", scan, `{"operate_all":true,"new":[1]}`, 200, ""},
		{"large", "POST", scan, `{"image_name":"` + strings.Repeat("x", 50<<20) + `"}`, 413, "APIGW.0201"},
		{"limit is text", "GET", base + "/image/local-repositories?limit=ten", "", 400, "HSS.0001"},
		{"offset is a fraction", "GET", base + "/image/local-repositories?offset=1.5", "", 400, "HSS.0001"},
		{"size is text", "GET", base + "/image/local-repositories?image_size=big", "", 400, "HSS.0001"},
		{"size is negative", "GET", base + "/image/local-repositories?image_size=-1", "", 400, "HSS.0001"},
		{"bool is text", "GET", base + "/image/local-repositories?has_vul=maybe", "", 400, "HSS.0001"},
		{"given twice", "GET", base + "/image/local-repositories?image_name=a&image_name=b", "", 400, "HSS.0001"},
		{"huge limit", "GET", base + "/image/local-repositories?limit=99999999999999999999", "", 200, ""},
		{"empty values", "GET", base + "/image/local-repositories?image_name&limit=&has_vul", "", 200, ""},
		{"unknown parameter", "GET", base + "/image/local-repositories?color=red", "", 200, ""},
		{"no such path", "GET", base + "/image/nothing/at/all", "", 404, "APIGW.0101"},
		{"no such method", "DELETE", base + "/image/local-repositories", "", 405, "APIGW.0101"},
		{"no project", "GET", "/v5/%7Bproject_id%7D/image/local-repositories", "", 400, "HSS.0001"},
		{"literal before parameter", "GET", base + "/image/vulnerabilities?offset=0&limit=10", "", 200, ""},
		{"parameter beside literals", "GET", base + "/image/local/vulnerabilities", "", 400, "HSS.0011"},
		{"escaped parameter", "GET", base + "/image/a%2Fb/vulnerabilities", "", 400, "APIGW.0201"},
		{"unusually written parameter", "GET", base + "/image/a%21b/vulnerabilities", "", 400, "HSS.0011"},
		{"check name with a blank", "GET", base + "/image/baseline/risk-configs/CentOS%207/rules?image_type=local_image&standard=cn_standard", "", 400, "HSS.0011"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, body, header := s.send(tc.method, tc.path, bytes.NewReader([]byte(tc.body)))
			if status != tc.status {
				t.Fatalf("status %d, want %d: %.300s", status, tc.status, body)
			}
			if len(header.Get("X-Request-Id")) != 32 {
				t.Errorf("X-Request-Id %q", header.Get("X-Request-Id"))
			}
			if tc.code == "" {
				return
			}
			var got struct {
				Code    string `json:"error_code"`
				Message string `json:"error_msg"`
				ID      string `json:"request_id"`
			}
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			if got.Code != tc.code || got.Message == "" || got.ID != header.Get("X-Request-Id") {
				t.Errorf("got %+v, want %s", got, tc.code)
			}
		})
	}
	s.work()
	if status, body, _ := s.send("POST", scan, strings.NewReader(`{"operate_all":true}`)); status != 200 || len(body) != 0 {
		t.Errorf("success has status %d and a body of %d bytes", status, len(body))
	}
	if status, body, _ := s.send("GET", base+"/image/local-repositories?image_name=nothing", nil); status != 200 || string(body) != `{"data_list":[],"total_num":0}` {
		t.Errorf("empty list: %d %s", status, body)
	}
}

// TestEmptyPathParameter leaves a path parameter out. The SDK takes a redirect
// to a cleaner path for a success.
func TestEmptyPathParameter(t *testing.T) {
	s := newServer(t)
	c := s.client()
	_, err := c.StopImageScanTask(&model.StopImageScanTaskRequest{})
	refused(t, err, 400, "HSS.0011")
	_, err = c.ListImageVulnerabilities(&model.ListImageVulnerabilitiesRequest{})
	refused(t, err, 400, "HSS.0011")
	_, err = c.ListVulnerabilityCve(&model.ListVulnerabilityCveRequest{})
	refused(t, err, 400, "HSS.0011")
}
