package archive

import (
	"cmp"
	"encoding/json"
	"path"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

const (
	// maxImages bounds the images of one archive.
	maxImages = 1000
	// maxLayers bounds the layers of one image, as in package oci.
	maxLayers = 1000
)

// dockerEntries reads manifest.json of a docker-archive.
func dockerEntries(ms members) ([]entry, error) {
	b, err := readDocument(ms, "manifest.json", "")
	if fault.CodeOf(err) == fault.NotFound {
		return nil, fault.New(fault.Invalid, "no manifest.json: this is no archive of docker save (an OCI archive is read with %s:FILE)", KindOCIArchive)
	}
	if err != nil {
		return nil, err
	}
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		return nil, fault.New(fault.Invalid, "parse manifest.json: %w", err)
	}
	if len(manifest) > maxImages {
		return nil, fault.New(fault.TooLarge, "%d images: the limit is %d", len(manifest), maxImages)
	}
	var out []entry
	at := map[image.Digest]int{}
	for _, m := range manifest {
		if len(m.Layers) > maxLayers {
			return nil, fault.New(fault.TooLarge, "%d layers: the limit is %d", len(m.Layers), maxLayers)
		}
		raw, err := readConfig(ms, m.Config)
		if err != nil {
			return nil, err
		}
		id := image.DigestOf(raw)
		i, ok := at[id]
		if !ok {
			i = len(out)
			at[id] = i
			e := entry{img: image.Image{Engine: Engine, Locator: string(id), ConfigDigest: id}}
			for _, l := range m.Layers {
				name, err := cleanName(l)
				if err != nil {
					return nil, err
				}
				e.files = append(e.files, name)
			}
			e.fill(raw, ms)
			out = append(out, e)
		}
		for _, t := range m.RepoTags {
			if ref := image.ParseRef(t); !slices.Contains(out[i].img.Names, ref) {
				out[i].img.Names = append(out[i].img.Names, ref)
			}
		}
		sortRefs(out[i].img.Names)
	}
	return out, nil
}

// readConfig reads the configuration of an image. Every program that writes
// archives names it by its digest, in one of three ways.
func readConfig(ms members, file string) ([]byte, error) {
	name, err := cleanName(file)
	if err != nil {
		return nil, err
	}
	hex := strings.TrimSuffix(strings.TrimPrefix(path.Base(name), "sha256:"), ".json")
	want, err := image.ParseDigest(hex)
	if err != nil {
		want = ""
	}
	return readDocument(ms, name, want)
}

func sortRefs(refs []image.Ref) {
	slices.SortFunc(refs, func(a, b image.Ref) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Tag, b.Tag))
	})
}
