package hss

import (
	"cmp"
	"context"

	"github.com/onceover/onceover/internal/check/baseline"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

func selector(id, name, version *string) store.ImageSelector {
	return store.ImageSelector{ID: value(id), Name: value(name), Version: value(version)}
}

// failedIs is the filter of results; nil for both.
func failedIs(result *string) *bool {
	if value(result) == "" {
		return nil
	}
	return new(*result == string(baseline.Failed))
}

func scanResult(failed bool) *string {
	if failed {
		return new(string(baseline.Failed))
	}
	return new(string(baseline.Pass))
}

func (a *api) listImageRiskConfigs(ctx context.Context, c call, in *ListImageRiskConfigsParams) (*ListImageRiskConfigsResponse, error) {
	var rows []store.Baseline
	var total int64
	if isLocal(in.ImageType) && !c.empty {
		var err error
		rows, total, err = a.store.Baselines(ctx, c.Tenants, store.BaselineFilter{
			Images:    selector(in.ImageId, in.ImageName, in.ImageVersion),
			CheckName: value(in.CheckName), Standard: value(in.Standard), Severity: value(in.Severity),
		}, c.Page)
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImageRiskConfigsInfoResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageRiskConfigsInfoResponseInfo{
			Severity: &r.Severity, CheckName: &r.CheckName, CheckType: &r.CheckName, CheckTypeDesc: &r.About, Standard: &r.Standard,
			CheckRuleNum: int32p(r.Rules), FailedRuleNum: int32p(r.Failed),
		}
	}
	return &ListImageRiskConfigsResponse{TotalNum: int32p(total), DataList: &list}, nil
}

type riskConfigRulesIn struct {
	ListImageRiskConfigRulesParams
	CheckName string `path:"check_name"`
}

func (a *api) listImageRiskConfigRules(ctx context.Context, c call, in *riskConfigRulesIn) (*ListImageRiskConfigRulesResponse, error) {
	var rows []store.BaselineRule
	var total int64
	if isLocal(in.ImageType) {
		var err error
		rows, total, err = a.store.BaselineRulesOf(ctx, c.Tenants, store.BaselineFilter{
			Images:    selector(in.ImageId, in.ImageName, in.ImageVersion),
			CheckName: in.CheckName, Standard: in.Standard, Severity: value(in.Severity),
			Name: value(in.CheckRuleName), Failed: failedIs(in.ResultType),
		}, c.Page)
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImageRiskConfigsCheckRulesResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageRiskConfigsCheckRulesResponseInfo{
			Severity: &r.Severity, CheckName: &r.CheckName, CheckType: &r.CheckName, Standard: &r.Standard,
			CheckRuleName: &r.Rule.Name, CheckRuleId: &r.Rule.ID, ScanResult: scanResult(r.Failed),
		}
	}
	return &ListImageRiskConfigRulesResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func (a *api) showImageCheckRuleDetail(ctx context.Context, c call, in *ShowImageCheckRuleDetailParams) (*ShowImageCheckRuleDetailResponse, error) {
	if !isLocal(in.ImageType) || in.CheckType != in.CheckName {
		return nil, fault.New(fault.NotFound, "there is no baseline %s of type %s for images of type %s", in.CheckName, in.CheckType, in.ImageType)
	}
	var rule *baseline.Rule
	var cases []baseline.Case
	err := tenant.Act(c.Call, func(t string) error {
		if cases != nil {
			return nil // of the first tenant that has the image
		}
		r, of, err := a.store.RuleDetail(ctx, t, store.RuleKey{Rule: in.CheckRuleId, CheckName: in.CheckName, Standard: in.Standard},
			selector(in.ImageId, in.ImageName, in.ImageVersion))
		if err == nil {
			rule, cases = r, of
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &ShowImageCheckRuleDetailResponse{
		Description: &rule.Description, Reference: &rule.Reference, Audit: &rule.Audit, Remediation: &rule.Remediation,
	}
	if cases == nil {
		return out, nil
	}
	list := make([]ImageCheckRuleCheckCaseResponseInfo, len(cases))
	for i, k := range cases {
		list[i] = ImageCheckRuleCheckCaseResponseInfo{CheckDescription: &k.Description, CurrentValue: &k.Found, SuggestValue: &k.Wanted}
	}
	out.CheckInfoList = &list
	return out, nil
}

func (a *api) showImageBaselineStatistic(ctx context.Context, c call, in *ShowImageBaselineStatisticParams) (*ShowImageBaselineStatisticResponse, error) {
	if !isLocal(in.ImageType) || c.empty {
		return &ShowImageBaselineStatisticResponse{ImageWeakPwd: new(int32), PwdPolicy: new(int32), SecurityCheck: new(int32)}, nil
	}
	var n store.Unsafe
	err := tenant.Act(c.Call, func(t string) error {
		of, err := a.store.Unsafe(ctx, t, selector(in.ImageId, in.ImageName, in.ImageVersion))
		n.Rules, n.WeakPasswords, n.Complexity = plus(n.Rules, of.Rules), plus(n.WeakPasswords, of.WeakPasswords), plus(n.Complexity, of.Complexity)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &ShowImageBaselineStatisticResponse{ImageWeakPwd: countp(n.WeakPasswords), PwdPolicy: countp(n.Complexity), SecurityCheck: countp(n.Rules)}, nil
}

// plus adds numbers of which either may not be known.
func plus(a, b *int64) *int64 {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	return new(*a + *b)
}

// countp is absent where it is not known.
func countp(n *int64) *int32 {
	if n == nil {
		return nil
	}
	return int32p(*n)
}

// listCheckRulesInfo is about registry and CI/CD images in HSS. Here it lists
// what concerns local images, the only ones there are.
func (a *api) listCheckRulesInfo(ctx context.Context, c call, in *ListCheckRulesInfoParams) (*ListCheckRulesInfoResponse, error) {
	var rows []store.BaselineRule
	var total int64
	if isLocal(in.ImageType) {
		var err error
		rows, total, err = a.store.BaselineRulesOf(ctx, c.Tenants, store.BaselineFilter{
			Images: selector(in.ImageId, in.ImageName, in.ImageVersion), Failed: failedIs(in.ScanResult),
		}, c.Page)
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImageCheckRuleResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageCheckRuleResponseInfo{
			Severity: &r.Severity, CheckName: &r.CheckName, CheckType: &r.CheckName, CheckTypeDesc: &r.About, Standard: &r.Standard,
			CheckRuleName: &r.Rule.Name, CheckRuleId: &r.Rule.ID, ScanResult: scanResult(r.Failed),
			LatestScanTime: &r.ScanTime, ImageNum: int32p(r.ImageNum),
		}
	}
	return &ListCheckRulesInfoResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func (a *api) listCheckRuleResources(ctx context.Context, c call, in *ListCheckRuleResourcesParams) (*ListCheckRuleResourcesResponse, error) {
	var rows []store.RuleImage
	var total int64
	if isLocal(in.ImageType) {
		var err error
		rows, total, err = tenant.Listed(c.Call, func(t string, p store.Page) ([]store.RuleImage, int64, error) {
			return a.store.RuleImages(ctx, t, store.RuleKey{Rule: in.CheckRuleId, CheckName: in.CheckName, Standard: in.Standard}, failedIs(in.ScanResult), p)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]CheckRuleImageResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = CheckRuleImageResponseInfo{
			ImageDigest: &r.ConfigDigest, ImageName: &r.Name, ImageVersion: &r.Version, ImageType: new("local_image"), ImageSize: int32p(r.Size),
		}
	}
	return &ListCheckRuleResourcesResponse{TotalNum: int32p(total), DataList: &list}, nil
}
