package hss

import (
	"context"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

// policyManual asks for the settings of manual scans.
const policyManual = "manual"

func (a *api) listImageScanPolicy(ctx context.Context, c call, in *ListImageScanPolicyParams) (*ListImageScanPolicyResponse, error) {
	out := &ListImageScanPolicyResponse{TotalRegistryNum: new(int32(0)), RegistryList: &[]ImageScanPolicyRespInfoRegistryList{}}
	// One answer: of several tenants that of the first.
	if in.Type == policyManual {
		scope, rate, all, err := a.store.LastManual(ctx, c.Tenants[0])
		if err != nil {
			return nil, err
		}
		out.IsAll, out.ScanScope, out.RateLimit = &all, int32p(scope), int32p(rate)
		return out, nil
	}
	p, err := a.store.ScanPolicy(ctx, c.Tenants[0])
	if err != nil {
		return nil, err
	}
	out.IsAll, out.Enabled, out.ScanCycle = new(true), &p.Enabled, int32p(p.Cycle)
	out.ScanScope, out.RateLimit, out.TimeScope = int32p(p.Scope), int32p(p.RateLimit), int32p(p.TimeScope)
	return out, nil
}

type modifyPolicyIn struct {
	ModifyImageScanPolicyParams
	Body policyBody `body:"json"`
}

// policyBody is CycleImageScanPolicyReqInfo so that one can see what was given:
// every member is required.
type policyBody struct {
	Enabled      *bool                                      `json:"enabled"`
	ScanCycle    *int32                                     `json:"scan_cycle"`
	ScanScope    *int32                                     `json:"scan_scope"`
	RateLimit    *int32                                     `json:"rate_limit"`
	TimeScope    *int32                                     `json:"time_scope"`
	RegistryInfo *[]CycleImageScanPolicyReqInfoRegistryInfo `json:"registry_info"`
}

func (a *api) modifyImageScanPolicy(ctx context.Context, c call, in *modifyPolicyIn) (*none, error) {
	b := &in.Body
	for _, m := range []struct {
		name  string
		given bool
	}{
		{"enabled", b.Enabled != nil}, {"scan_cycle", b.ScanCycle != nil}, {"scan_scope", b.ScanScope != nil},
		{"rate_limit", b.RateLimit != nil}, {"time_scope", b.TimeScope != nil}, {"registry_info", b.RegistryInfo != nil},
	} {
		if !m.given {
			return nil, fault.New(fault.Invalid, "%s is required", m.name)
		}
	}
	p := store.ScanPolicy{
		Enabled: *b.Enabled, Cycle: int64(*b.ScanCycle), Scope: int64(*b.ScanScope),
		RateLimit: int64(*b.RateLimit), TimeScope: int64(*b.TimeScope), ChangedBy: c.Key.By(),
	}
	return nil, tenant.Act(c.Call, func(tenant string) error { return a.store.SetScanPolicy(ctx, tenant, p) })
}
