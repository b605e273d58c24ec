package layer

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/image"
)

// Large files go to the file that the caller gave, one after the other.
func TestSpoolGiven(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	long, short := strings.Repeat("long", 100), strings.Repeat("less", 50)
	b := tarOf(t, file("a", long), file("b", short), file("c", "small"))
	var got []string
	err = Options{Memory: 100, Spool: f}.Walk(context.Background(), blob(b, image.DigestOf(b)), func(e *Entry) error {
		c, err := e.Open()
		if err != nil {
			return err
		}
		defer c.Close()
		if fi, err := f.Stat(); err != nil || c.Size > 100 && fi.Size() != c.Size {
			t.Errorf("%s: %d bytes, the spool file holds %d, %v", e.Path, c.Size, fi.Size(), err)
		}
		content, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size))
		got = append(got, string(content))
		return err
	})
	if err != nil || len(got) != 3 || got[0] != long || got[1] != short || got[2] != "small" {
		t.Errorf("%v: %q", err, got)
	}
}
