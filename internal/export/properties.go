package export

import (
	"strconv"

	"github.com/onceover/onceover/internal/report"
)

// What bills of materials say of images and packages beside the members that their
// formats have: the same names in each, with propertyPrefix before them. add leaves
// empty values out.

// identify tells what an image is called and known by.
func identify(im *Image, add func(name, value string)) {
	for _, n := range im.Names {
		add("image:name", n)
	}
	for _, n := range im.RepoDigests {
		add("image:repo-digest", n)
	}
	add("image:config-digest", string(im.ConfigDigest))
	for _, m := range im.ManifestDigests {
		add("image:manifest-digest", string(m))
	}
}

// describe tells what an image is made of, and what could not be read of it.
func describe(im *Image, add func(name, value string)) {
	add("image:platform", im.Platform)
	for _, l := range im.Layers {
		add("image:layer", string(l.DiffID))
	}
	add("image:complete", strconv.FormatBool(im.Complete))
	add("image:error", im.Error)
	for _, p := range im.Problems {
		add("image:problem", problemText(p))
	}
}

// describePackage tells where a package is from.
func describePackage(p report.Package, add func(name, value string)) {
	add("package:type", p.Type)
	add("package:layer", p.Layer)
	add("package:source", p.Source)
	add("package:source-version", p.SourceVersion)
	add("package:module", p.Module)
	add("package:owned-by", p.OwnedBy)
}
