package contract

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/internal/fleet"
)

func TestListImageWeakPwdUsers(t *testing.T) {
	s, ids := settled(t)
	c := s.client()
	all := []string{"root system true", "guest system false", "default redis true"}
	for _, tc := range []struct {
		name string
		req  model.ListImageWeakPwdUsersRequest
		want []string // user, service, whether a password is shown; in any order
	}{
		{"all", model.ListImageWeakPwdUsersRequest{ImageType: "local"}, all},
		{"image", model.ListImageWeakPwdUsersRequest{ImageId: new(ids["soft"])}, all},
		{"hard", model.ListImageWeakPwdUsersRequest{ImageId: new(ids["hard"])}, nil},
		{"not looked at", model.ListImageWeakPwdUsersRequest{ImageId: new(ids["blind"])}, nil},
		{"name", model.ListImageWeakPwdUsersRequest{ImageName: new("of"), TagName: new("1")}, all},
		{"another tag", model.ListImageWeakPwdUsersRequest{ImageName: new("of"), TagName: new("2")}, nil},
		{"user", model.ListImageWeakPwdUsersRequest{UserName: new("gue")}, []string{"guest system false"}},
		{"registry", model.ListImageWeakPwdUsersRequest{ImageType: "cicd"}, nil},
		{"past the end", model.ListImageWeakPwdUsersRequest{Offset: new(int32(3))}, nil},
		{"everything", model.ListImageWeakPwdUsersRequest{Region: new("r"), EnterpriseProjectId: new("0"), Limit: new(int32(10)), Offset: new(int32(0)), Namespace: new("n"), InstanceId: new("i"),
			ImageName: new("soft"), TagName: new("1"), ImageId: new(ids["soft"]), UserName: new("root")}, []string{"root system true"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.req.ImageType == "" {
				tc.req.ImageType = "local_image"
			}
			resp, err := c.ListImageWeakPwdUsers(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, r := range *resp.DataList {
				got[fmt.Sprint(*r.UserName, " ", *r.ServiceType, " ", r.DesensitizedWeakPasswords != nil)] = true
				if *r.ImageId != ids["soft"] || *r.ImageName != "soft" || *r.ImageVersion != "1" || *r.ImageType != "local_image" || *r.LatestScanTime == 0 || *r.Suggestion == "" {
					t.Errorf("row %v", r)
				}
				if *r.ServiceType == "system" && *r.Duration < 100 {
					t.Errorf("%s: duration %d", *r.UserName, *r.Duration)
				}
				if p := r.DesensitizedWeakPasswords; p != nil && !strings.Contains(*p, "*") {
					t.Errorf("%s: the password is not masked", *r.UserName)
				}
			}
			want := map[string]bool{}
			for _, w := range tc.want {
				want[w] = true
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if n := int(*resp.TotalNum); n != len(got)+int(given(tc.req.Offset)) {
				t.Errorf("total_num %d", n)
			}
		})
	}
	_, err := c.ListImageWeakPwdUsers(&model.ListImageWeakPwdUsersRequest{})
	refused(t, err, 400, "HSS.0001")
	_, err = c.ListImageWeakPwdUsers(&model.ListImageWeakPwdUsersRequest{ImageType: "local", ImageId: new("nope")})
	refused(t, err, 400, "HSS.0011")
}

func TestListImagePwdComplexity(t *testing.T) {
	s, ids := settled(t)
	c := s.client()
	for _, tc := range []struct {
		name string
		req  model.ListImagePwdComplexityRequest
		want []string
	}{
		{"all", model.ListImagePwdComplexityRequest{}, []string{"hard", "soft"}},
		{"local", model.ListImagePwdComplexityRequest{ImageType: new("local")}, []string{"hard", "soft"}},
		{"name", model.ListImagePwdComplexityRequest{ImageName: new("har"), ImageVersion: new("1")}, []string{"hard"}},
		{"version alone", model.ListImagePwdComplexityRequest{ImageVersion: new("2")}, []string{"hard", "soft"}},
		{"registry", model.ListImagePwdComplexityRequest{ImageType: new("harbor")}, []string{}},
		{"everything", model.ListImagePwdComplexityRequest{Region: new("r"), EnterpriseProjectId: new("0"), Limit: new(int32(10)), Offset: new(int32(1)), Namespace: new("n"), InstanceId: new("i"),
			ImageType: new("local_image")}, []string{"soft"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := c.ListImagePwdComplexity(&tc.req)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, r := range *resp.DataList {
				got = append(got, *r.ImageName)
				if *r.ImageId != ids[*r.ImageName] || *r.ImageVersion != "1" || *r.ImageType != "local_image" || *r.LatestScanTime == 0 {
					t.Errorf("row %v", r)
				}
				good := *r.ImageName == "hard"
				if *r.MinLength != good || *r.UppercaseLetter != good || *r.LowercaseLetter != good || *r.Number != good || *r.SpecialCharacter != good || (r.Suggestion == nil) != good {
					t.Errorf("row %v", r)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	_, err := c.ListImagePwdComplexity(&model.ListImagePwdComplexityRequest{ImageType: new("x")})
	refused(t, err, 400, "HSS.0001")
}

func TestExtendedWeakPassword(t *testing.T) {
	s := newServer(t)
	c := s.client()
	show := func() []string {
		t.Helper()
		resp, err := c.ShowExtendedWeakPassword(&model.ShowExtendedWeakPasswordRequest{Region: new("r"), EnterpriseProjectId: new("0")})
		if err != nil {
			t.Fatal(err)
		}
		return *resp.ExtendedWeakPassword
	}
	change := func(words *[]string) error {
		_, err := c.ChangeExtendedWeakPassword(&model.ChangeExtendedWeakPasswordRequest{Region: new("r"), Body: &model.ChangeExtendedWeakPasswordRequestInfo{ExtendedWeakPassword: words}})
		return err
	}
	// has is what the agent is told, given what it has.
	told := func(has string) fleet.SyncResponse {
		t.Helper()
		list := images()
		resp, err := s.store.Sync(t.Context(), s.agent, fleet.SyncRequest{Host: fleet.Host{ID: "host-id-1", Name: "node-1"}, Analyzers: analyzers, ImagesHash: "h", Images: &list, WordsVersion: has}, nowMS())
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	if d := cmp.Diff([]string{}, show()); d != "" {
		t.Error(d)
	}
	if r := told(fleet.NoWords); r.Words != nil {
		t.Errorf("told %v", r)
	}
	words := []string{"acme-" + "2026", "日本語", "two words"}
	if err := change(&words); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(words, show()); d != "" {
		t.Error(d)
	}
	r := told(fleet.NoWords)
	if r.Words == nil || cmp.Diff(words, *r.Words) != "" || r.WordsVersion == "" {
		t.Errorf("told %v", r)
	}
	if r := told(r.WordsVersion); r.Words != nil {
		t.Errorf("told again: %v", r)
	}
	if r := told(""); r.Words != nil {
		t.Errorf("an agent that takes none was told %v", r)
	}

	most := make([]string, 300)
	for i := range most {
		most[i] = fmt.Sprint("word-", i)
	}
	if err := change(&most); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]*[]string{
		"too many": new(append(most, "one")),
		"empty":    {"x", ""},
		"long":     {strings.Repeat("w", 129)},
		"lines":    {"a\nb"},
		"nothing":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			err := change(bad)
			refused(t, err, 400, "HSS.0001")
			if strings.Contains(err.Error(), "www") {
				t.Errorf("the error repeats the word: %v", err)
			}
		})
	}
	if d := cmp.Diff(most, show()); d != "" {
		t.Error(d)
	}
	if err := change(&[]string{}); err != nil {
		t.Error(err)
	}
	if r := told("0123456789abcdef"); r.Words == nil || len(*r.Words) != 0 || r.WordsVersion != fleet.NoWords {
		t.Errorf("told %v", r)
	}
}
