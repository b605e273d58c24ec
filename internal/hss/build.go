package hss

import (
	"context"

	"github.com/onceover/onceover/internal/check/buildcmd"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

// listImageBuildCommandRisks is about registry and CI/CD images in HSS. Here it
// lists what concerns local images, the only ones there are.
func (a *api) listImageBuildCommandRisks(ctx context.Context, c call, in *ListImageBuildCommandRisksParams) (*ListImageBuildCommandRisksResponse, error) {
	var rows []store.BuildRisk
	var total int64
	if isLocal(in.ImageType) {
		var err error
		rows, total, err = a.store.BuildRisks(ctx, c.Tenants, store.BuildRiskFilter{
			ImageID: value(in.ImageId), Name: value(in.RiskName), Level: value(in.RiskLevel),
		}, c.Page)
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImageBuildCommandRiskResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageBuildCommandRiskResponseInfo{
			RiskId: &r.Rule.ID, RuleId: &r.Rule.ID, RiskName: &r.Rule.Title, RiskLevel: &r.Rule.Severity, Description: &r.Rule.Description,
			ImageNum: int32p(r.ImageNum), LatestScanTime: &r.ScanTime, ImageType: new("local"),
		}
	}
	return &ListImageBuildCommandRisksResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func (a *api) listImageBuildCommandRisksImages(ctx context.Context, c call, in *ListImageBuildCommandRisksImagesParams) (*ListImageBuildCommandRisksImagesResponse, error) {
	var rows []store.BuildRiskImage
	var total int64
	if isLocal(in.ImageType) {
		var err error
		rows, total, err = tenant.Listed(c.Call, func(t string, p store.Page) ([]store.BuildRiskImage, int64, error) {
			return a.store.BuildRiskImages(ctx, t, in.RuleId, value(in.ImageId), p)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]BuildCommandRisksImageResponseInfo, len(rows))
	for i, r := range rows {
		details := make([]BuildCommandRiskDetailResponseInfo, len(r.Instructions))
		for j, instruction := range r.Instructions {
			details[j] = BuildCommandRiskDetailResponseInfo{Remediation: remediation(in.RuleId), BuildInstruction: &instruction}
		}
		list[i] = BuildCommandRisksImageResponseInfo{
			ImageId: &r.ImageID, ImageName: &r.Name, ImageVersion: &r.Version, ImageDigest: &r.ConfigDigest, ImageType: new("local_image"),
			ImageSize: &r.Size, LatestScanTime: &r.ScanTime,
			RiskDetailInfo: &BuildCommandRiskDetailListResponseInfo{RiskNum: int32p(r.Num), RiskList: &details},
		}
	}
	return &ListImageBuildCommandRisksImagesResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func remediation(rule string) *string {
	if r := buildcmd.RuleByID(rule); r != nil {
		return &r.Remediation
	}
	return nil
}
