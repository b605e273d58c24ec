package hss

import (
	"cmp"
	"context"
	"strings"

	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

type affectAppsIn struct {
	ListVulAffectImageAppsParams
	ImageID string `path:"image_id"`
}

func (a *api) listVulAffectImageApps(ctx context.Context, c call, in *affectAppsIn) (*ListVulAffectImageAppsResponse, error) {
	var rows []store.AffectedApp
	var total int64
	if isLocal(in.ImageType) {
		var err error
		rows, total, err = tenant.RowsOf(c.Call, func(t string) ([]store.AffectedApp, int64, error) {
			return a.store.AffectedApps(ctx, t, in.ImageID, in.VulId, in.IsHandled, c.Page)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]VulAffectImageAppsResponseInfo, len(rows))
	for i, r := range rows {
		paths := make([]VulAffectImageAppPathResponseInfo, len(r.Places))
		for j, p := range r.Places {
			paths[j] = VulAffectImageAppPathResponseInfo{Status: new(vulStatus(in.IsHandled)), AppVersion: &p.Version, AppPath: given(p.Path)}
		}
		list[i] = VulAffectImageAppsResponseInfo{AppName: &r.Name, Paths: &paths, Rule: given(strings.Join(r.Ranges, "; "))}
	}
	return &ListVulAffectImageAppsResponse{TotalNum: int32p(total), DataList: &list}, nil
}

type affectContainersIn struct {
	ListVulAffectImageContainersParams
	ImageID string `path:"image_id"`
}

func (a *api) listVulAffectImageContainers(ctx context.Context, c call, in *affectContainersIn) (*ListVulAffectImageContainersResponse, error) {
	key := store.ImageKey{Digest: in.ImageDigest, Name: in.ImageName, Version: in.ImageVersion, AgentID: in.AgentId}
	rows, total, err := tenant.RowsOf(c.Call, func(t string) ([]store.Container, int64, error) {
		return a.store.ContainersOf(ctx, t, in.ImageID, key, c.Page)
	})
	if err != nil {
		return nil, err
	}
	list := make([]VulAffectImageContainersResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = VulAffectImageContainersResponseInfo{
			ContainerName: &r.Name, ContainerId: &r.ID, HostName: &r.HostName, PublicIp: &r.PublicIP, PrivateIp: &r.PrivateIP,
			PodName: &r.PodName, PodId: &r.PodID,
		}
	}
	return &ListVulAffectImageContainersResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func (a *api) listVulContainers(ctx context.Context, c call, in *ListVulContainersParams) (*ListVulContainersResponse, error) {
	var rows []store.VulContainer
	var total int64
	// Containers of local images are in no cluster.
	is, ok := whichHandled(value(in.HandleStatus), value(in.Status))
	if ok && value(in.ClusterId) == "" {
		f := store.VulContainerFilter{
			Handled: is,
			Type:    in.Type, Severities: ranks(value(in.SeverityLevel)), Name: value(in.ContainerName),
			SeenFrom: in.MinScanTime, SeenTo: in.MaxScanTime,
		}
		var err error
		rows, total, err = tenant.Listed(c.Call, func(t string, p store.Page) ([]store.VulContainer, int64, error) {
			return a.store.VulContainers(ctx, t, in.VulId, f, p)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]VulContainerInfo, len(rows))
	for i, r := range rows {
		list[i] = VulContainerInfo{
			ContainerId: &r.ID, ContainerName: &r.Name, SeverityLevel: new(severity(r.Severity)), Status: new(vulStatus(r.Handled)),
			ImageId: &r.ImageID, ImageName: &r.ImageName, ImageVersion: &r.ImageVersion, ImageType: new("local_image"),
			HostName: &r.HostName, HostIp: &r.PrivateIP, PrivateIp: &r.PrivateIP, FirstScanTime: &r.FirstSeen, ScanTime: &r.ScanTime,
		}
	}
	return &ListVulContainersResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func (a *api) listVulContainerApps(ctx context.Context, c call, in *ListVulContainerAppsParams) (*ListVulContainerAppsResponse, error) {
	is := in.HandleStatus == handled
	rows, total, err := tenant.RowsOf(c.Call, func(t string) ([]store.AffectedApp, int64, error) {
		return a.store.ContainerApps(ctx, t, in.ContainerId, in.VulId, is, c.Page)
	})
	if err != nil {
		return nil, err
	}
	list := make([]VulAffectContainerAppInfo, len(rows))
	for i, r := range rows {
		paths := make([]VulAffectContainerAppPath, len(r.Places))
		for j, p := range r.Places {
			paths[j] = VulAffectContainerAppPath{Status: new(vulStatus(is)), AppVersion: &p.Version, AppPath: given(p.Path)}
		}
		list[i] = VulAffectContainerAppInfo{AppName: &r.Name, Paths: &paths, Rule: given(strings.Join(r.Ranges, "; "))}
	}
	return &ListVulContainerAppsResponse{TotalNum: int32p(total), DataList: &list}, nil
}

type vulRepoIn struct {
	ListVulRepoImageParams
	VulID string `path:"vul_id"`
}

// listVulRepoImage is about registry images in HSS. Like the list of the
// vulnerabilities that lead to it, it is of local images here.
func (a *api) listVulRepoImage(ctx context.Context, c call, in *vulRepoIn) (*ListVulRepoImageResponse, error) {
	var rows []store.RepoImage
	var total int64
	if value(in.Namespace) == "" { // which is part of the name of a local image
		f := store.RepoFilter{Name: value(in.ImageName), ImageID: value(in.ImageId), App: value(in.AppName)}
		var err error
		// Images of one name may lie in several tenants.
		rows, total, err = tenant.Merged(c.Call, func(t string, p store.Page) ([]store.RepoImage, int64, error) {
			return a.store.RepoImages(ctx, t, in.VulID, f, p)
		}, func(a, b *store.RepoImage) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.App, b.App), strings.Compare(a.AppVersion, b.AppVersion))
		}, func(r *store.RepoImage) [3]string { return [3]string{r.Name, r.App, r.AppVersion} }, func(into, r *store.RepoImage) {
			into.Tags = append(into.Tags, r.Tags...)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]VulRepoImageInfo, len(rows))
	for i, r := range rows {
		tags := make([]VulRepoImagesTagInfo, len(r.Tags))
		for j, t := range r.Tags {
			tags[j] = VulRepoImagesTagInfo{TagId: &t.ImageID, TagName: &t.Version, AppName: &r.App, Size: int32p(t.Size)}
		}
		list[i] = VulRepoImageInfo{
			ImageName: &r.Name, AppName: &r.App, Version: &r.AppVersion, TagCount: int32p(int64(len(tags))), ImageType: new("local_image"), DataList: &tags,
		}
		if len(tags) > 0 {
			list[i].ImageId = tags[0].TagId
		}
	}
	return &ListVulRepoImageResponse{TotalNum: int32p(total), DataList: &list}, nil
}
