package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/runtime/archive"
	"github.com/onceover/onceover/internal/vex"
)

// judgeFlags are the flags of commands that apply judgements to findings.
type judgeFlags struct {
	VEX         []string `name:"vex" help:"Apply the statements of a VEX document, OpenVEX or CSAF; repeatable." placeholder:"FILE" type:"path" env:"ONCEOVER_VEX"`
	VEXAttached bool     `name:"vex-attached" help:"Apply the OpenVEX statements that are attached to an image in an OCI layout too. Their signatures are not verified: whoever made the layout can set findings aside." env:"ONCEOVER_VEX_ATTACHED"`
	IgnoreFile  string   `help:"Apply the ignore rules in FILE. Default: ${ignore_file}, if it is there." placeholder:"FILE" type:"path" env:"ONCEOVER_IGNORE_FILE"`
}

// A judge applies what the user's documents say.
type judge struct {
	vex      vex.Judge
	attached bool
	names    []string // of documents that were read
	said     []string // warnings
}

// judge reads the documents that the flags name.
func (c *judgeFlags) judge(p *progress) (*judge, error) {
	j := &judge{attached: c.VEXAttached, vex: vex.Judge{Now: time.Now()}}
	for _, file := range c.VEX {
		d, err := vex.Load(file)
		if err != nil {
			return nil, err
		}
		j.vex.Documents = append(j.vex.Documents, d)
		j.names = append(j.names, d.Name)
	}
	file := c.IgnoreFile
	if file == "" {
		file = vex.RulesFile
	}
	rules, err := vex.LoadRules(file)
	switch {
	case c.IgnoreFile == "" && errors.Is(err, fs.ErrNotExist):
		return j, nil
	case err != nil:
		return nil, err
	}
	p.say("ignore rules: %s", file)
	j.vex.Rules = rules
	j.names = append(j.names, file)
	j.said = append(j.said, rules.Expired(j.vex.Now)...)
	return j, nil
}

// used names the documents that were read, sorted.
func (j *judge) used() []string {
	slices.Sort(j.names)
	return slices.Compact(j.names)
}

// warnings are what the user has to know about the documents, sorted.
func (j *judge) warnings() []string {
	slices.Sort(j.said)
	return slices.Compact(j.said)
}

// of returns the function that judges the findings of one image.
func (j *judge) of(ctx context.Context, sub subject, about export.Image, inv report.Inventory) (func(*report.Finding), error) {
	img := vex.Image{Names: about.Names, RepoDigests: about.RepoDigests, Digests: []string{string(about.ConfigDigest)}}
	for _, d := range about.ManifestDigests {
		img.Digests = append(img.Digests, string(d))
	}
	for _, p := range inv.Packages {
		img.PURLs = append(img.PURLs, report.PURL(p, inv.Distro))
	}
	var attached []*vex.Document
	for _, place := range sub.places {
		src, ok := place.source.(*archive.Source)
		if !ok {
			continue
		}
		ds, err := j.attachedTo(ctx, src, place.image, sub.title(), img.Digests)
		if err != nil {
			return nil, err
		}
		attached = append(attached, ds...)
	}
	if len(attached) == 0 {
		return j.vex.Image(img), nil
	}
	v := vex.Judge{Documents: append(j.vex.Documents[:len(j.vex.Documents):len(j.vex.Documents)], attached...), Rules: j.vex.Rules, Now: j.vex.Now}
	return v.Image(img), nil
}

// attachedTo reads the VEX documents that are attached to an image, or says that
// there are some that were not asked for.
func (j *judge) attachedTo(ctx context.Context, src *archive.Source, img image.Image, title string, digests []string) ([]*vex.Document, error) {
	found, err := src.Attached(ctx, img)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		j.said = append(j.said, fmt.Sprintf("%s: what is attached to it cannot be read: %v", title, err))
	}
	var out []*vex.Document
	for _, a := range found {
		d, err := vex.Attached(a.Name, a.Content, digests)
		switch {
		case err != nil:
			if j.attached {
				j.said = append(j.said, fmt.Sprintf("%s: attestation %s: %v", title, a.Name, err))
			}
		case d == nil:
		case j.attached:
			out = append(out, d)
		default:
			j.said = append(j.said, title+": VEX statements are attached to it and were not applied; --vex-attached applies them")
		}
	}
	if len(out) > 0 {
		j.said = append(j.said, title+": VEX statements of the image itself were applied, their signatures were not verified")
	}
	return out, nil
}
