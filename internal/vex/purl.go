package vex

import (
	"fmt"
	"strings"

	packageurl "github.com/package-url/packageurl-go"

	"github.com/onceover/onceover/internal/report"
)

// A purl is a package URL taken apart for comparison.
type purl struct {
	kind, namespace, name, version string
	qualifiers                     map[string]string
}

func parsePURL(s string) (purl, error) {
	u, err := packageurl.FromString(s)
	if err != nil {
		return purl{}, fmt.Errorf("package URL %q: %w", s, err)
	}
	p := purl{kind: u.Type, namespace: u.Namespace, name: u.Name, version: u.Version, qualifiers: u.Qualifiers.Map()}
	if p.kind == packageurl.TypeGolang {
		p.version = strings.TrimPrefix(p.version, "v")
	}
	return p, nil
}

// holds reports whether have is the package that p names. What p leaves open,
// a version or a qualifier, may be anything.
func (p purl) holds(have purl) bool {
	if p.kind != have.kind || p.namespace != have.namespace || p.name != have.name {
		return false
	}
	if p.version != "" && p.version != have.version {
		return false
	}
	for k, v := range p.qualifiers {
		if have.qualifiers[k] != v {
			return false
		}
	}
	return true
}

// candidates are the package URLs under which a package may be meant: its own,
// and for a package of a distribution that of its source.
func candidates(f *report.Finding) []purl {
	own, err := parsePURL(f.PURL)
	if err != nil {
		return nil
	}
	out := []purl{own}
	if p := f.Package; p.Source != "" && report.OSType(p.Type) {
		src := own
		src.name = p.Source
		if p.SourceVersion != "" {
			src.version = p.SourceVersion
		}
		src.qualifiers = map[string]string{}
		for k, v := range own.qualifiers {
			src.qualifiers[k] = v
		}
		src.qualifiers["arch"] = "source"
		out = append(out, src)
		src.qualifiers = own.qualifiers
		out = append(out, src)
	}
	return out
}

// An Image is what a statement's product is compared with.
type Image struct {
	// Names are "name:tag", as the engines know them.
	Names []string
	// RepoDigests are "name@sha256:…".
	RepoDigests []string
	// Digests of the manifest and the configuration, "sha256:…".
	Digests []string
	// PURLs of the packages in it.
	PURLs []string
}

// is reports whether p names the image: pkg:oci and pkg:docker, by the last part
// of the name, and by digest, tag and repository where they are given
// (https://github.com/package-url/purl-spec/blob/main/types/oci-definition.json).
func (p purl) is(img Image) bool {
	if p.kind != packageurl.TypeOCI && p.kind != packageurl.TypeDocker {
		return false
	}
	digest, tag := "", p.qualifiers["tag"]
	if strings.HasPrefix(p.version, "sha256:") {
		digest = p.version
	} else if p.version != "" {
		tag = p.version
	}
	repository := p.qualifiers["repository_url"]
	if p.kind == packageurl.TypeDocker && p.namespace != "" {
		repository = strings.TrimSuffix(repository, "/")
		if repository != "" {
			repository += "/"
		}
		repository += p.namespace + "/" + p.name
	}
	known := digest == ""
	for _, d := range img.Digests {
		known = known || d == digest
	}
	for _, d := range img.RepoDigests {
		_, have, _ := strings.Cut(d, "@")
		known = known || have == digest
	}
	if !known {
		return false
	}
	names := img.Names
	for _, d := range img.RepoDigests {
		if n, _, ok := strings.Cut(d, "@"); ok {
			names = append(names[:len(names):len(names)], n)
		}
	}
	if len(names) == 0 {
		return digest != "" // an image without a name is known by its digest
	}
	for _, n := range names {
		name, have := n, ""
		if i := strings.LastIndexByte(n, ':'); i > strings.LastIndexByte(n, '/') {
			name, have = n[:i], n[i+1:]
		}
		last := name[strings.LastIndexByte(name, '/')+1:]
		if last != p.name || tag != "" && tag != have {
			continue
		}
		if repository == "" || sameRepository(repository, name) {
			return true
		}
	}
	return false
}

// sameRepository compares names with and without what docker leaves out.
func sameRepository(a, b string) bool {
	short := func(s string) string {
		s = strings.ToLower(strings.TrimSuffix(s, "/"))
		s = strings.TrimPrefix(strings.TrimPrefix(s, "index."), "docker.io/")
		return strings.TrimPrefix(s, "library/")
	}
	return short(a) == short(b)
}
