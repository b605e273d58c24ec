package baseline

import (
	"encoding/json"
	"fmt"

	"github.com/onceover/onceover/internal/report"
)

// ImageOf is what rules are asked about, of an image that was scanned: its
// settings of kind report.SettingBaseline and report.SettingLoose, and its configuration (ParseConfig),
// which may be nil. An error names the path of a fact that cannot be read, and
// never its content.
func ImageOf(inv report.Inventory, config []byte) (*Image, error) {
	d := inv.Distro
	im := &Image{Distribution: Distribution{ID: d.ID, VersionID: d.VersionID, Like: d.IDLike}}
	for _, s := range inv.Settings {
		if s.Kind != report.SettingBaseline && s.Kind != report.SettingLoose {
			continue
		}
		f := &File{}
		if err := json.Unmarshal(s.Body, f); err != nil {
			return nil, fmt.Errorf("read the facts of %s: not those of a file", s.Path)
		}
		f.Path = s.Path
		im.Files = append(im.Files, f)
	}
	if config == nil {
		return im, nil
	}
	var err error
	if im.Config, err = ParseConfig(config); err != nil {
		return nil, err
	}
	return im, nil
}
