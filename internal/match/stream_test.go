package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

func TestExtendedEcosystems(t *testing.T) {
	all := []string{
		"Red Hat:enterprise_linux:9::baseos", "Red Hat:rhel_aus:8.6::baseos", "Red Hat:rhel_els:7", "Red Hat:rhel_els:7::server",
		"Red Hat:rhel_eus:9.2::baseos", "Red Hat:rhel_eus:9.4::appstream", "Red Hat:rhel_eus:9.4::baseos", "Red Hat:rhel_eus:9.40",
	}
	for _, tc := range []struct {
		stream, version string
		want            []string
	}{
		{"", "9.4", []string{"Red Hat:enterprise_linux:9::baseos"}},
		{"eus", "9.4", []string{"Red Hat:rhel_eus:9.4::appstream", "Red Hat:rhel_eus:9.4::baseos", "Red Hat:enterprise_linux:9::baseos"}},
		{"eus", "9.6", []string{"Red Hat:enterprise_linux:9::baseos"}},
		{"aus", "8.6", []string{"Red Hat:rhel_aus:8.6::baseos", "Red Hat:enterprise_linux:8"}},
		{"els", "7.9", []string{"Red Hat:rhel_els:7", "Red Hat:rhel_els:7::server", "Red Hat:enterprise_linux:7"}},
	} {
		got := distroEcosystems(report.Distro{ID: "rhel", VersionID: tc.version, Stream: tc.stream}, all)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s %s: %s", tc.version, tc.stream, diff)
		}
	}
}
