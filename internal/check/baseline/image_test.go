package baseline

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/report"
)

func TestImageOf(t *testing.T) {
	f, err := Facts("/etc/ssh/sshd_config", Stat{Mode: 0o600, Size: 20}, []byte("PermitRootLogin no\n"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	inv := report.Inventory{
		Distro: report.Distro{ID: "alinux", VersionID: "3", IDLike: []string{"rhel"}},
		Settings: []report.Setting{
			{Kind: report.SettingBaseline, Path: f.Path, Body: b},
			{Kind: report.SettingAccounts, Path: "/etc/shadow", Body: []byte("{}")},
		},
	}
	im, err := ImageOf(inv, []byte(`{"config":{"User":"app"}}`))
	if err != nil {
		t.Fatal(err)
	}
	config, err := ParseConfig([]byte(`{"config":{"User":"app"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Image{Files: []*File{f}, Distribution: Distribution{ID: "alinux", VersionID: "3", Like: []string{"rhel"}}, Config: config}
	if diff := cmp.Diff(want, im); diff != "" {
		t.Error(diff)
	}
	if im, err := ImageOf(inv, nil); err != nil || im.Config != nil {
		t.Errorf("without a configuration: got %+v, %v", im, err)
	}
	inv.Settings[0].Body = []byte(`["secret"]`)
	if _, err := ImageOf(inv, nil); err == nil || !strings.Contains(err.Error(), f.Path) || strings.Contains(err.Error(), "secret") {
		t.Errorf("damaged: got %v", err)
	}
}
