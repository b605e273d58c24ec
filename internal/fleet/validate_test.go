package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

var digest = image.DigestOf([]byte("x"))

func goodSync() SyncRequest {
	images := []ImageState{{Engine: "docker", ConfigDigest: digest, Names: []image.Ref{{Name: "a", Tag: "b"}}}}
	return SyncRequest{Host: Host{ID: "h", Name: "n", PrivateIP: "10.0.0.1"}, Analyzers: "k", ImagesHash: "x", Images: &images}
}

func TestSyncLimits(t *testing.T) {
	long := strings.Repeat("x", MaxText+1)
	tests := []struct {
		name string
		do   func(r *SyncRequest)
	}{
		{"no host", func(r *SyncRequest) { r.Host.ID = "" }},
		{"long host id", func(r *SyncRequest) { r.Host.ID = long }},
		{"long host name", func(r *SyncRequest) { r.Host.Name = long }},
		{"control characters", func(r *SyncRequest) { r.Host.Name = "a\x1b[2J" }},
		{"not UTF-8", func(r *SyncRequest) { r.Host.OS = "\xff" }},
		{"IPv6", func(r *SyncRequest) { r.Host.PrivateIP = "::1" }},
		{"no address", func(r *SyncRequest) { r.Host.PublicIP = "10.0.0" }},
		{"engines", func(r *SyncRequest) { r.Host.Engines = make([]Engine, MaxEngines+1) }},
		{"engine error", func(r *SyncRequest) { r.Host.Engines = []Engine{{Error: strings.Repeat("x", MaxMessage+1)}} }},
		{"no analysers", func(r *SyncRequest) { r.Analyzers = "" }},
		{"malformed analysers", func(r *SyncRequest) { r.Analyzers = "a/b" }},
		{"no hash", func(r *SyncRequest) { r.ImagesHash = "" }},
		{"holds", func(r *SyncRequest) { r.Holds = slices.Repeat([]string{"j"}, MaxHolds+1) }},
		{"malformed hold", func(r *SyncRequest) { r.Holds = []string{"a b"} }},
		{"malformed version of words", func(r *SyncRequest) { r.WordsVersion = "a b" }},
		{"want", func(r *SyncRequest) { r.Want = MaxHolds + 1 }},
		{"negative want", func(r *SyncRequest) { r.Want = -1 }},
		{"images", func(r *SyncRequest) { *r.Images = slices.Repeat(*r.Images, MaxImages+1) }},
		{"no engine", func(r *SyncRequest) { (*r.Images)[0].Engine = "" }},
		{"no digest", func(r *SyncRequest) { (*r.Images)[0].ConfigDigest = "" }},
		{"bare digest", func(r *SyncRequest) { (*r.Images)[0].ConfigDigest = image.Digest(digest.Hex()) }},
		{"manifest digest", func(r *SyncRequest) { (*r.Images)[0].ManifestDigest = "sha256:x" }},
		{"names", func(r *SyncRequest) { (*r.Images)[0].Names = make([]image.Ref, MaxNames+1) }},
		{"repo digests", func(r *SyncRequest) { (*r.Images)[0].RepoDigests = make([]string, MaxNames+1) }},
		{"containers", func(r *SyncRequest) { (*r.Images)[0].Containers = make([]image.Container, MaxContainers+1) }},
		{"long tag", func(r *SyncRequest) { (*r.Images)[0].Names[0].Tag = long }},
		{"container text", func(r *SyncRequest) { (*r.Images)[0].Containers = []image.Container{{PodName: "a\nb"}} }},
		{"size", func(r *SyncRequest) { (*r.Images)[0].Size = -1 }},
	}
	good := goodSync()
	good.WaitMS = 1 << 30
	if err := good.validate(); err != nil {
		t.Fatal(err)
	}
	if good.WaitMS != int(MaxWait.Milliseconds()) {
		t.Errorf("wait %d", good.WaitMS)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := goodSync()
			tt.do(&r)
			if err := r.validate(); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What the server says is checked as well; a word is not repeated.
func TestWordsLimits(t *testing.T) {
	if err := (&SyncResponse{WordsVersion: "v", Words: &[]string{"a", "日本"}}).validate(); err != nil {
		t.Error(err)
	}
	for name, r := range map[string]SyncResponse{
		"no version":        {Words: &[]string{"a"}},
		"malformed version": {WordsVersion: "a b", Words: &[]string{}},
		"empty":             {WordsVersion: "v", Words: &[]string{""}},
		"long":              {WordsVersion: "v", Words: new([]string{strings.Repeat("w", MaxWordBytes+1)})},
		"not UTF-8":         {WordsVersion: "v", Words: &[]string{"\xff"}},
		"too many":          {WordsVersion: "v", Words: new(slices.Repeat([]string{"w"}, MaxWords+1))},
	} {
		if err := r.validate(); fault.CodeOf(err) != fault.Invalid || strings.Contains(err.Error(), "ww") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever an engine says, Trim makes it pass.
func TestTrimmedListIsValid(t *testing.T) {
	wild := ImageState{
		Engine: "docker", ConfigDigest: digest, NonScanReason: strings.Repeat("é", MaxText), Size: -5,
		Platform:    image.Platform{OS: "l\x00inux"},
		Names:       slices.Repeat([]image.Ref{{Name: "a\x1b[31m", Tag: strings.Repeat("t", MaxText+9)}}, MaxNames+3),
		RepoDigests: slices.Repeat([]string{"\xff\xfe"}, MaxNames+3),
		Containers:  slices.Repeat([]image.Container{{Name: "a\nb", EntryPoint: strings.Repeat("漢", MaxText)}}, MaxContainers+1),
	}
	r := goodSync()
	images := Trim(append([]ImageState{wild}, slices.Repeat(*r.Images, MaxImages)...))
	r.Images = &images
	if err := r.validate(); err != nil {
		t.Error(err)
	}
	if len(images) != MaxImages {
		t.Errorf("%d images", len(images))
	}
}

func TestLayerLimits(t *testing.T) {
	good := func() *report.LayerReport {
		return &report.LayerReport{
			DiffID: string(digest), Analyzers: "k", Complete: true,
			Packages:  []report.Package{{Type: "gem", Name: "a", Path: "/a.jar!/../b", Layer: "forged", OwnedBy: "deb:x"}},
			Databases: []report.Database{{Path: "/db", Packages: []report.Package{{Type: "deb", Name: "b", Path: "/db"}}}},
			Whiteouts: []string{"/z", "/a"}, Symlinks: map[string]string{"/l": "../x"},
			Problems:  []report.Problem{{Layer: "forged", Message: "m"}},
			FilesRead: true, Files: []report.File{{Path: "/bin/a", Size: 1, Mode: 0o755, Kind: report.KindELF, Layer: "forged"}},
		}
	}
	r := good()
	if err := validateLayer(r); err != nil {
		t.Fatal(err)
	}
	if r.Packages[0].Layer != "" || r.Packages[0].OwnedBy != "" || r.Problems[0].Layer != "" || r.Files[0].Layer != "" {
		t.Error("what the merge says was taken from the agent")
	}
	if !slices.Equal(r.Whiteouts, []string{"/a", "/z"}) {
		t.Errorf("not in order: %v", r.Whiteouts)
	}
	tests := []struct {
		name string
		do   func(r *report.LayerReport)
	}{
		{"no diff ID", func(r *report.LayerReport) { r.DiffID = "" }},
		{"no analysers", func(r *report.LayerReport) { r.Analyzers = "" }},
		{"packages", func(r *report.LayerReport) { r.Packages = make([]report.Package, MaxPackages+1) }},
		{"packages of databases", func(r *report.LayerReport) { r.Databases[0].Packages = make([]report.Package, MaxPackages) }},
		{"problems", func(r *report.LayerReport) { r.Problems = make([]report.Problem, MaxProblems+1) }},
		{"package without a type", func(r *report.LayerReport) { r.Packages[0].Type = "" }},
		{"package without a name", func(r *report.LayerReport) { r.Databases[0].Packages[0].Name = "" }},
		{"relative path", func(r *report.LayerReport) { r.Packages[0].Path = "a" }},
		{"path that climbs", func(r *report.LayerReport) { r.Packages[0].Path = "/../a" }},
		{"database without a path", func(r *report.LayerReport) { r.Databases[0].Path = "" }},
		{"whiteout", func(r *report.LayerReport) { r.Whiteouts[0] = "z" }},
		{"symlink", func(r *report.LayerReport) { r.Symlinks["l"] = "x" }},
		{"files", func(r *report.LayerReport) { r.Files = make([]report.File, report.MaxFiles+1) }},
		{"file without a path", func(r *report.LayerReport) { r.Files[0].Path = "bin/a" }},
		{"empty file", func(r *report.LayerReport) { r.Files[0].Size = 0 }},
		{"mode of a file", func(r *report.LayerReport) { r.Files[0].Mode = 0o100755 }},
		{"kind of a file", func(r *report.LayerReport) { r.Files[0].Kind = "virus" }},
		{"files that were not looked for", func(r *report.LayerReport) { r.FilesRead = false }},
		{"os-release", func(r *report.LayerReport) { r.OSReleases = map[string]map[string]string{"x": nil} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			tt.do(r)
			if err := validateLayer(r); fault.CodeOf(err) != fault.Invalid {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestFinishLimits(t *testing.T) {
	good := func() FinishRequest {
		config, _ := json.Marshal(map[string]any{"rootfs": map[string]any{"diff_ids": []image.Digest{digest}}})
		return FinishRequest{Image: &ImageReport{
			ConfigDigest: digest, Analyzers: "k", DiffIDs: []image.Digest{digest}, Config: config,
			Partial: []report.LayerReport{{DiffID: string(digest), Analyzers: "k"}},
		}}
	}
	r := good()
	r.Message = "a\x00" + strings.Repeat("x", MaxMessage)
	if err := r.validate(); err != nil {
		t.Fatal(err)
	}
	if len(r.Message) != MaxMessage || r.Message[1] != ' ' {
		t.Errorf("message of %d bytes", len(r.Message))
	}
	tests := []struct {
		name string
		do   func(r *FinishRequest)
	}{
		{"neither", func(r *FinishRequest) { r.Image = nil }},
		{"unknown failure", func(r *FinishRequest) { r.Failure = "bad_luck" }},
		{"no digest", func(r *FinishRequest) { r.Image.ConfigDigest = "" }},
		{"no analysers", func(r *FinishRequest) { r.Image.Analyzers = "" }},
		{"no config", func(r *FinishRequest) { r.Image.Config = nil }},
		{"large config", func(r *FinishRequest) { r.Image.Config = make([]byte, image.MaxConfigBytes+1) }},
		{"layers", func(r *FinishRequest) { r.Image.DiffIDs = slices.Repeat(r.Image.DiffIDs, MaxLayers+1) }},
		{"fewer layers", func(r *FinishRequest) { r.Image.DiffIDs = nil }},
		{"other layers", func(r *FinishRequest) { r.Image.DiffIDs[0] = image.DigestOf(nil) }},
		{"partials", func(r *FinishRequest) { r.Image.Partial = append(r.Image.Partial, r.Image.Partial...) }},
		{"complete partial", func(r *FinishRequest) { r.Image.Partial[0].Complete = true }},
		{"foreign partial", func(r *FinishRequest) { r.Image.Partial[0].DiffID = string(image.DigestOf(nil)) }},
		{"partial of other analysers", func(r *FinishRequest) { r.Image.Partial[0].Analyzers = "l" }},
		{"malformed partial", func(r *FinishRequest) { r.Image.Partial[0].Whiteouts = []string{"x"} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			tt.do(&r)
			if err := r.validate(); fault.CodeOf(err) != fault.Invalid && fault.CodeOf(err) != fault.TooLarge {
				t.Errorf("got %v", err)
			}
		})
	}
	failed := FinishRequest{Failure: FailureTimeout, Image: &ImageReport{}}
	if err := failed.validate(); err != nil || failed.Image != nil {
		t.Errorf("failure: %v, image %v", err, failed.Image)
	}
}

func TestMissingLimits(t *testing.T) {
	r := MissingRequest{Analyzers: "k", DiffIDs: slices.Repeat([]image.Digest{digest}, MaxLayers)}
	if err := r.validate(); err != nil {
		t.Error(err)
	}
	r.DiffIDs = append(r.DiffIDs, digest)
	if err := r.validate(); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("got %v", err)
	}
}

func TestFaultsSurviveTheWire(t *testing.T) {
	for c := fault.Internal; c <= fault.Unsupported; c++ {
		if got := codeOf(statusOf(c)); got != c {
			t.Errorf("%v became %v", c, got)
		}
	}
}

func TestObjectsAreCountedOutsideOfTexts(t *testing.T) {
	for body, want := range map[string]int{
		`{"a":{},"b":[{},{}]}`:           4,
		`{"a":"{{{","b":"\\\"{","c":{}}`: 2,
		`"{`:                             0,
	} {
		c := &objectCounter{r: iotest.OneByteReader(strings.NewReader(body)), left: 100}
		if _, err := io.Copy(io.Discard, c); err != nil || 100-c.left != want {
			t.Errorf("%s: %d objects, %v, want %d", body, 100-c.left, err, want)
		}
	}
	c := &objectCounter{r: strings.NewReader("[{},{},{}]"), left: 2}
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, errObjects) {
		t.Errorf("got %v", err)
	}
}

// An answer that nobody writes is 200, which says that a job is finished.
func TestNoSuccessWhenTheRequestWasCut(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	s := NewServer(ServerConfig{})
	s.fail(w, httptest.NewRequestWithContext(ctx, "POST", PathJobs+"x/finish", nil), ctx.Err())
	if w.Code != 503 {
		t.Errorf("status %d", w.Code)
	}
}
