package main

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
)

const (
	// minIDDigits is the shortest beginning of an image ID that is taken
	// as one.
	minIDDigits = 4
	// maxSuggestions is how many names are offered for one not found.
	maxSuggestions = 3
)

// held is one image as one engine holds it.
type held struct {
	source image.Source
	image  image.Image
}

// A subject is one image content and everywhere it is held. The first place is
// read; the others stand in if it fails.
type subject struct {
	digest image.Digest
	places []held
}

// title is what to call the subject on the way.
func (s subject) title() string {
	for _, p := range s.places {
		if len(p.image.Names) > 0 {
			return p.image.Names[0].String()
		}
	}
	return s.digest.Short()
}

// gather joins images of the same content, in the order in which they first
// appear.
func gather(all []held) []subject {
	at := map[image.Digest]int{}
	var out []subject
	for _, h := range all {
		i, ok := at[h.image.ConfigDigest]
		if !ok {
			i = len(out)
			at[h.image.ConfigDigest] = i
			out = append(out, subject{digest: h.image.ConfigDigest})
		}
		out[i].places = append(out[i].places, h)
	}
	for _, s := range out {
		// A place that can be read comes before one that cannot.
		slices.SortStableFunc(s.places, func(a, b held) int {
			return cmp.Compare(min(1, len(a.image.NonScanReason)), min(1, len(b.image.NonScanReason)))
		})
	}
	return out
}

// find returns the images that target means, in the order of precedence that
// docker has: a whole digest, a name, the beginning of an ID. A name that
// engines give to different contents means all of them. Nothing found is
// fault.NotFound with names that are near, several contents whose ID begins
// alike are fault.Invalid.
func find(all []held, target string) ([]held, error) {
	if name, digest, ok := strings.Cut(target, "@"); ok {
		d, err := image.ParseDigest(digest)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", target, err)
		}
		ref := image.ParseRef(name).Name
		return found(all, target, func(i image.Image) bool {
			return slices.ContainsFunc(i.RepoDigests, func(rd string) bool {
				n, dd, _ := strings.Cut(rd, "@")
				return dd == string(d) && image.ParseRef(n).Name == ref
			})
		})
	}
	if d, err := image.ParseDigest(target); err == nil {
		return found(all, target, func(i image.Image) bool {
			return i.ConfigDigest == d || i.ManifestDigest == d
		})
	}
	ref := image.ParseRef(target)
	if ref.Tag == "" {
		ref.Tag = "latest"
	}
	named, err := found(all, target, func(i image.Image) bool { return slices.Contains(i.Names, ref) })
	if err == nil {
		return named, nil
	}
	if hex := strings.TrimPrefix(target, "sha256:"); isHex(hex) && len(hex) >= minIDDigits {
		byID, idErr := found(all, target, func(i image.Image) bool {
			return strings.HasPrefix(i.ConfigDigest.Hex(), hex) || strings.HasPrefix(i.ManifestDigest.Hex(), hex)
		})
		if contents := gather(byID); len(contents) > 1 {
			ids := make([]string, len(contents))
			for i, s := range contents {
				ids[i] = fmt.Sprintf("%s (%s)", s.digest.Short(), s.title())
			}
			return nil, fault.New(fault.Invalid, "image ID %s is ambiguous: it begins %s", target, strings.Join(ids, ", "))
		}
		if idErr == nil {
			return byID, nil
		}
	}
	return nil, err
}

// found selects images; of several platforms under one name it prefers this
// host's.
func found(all []held, target string, match func(image.Image) bool) ([]held, error) {
	var out, native []held
	for _, h := range all {
		if !match(h.image) {
			continue
		}
		out = append(out, h)
		if h.image.Platform.OS == "linux" && h.image.Platform.Arch == runtime.GOARCH {
			native = append(native, h)
		}
	}
	if len(native) > 0 {
		return native, nil
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, fault.New(fault.NotFound, "no image %q%s", target, suggestion(all, target))
}

// suggestion names what is nearest to target.
func suggestion(all []held, target string) string {
	want := image.ParseRef(target)
	type near struct {
		name     string
		distance int
	}
	var names []near
	seen := map[string]bool{}
	for _, h := range all {
		for _, r := range h.image.Names {
			s := r.String()
			if seen[s] {
				continue
			}
			seen[s] = true
			d := distance(want.Name, r.Name)
			if strings.Contains(r.Name, want.Name) {
				d = min(d, 1)
			}
			if d <= max(1, len(want.Name)/3) {
				names = append(names, near{s, d})
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.SortFunc(names, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	var out []string
	for _, n := range names[:min(len(names), maxSuggestions)] {
		out = append(out, n.name)
	}
	return "; did you mean " + strings.Join(out, " or ") + "?"
}

// distance is how many letters have to be put in, left out or changed to make
// b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}
