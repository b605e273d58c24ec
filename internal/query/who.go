package query

import (
	"net/http"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
	"github.com/onceover/onceover/internal/wire"
)

// who is the answer to who has something.
type who struct {
	ImageNum     int64 `json:"image_num"`
	HostNum      int64 `json:"host_num"`
	ContainerNum int64 `json:"running_container_num"`

	SuppressedNum int64    `json:"suppressed_image_num,omitempty"`
	*rating                // nil if nothing is concerned
	Advisories    []string `json:"advisories,omitempty"`
	Versions      []string `json:"versions,omitempty"`
	Incomparable  []string `json:"incomparable_versions,omitempty"`

	// Of a question for a file, in the whole project.
	WithoutFiles *int64 `json:"images_without_files,omitempty"`
	FilesLeftOut *int64 `json:"images_with_files_left_out,omitempty"`

	Images     *[]whoImage     `json:"images,omitempty"`
	Hosts      *[]whoHost      `json:"hosts,omitempty"`
	Containers *[]whoContainer `json:"running_containers,omitempty"`
}

type whoImage struct {
	ID       string        `json:"image_id"`
	Name     string        `json:"image_name"`
	Version  string        `json:"image_version"`
	Digest   string        `json:"image_digest"`
	Packages *[]whoPackage `json:"packages,omitempty"`
	FileNum  int64         `json:"file_num,omitempty"`
	Files    []whoFile     `json:"files,omitempty"`
}

type whoFile struct {
	Path  string `json:"path"`
	Layer string `json:"layer"`
	Kind  string `json:"kind,omitempty"`
	Size  int64  `json:"size"`
	Mode  int64  `json:"mode"`
	Owned bool   `json:"owned"`
}

type whoPackage struct {
	Type         string `json:"type"`
	Name         string `json:"name"`
	Version      string `json:"version"`
	Path         string `json:"path"`
	Layer        string `json:"layer"`
	Advisory     string `json:"advisory,omitempty"`
	Severity     string `json:"severity,omitempty"`
	FixState     string `json:"fix_state,omitempty"`
	FixedVersion string `json:"fixed_version,omitempty"`
	// Suppressed says that VEX sets the finding aside.
	Suppressed bool              `json:"suppressed,omitempty"`
	VEX        *report.Judgement `json:"vex,omitempty"`
}

type whoHost struct {
	AgentID   string `json:"agent_id"`
	HostID    string `json:"host_id"`
	HostName  string `json:"host_name"`
	PrivateIP string `json:"private_ip"`
	LastSeen  int64  `json:"last_seen"`
}

type whoContainer struct {
	AgentID  string `json:"agent_id"`
	HostName string `json:"host_name"`
	Engine   string `json:"engine"`
	ID       string `json:"container_id"`
	Name     string `json:"container_name"`
	PodName  string `json:"pod_name,omitempty"`
}

func (a *api) vulnerability(r *http.Request, c tenant.Call) (any, error) {
	id, err := wire.PathParam(r, "id")
	if err != nil {
		return nil, err
	}
	list, page, err := listParams(r, "list", "offset", "limit", "show_suppressed")
	if err != nil {
		return nil, err
	}
	suppressed, err := yes(r, "show_suppressed")
	if err != nil {
		return nil, err
	}
	if len(id) > maxNameBytes {
		return nil, fault.New(fault.Invalid, "an id of %d bytes: the limit is %d", len(id), maxNameBytes)
	}
	ask := a.store.WhoHas
	if suppressed != nil && *suppressed {
		ask = a.store.WhoHasSuppressed
	}
	c.Page = page
	found, err := joined(c, func(t string, p store.Page) (store.Who, error) { return ask(r.Context(), t, id, list, p) })
	if err != nil {
		return nil, err
	}
	out := answerWho(found, list)
	if rated := found.Rating; rated != nil {
		out.SuppressedNum = found.Suppressed
		out.rating = newRating(rated.Severity, rated.Score, rated.Exploits, rated.Fixable, rated.Priority)
	}
	return out, nil
}

func (a *api) packages(r *http.Request, c tenant.Call) (any, error) {
	list, page, err := listParams(r, "list", "offset", "limit", "type", "name", "range")
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	ask := store.PackageQuestion{Type: q.Get("type"), Name: q.Get("name"), Range: q.Get("range")}
	if n := len(ask.Type) + len(ask.Name) + len(ask.Range); n > maxNameBytes {
		return nil, fault.New(fault.Invalid, "a question of %d bytes: the limit is %d", n, maxNameBytes)
	}
	c.Page = page
	found, err := joined(c, func(t string, p store.Page) (store.Who, error) {
		return a.store.WhoHasPackage(r.Context(), t, ask, list, p)
	})
	if err != nil {
		return nil, err
	}
	return answerWho(found, list), nil
}

func (a *api) file(r *http.Request, c tenant.Call) (any, error) {
	name, err := wire.PathParam(r, "sha256")
	if err != nil {
		return nil, err
	}
	list, page, err := listParams(r, "list", "offset", "limit")
	if err != nil {
		return nil, err
	}
	var sum report.SHA256
	if err := sum.UnmarshalText([]byte(name)); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "file")
	}
	c.Page = page
	found, err := joined(c, func(t string, p store.Page) (store.Who, error) {
		return a.store.WhoHasFile(r.Context(), t, sum, list, p)
	})
	if err != nil {
		return nil, err
	}
	out := answerWho(found, list)
	out.WithoutFiles, out.FilesLeftOut = &found.FilesUnknown, &found.FilesLeftOut
	return out, nil
}

// joined is the answer of all tenants of a call: numbers are added, and lists come
// one after the other.
func joined(c tenant.Call, ask func(tenant string, p store.Page) (store.Who, error)) (out store.Who, err error) {
	_, err = tenant.Paged(c, func(t string, p store.Page) (rows int, total int64, err error) {
		one, err := ask(t, p)
		out.Join(one)
		return len(one.ImageList) + len(one.HostList) + len(one.ContainerList), one.Listed, err
	})
	return out, err
}

func answerWho(found store.Who, list store.Whose) who {
	out := who{
		ImageNum: found.Images, HostNum: found.Hosts, ContainerNum: found.Containers,
		Advisories: found.Advisories, Versions: found.Versions, Incomparable: found.Incomparable,
	}
	switch list {
	case store.WhoseImages:
		images := []whoImage{}
		for _, i := range found.ImageList {
			image := whoImage{ID: i.ID, Name: i.Name, Version: i.Version, Digest: i.ConfigDigest, FileNum: i.FileNum}
			for _, f := range i.Files {
				image.Files = append(image.Files, whoFile{f.Path, f.Layer, f.Kind, f.Size, f.Mode, f.Owned})
			}
			packages := []whoPackage{}
			if i.FileNum == 0 {
				image.Packages = &packages
			}
			for _, p := range i.Packages {
				severity := ""
				if p.Advisory != "" {
					severity = report.SeverityName(p.Severity)
				}
				packages = append(packages, whoPackage{p.Type, p.Name, p.Version, p.Path, p.Layer, p.Advisory, severity, p.FixState, p.FixedVersion, p.Judgement.Suppresses(), p.Judgement})
			}
			images = append(images, image)
		}
		out.Images = &images
	case store.WhoseHosts:
		hosts := []whoHost{}
		for _, h := range found.HostList {
			hosts = append(hosts, whoHost(h))
		}
		out.Hosts = &hosts
	case store.WhoseContainers:
		containers := []whoContainer{}
		for _, c := range found.ContainerList {
			containers = append(containers, whoContainer(c))
		}
		out.Containers = &containers
	}
	return out
}
