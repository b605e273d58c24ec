package hss

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/check/secret"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

const unhandled = "unhandled"

type imageSensitiveIn struct {
	ListImageSensitiveParams
	ImageID string `path:"image_id"`
}

func (a *api) listImageSensitive(ctx context.Context, c call, in *imageSensitiveIn) (*ListImageSensitiveResponse, error) {
	var rows []store.Secret
	var total int64
	if isLocal(in.ImageType) {
		f := store.SecretFilter{Path: value(in.FilePath)}
		if in.Severity != nil {
			f.Severity = report.SeverityOf(*in.Severity)
		}
		if in.HandleStatus != nil {
			f.Handled = new(*in.HandleStatus == handled)
		}
		var err error
		rows, total, err = tenant.RowsOf(c.Call, func(t string) ([]store.Secret, int64, error) {
			return a.store.Secrets(ctx, t, in.ImageID, f, c.Page)
		})
		if err != nil {
			return nil, err
		}
	}
	return &ListImageSensitiveResponse{TotalNum: int32p(total), DataList: sensitiveInfo(rows)}, nil
}

// listImageSensitiveInfo has no member for the image: it lists the places, each
// once.
func (a *api) listImageSensitiveInfo(ctx context.Context, c call, in *ListImageSensitiveInfoParams) (*ListImageSensitiveInfoResponse, error) {
	var rows []store.Secret
	var total int64
	if isLocal(value(in.ImageType)) { // the default is registry
		var err error
		rows, total, err = tenant.Listed(c.Call, func(t string, p store.Page) ([]store.Secret, int64, error) {
			return a.store.AllSecrets(ctx, t, store.SecretFilter{}, p)
		})
		if err != nil {
			return nil, err
		}
	}
	return &ListImageSensitiveInfoResponse{TotalNum: int32p(total), DataList: sensitiveInfo(rows)}, nil
}

func sensitiveInfo(rows []store.Secret) *[]ImageSensitiveInfo {
	list := make([]ImageSensitiveInfo, len(rows))
	for i, r := range rows {
		state := unhandled
		if r.Handled {
			state = handled
		}
		content := r.Context
		if content == "" {
			content = r.Masked
		}
		list[i] = ImageSensitiveInfo{
			SensitiveInfoId: &r.ID, Severity: new(strings.ToLower(severity(int64(report.SeverityRank(r.Severity))))), Name: &r.Title,
			Description: new(aboutSecret(r)), Position: given(r.Layer), FilePath: &r.Path, Content: &content,
			LatestScanTime: &r.ScanTime, HandleStatus: &state, OperateAccept: given(r.Action),
		}
	}
	return &list
}

// secretKinds are the kinds of secrets in words.
var secretKinds = map[secret.Kind]string{
	secret.CloudKey:   "A key of an account at a cloud provider",
	secret.Token:      "A token of a service",
	secret.PrivateKey: "A private key",
	secret.KeyStore:   "A file that holds keys",
	secret.Password:   "A password of an account",
	secret.Connection: "A connection with a password in it",
	secret.Webhook:    "A URL that is itself the authorisation",
}

// aboutSecret says what was found and what to know about it. HSS has no members
// for the line, and for a file that a later layer hides.
func aboutSecret(s store.Secret) string {
	var b strings.Builder
	if kind := secretKinds[secret.Kind(s.Kind)]; kind != "" {
		b.WriteString(kind)
	} else {
		b.WriteString("A secret")
	}
	if s.Encrypted {
		b.WriteString(", encrypted,")
	}
	if s.Line > 0 && s.Layer != "" {
		fmt.Fprintf(&b, " in line %d", s.Line)
	}
	b.WriteByte('.')
	if s.Layer == "" {
		b.WriteString(" It stands in the configuration of the image.")
	}
	if s.Deleted {
		b.WriteString(" A later layer deletes the file: it is in the image all the same.")
	}
	if s.Test {
		b.WriteString(" The path is one of tests, examples or documentation.")
	}
	return b.String()
}

type changeSensitiveIn struct {
	ChangeSensitiveInfoParams
	Body ChangeSensitiveInfoRequestInfo `body:"json"`
}

func (a *api) changeSensitiveInfo(ctx context.Context, c call, in *changeSensitiveIn) (*none, error) {
	b := &in.Body
	if b.SensitiveInfoId == "" {
		return nil, fault.New(fault.Invalid, "sensitive_info_id is required")
	}
	if !isLocal(in.ImageType) {
		return nil, fault.New(fault.NotFound, "there are no images of the type %s", in.ImageType)
	}
	action := value(b.OperateType)
	if action == "" {
		action = store.SecretDoNotIgnore
	}
	return nil, tenant.Act(c.Call, func(t string) error { return a.store.DecideSecret(ctx, t, b.SensitiveInfoId, action, c.Actor()) })
}

type changePathsIn struct {
	Body ChangeFilePathWhiteDetailRequestInfo `body:"json"`
}

// changeFilePaths is two operations, one of which is deprecated.
func (a *api) changeFilePaths(ctx context.Context, c call, in *changePathsIn) (*none, error) {
	if in.Body.CustomizedPath == nil {
		return nil, fault.New(fault.Invalid, "customized_path is required: an empty list takes all paths off")
	}
	return nil, tenant.Act(c.Call, func(t string) error { return a.store.SetPaths(ctx, t, *in.Body.CustomizedPath, c.Actor()) })
}

func (a *api) showFilePathWhiteLists(ctx context.Context, c call, in *ShowFilePathWhiteListsParams) (*ShowFilePathWhiteListsResponse, error) {
	builtin, own, err := a.filePaths(ctx, c, value(in.FilePath))
	if err != nil {
		return nil, err
	}
	return &ShowFilePathWhiteListsResponse{DefaultPath: &builtin, CustomizedPath: &own}, nil
}

func (a *api) showFilePathWhiteDetail(ctx context.Context, c call, in *ShowFilePathWhiteDetailParams) (*ShowFilePathWhiteDetailResponse, error) {
	builtin, own, err := a.filePaths(ctx, c, value(in.FilePath))
	if err != nil {
		return nil, err
	}
	return &ShowFilePathWhiteDetailResponse{DefaultPath: &builtin, CustomizedPath: &own}, nil
}

// filePaths are the paths that no scan reads, and those of the project's list,
// as far as they have a text in them.
func (a *api) filePaths(ctx context.Context, c call, part string) (builtin, own []string, err error) {
	builtin, own = []string{}, []string{}
	for _, p := range secret.PassedOver() {
		if strings.Contains(p, part) {
			builtin = append(builtin, p)
		}
	}
	for _, t := range c.Tenants {
		list, err := a.store.Paths(ctx, t)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range list {
			if strings.Contains(p.Path, part) && !slices.Contains(own, p.Path) {
				own = append(own, p.Path)
			}
		}
	}
	return builtin, own, nil
}
