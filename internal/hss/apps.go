package hss

import (
	"context"

	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

type imageAppsIn struct {
	ListImageAppsParams
	ImageID string `path:"image_id"`
}

// listImageApps is about images of registries and CI/CD in HSS. Here it is
// ListLocalImageAppInfo under another path, as there are local images only.
func (a *api) listImageApps(ctx context.Context, c call, in *imageAppsIn) (*ListImageAppsResponse, error) {
	var rows []store.App
	var total int64
	if isLocal(in.ImageType) {
		var err error
		rows, total, err = tenant.RowsOf(c.Call, func(t string) ([]store.App, int64, error) {
			return a.store.Apps(ctx, t, in.ImageID, value(in.AppName), c.Page)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImageAppsInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageAppsInfo{AppName: &r.Name, AppType: &r.Type, AppVersion: &r.Version, VulNum: int32p(r.VulNum)}
	}
	return &ListImageAppsResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func (a *api) listGlobalImageApps(ctx context.Context, c call, in *ListGlobalImageAppsParams) (*ListGlobalImageAppsResponse, error) {
	var rows []store.AppPlace
	var total int64
	if allLocal(in.ImageType) {
		var err error
		// HSS has a filter for what is not compliant, and none for what is.
		f := store.AppFilter{Name: value(in.AppName), NonCompliant: in.IsCompliant != nil && !*in.IsCompliant}
		rows, total, err = tenant.Listed(c.Call, func(t string, p store.Page) ([]store.AppPlace, int64, error) {
			return a.store.AllApps(ctx, t, f, p)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImageAppResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageAppResponseInfo{
			AppName: &r.Name, AppType: &r.Type, AppVersion: &r.Version, AppPath: &r.Path, LayerDigest: &r.Layer, VulNum: int32p(r.VulNum),
			IsCompliant: r.Compliant, LatestScanTime: &r.ScanTime,
			ImageId: &r.ImageID, ImageName: &r.ImageName, ImageVersion: &r.ImageVersion, ImageType: new("local_image"),
		}
	}
	return &ListGlobalImageAppsResponse{TotalNum: int32p(total), DataList: &list}, nil
}

type nonCompliantIn struct {
	ListImageNonCompliantAppParams
	ImageID string `path:"image_id"`
}

func (a *api) listImageNonCompliantApp(ctx context.Context, c call, in *nonCompliantIn) (*ListImageNonCompliantAppResponse, error) {
	var rows []store.NonCompliant
	var total int64
	if isLocal(in.ImageType) {
		var err error
		rows, total, err = tenant.RowsOf(c.Call, func(t string) ([]store.NonCompliant, int64, error) {
			return a.store.NonCompliant(ctx, t, in.ImageID, value(in.AppName), c.Page)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImageNonCompliantAppInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageNonCompliantAppInfo{Id: &r.ID, AppName: &r.Name, AppVersion: &r.Version, AppPath: &r.Path, LayerDigest: &r.Layer}
	}
	return &ListImageNonCompliantAppResponse{TotalNum: int32p(total), DataList: &list}, nil
}

// allLocal reports whether a list over all images of a family, or of every
// family, has local images.
func allLocal(imageType *string) bool { return value(imageType) == "" || isLocal(*imageType) }
