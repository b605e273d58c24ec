package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// shapeOf says how large the images of a docker-archive are, counted in the
// archive itself.
func shapeOf(archive string) (string, error) {
	f, err := os.Open(archive)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var manifest []struct{ Layers []string }
	type shape struct{ bytes, files int64 }
	layers := map[string]shape{}
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		if h.Name == "manifest.json" {
			if err := json.NewDecoder(r).Decode(&manifest); err != nil {
				return "", err
			}
			continue
		}
		s := shape{bytes: h.Size}
		for in := tar.NewReader(r); ; {
			e, err := in.Next()
			if err != nil {
				break // a configuration, or the end
			}
			if e.Typeflag == tar.TypeReg {
				s.files++
			}
		}
		layers[h.Name] = s
	}
	var all shape
	references := 0
	seen := map[string]bool{}
	for _, m := range manifest {
		references += len(m.Layers)
		for _, l := range m.Layers {
			if !seen[l] {
				seen[l] = true
				all.bytes += layers[l].bytes
				all.files += layers[l].files
			}
		}
	}
	return fmt.Sprintf("%.2f GB in %d regular files; %d layers, %d of them distinct.", float64(all.bytes)/1e9, all.files, references, len(seen)), nil
}
