package hss

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

// Handling states.
const (
	handled       = "handled"
	statusIgnored = "vul_status_ignored"
	statusOpen    = "vul_status_unfix"
)

type imageVulsIn struct {
	ListImageVulnerabilitiesParams
	ImageID string `path:"image_id"`
}

func (a *api) listImageVulnerabilities(ctx context.Context, c call, in *imageVulsIn) (*ListImageVulnerabilitiesResponse, error) {
	f := store.VulFilter{ID: value(in.VulId), App: value(in.AppName), Type: value(in.Type), Severities: urgency(value(in.RepairNecessity))}
	f.Handled, _ = whichHandled(value(in.HandleStatus), "")
	rows, total, err := tenant.RowsOf(c.Call, func(t string) ([]store.Finding, int64, error) {
		return a.store.Findings(ctx, t, in.ImageID, f, c.Page)
	})
	if err != nil {
		return nil, err
	}
	list := make([]ImageVulInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageVulInfo{
			VulId: &r.VulID, RepairNecessity: new(necessity(r.Severity)), Description: &r.Summary, Position: &r.Layer,
			AppName: &r.App, Version: &r.Version, Solution: new(solution(r)), Url: &r.URL,
		}
		if r.Type == store.VulApp {
			list[i].AppPath = given(r.Path)
		}
	}
	return &ListImageVulnerabilitiesResponse{TotalNum: int32p(total), DataList: &list}, nil
}

// solution says in one sentence what to do about a finding.
func solution(f store.Finding) string {
	switch f.FixState {
	case report.FixAvailable:
		return "Upgrade " + f.App + " to " + f.FixedVersion + " or later."
	case report.FixNone:
		return "No fixed version is available yet."
	case report.FixWont:
		return "The vendor will not fix this in the installed release."
	case report.FixDeferred:
		return "The vendor has put the fix off."
	default:
		return "Whether a fixed version exists is not known."
	}
}

type vulCVEIn struct {
	ListVulnerabilityCveParams
	VulID string `path:"vul_id"`
}

func (a *api) listVulnerabilityCve(ctx context.Context, c call, in *vulCVEIn) (*ListVulnerabilityCveResponse, error) {
	rows, total, err := tenant.RowsOf(c.Call, func(t string) ([]store.VulCVE, int64, error) { return a.store.CVEs(ctx, t, in.VulID, c.Page) })
	if err != nil {
		return nil, err
	}
	list := make([]ImageVulCveInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageVulCveInfo{CveId: &r.ID, CvssScore: new(float32(r.Score)), PublishTime: &r.Published, Description: &r.Description}
	}
	return &ListVulnerabilityCveResponse{TotalNum: int32p(total), DataList: &list}, nil
}

// vulnerabilities are those of all tenants of a call, each once.
func (a *api) vulnerabilities(ctx context.Context, c call, f store.VulFilter) ([]store.Vulnerability, int64, error) {
	return tenant.Merged(c.Call, func(t string, p store.Page) ([]store.Vulnerability, int64, error) {
		return a.store.Vulnerabilities(ctx, t, f, p)
	}, func(a, b *store.Vulnerability) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), strings.Compare(a.ID, b.ID))
	}, func(v *store.Vulnerability) string { return v.ID }, func(into, v *store.Vulnerability) {
		into.Severity, into.Fixable = max(into.Severity, v.Severity), into.Fixable || v.Fixable
		into.ImageNum, into.OpenNum, into.ScanTime = into.ImageNum+v.ImageNum, into.OpenNum+v.OpenNum, max(into.ScanTime, v.ScanTime)
	})
}

