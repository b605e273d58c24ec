package image

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/onceover/onceover/internal/fault"
)

// MaxConfigBytes is the largest image configuration or manifest we read. The
// OCI distribution specification recommends 4 MiB for manifests.
const MaxConfigBytes = 4 << 20

// ParseConfig reads an OCI or docker image configuration.
func ParseConfig(b []byte) (Config, error) {
	if len(b) > MaxConfigBytes {
		return Config{}, fault.New(fault.TooLarge, "image configuration of %d bytes: the limit is %d", len(b), MaxConfigBytes)
	}
	var raw struct {
		Created      *time.Time `json:"created"`
		OS           string     `json:"os"`
		Architecture string     `json:"architecture"`
		Variant      string     `json:"variant"`
		Config       struct {
			Labels map[string]string
			Env    []string
			User   string
		} `json:"config"`
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
		History []struct {
			Created    *time.Time `json:"created"`
			CreatedBy  string     `json:"created_by"`
			Comment    string     `json:"comment"`
			EmptyLayer bool       `json:"empty_layer"`
		} `json:"history"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return Config{}, fmt.Errorf("parse image configuration: %w", err)
	}
	c := Config{
		Platform: Platform{OS: raw.OS, Arch: raw.Architecture, Variant: raw.Variant},
		Labels:   raw.Config.Labels,
		Env:      raw.Config.Env,
		User:     raw.Config.User,
	}
	if raw.Created != nil {
		c.Created = raw.Created.UTC()
	}
	for _, s := range raw.RootFS.DiffIDs {
		d, err := ParseDigest(s)
		if err != nil {
			return Config{}, fmt.Errorf("parse image configuration: diff ID: %w", err)
		}
		c.DiffIDs = append(c.DiffIDs, d)
	}
	for _, h := range raw.History {
		step := History{CreatedBy: h.CreatedBy, Comment: h.Comment, EmptyLayer: h.EmptyLayer}
		if h.Created != nil {
			step.Created = h.Created.UTC()
		}
		c.History = append(c.History, step)
	}
	return c, nil
}

// BuildCommands returns the build command of each layer, lowest first, as the
// history tells them; "" where the history does not fit the layers.
func (c Config) BuildCommands() []string {
	out := make([]string, len(c.DiffIDs))
	i := 0
	for _, h := range c.History {
		if h.EmptyLayer {
			continue
		}
		if i == len(out) {
			return make([]string, len(out)) // more steps than layers: trust none
		}
		out[i] = h.CreatedBy
		i++
	}
	if i != len(out) && i != 0 {
		return make([]string, len(out))
	}
	return out
}
