package hss

import (
	"context"
	"path"

	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

type imageFilesIn struct {
	ListImageFilesParams
	ImageID string `path:"image_id"`
}

func (a *api) listImageFiles(ctx context.Context, c call, in *imageFilesIn) (*ListImageFilesResponse, error) {
	var rows []store.ImageFile
	var total int64
	if isLocal(in.ImageType) {
		var err error
		rows, total, err = tenant.RowsOf(c.Call, func(t string) ([]store.ImageFile, int64, error) {
			return a.store.Files(ctx, t, in.ImageID, value(in.FileName), c.Page)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImageFileInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageFileInfo{FileName: new(path.Base(r.Path)), FilePath: &r.Path, Size: int32p(r.Size)}
	}
	return &ListImageFilesResponse{TotalNum: int32p(total), DataList: &list}, nil
}

// listGlobalImageFiles is about images of registries and CI/CD in HSS, here about
// local images, the only ones there are.
func (a *api) listGlobalImageFiles(ctx context.Context, c call, in *ListGlobalImageFilesParams) (*ListGlobalImageFilesResponse, error) {
	var rows []store.ImageFile
	var total int64
	if allLocal(in.ImageType) {
		var err error
		rows, total, err = tenant.Listed(c.Call, func(t string, p store.Page) ([]store.ImageFile, int64, error) {
			return a.store.AllFiles(ctx, t, value(in.FileName), p)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImageFileResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageFileResponseInfo{FileName: new(path.Base(r.Path)), FilePath: &r.Path, Size: &r.Size}
	}
	return &ListGlobalImageFilesResponse{TotalNum: int32p(total), DataList: &list}, nil
}

type filesStatIn struct {
	ShowImageFilesStatParams
	ImageID string `path:"image_id"`
}

// showImageFilesStat counts what ListImageFiles lists. Numbers that would be too
// low are left out.
func (a *api) showImageFilesStat(ctx context.Context, c call, in *filesStatIn) (*ShowImageFilesStatResponse, error) {
	out := &ShowImageFilesStatResponse{}
	if !isLocal(in.ImageType) {
		return out, nil
	}
	stat, err := tenant.Found(c.Call, func(t string) (*store.FilesStat, error) { return a.store.FilesStat(ctx, t, in.ImageID) })
	if err != nil {
		return nil, err
	}
	if stat != nil && stat.Whole {
		out.TotalFilesNum, out.TotalFilesSize = int32p(stat.Num), int32p(stat.Size)
	}
	return out, nil
}
