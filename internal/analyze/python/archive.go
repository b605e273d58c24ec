package python

import (
	"archive/zip"
	"context"
	"io"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

// archive reads the metadata in a ZIP file that Python imports from: a zipped
// egg, or an application (zipapp, shiv, pex) with a line for the kernel before the
// archive.
func archive(ctx context.Context, f analyze.File) (*report.Facts, error) {
	z, err := analyze.OpenZip(ctx, f)
	if z == nil || err != nil {
		return nil, err // an egg that is a directory's link, a script
	}
	facts := &report.Facts{}
	var problems analyze.Problems
	read := 0
	for _, e := range z.Files {
		if !isMetadata("/" + e.Name) {
			continue
		}
		if read++; read > maxDistributions {
			return facts, analyze.Limited("distributions", int64(read), maxDistributions)
		}
		pkg, err := entry(ctx, f, e)
		switch {
		case z.Err() != nil:
			return facts, z.Err()
		case err != nil:
			problems.Add(f.Path, key, "%s: %v", analyze.Clip(e.Name), err)
		case pkg != nil:
			facts.Packages = append(facts.Packages, *pkg)
		}
	}
	facts.Problems = problems.List()
	if len(facts.Packages) == 0 && len(facts.Problems) == 0 {
		return nil, nil
	}
	return facts, nil
}

// entry reads one metadata file of an archive. Its description can be long and
// is not inflated.
func entry(ctx context.Context, f analyze.File, e *zip.File) (*report.Package, error) {
	r, err := e.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return parse(ctx, io.LimitReader(r, maxHeadBytes), f.Path+"!"+e.Name)
}
