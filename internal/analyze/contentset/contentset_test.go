package contentset

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

func TestWants(t *testing.T) {
	for p, want := range map[string]bool{
		"/root/buildinfo/content_manifests/ubi9-container-9.4-947.json": true,
		"/usr/share/buildinfo/content-sets.json":                        true,
		"/root/buildinfo/Dockerfile-ubi9-9.4-947":                       false,
		"/app/content_manifests/a.json":                                 false,
	} {
		if got := New().Wants(p, nil); got != want {
			t.Errorf("%s: %v", p, got)
		}
	}
}

func TestSuite(t *testing.T) {
	analyzetest.Suite(t, New(), "/root/buildinfo/content_manifests/ubi9-container-9.4-947.json",
		[]byte(`{"metadata":{"icm_version":1},"content_sets":["rhel-9-for-x86_64-appstream-rpms","rhel-9-for-x86_64-baseos-eus-rpms"]}`))
}

func TestAnalyze(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"no sets", `{"metadata":{"icm_version":1}}`, ""},
		{"the release as a whole", `{"content_sets":["rhel-9-for-x86_64-baseos-rpms","rhel-9-for-x86_64-appstream-rpms"]}`, ""},
		{"extended updates", `{"content_sets":["rhel-9-for-x86_64-appstream-rpms","rhel-9-for-x86_64-baseos-eus-rpms"]}`, "eus"},
		{"for SAP", `{"content_sets":["rhel-8-for-x86_64-baseos-e4s-rpms","rhel-8-for-x86_64-baseos-eus-rpms"]}`, "e4s"},
		{"the servers of 7", `{"content_sets":["rhel-7-server-els-rpms"]}`, "els"},
		{"another product", `{"content_sets":["rhocp-4-eus-rpms","fast-eus-rpms"]}`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := analyzeText(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			var want *report.Facts
			if tc.want != "" {
				want = &report.Facts{OSRelease: map[string]string{report.KeyStream: tc.want}}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnalyzeRefuses(t *testing.T) {
	if _, err := analyzeText(`{"content_sets":`); err == nil {
		t.Error("a damaged manifest is taken")
	}
	sets := strings.Repeat(`"a",`, maxSets) + `"a"`
	if _, err := analyzeText(fmt.Sprintf(`{"content_sets":[%s]}`, sets)); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("too many sets: %v", err)
	}
	f := analyze.File{Path: oldDir + "a.json", Size: maxBytes + 1, Content: strings.NewReader("")}
	if _, err := New().Analyze(context.Background(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("too many bytes: %v", err)
	}
}

func analyzeText(s string) (*report.Facts, error) {
	return New().Analyze(context.Background(), analyze.File{Path: oldDir + "a.json", Size: int64(len(s)), Content: strings.NewReader(s)})
}
