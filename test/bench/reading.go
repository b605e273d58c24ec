package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/cache"
	"github.com/onceover/onceover/internal/runtime"
	"github.com/onceover/onceover/internal/scan"
)

// readArg makes this program read the layers of images in an engine and do
// nothing else: each layer as often as an image refers to it, or once.
//
//	read-layers (each|once) SOCKET IMAGE...
const readArg = "read-layers"

// layersRead is what it says.
type layersRead struct {
	Layers int64
}

func readLayers(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 3 {
		return errors.New("usage: read-layers each|once SOCKET and one or more images")
	}
	cfg := scan.Config{Set: all.Set()}
	if args[0] == "once" {
		c, err := cache.New(cache.Config{})
		if err != nil {
			return err
		}
		defer c.Close()
		cfg.Cache = c
	}
	sources, _ := runtime.Discover(ctx, runtime.Config{Docker: []string{args[1]}, Containerd: []string{}, Storage: []string{}})
	defer runtime.CloseAll(sources...)
	wanted := map[string]bool{}
	for _, n := range args[2:] {
		wanted[n] = true
	}
	s := scan.New(cfg)
	for _, src := range sources {
		images, err := src.Images(ctx)
		if err != nil {
			continue // another engine of this machine
		}
		for _, img := range images {
			for _, n := range img.Names {
				if !wanted[n.String()] {
					continue
				}
				delete(wanted, n.String())
				if _, err := s.Image(ctx, src, img, nil); err != nil {
					return err
				}
				break
			}
		}
	}
	if len(wanted) > 0 {
		return fmt.Errorf("not in the engine: %v", wanted)
	}
	return json.NewEncoder(out).Encode(layersRead{Layers: s.Stats().LayersAnalyzed})
}
