package buildcmd

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

// An Image is the part of an image configuration that rules look at.
type Image struct {
	User       string
	Env        []string
	Labels     map[string]string
	Exposed    []string // "22/tcp", sorted
	Volumes    []string // sorted
	Entrypoint []string
	Cmd        []string
	// Health says whether a health check is set and not switched off.
	Health bool
	// DiffIDs of the layers, lowest first.
	DiffIDs []string
	History []image.History
}

// ParseImage reads an OCI or docker image configuration.
func ParseImage(b []byte) (Image, error) {
	if len(b) > image.MaxConfigBytes {
		return Image{}, fault.New(fault.TooLarge, "image configuration of %d bytes: the limit is %d", len(b), image.MaxConfigBytes)
	}
	var raw struct {
		Config struct {
			User         string
			Env          []string
			Labels       map[string]string
			ExposedPorts map[string]json.RawMessage
			Volumes      map[string]json.RawMessage
			Entrypoint   []string
			Cmd          []string
			Healthcheck  *struct{ Test []string }
		} `json:"config"`
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
		History []struct {
			CreatedBy  string `json:"created_by"`
			Comment    string `json:"comment"`
			EmptyLayer bool   `json:"empty_layer"`
		} `json:"history"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return Image{}, fmt.Errorf("parse image configuration: %w", err)
	}
	img := Image{
		User: raw.Config.User, Env: raw.Config.Env, Labels: raw.Config.Labels,
		Entrypoint: raw.Config.Entrypoint, Cmd: raw.Config.Cmd, DiffIDs: raw.RootFS.DiffIDs,
	}
	if h := raw.Config.Healthcheck; h != nil && len(h.Test) > 0 && h.Test[0] != "NONE" {
		img.Health = true
	}
	for p := range raw.Config.ExposedPorts {
		img.Exposed = append(img.Exposed, p)
	}
	for v := range raw.Config.Volumes {
		img.Volumes = append(img.Volumes, v)
	}
	slices.Sort(img.Exposed)
	slices.Sort(img.Volumes)
	for _, h := range raw.History {
		img.History = append(img.History, image.History{CreatedBy: h.CreatedBy, Comment: h.Comment, EmptyLayer: h.EmptyLayer})
	}
	return img, nil
}

// layers are the diff IDs of the steps of the history, "" for a step without
// a layer, and for all of them where the history does not fit the layers.
func (img Image) layers() []string {
	out := make([]string, len(img.History))
	i := 0
	for n, h := range img.History {
		if h.EmptyLayer {
			continue
		}
		if i == len(img.DiffIDs) {
			return make([]string, len(img.History))
		}
		out[n] = img.DiffIDs[i]
		i++
	}
	if i != len(img.DiffIDs) {
		return make([]string, len(img.History))
	}
	return out
}

// runsAsRoot says whether the image's processes are the superuser's.
func (img Image) runsAsRoot() bool {
	u, _, _ := strings.Cut(img.User, ":")
	return u == "" || u == "root" || strings.Trim(u, "0") == ""
}
