package hss

import (
	"context"
	"slices"
	"unicode/utf8"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

const (
	// maxNamed is how many ids, or pairs of them, a call names.
	maxNamed = 10_240
	// maxRemark is the length of a remark in characters.
	maxRemark = 512
)

type handleIn struct {
	HandleImageVulnerabilityParams
	Body HandleImageVulnerabilityRequestBody `body:"json"`
}

func (a *api) handleImageVulnerability(ctx context.Context, c call, in *handleIn) (*none, error) {
	h, err := handling(&in.Body)
	if err != nil {
		return nil, err
	}
	if !isLocal(in.Body.ImageType) {
		return nil, fault.New(fault.Unsupported, "images of the type %s are not supported: set image_type=local", in.Body.ImageType)
	}
	return nil, tenant.Act(c.Call, func(t string) error { return a.store.Handle(ctx, t, h, c.Actor(), value(in.Body.Remark)) })
}

type previewIn struct {
	ListImageHandleAffectVulnerabilitiesParams
	Body HandleImageVulnerabilityRequestBody `body:"json"`
}

// listImageHandleAffectVulnerabilities answers what handleImageVulnerability with
// the same body would act on.
func (a *api) listImageHandleAffectVulnerabilities(ctx context.Context, c call, in *previewIn) (*ListImageHandleAffectVulnerabilitiesResponse, error) {
	h, err := handling(&in.Body)
	if err != nil {
		return nil, err
	}
	var p store.Preview
	if isLocal(in.Body.ImageType) {
		if p, err = a.preview(ctx, c, h, value(in.ImageName), value(in.VulName)); err != nil {
			return nil, err
		}
	}
	list := make([]ImageVulResponseInfo, len(p.List))
	for i, r := range p.List {
		list[i] = ImageVulResponseInfo{ImageId: &r.ImageID, ImageName: &r.ImageName, VulId: &r.VulID, VulName: &r.VulID}
	}
	return &ListImageHandleAffectVulnerabilitiesResponse{
		TotalVulNum: int32p(p.Pairs), VulNum: int32p(p.Vuls), ImageNum: int32p(p.Images), DataList: &list,
	}, nil
}

// preview is that of all tenants of a call: a vulnerability that several have
// counts once.
func (a *api) preview(ctx context.Context, c call, h store.Handling, imageName, vulName string) (out store.Preview, err error) {
	if len(c.Tenants) == 1 {
		return a.store.Preview(ctx, c.Tenants[0], h, imageName, vulName, c.Page)
	}
	var all []store.PreviewPair
	err = tenant.Act(c.Call, func(t string) error {
		p, err := a.store.Preview(ctx, t, h, imageName, vulName, store.Page{Limit: store.MaxHandled})
		all = append(all, p.List...)
		out.Images += p.Images
		return err
	})
	if err != nil {
		return out, err
	}
	slices.SortFunc(all, store.PreviewPair.Compare)
	vuls := map[string]bool{}
	for _, p := range all {
		vuls[p.VulID] = true
	}
	out.Vuls = int64(len(vuls))
	out.List, out.Pairs = store.PageOf(all, c.Page)
	return out, nil
}

// handling reads a body: each select_type has a list of its own, and the others
// are not read.
func handling(b *HandleImageVulnerabilityRequestBody) (store.Handling, error) {
	h := store.Handling{Type: b.Type, Action: b.OperateType}
	for _, m := range []struct {
		name, value string
		allowed     []string
	}{
		{"image_type", b.ImageType, []string{"local", "local_image", "registry", "cicd"}},
		{"type", b.Type, []string{store.VulLinux, store.VulApp}},
		{"operate_type", b.OperateType, []string{store.VulIgnore, store.VulNotIgnore, store.VulRepaired, store.VulToWhitelist}},
	} {
		if err := requiredOf(m.name, m.value, m.allowed...); err != nil {
			return h, err
		}
	}
	if err := oneOf("handle_status", b.HandleStatus, handled, unhandled); err != nil {
		return h, err
	}
	if n := utf8.RuneCountInString(value(b.Remark)); n > maxRemark {
		return h, fault.New(fault.Invalid, "remark has %d characters: the limit is %d", n, maxRemark)
	}
	if s := value(b.HandleStatus); s != "" {
		h.Handled = new(s == handled)
	}
	list, n := "", 0
	switch b.SelectType {
	case "all_vul":
		return h, nil
	case "specific_image_all_vul":
		h.Images = value(b.ImageIdList)
		list, n = "image_id_list", len(h.Images)
	case "specific_vul_all_image":
		h.Vuls = value(b.VulIdList)
		list, n = "vul_id_list", len(h.Vuls)
	case "vul_view":
		for _, v := range value(b.VulDataList) {
			for _, i := range value(v.ImageIdList) {
				h.Pairs = append(h.Pairs, store.ImageVul{Image: i, Vul: value(v.VulId)})
			}
		}
		list, n = "vul_data_list", len(h.Pairs)
	case "image_view":
		for _, i := range value(b.ImageDataList) {
			for _, v := range value(i.VulIdList) {
				h.Pairs = append(h.Pairs, store.ImageVul{Image: value(i.ImageId), Vul: v})
			}
		}
		list, n = "image_data_list", len(h.Pairs)
	default:
		return h, requiredOf("select_type", b.SelectType, "all_vul", "specific_image_all_vul", "specific_vul_all_image", "vul_view", "image_view")
	}
	if n == 0 {
		return h, fault.New(fault.Invalid, "%s names nothing, which select_type %s needs", list, b.SelectType)
	}
	if n > maxNamed {
		return h, fault.New(fault.Invalid, "%s names %d: the limit is %d", list, n, maxNamed)
	}
	return h, nil
}

// requiredOf checks a member of a body that must be there.
func requiredOf(name, value string, allowed ...string) error {
	if value == "" {
		return fault.New(fault.Invalid, "%s is required", name)
	}
	return oneOf(name, &value, allowed...)
}

func (a *api) listGeneralImageVulOperations(ctx context.Context, c call, in *ListGeneralImageVulOperationsParams) (*ListGeneralImageVulOperationsResponse, error) {
	var rows []store.Operated
	var total int64
	if isLocal(in.ImageType) {
		f := store.HistoryFilter{
			ImageID: value(in.ImageId), ImageName: value(in.ImageName), Action: value(in.HandleType), By: value(in.UserName),
			Remark: value(in.Remark), App: value(in.AppName), AppVersion: value(in.AppVersion),
		}
		if in.Status != nil {
			f.Handled = new(*in.Status == statusIgnored)
		}
		var err error
		rows, total, err = tenant.Listed(c.Call, func(t string, p store.Page) ([]store.Operated, int64, error) {
			return a.store.History(ctx, t, in.VulId, f, p)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]GeneralImageVulOperationsResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = GeneralImageVulOperationsResponseInfo{
			ImageId: &r.ImageID, ImageName: &r.ImageName, ImageVersion: &r.ImageVersion, ImageDigest: &r.ConfigDigest,
			UserName: &r.By, HandleTime: &r.At, HandleType: &r.Action, Status: new(vulStatus(r.Handled)), Remark: &r.Remark,
			AppName: &r.App, AppVersion: &r.AppVersion, AgentId: given(r.AgentID),
		}
		if r.Type == store.VulApp {
			list[i].AppPath = given(r.Path)
		}
	}
	return &ListGeneralImageVulOperationsResponse{TotalNum: int32p(total), DataList: &list}, nil
}

// vulStatus is the state of a vulnerability in an image: HSS has one word for all
// that is handled.
func vulStatus(handled bool) string {
	if handled {
		return statusIgnored
	}
	return statusOpen
}

// whichHandled reads the coarse and the fine state of a question, which must both
// hold. Without one it is nil; ok is false if they contradict each other, or ask
// for a state that nothing is in, such as being fixed.
func whichHandled(handleStatus, status string) (is *bool, ok bool) {
	if handleStatus != "" {
		is = new(handleStatus == handled)
	}
	if status == "" {
		return is, true
	}
	fine := status == statusIgnored
	return &fine, status == vulStatus(fine) && (is == nil || *is == fine)
}
