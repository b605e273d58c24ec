package image

import (
	"strings"
)

// Ref is a name and a tag, in the short form that docker shows: "nginx" for
// docker.io/library/nginx, "grafana/loki" for docker.io/grafana/loki. One
// form is used for every engine, so that one image has one name in a fleet.
type Ref struct {
	Name string `json:"name"`
	Tag  string `json:"tag"`
}

// ParseRef reads "name", "name:tag" or a fully qualified reference. A digest
// part is dropped. The tag is empty if there is none.
func ParseRef(s string) Ref {
	s, _, _ = strings.Cut(s, "@")
	name, tag := s, ""
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, '/') {
		name, tag = s[:i], s[i+1:]
	}
	return Ref{Name: familiarName(name), Tag: tag}
}

func familiarName(name string) string {
	for _, p := range []string{"docker.io/library/", "index.docker.io/library/", "docker.io/", "index.docker.io/"} {
		if rest, ok := strings.CutPrefix(name, p); ok && rest != "" {
			return rest
		}
	}
	return name
}

// String is "name:tag", or the name alone.
func (r Ref) String() string {
	if r.Tag == "" {
		return r.Name
	}
	return r.Name + ":" + r.Tag
}

// IsZero reports whether there is no name.
func (r Ref) IsZero() bool { return r == Ref{} }

// Less orders references by name, then tag.
func (r Ref) Less(o Ref) bool {
	if r.Name != o.Name {
		return r.Name < o.Name
	}
	return r.Tag < o.Tag
}

// SWR reports whether the name lies in Huawei Cloud's SWR registry, which HSS
// calls a "swr_image"; every other is an "other_image".
func (r Ref) SWR() bool {
	host, _, ok := strings.Cut(r.Name, "/")
	return ok && strings.HasPrefix(host, "swr.") && strings.HasSuffix(host, ".myhuaweicloud.com")
}
