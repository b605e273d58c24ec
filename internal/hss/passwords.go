package hss

import (
	"context"
	"slices"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

func (a *api) listImageWeakPwdUsers(ctx context.Context, c call, in *ListImageWeakPwdUsersParams) (*ListImageWeakPwdUsersResponse, error) {
	var rows []store.WeakAccount
	var total int64
	if isLocal(in.ImageType) {
		var err error
		rows, total, err = tenant.Listed(c.Call, func(t string, p store.Page) ([]store.WeakAccount, int64, error) {
			return a.store.WeakAccounts(ctx, t, selector(in.ImageId, in.ImageName, in.TagName), value(in.UserName), p)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImageWeakPwdListInfoResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageWeakPwdListInfoResponseInfo{
			ImageId: &r.ImageID, ImageName: &r.Name, ImageVersion: &r.Version, ImageType: new("local_image"), LatestScanTime: &r.ScanTime,
			UserName: &r.User, ServiceType: &r.Service, DesensitizedWeakPasswords: given(r.Masked), Suggestion: given(r.Suggestion),
		}
		if r.Days > 0 {
			list[i].Duration = int32p(int64(r.Days))
		}
	}
	return &ListImageWeakPwdUsersResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func (a *api) listImagePwdComplexity(ctx context.Context, c call, in *ListImagePwdComplexityParams) (*ListImagePwdComplexityResponse, error) {
	var rows []store.Complexity
	var total int64
	if allLocal(in.ImageType) {
		var err error
		rows, total, err = tenant.Listed(c.Call, func(t string, p store.Page) ([]store.Complexity, int64, error) {
			return a.store.Complexities(ctx, t, selector(nil, in.ImageName, in.ImageVersion), p)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImagePwdComplexityInfoResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = ImagePwdComplexityInfoResponseInfo{
			ImageId: &r.ImageID, ImageName: &r.Name, ImageVersion: &r.Version, ImageType: new("local_image"), LatestScanTime: &r.ScanTime,
			MinLength: &r.MinLength, UppercaseLetter: &r.Upper, LowercaseLetter: &r.Lower, Number: &r.Digit, SpecialCharacter: &r.Special,
			Suggestion: given(r.Suggestion),
		}
	}
	return &ListImagePwdComplexityResponse{TotalNum: &total, DataList: &list}, nil
}

func (a *api) showExtendedWeakPassword(ctx context.Context, c call, _ *ShowExtendedWeakPasswordParams) (*ShowExtendedWeakPasswordResponse, error) {
	words := []string{}
	for _, t := range c.Tenants {
		of, err := a.store.Words(ctx, t)
		if err != nil {
			return nil, err
		}
		words = append(words, slices.DeleteFunc(of, func(w string) bool { return slices.Contains(words, w) })...)
	}
	return &ShowExtendedWeakPasswordResponse{ExtendedWeakPassword: &words}, nil
}

type weakPasswordIn struct {
	ChangeExtendedWeakPasswordParams
	Body ChangeExtendedWeakPasswordRequestInfo `body:"json"`
}

// changeExtendedWeakPassword wants the list, be it empty: a body that was lost
// must not take all words away.
func (a *api) changeExtendedWeakPassword(ctx context.Context, c call, in *weakPasswordIn) (*none, error) {
	words := in.Body.ExtendedWeakPassword
	if words == nil {
		return nil, fault.New(fault.Invalid, "extended_weak_password is required")
	}
	return nil, tenant.Act(c.Call, func(t string) error { return a.store.SetWords(ctx, t, *words) })
}
