package store

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/check/baseimage"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
)

// stacked is the configuration of an image of some layers, with steps in its
// history that made none.
func stacked(labels map[string]string, steps int, layers ...int) json.RawMessage {
	var ids []image.Digest
	history := []map[string]any{}
	for _, n := range layers {
		ids = append(ids, digest(n))
		history = append(history, map[string]any{"created_by": "COPY"})
	}
	for range steps {
		history = append(history, map[string]any{"created_by": "ENV", "empty_layer": true})
	}
	b, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": ids},
		"config": map[string]any{"Labels": labels}, "history": history,
	})
	if err != nil {
		panic(err)
	}
	return b
}

func TestBases(t *testing.T) { onEngines(t, testBases) }

func testBases(t *testing.T) {
	w := newWorld(t)
	configs := map[string]json.RawMessage{
		"base:1":    stacked(nil, 0, 1),
		"runtime:1": stacked(nil, 0, 1, 2),
		"app:1":     stacked(nil, 0, 1, 2, 3),
		"app:2":     stacked(nil, 1, 1, 2, 3), // FROM app:1, ENV
		"label:1":   stacked(map[string]string{"org.opencontainers.image.base.name": "docker.io/library/debian:12"}, 0, 5, 6),
		"alone:1":   stacked(nil, 0, 7, 8),
		"upside:1":  stacked(nil, 0, 2, 1),
		"new:1":     stacked(nil, 0, 1, 9),
	}
	var states []fleet.ImageState
	for _, name := range []string{"base:1", "runtime:1", "app:1", "app:2", "label:1", "alone:1", "upside:1"} {
		r := image.ParseRef(name)
		s := state(1, r)
		s.ConfigDigest, s.ManifestDigest = image.DigestOf(configs[name]), ""
		states = append(states, s)
	}
	k := w.agent("node", states...)
	if _, err := w.Scan(t.Context(), w.project(), ScanRequest{All: true, TaskType: TaskManual}); err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		l := layer(n)
		l.OSReleases["/etc/os-release"]["PRETTY_NAME"] = "Debian GNU/Linux 12 (bookworm)"
		if n == 3 || n == 8 {
			l.OSReleases = nil
		}
		if err := w.PutLayer(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	for _, j := range w.sync(k, maxLease, nil, nil).Jobs {
		for _, c := range configs {
			if image.DigestOf(c) != j.ConfigDigest {
				continue
			}
			cfg, err := image.ParseConfig(c)
			if err != nil {
				t.Fatal(err)
			}
			img := &fleet.ImageReport{ConfigDigest: j.ConfigDigest, Analyzers: testAnalyzers, DiffIDs: cfg.DiffIDs, Config: c}
			if err := w.Finish(t.Context(), k, j.ID, fleet.FinishRequest{Image: img}, w.ms()); err != nil {
				t.Fatal(err)
			}
		}
	}
	// One that was not scanned.
	s := state(1, ref("new", "1"))
	s.ConfigDigest, s.ManifestDigest = image.DigestOf(configs["new:1"]), ""
	w.sync(k, 0, nil, append(states, s))

	check := func() {
		t.Helper()
		for name, want := range map[string][]baseimage.Base{
			"base:1":    {{How: baseimage.BySystem, Layers: 1, LayerDigest: digest(1)}},
			"runtime:1": {{How: baseimage.ByLayers, Layers: 1, LayerDigest: digest(1), Names: []string{"base:1"}}},
			"app:1":     {{How: baseimage.ByLayers, Layers: 2, LayerDigest: digest(2), Names: []string{"runtime:1"}}, {How: baseimage.ByLayers, Layers: 1, LayerDigest: digest(1), Names: []string{"base:1"}}},
			"app:2": {{How: baseimage.ByLayers, Layers: 3, LayerDigest: digest(3), Names: []string{"app:1"}},
				{How: baseimage.ByLayers, Layers: 2, LayerDigest: digest(2), Names: []string{"runtime:1"}}, {How: baseimage.ByLayers, Layers: 1, LayerDigest: digest(1), Names: []string{"base:1"}}},
			"label:1":  {{How: baseimage.ByLabel, Names: []string{"debian:12"}}},
			"alone:1":  {{How: baseimage.BySystem, Layers: 1, LayerDigest: digest(7)}},
			"upside:1": {{How: baseimage.BySystem, Layers: 1, LayerDigest: digest(2)}},
			"new:1":    nil,
		} {
			got, err := w.Bases(t.Context(), w.project(), w.images()[name].ID, "")
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				want[i].OSName, want[i].OSVersion = "Debian GNU/Linux 12 (bookworm)", "12"
				for _, n := range want[i].Names {
					if want[i].How == baseimage.ByLayers {
						want[i].Digests = []image.Digest{image.DigestOf(configs[n])}
					}
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s: %s", name, d)
			}
		}
	}
	check()
	app := w.images()["app:1"].ID
	for name, want := range map[string]int{"ebi": 2, "alpine": 0} {
		if got, err := w.Bases(t.Context(), w.project(), app, name); err != nil || len(got) != want {
			t.Errorf("os_name %s: %v, %v", name, got, err)
		}
	}
	for _, in := range [][2]string{{w.project(), "nope"}, {"other", app}} {
		if _, err := w.Bases(t.Context(), in[0], in[1], ""); fault.CodeOf(err) != fault.NotFound {
			t.Errorf("%v: %v", in, err)
		}
	}

	// A store of the version before this one.
	if _, err := w.write.ExecContext(t.Context(), `UPDATE content_detail SET chain = '', steps = 0`); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Bases(t.Context(), w.project(), app, ""); err != nil || len(got) != 1 || got[0].How != baseimage.BySystem {
		t.Errorf("before chain IDs are known: %v, %v", got, err)
	}
	if n, err := w.fillChains(t.Context()); n != 7 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	check()
	if n, err := w.fillChains(t.Context()); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
}
