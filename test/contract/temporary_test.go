package contract

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	hss "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/internal/auth"
)

// TestTemporaryKey uses the pair that IAM's call hands out with the unmodified
// SDK: with its token it works, without it does not, and it ends with its key.
func TestTemporaryKey(t *testing.T) {
	s := newServer(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+auth.PathSecurityTokens,
		strings.NewReader(`{"auth":{"identity":{"methods":["token"],"token":{"duration_seconds":3600}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.Sign(req, s.first.Key.AK, s.first.Key.Secret, time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct {
		Credential struct{ Access, Secret, SecurityToken string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	list := func(token string) error {
		b := basic.NewCredentialsBuilder().WithAk(got.Credential.Access).WithSk(got.Credential.Secret).WithProjectId(s.first.Project.ID)
		if token != "" {
			b = b.WithSecurityToken(token)
		}
		cred, err := b.SafeBuild()
		if err != nil {
			t.Fatal(err)
		}
		hc, err := hss.HssClientBuilder().WithEndpoints([]string{s.url}).WithCredential(cred).WithHttpConfig(config.DefaultHttpConfig()).SafeBuild()
		if err != nil {
			t.Fatal(err)
		}
		_, err = hss.NewHssClient(hc).ListImageLocal(&model.ListImageLocalRequest{})
		return err
	}
	if err := list(got.Credential.SecurityToken); err != nil {
		t.Errorf("with its token: %v", err)
	}
	refused(t, list(""), 401, "APIGW.0301")
	refused(t, list("another"), 401, "APIGW.0301")
	if err := s.store.SetKeyDisabled(t.Context(), s.first.Key.AK, true); err != nil {
		t.Fatal(err)
	}
	refused(t, list(got.Credential.SecurityToken), 401, "APIGW.0301")
}
