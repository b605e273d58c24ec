package hss

import (
	"context"
	"math"

	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

func (a *api) listImageLocal(ctx context.Context, c call, in *ListImageLocalParams) (*ListImageLocalResponse, error) {
	var rows []store.Image
	var total int64
	if !c.empty {
		var err error
		rows, total, err = tenant.Listed(c.Call, func(t string, p store.Page) ([]store.Image, int64, error) {
			return a.store.Images(ctx, t, imageFilter(in), p)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImageLocalInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageLocalInfo{
			ImageName: &r.Name, ImageId: &r.ID, ImageDigest: &r.ConfigDigest, ImageVersion: &r.Version,
			LocalImageType: &r.LocalType, ScanStatus: &r.Status, ImageSize: &r.Size,
			LatestUpdateTime: &r.UpdatedAt, LatestScanTime: &r.LatestScanTime,
			VulNum: &r.VulNum, HostNum: &r.HostNum, ContainerNum: &r.ContainerNum, ComponentNum: &r.ComponentNum,
			ScanFailedDesc: &r.FailedDesc, SeverityLevel: given(r.SeverityLevel),
			UnsafeSettingNum: r.UnsafeSettingNum, MaliciousFileNum: r.MaliciousFileNum,
			HostName: &r.HostName, HostId: &r.HostID, AgentId: &r.AgentID, NonScanReason: &r.NonScanReason,
		}
	}
	return &ListImageLocalResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func imageFilter(in *ListImageLocalParams) store.ImageFilter {
	return store.ImageFilter{
		Name: value(in.ImageName), Version: value(in.ImageVersion),
		Status: scanStatus(value(in.ScanStatus)), LocalType: value(in.LocalImageType), Size: in.ImageSize,
		UpdatedFrom: in.StartLatestUpdateTime, UpdatedTo: in.EndLatestUpdateTime,
		ScannedFrom: in.StartLatestScanTime, ScannedTo: in.EndLatestScanTime,
		HasVul: in.HasVul, HasContainer: in.HasContainer,
		HostName: value(in.HostName), HostID: value(in.HostId), HostIP: value(in.HostIp),
		ContainerID: value(in.ContainerId), ContainerName: value(in.ContainerName),
		PodID: value(in.PodId), PodName: value(in.PodName), AppName: value(in.AppName),
	}
}

// scanStatus takes both spellings of the queued state.
func scanStatus(v string) string {
	if v == "waiting_for_scan" {
		return store.StatusWaiting
	}
	return v
}

func (a *api) listLocalImageAppInfo(ctx context.Context, c call, in *ListLocalImageAppInfoParams) (*ListLocalImageAppInfoResponse, error) {
	rows, total, err := tenant.RowsOf(c.Call, func(t string) ([]store.App, int64, error) {
		return a.store.Apps(ctx, t, in.ImageId, value(in.AppName), c.Page)
	})
	if err != nil {
		return nil, err
	}
	list := make([]LocalImageAppList, len(rows))
	for i, r := range rows {
		list[i] = LocalImageAppList{AppName: &r.Name, AppType: &r.Type, AppVersion: &r.Version, VulNum: int32p(r.VulNum)}
	}
	return &ListLocalImageAppInfoResponse{TotalNum: int32p(total), DataList: &list}, nil
}

// Agent states, as HSS names them on hosts.
const (
	agentOnline  = "online"
	agentOffline = "offline"
)

func (a *api) listLocalImageHosts(ctx context.Context, c call, in *ListLocalImageHostsParams) (*ListLocalImageHostsResponse, error) {
	key := store.ImageKey{Digest: value(in.ImageDigest), Name: value(in.ImageName), Version: value(in.ImageVersion), AgentID: value(in.AgentId)}
	rows, total, err := tenant.Listed(c.Call, func(t string, p store.Page) ([]store.Host, int64, error) {
		return a.store.Hosts(ctx, t, key, value(in.HostName), p)
	})
	if err != nil {
		return nil, err
	}
	list := make([]LocalImageHostInfo, len(rows))
	for i, r := range rows {
		status := agentOffline
		if r.Online {
			status = agentOnline
		}
		list[i] = LocalImageHostInfo{
			AgentId: &r.AgentID, AgentStatus: &status, HostName: &r.HostName, HostId: &r.HostID,
			PrivateIp: &r.PrivateIP, PublicIp: &r.PublicIP, DockerName: &r.Engine, DockerType: &r.Engine,
		}
	}
	return &ListLocalImageHostsResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func (a *api) listLocalImageContainers(ctx context.Context, c call, in *ListLocalImageContainersParams) (*ListLocalImageContainersResponse, error) {
	key := store.ImageKey{Digest: value(in.ImageDigest), Name: value(in.ImageName), Version: value(in.ImageVersion), AgentID: value(in.AgentId)}
	rows, total, err := tenant.Listed(c.Call, func(t string, p store.Page) ([]store.Container, int64, error) {
		return a.store.Containers(ctx, t, key, value(in.ContainerId), p)
	})
	if err != nil {
		return nil, err
	}
	list := make([]LocalImageContainerInfo, len(rows))
	for i, r := range rows {
		list[i] = LocalImageContainerInfo{
			AgentId: &r.AgentID, ContainerName: &r.Name, ContainerId: &r.ID, HostId: &r.HostID, HostName: &r.HostName,
			PodId: &r.PodID, PodName: &r.PodName, PrivateIp: &r.PrivateIP, PublicIp: &r.PublicIP, EntryPoint: &r.EntryPoint,
		}
	}
	return &ListLocalImageContainersResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func (a *api) showImageAssetStatistics(ctx context.Context, c call, _ *ShowImageAssetStatisticsParams) (*ShowImageAssetStatisticsResponse, error) {
	var n int64
	for _, t := range c.Tenants {
		of, err := a.store.ImageNum(ctx, t)
		if err != nil {
			return nil, err
		}
		n += of
	}
	return &ShowImageAssetStatisticsResponse{LocalNum: int32p(n), CicdNum: new(int32), RegistryNum: new(int32)}, nil
}

func (a *api) listContainerImages(ctx context.Context, c call, in *ListContainerImagesParams) (*ListContainerImagesResponse, error) {
	rows, total, err := tenant.Listed(c.Call, func(t string, p store.Page) ([]store.ImageName, int64, error) {
		return a.store.ImageNames(ctx, t, value(in.Keyword), p)
	})
	if err != nil {
		return nil, err
	}
	list := make([]ContainerImageInfo, len(rows))
	for i, r := range rows {
		list[i] = ContainerImageInfo{ImageId: &r.ID, ImageName: &r.Name, ImageVersion: &r.Version, CreateTime: &r.CreatedAt}
	}
	return &ListContainerImagesResponse{TotalNum: int32p(total), DataList: &list}, nil
}

// showImagePayPerScanStatistics has zeros for what is paid for: nothing is, so
// there is no quota either.
func (a *api) showImagePayPerScanStatistics(ctx context.Context, c call, _ *ShowImagePayPerScanStatisticsParams) (*ShowImagePayPerScanStatisticsResponse, error) {
	var sum store.RiskTotals
	err := tenant.Act(c.Call, func(t string) error {
		n, err := a.store.RiskTotals(ctx, t)
		sum.All, sum.High, sum.Risky, sum.Unscanned = sum.All+n.All, sum.High+n.High, sum.Risky+n.Risky, sum.Unscanned+n.Unscanned
		return err
	})
	if err != nil {
		return nil, err
	}
	local := func(n int64) *ImageTypeRiskInfo {
		return &ImageTypeRiskInfo{Local: int32p(n), Registriy: new(int32), Cicd: new(int32)}
	}
	return &ShowImagePayPerScanStatisticsResponse{
		RepositoryScanNum: new(int32), CicdScanNum: new(int32), FreeQuotaNum: new(int32), ImageFreeQuota: new(int32), AlreadyGiven: new(bool),
		Total: local(sum.All), HighRisk: local(sum.High), HasRisk: local(sum.Risky), Unscan: local(sum.Unscanned),
	}, nil
}

// value is what a pointer points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// given is nil for an empty text: for members that have no empty value.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// int32p bounds a number to what the wire type holds.
func int32p(n int64) *int32 {
	v := int32(min(max(n, 0), math.MaxInt32))
	return &v
}

// severity is the name of a rank on the wire, which has no word for unknown:
// the contract calls all below 4 low.
func severity(rank int64) string {
	switch int(rank) {
	case report.SeverityRank(report.SeverityCritical):
		return report.SeverityCritical
	case report.SeverityRank(report.SeverityHigh):
		return report.SeverityHigh
	case report.SeverityRank(report.SeverityMedium):
		return report.SeverityMedium
	default:
		return report.SeverityLow
	}
}
