package advisory

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/onceover/onceover/test/shareddata"
)

// shortStep is how many records there are for each one that tests read with
// -short. What they prove does not depend on the number; the time that the race
// detector takes does.
const shortStep = 12

// atLeast is how many of n shared records, or more, a test may ask for.
func atLeast(n int64) int64 {
	if testing.Short() {
		return n / shortStep / 2
	}
	return n
}

// shared is a file of the shared records: an archive, or kev.json. With -short
// it holds one in every shortStep of its records, if they are many.
func shared(t testing.TB, name string) []byte {
	t.Helper()
	if !testing.Short() {
		return inFull(t, name)
	}
	b, err := thinned(filepath.Join(shareddata.Dir(t), "osv", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// inFull is a file of the shared records as it is.
func inFull(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(shareddata.Dir(t), "osv", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sharedTo puts files of the shared records into dir.
func sharedTo(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), shared(t, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// thin holds what thinned has made, by path.
var thin sync.Map

func thinned(path string) ([]byte, error) {
	if b, ok := thin.Load(path); ok {
		return b.([]byte), nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var b []byte
	if filepath.Base(path) == FileKEV {
		b, err = thinCatalogue(raw, filepath.Join(filepath.Dir(path), "Alpine.zip"))
	} else {
		b, err = thinArchive(raw)
	}
	if err != nil {
		return nil, err
	}
	thin.Store(path, b)
	return b, nil
}

func thinArchive(raw []byte) ([]byte, error) {
	r, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	step := 1
	if len(r.File) > 50*shortStep {
		step = shortStep
	}
	for i := 0; i < len(r.File); i += step {
		if err := w.Copy(r.File[i]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// thinCatalogue keeps what the records of archive are about too.
func thinCatalogue(raw []byte, archive string) ([]byte, error) {
	type entry struct {
		ID    string `json:"cveID"`
		Added string `json:"dateAdded"`
	}
	var in, out struct {
		Vulnerabilities []entry `json:"vulnerabilities"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, err
	}
	records, err := thinned(archive)
	if err != nil {
		return nil, err
	}
	for i, e := range in.Vulnerabilities {
		if i%shortStep == 0 || bytes.Contains(records, []byte(e.ID+".json")) {
			out.Vulnerabilities = append(out.Vulnerabilities, e)
		}
	}
	return json.Marshal(out)
}
