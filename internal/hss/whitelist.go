package hss

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

// ruleTypes are the scopes of a whitelist rule; the last is for registries only.
var ruleTypes = []string{store.RuleAllImages, store.RuleSpecificImages, "specific_image_types"}

// maxDescription is the length of a description in characters.
const maxDescription = 1024

type addWhitelistIn struct {
	AddImageWhiteListsParams
	Body AddImageWhiteListsRequestBody `body:"json"`
}

func (a *api) addImageWhiteLists(ctx context.Context, c call, in *addWhitelistIn) (*none, error) {
	b := &in.Body
	if err := localRules(in.GlobalImageType); err != nil {
		return nil, err
	}
	if err := checkScope(b.RuleType); err != nil {
		return nil, err
	}
	if err := oneOf("vul_type", b.VulType, store.VulLinux, store.VulApp); err != nil {
		return nil, err
	}
	if err := checkDescription(b.Description); err != nil {
		return nil, err
	}
	n := store.NewWhitelist{Vuls: value(b.VulIds), Type: value(b.VulType), Scope: b.RuleType, Description: value(b.Description)}
	if len(n.Vuls) == 0 || len(n.Vuls) > maxNamed {
		return nil, fault.New(fault.Invalid, "vul_ids names %d vulnerabilities, and not 1 to %d", len(n.Vuls), maxNamed)
	}
	if n.Scope == store.RuleSpecificImages {
		var err error
		if n.Images, err = namedImages(b.ImageInfo); err != nil {
			return nil, err
		}
	}
	return nil, tenant.Act(c.Call, func(t string) error { return a.store.AddWhitelist(ctx, t, n, c.Actor()) })
}

type changeWhitelistIn struct {
	ChangeImageWhiteListParams
	ID   string                          `path:"id"`
	Body ChangeImageWhiteListRequestBody `body:"json"`
}

func (a *api) changeImageWhiteList(ctx context.Context, c call, in *changeWhitelistIn) (*none, error) {
	b := &in.Body
	if err := localRules(in.GlobalImageType); err != nil {
		return nil, err
	}
	if b.RuleType == nil && b.ImageInfo == nil && b.Description == nil {
		return nil, fault.New(fault.Invalid, "the request body changes nothing: give rule_type, image_info or description")
	}
	if b.RuleType != nil {
		if err := checkScope(*b.RuleType); err != nil {
			return nil, err
		}
	}
	if err := checkDescription(b.Description); err != nil {
		return nil, err
	}
	change := store.WhitelistChange{Scope: value(b.RuleType), Description: b.Description}
	if b.ImageInfo != nil && change.Scope != store.RuleAllImages {
		var err error
		if change.Images, err = namedImages(b.ImageInfo); err != nil {
			return nil, err
		}
	}
	return nil, tenant.Act(c.Call, func(t string) error { return a.store.ChangeWhitelist(ctx, t, in.ID, change, c.Actor()) })
}

type deleteWhitelistsIn struct {
	DeleteImageWhiteListsParams
	Body DeleteImageWhiteListsRequestBody `body:"json"`
}

func (a *api) deleteImageWhiteLists(ctx context.Context, c call, in *deleteWhitelistsIn) (*none, error) {
	if err := localRules(in.GlobalImageType); err != nil {
		return nil, err
	}
	ids := value(in.Body.Ids)
	if len(ids) == 0 || len(ids) > maxNamed {
		return nil, fault.New(fault.Invalid, "ids names %d rules, and not 1 to %d", len(ids), maxNamed)
	}
	return nil, tenant.Act(c.Call, func(t string) error { return a.store.DropWhitelist(ctx, t, ids, c.Actor()) })
}

// localRules refuses what is about other images than those of hosts.
func localRules(imageType string) error {
	if !isLocal(imageType) {
		return fault.New(fault.Unsupported, "registry images are not supported: set global_image_type=local")
	}
	return nil
}

func checkScope(ruleType string) error {
	if err := requiredOf("rule_type", ruleType, ruleTypes...); err != nil {
		return err
	}
	if ruleType != store.RuleAllImages && ruleType != store.RuleSpecificImages {
		return fault.New(fault.Invalid, "rule_type %s selects by types of registries, which local images do not have", ruleType)
	}
	return nil
}

func checkDescription(text *string) error {
	if n := utf8.RuneCountInString(value(text)); n > maxDescription {
		return fault.New(fault.Invalid, "description has %d characters: the limit is %d", n, maxDescription)
	}
	return nil
}

