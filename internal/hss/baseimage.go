package hss

import (
	"context"

	"github.com/onceover/onceover/internal/check/baseimage"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

type basicImageIn struct {
	ListImageBasicImageParams
	ImageID string `path:"image_id"`
}

func (a *api) listImageBasicImage(ctx context.Context, c call, in *basicImageIn) (*ListImageBasicImageResponse, error) {
	var rows []baseimage.Base
	if isLocal(in.ImageType) {
		var err error
		rows, err = tenant.Found(c.Call, func(t string) ([]baseimage.Base, error) { return a.store.Bases(ctx, t, in.ImageID, value(in.OsName)) })
		if err != nil {
			return nil, err
		}
	}
	rows, total := store.PageOf(rows, c.Page)
	list := make([]ImageBasicImageInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageBasicImageInfo{OsName: given(r.OSName), OsVersion: given(r.OSVersion), LayerDigest: given(string(r.LayerDigest))}
	}
	return &ListImageBasicImageResponse{TotalNum: int32p(total), DataList: &list}, nil
}
