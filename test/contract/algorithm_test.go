package contract

import (
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/signer/algorithm"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	hss "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"
)

// TestSigningAlgorithms switches the unmodified SDK to each algorithm it has:
// reads, and writes with a body, must pass with the right secret alone.
func TestSigningAlgorithms(t *testing.T) {
	s := newServer(t)
	for _, name := range []algorithm.SigningAlgorithm{algorithm.HmacSHA256, algorithm.HmacSM3, algorithm.EcdsaP256SHA256, algorithm.SM2SM3} {
		t.Run(string(name), func(t *testing.T) {
			client := func(sk string) *hss.HssClient {
				cred, err := basic.NewCredentialsBuilder().WithAk(s.first.Key.AK).WithSk(sk).WithProjectId(s.first.Project.ID).SafeBuild()
				if err != nil {
					t.Fatal(err)
				}
				hc, err := hss.HssClientBuilder().WithEndpoints([]string{s.url}).WithCredential(cred).
					WithHttpConfig(config.DefaultHttpConfig().WithSigningAlgorithm(name)).SafeBuild()
				if err != nil {
					t.Fatal(err)
				}
				return hss.NewHssClient(hc)
			}
			region, pageName := "cn-north-4", "a b/c+%äöü~"
			// Signatures of curves are random, and differ in length.
			for range 20 {
				resp, err := client(s.first.Key.Secret).ListImageLocal(&model.ListImageLocalRequest{ImageName: &pageName})
				if err != nil || resp.TotalNum == nil {
					t.Fatalf("list: %+v, %v", resp, err)
				}
			}
			words := []string{"passwört", string(name)}
			if _, err := client(s.first.Key.Secret).ChangeExtendedWeakPassword(&model.ChangeExtendedWeakPasswordRequest{
				Region: &region, Body: &model.ChangeExtendedWeakPasswordRequestInfo{ExtendedWeakPassword: &words}}); err != nil {
				t.Fatalf("write: %v", err)
			}
			_, err := client("wrong" + s.first.Key.Secret).ListImageLocal(&model.ListImageLocalRequest{})
			refused(t, err, 401, "APIGW.0301")
		})
	}
}
