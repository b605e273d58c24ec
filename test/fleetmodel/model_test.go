package fleetmodel

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/test/shareddata"
)

func TestMake(t *testing.T) {
	to := filepath.Join(t.TempDir(), "a.db")
	ctx := context.Background()
	if _, err := advisory.Build(ctx, advisory.BuildOptions{From: filepath.Join(shareddata.Dir(t), "osv"), To: to}); err != nil {
		t.Fatal(err)
	}
	db, err := advisory.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	p := Tenth
	f, err := Make(ctx, db, p)
	if err != nil {
		t.Fatal(err)
	}
	per, pairs := 0, 0
	for _, i := range f.Images {
		seen := map[int32]bool{}
		for _, part := range i.Parts {
			for _, pk := range f.Parts[part].Packages {
				seen[pk] = true
			}
		}
		per += len(seen)
	}
	for _, part := range f.Parts {
		pairs += len(part.Packages)
	}
	t.Logf("%d hosts, %d images, %d packages, %d parts with %d packages, %d packages an image",
		len(f.Hosts), len(f.Images), len(f.Packages), len(f.Parts), pairs, per/len(f.Images))
	if got := per / len(f.Images); got < p.PerImage*8/10 || got > p.PerImage*12/10 {
		t.Errorf("%d packages an image, want about %d", got, p.PerImage)
	}
	if got := len(f.Packages); got < p.Packages*8/10 || got > p.Packages*13/10 {
		t.Errorf("%d packages, want about %d", got, p.Packages)
	}
}