// namedImages are the ids of local images in a list.
func namedImages(list *[]AddImageWhiteListsRequestBodyImageInfo) ([]string, error) {
	var ids []string
	for _, i := range value(list) {
		if id := value(i.ImageId); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 || len(ids) > maxNamed {
		return nil, fault.New(fault.Invalid, "image_info names %d images by image_id, and not 1 to %d, which rule_type %s needs", len(ids), maxNamed, store.RuleSpecificImages)
	}
	return ids, nil
}

func (a *api) listImageWhiteLists(ctx context.Context, c call, in *ListImageWhiteListsParams) (*ListImageWhiteListsResponse, error) {
	var rows []store.Whitelist
	var total int64
	if isLocal(in.GlobalImageType) {
		var err error
		f := store.WhitelistFilter{VulName: value(in.VulName), VulType: value(in.VulType)}
		rows, total, err = tenant.Listed(c.Call, func(t string, p store.Page) ([]store.Whitelist, int64, error) {
			return a.store.Whitelists(ctx, t, f, p)
		})
		if err != nil {
			return nil, err
		}
	}
	list := make([]ImageWhiteListDetailResponseInfo, len(rows))
	for i, r := range rows {
		list[i] = ImageWhiteListDetailResponseInfo{
			Id: &r.ID, VulId: &r.VulID, VulName: &r.VulID, VulType: &r.VulType, Cves: cvesOfRule(r), RuleType: &r.Scope, Description: &r.Description,
		}
	}
	return &ListImageWhiteListsResponse{TotalNum: int32p(total), DataList: &list}, nil
}

func cvesOfRule(r store.Whitelist) *[]ImageWhiteListDetailResponseInfoCves {
	cves := make([]ImageWhiteListDetailResponseInfoCves, len(r.CVEs))
	for i, e := range r.CVEs {
		cves[i] = ImageWhiteListDetailResponseInfoCves{CveId: &e.ID, Cvss: new(float32(e.Score))}
	}
	return &cves
}

type showWhitelistIn struct {
	ShowImageWhiteListDetailParams
	ID string `path:"id"`
}

func (a *api) showImageWhiteListDetail(ctx context.Context, c call, in *showWhitelistIn) (*ShowImageWhiteListDetailResponse, error) {
	if !isLocal(in.GlobalImageType) {
		return nil, fault.New(fault.NotFound, "there is no whitelist rule %q for registry images", in.ID)
	}
	var images []store.ListedImage
	r, err := tenant.Found(c.Call, func(t string) (store.Whitelist, error) {
		r, list, err := a.store.Whitelist(ctx, t, in.ID, c.Page)
		images = list
		return r, err
	})
	if err != nil {
		return nil, err
	}
	list := make([]ImageWhiteListDetailResponseInfoImageInfo, len(images))
	for i, m := range images {
		list[i] = ImageWhiteListDetailResponseInfoImageInfo{ImageId: &m.ID, ImageName: &m.Name}
	}
	return &ShowImageWhiteListDetailResponse{
		Id: &r.ID, VulId: &r.VulID, VulName: &r.VulID, VulType: &r.VulType, Cves: cvesOfRule(r), RuleType: &r.Scope, Description: &r.Description, ImageInfo: &list,
	}, nil
}

// listVulWhiteListVulOptions has nothing of hosts, which are the default: only
// images are looked at.
func (a *api) listVulWhiteListVulOptions(ctx context.Context, c call, in *ListVulWhiteListVulOptionsParams) (*ListVulWhiteListVulOptionsResponse, error) {
	ofImages := value(in.Category) == "image"
	if ofImages && value(in.ImageType) == "" {
		return nil, fault.New(fault.Invalid, "image_type is required with category=image")
	}
	typ := value(in.VulType)
	if typ == "" {
		typ = store.VulLinux
	}
	var rows []string
	var total int64
	if ofImages && isLocal(*in.ImageType) {
		var err error
		rows, total, err = tenant.Merged(c.Call, func(t string, p store.Page) ([]string, int64, error) {
			return a.store.VulChoices(ctx, t, typ, value(in.VulName), p)
		}, func(a, b *string) int { return strings.Compare(*a, *b) }, func(id *string) string { return *id }, func(_, _ *string) {})
		if err != nil {
			return nil, err
		}
	}
	list := make([]VulWhiteListVulOptionsResponseInfoDataList, len(rows))
	for i := range rows {
		list[i] = VulWhiteListVulOptionsResponseInfoDataList{VulId: &rows[i], VulName: &rows[i]}
	}
	return &ListVulWhiteListVulOptionsResponse{TotalNum: int32p(total), DataList: &list}, nil
}