// listGlobalVulnerabilities is about registry images in HSS. Here it lists what
// concerns local images, the only ones there are.
func (a *api) listGlobalVulnerabilities(ctx context.Context, c call, in *ListGlobalVulnerabilitiesParams) (*ListGlobalVulnerabilitiesResponse, error) {
	rows, total, err := a.vulnerabilities(ctx, c, store.VulFilter{
		ID: value(in.VulId), Type: value(in.Type), Severities: urgency(value(in.RepairNecessity)),
	})
	if err != nil {
		return nil, err
	}
	list := make([]GlobalVulInfo, len(rows))
	for i, r := range rows {
		cves := make([]CveInfo, len(r.CVEs))
		for j, e := range r.CVEs {
			cves[j] = CveInfo{CveId: &e.ID, CvssScore: new(float32(e.Score)), PublishTime: &e.Published, Description: &e.Description}
		}
		list[i] = GlobalVulInfo{
			VulName: &r.ID, VulId: &r.ID, RepairNecessity: new(necessity(r.Severity)), Decription: &r.Summary,
			Solution: new(advice(r)), Url: &r.URL, HistoryNumber: int32p(r.ImageNum), UndealNumber: int32p(r.OpenNum), DataList: &cves,
		}
	}
	return &ListGlobalVulnerabilitiesResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func (a *api) listGeneralImageVuls(ctx context.Context, c call, in *ListGeneralImageVulsParams) (*ListGeneralImageVulsResponse, error) {
	var rows []store.Vulnerability
	var total int64
	// Local images have no clusters and no labels.
	handled, ok := whichHandled(in.HandleStatus, value(in.Status))
	none := !isLocal(in.ImageType) || !ok || value(in.ClusterId) != "" || len(value(in.LabelList)) > 0
	// The name of a vulnerability is its id: both filters must hold.
	filter := store.VulFilter{ID: value(in.VulId), Name: value(in.VulName), CVE: value(in.CveId), Type: in.Type, Severities: ranks(value(in.SeverityLevel)), Handled: handled}
	if !none {
		var err error
		if rows, total, err = a.vulnerabilities(ctx, c, filter); err != nil {
			return nil, err
		}
	}
	list := make([]GeneralImageVulsResponseInfo, len(rows))
	for i, r := range rows {
		cves := make([]GeneralImageVulsResponseInfoCveList, len(r.CVEs))
		best := r.Score
		for j, e := range r.CVEs {
			best = max(best, e.Score)
			cves[j] = GeneralImageVulsResponseInfoCveList{CveId: &e.ID, Cvss: new(float32(e.Score))}
		}
		list[i] = GeneralImageVulsResponseInfo{
			VulName: &r.ID, VulId: &r.ID, Type: &in.Type, ImageType: new("local"), LabelList: &[]string{},
			SeverityLevel: new(severity(r.Severity)), ImageNum: int32p(r.ImageNum), CveList: &cves, MaxCvssScore: new(float32(best)),
			ScanTime: &r.ScanTime, Description: &r.Summary, Url: &r.URL, SolutionDetail: new(advice(r)), ClusterNum: new(int32),
		}
	}
	return &ListGeneralImageVulsResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func (a *api) listVulAffectImages(ctx context.Context, c call, in *ListVulAffectImagesParams) (*ListVulAffectImagesResponse, error) {
	var rows []store.Affected
	var total int64
	none := !isLocal(in.ImageType) || value(in.Status) != "" && value(in.Status) != vulStatus(in.IsHandled) ||
		value(in.ClusterId) != "" || value(in.RegistryName) != "" || value(in.RegistryType) != ""
	if !none {
		var err error
		f := store.AffectedFilter{Type: in.Type, Severities: ranks(value(in.RepairNecessity)), ImageID: value(in.ImageId), Name: value(in.ImageName), Handled: &in.IsHandled}
		rows, total, err = tenant.Listed(c.Call, func(t string, p store.Page) ([]store.Affected, int64, error) {
			return a.store.Affected(ctx, t, in.VulId, f, p)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]VulAffectImagesResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = VulAffectImagesResponseInfo{
			ImageId: &r.ImageID, ImageName: &r.Name, VulId: &in.VulId, RepairNecessity: new(severity(r.Severity)),
			ContainerNum: int32p(r.ContainerNum), ImageDigest: &r.ConfigDigest, ImageVersion: &r.Version, AgentId: &r.AgentID,
			Status: new(vulStatus(in.IsHandled)), ImageType: new("local_image"),
			// This operation writes numbers and booleans as text.
			FirstScanTime: text(r.FirstSeen), LatestScanTime: text(r.ScanTime), ImageSize: text(r.Size), IsMultiArch: new("false"),
		}
	}
	return &ListVulAffectImagesResponse{TotalNum: int32p(total), DataList: &list}, nil
}

// advice says in one sentence what to do about a vulnerability.
func advice(v store.Vulnerability) string {
	if v.Fixable {
		return "Upgrade the affected packages to a fixed version."
	}
	return "No fixed version is known for the affected packages."
}

// Urgencies of repair.
const (
	repairNow   = "immediate_repair"
	repairLater = "delay_repair"
	repairNot   = "not_needed_repair"
)

// necessity is the urgency of a severity: now for critical and high, later for
// medium, not needed for the rest.
func necessity(rank int64) string {
	switch severity(rank) {
	case report.SeverityCritical, report.SeverityHigh:
		return repairNow
	case report.SeverityMedium:
		return repairLater
	default:
		return repairNot
	}
}

// urgency is the ranks of a necessity; nil for the empty one.
func urgency(necessity string) []int64 {
	switch necessity {
	case repairNow:
		return append(ranks(report.SeverityCritical), ranks(report.SeverityHigh)...)
	case repairLater:
		return ranks(report.SeverityMedium)
	case repairNot:
		return ranks(report.SeverityLow)
	default:
		return nil
	}
}

// ranks is the ranks of a severity on the wire, where low is also unknown; nil
// for the empty one.
func ranks(severity string) []int64 {
	switch severity {
	case "":
		return nil
	case report.SeverityLow:
		return []int64{int64(report.SeverityRank(report.SeverityLow)), int64(report.SeverityRank(report.SeverityUnknown))}
	default:
		return []int64{int64(report.SeverityRank(severity))}
	}
}

func text(n int64) *string {
	s := strconv.FormatInt(n, 10)
	return &s
}
