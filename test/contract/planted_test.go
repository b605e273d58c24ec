package contract

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	hss "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/hss/v5/model"

	"github.com/onceover/onceover/test/planted"
)

// A plantedAsk is an operation about the planted image or the clean one.
type plantedAsk struct {
	name string
	// ask returns the rows of the image, by what names them.
	ask func(a *plantedAsker) ([]string, error)
	// want are rows that the planted image has to have.
	want func(p *planted.Plot) []string
	// clean are the rows of the clean image: most often none.
	clean []string
}

// A plantedAsker asks one server about one image.
type plantedAsker struct {
	*hss.HssClient
	t         *testing.T
	id        string
	name, tag string
}

// limit is the size of all pages: small, so that there are several.
const limit = 20

// pages asks for pages until one is empty, and holds that total_num says how
// many rows there are.
func pages[T any](total func(offset int32) (int64, *[]T, error), key func(T) string) ([]string, error) {
	rows := []string{}
	for {
		n, list, err := total(int32(len(rows)))
		if err != nil {
			return nil, err
		}
		if list == nil {
			return nil, fmt.Errorf("no data_list, total_num %d", n)
		}
		if len(*list) == 0 || len(rows) > 100*limit {
			if int(n) != len(rows) {
				return nil, fmt.Errorf("total_num %d, rows %d", n, len(rows))
			}
			return rows, nil
		}
		for _, r := range *list {
			rows = append(rows, key(r))
		}
	}
}

// of is what a pointer points at, its zero value if there is none.
func of[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// outer is the path of the archive in that of an entry: "a.zip!b".
func outer(path string) string {
	path, _, _ = strings.Cut(path, "!")
	return path
}

// only are the rows that begin with a name, without it.
func only(rows []string, err error, name string) ([]string, error) {
	out := []string{}
	for _, r := range rows {
		if rest, ok := strings.CutPrefix(r, name+" "); ok {
			out = append(out, rest)
		}
	}
	return out, err
}

const localImage = "local_image"

func plantedAsks() []plantedAsk {
	return []plantedAsk{
		{
			name: "ListImageMalware",
			ask: func(a *plantedAsker) ([]string, error) {
				return pages(func(at int32) (int64, *[]model.ImageMalwareInfo, error) {
					r, err := a.ListImageMalware(&model.ListImageMalwareRequest{ImageId: a.id, ImageType: localImage, Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(m model.ImageMalwareInfo) string { return outer(of(m.FilePath)) })
			},
			want: func(p *planted.Plot) []string { return slices.Sorted(maps.Keys(p.Malware)) },
		},
		{
			name: "ListGlobalMalware",
			ask: func(a *plantedAsker) ([]string, error) {
				rows, err := pages(func(at int32) (int64, *[]model.GlobalMalwareInfo, error) {
					r, err := a.ListGlobalMalware(&model.ListGlobalMalwareRequest{ImageType: localImage, Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(m model.GlobalMalwareInfo) string { return of(m.ImageName) + " " + outer(of(m.FilePath)) })
				return only(rows, err, a.name)
			},
			want: func(p *planted.Plot) []string { return slices.Sorted(maps.Keys(p.Malware)) },
		},
		{
			name: "ListImageSensitive",
			ask: func(a *plantedAsker) ([]string, error) {
				return pages(func(at int32) (int64, *[]model.ImageSensitiveInfo, error) {
					r, err := a.ListImageSensitive(&model.ListImageSensitiveRequest{ImageId: a.id, ImageType: localImage, Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(s model.ImageSensitiveInfo) string { return of(s.FilePath) })
			},
			want: func(p *planted.Plot) []string { return slices.Sorted(maps.Keys(p.Kinds)) },
		},
		{
			name: "ListImageSensitiveInfo",
			ask: func(a *plantedAsker) ([]string, error) {
				return pages(func(at int32) (int64, *[]model.ImageSensitiveInfo, error) {
					r, err := a.ListImageSensitiveInfo(&model.ListImageSensitiveInfoRequest{ImageType: new(localImage), Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(s model.ImageSensitiveInfo) string { return of(s.FilePath) })
			},
			// A secret that a later layer deletes is among them.
			want: func(p *planted.Plot) []string { return []string{p.Deleted} },
		},
		{
			name:  "ListImageRiskConfigs",
			ask:   func(a *plantedAsker) ([]string, error) { return a.riskConfigs() },
			want:  func(*planted.Plot) []string { return []string{"hw_standard Debian 12", "hw_standard SSH"} },
			clean: nil,
		},
		{
			name: "ListImageRiskConfigRules",
			ask:  func(a *plantedAsker) ([]string, error) { return a.failedRules() },
			want: func(*planted.Plot) []string { return failsHere },
		},
		{
			name: "ShowImageCheckRuleDetail",
			ask: func(a *plantedAsker) ([]string, error) {
				rules := []string{"hw_standard SSH " + failsHere[0]}
				if a.name == planted.CleanName {
					rules = nil
				}
				out := []string{}
				for _, r := range rules {
					f := strings.Fields(r)
					d, err := a.ShowImageCheckRuleDetail(&model.ShowImageCheckRuleDetailRequest{ImageType: localImage, ImageId: &a.id, Standard: f[0], CheckName: f[1], CheckType: f[1], CheckRuleId: f[2]})
					if err != nil {
						return nil, err
					}
					if of(d.Description) == "" || of(d.Audit) == "" || of(d.Remediation) == "" || len(of(d.CheckInfoList)) == 0 {
						return nil, fmt.Errorf("detail without a part: %v", d)
					}
					for _, k := range *d.CheckInfoList {
						if of(k.CurrentValue) == "" || of(k.SuggestValue) == "" {
							return nil, fmt.Errorf("case without what was found or is wanted: %v", k)
						}
					}
					out = append(out, f[2])
				}
				return out, nil
			},
			want: func(*planted.Plot) []string { return failsHere[:1] },
		},
		{
			name: "ShowImageBaselineStatistic",
			ask: func(a *plantedAsker) ([]string, error) {
				r, err := a.ShowImageBaselineStatistic(&model.ShowImageBaselineStatisticRequest{ImageType: localImage, ImageId: &a.id})
				if err != nil {
					return nil, err
				}
				out := []string{}
				for what, n := range map[string]*int32{"weak passwords": r.ImageWeakPwd, "password policy": r.PwdPolicy, "settings": r.SecurityCheck} {
					if of(n) > 0 {
						out = append(out, what)
					}
				}
				return out, nil
			},
			want: func(*planted.Plot) []string { return []string{"password policy", "settings", "weak passwords"} },
		},
		{
			name: "ListCheckRulesInfo",
			ask: func(a *plantedAsker) ([]string, error) {
				return pages(func(at int32) (int64, *[]model.ImageCheckRuleResponseInfo, error) {
					r, err := a.ListCheckRulesInfo(&model.ListCheckRulesInfoRequest{Type: "image", ImageType: localImage, ImageId: &a.id, ScanResult: new("failed"), Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(r model.ImageCheckRuleResponseInfo) string { return of(r.CheckRuleId) })
			},
			want: func(*planted.Plot) []string { return failsHere },
		},
		{
			name: "ListCheckRuleResources",
			ask: func(a *plantedAsker) ([]string, error) {
				rows, err := pages(func(at int32) (int64, *[]model.CheckRuleImageResponseInfo, error) {
					r, err := a.ListCheckRuleResources(&model.ListCheckRuleResourcesRequest{Type: "image", ImageType: localImage, Standard: "hw_standard", CheckName: "SSH", CheckRuleId: failsHere[0],
						ScanResult: new("failed"), Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(r model.CheckRuleImageResponseInfo) string { return of(r.ImageName) + " " + of(r.ImageVersion) })
				return only(rows, err, a.name)
			},
			want: func(*planted.Plot) []string { return []string{"1"} },
		},
		{
			name: "ListImageWeakPwdUsers",
			ask: func(a *plantedAsker) ([]string, error) {
				return pages(func(at int32) (int64, *[]model.ImageWeakPwdListInfoResponseInfo, error) {
					r, err := a.ListImageWeakPwdUsers(&model.ListImageWeakPwdUsersRequest{ImageType: localImage, ImageId: &a.id, Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(r model.ImageWeakPwdListInfoResponseInfo) string { return of(r.UserName) })
			},
			want: func(p *planted.Plot) []string { return p.Users },
		},
		{
			name: "ListImagePwdComplexity",
			ask: func(a *plantedAsker) ([]string, error) {
				rows, err := pages(func(at int32) (int64, *[]model.ImagePwdComplexityInfoResponseInfo, error) {
					r, err := a.ListImagePwdComplexity(&model.ListImagePwdComplexityRequest{ImageType: new(localImage), ImageName: &a.name, Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return of(r.TotalNum), r.DataList, nil
				}, func(r model.ImagePwdComplexityInfoResponseInfo) string {
					return fmt.Sprintf("%s length %v, special %v", of(r.ImageName), of(r.MinLength), of(r.SpecialCharacter))
				})
				return only(rows, err, a.name)
			},
			want: func(*planted.Plot) []string { return []string{"length false, special false"} },
			// What the clean image demands of passwords is listed too.
			clean: []string{"length true, special true"},
		},
		{
			name: "ListImageNonCompliantApp",
			ask: func(a *plantedAsker) ([]string, error) {
				return pages(func(at int32) (int64, *[]model.ImageNonCompliantAppInfo, error) {
					r, err := a.ListImageNonCompliantApp(&model.ListImageNonCompliantAppRequest{ImageId: a.id, ImageType: localImage, Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(r model.ImageNonCompliantAppInfo) string { return of(r.AppName) })
			},
			want: func(p *planted.Plot) []string { return []string{p.Denied} },
		},
		{
			name: "ListImageBasicImage",
			ask: func(a *plantedAsker) ([]string, error) {
				return pages(func(at int32) (int64, *[]model.ImageBasicImageInfo, error) {
					r, err := a.ListImageBasicImage(&model.ListImageBasicImageRequest{ImageId: a.id, ImageType: localImage, Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(r model.ImageBasicImageInfo) string { return of(r.LayerDigest) })
			},
			want: func(p *planted.Plot) []string { return []string{string(p.Base.DiffID())} },
		},
		{
			name: "ListImageBuildCommandRisks",
			ask: func(a *plantedAsker) ([]string, error) {
				return pages(func(at int32) (int64, *[]model.ImageBuildCommandRiskResponseInfo, error) {
					r, err := a.ListImageBuildCommandRisks(&model.ListImageBuildCommandRisksRequest{ImageType: localImage, ImageId: &a.id, Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(r model.ImageBuildCommandRiskResponseInfo) string { return of(r.RuleId) })
			},
			want: func(*planted.Plot) []string {
				return []string{"BC-ADD-REMOTE", "BC-CHMOD-WORLD", "BC-PASSWORD-SET", "BC-PIPE-SHELL", "BC-SECRET-ENV", "BC-USER-ROOT"}
			},
		},
		{
			name: "ListImageFiles",
			ask: func(a *plantedAsker) ([]string, error) {
				return pages(func(at int32) (int64, *[]model.ImageFileInfo, error) {
					r, err := a.ListImageFiles(&model.ListImageFilesRequest{ImageId: a.id, ImageType: localImage, Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(r model.ImageFileInfo) string { return of(r.FilePath) })
			},
			want: func(p *planted.Plot) []string { return p.Unowned },
		},
		{
			name: "ListGlobalImageFiles",
			ask: func(a *plantedAsker) ([]string, error) {
				return pages(func(at int32) (int64, *[]model.ImageFileResponseInfo, error) {
					r, err := a.ListGlobalImageFiles(&model.ListGlobalImageFilesRequest{ImageType: new(localImage), Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(r model.ImageFileResponseInfo) string { return of(r.FilePath) })
			},
			want: func(p *planted.Plot) []string { return p.Unowned },
		},
		{
			name: "ShowImageFilesStat",
			ask: func(a *plantedAsker) ([]string, error) {
				r, err := a.ShowImageFilesStat(&model.ShowImageFilesStatRequest{ImageId: a.id, ImageType: localImage})
				if err != nil {
					return nil, err
				}
				if r.TotalFilesNum == nil || r.TotalFilesSize == nil {
					return nil, fmt.Errorf("no numbers: %v", r)
				}
				if *r.TotalFilesNum == 0 && *r.TotalFilesSize == 0 {
					return []string{}, nil
				}
				return []string{"files"}, nil
			},
			want: func(*planted.Plot) []string { return []string{"files"} },
		},
		{
			name: "ListImageApps",
			ask: func(a *plantedAsker) ([]string, error) {
				return pages(func(at int32) (int64, *[]model.ImageAppsInfo, error) {
					r, err := a.ListImageApps(&model.ListImageAppsRequest{ImageId: a.id, ImageType: localImage, Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(r model.ImageAppsInfo) string { return of(r.AppName) })
			},
			want:  func(p *planted.Plot) []string { return []string{p.Denied, "libssl3", "left-pad", "requests"} },
			clean: planted.CleanPackages,
		},
		{
			name: "ListGlobalImageApps",
			ask: func(a *plantedAsker) ([]string, error) {
				rows, err := pages(func(at int32) (int64, *[]model.ImageAppResponseInfo, error) {
					r, err := a.ListGlobalImageApps(&model.ListGlobalImageAppsRequest{ImageType: new(localImage), Limit: new(int32(limit)), Offset: &at})
					if err != nil {
						return 0, nil, err
					}
					return int64(of(r.TotalNum)), r.DataList, nil
				}, func(r model.ImageAppResponseInfo) string {
					return fmt.Sprintf("%s %s %v", of(r.ImageName), of(r.AppName), of(r.IsCompliant))
				})
				return only(rows, err, a.name)
			},
			want:  func(p *planted.Plot) []string { return []string{p.Denied + " false", "libssl3 true", "left-pad true"} },
			clean: []string{"base-files true", "site true"},
		},
	}
}

// failsHere are rules that the settings of the planted image break.
var failsHere = []string{"SSH-01", "SSH-02", "SSH-03"}

// riskConfigs are the baselines of an image of which a rule fails.
func (a *plantedAsker) riskConfigs() ([]string, error) {
	rows, err := pages(func(at int32) (int64, *[]model.ImageRiskConfigsInfoResponseInfo, error) {
		r, err := a.ListImageRiskConfigs(&model.ListImageRiskConfigsRequest{ImageType: localImage, ImageId: &a.id, Limit: new(int32(limit)), Offset: &at})
		if err != nil {
			return 0, nil, err
		}
		return int64(of(r.TotalNum)), r.DataList, nil
	}, func(r model.ImageRiskConfigsInfoResponseInfo) string {
		failed := "passed"
		if of(r.FailedRuleNum) > 0 {
			failed = "failed"
		}
		return failed + " " + of(r.Standard) + " " + of(r.CheckName)
	})
	return only(rows, err, "failed")
}

// failedRules are the rules of all baselines that an image breaks.
func (a *plantedAsker) failedRules() ([]string, error) {
	configs, err := a.riskConfigs()
	if err != nil {
		// The operation itself may be built where that is not.
		configs = []string{"hw_standard SSH"}
	}
	out := []string{}
	for _, c := range configs {
		standard, name, _ := strings.Cut(c, " ")
		rows, err := pages(func(at int32) (int64, *[]model.ImageRiskConfigsCheckRulesResponseInfo, error) {
			r, err := a.ListImageRiskConfigRules(&model.ListImageRiskConfigRulesRequest{ImageType: localImage, ImageId: &a.id, Standard: standard, CheckName: name, ResultType: new("failed"), Limit: new(int32(limit)), Offset: &at})
			if err != nil {
				return 0, nil, err
			}
			return int64(of(r.TotalNum)), r.DataList, nil
		}, func(r model.ImageRiskConfigsCheckRulesResponseInfo) string { return of(r.CheckRuleId) })
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}

// TestPlanted scans an image with something of everything, and a clean one,
// with the program as a user runs it, and asks every operation about results:
// the one has all that was planted, the other has nothing, and says so with a
// list that is there and empty.
func TestPlanted(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	plot, err := planted.Bad(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
	if err != nil {
		t.Fatal(err)
	}
	rules := t.TempDir()
	if err := os.Mkdir(filepath.Join(rules, "policy"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(rules, "policy", "deny.yaml"), []byte(plot.DenyList), 0o644); err != nil {
		t.Fatal(err)
	}
	serve := func(subject planted.Image, others ...planted.Image) *plantedAsker {
		layout := t.TempDir()
		if err := planted.WriteOCI(layout, append(others, subject)...); err != nil {
			t.Fatal(err)
		}
		a := &plantedAsker{t: t, HssClient: startBinary(t, "--no-engines", "--sample", "never", "--archive", "oci:"+layout, "--rules", rules)}
		a.name, a.tag, _ = strings.Cut(subject.Ref, ":")
		for _, i := range append(others, subject) {
			name, _, _ := strings.Cut(i.Ref, ":")
			waitFor(t, a.HssClient, func(i model.ImageLocalInfo) bool { return *i.ImageName == name })
		}
		if _, err := a.BatchScanLocalImage(&model.BatchScanLocalImageRequest{Body: &model.LocalImageBatchScanRequestBody{OperateAll: new(true)}}); err != nil {
			t.Fatal(err)
		}
		for _, i := range append(others, subject) {
			name, _, _ := strings.Cut(i.Ref, ":")
			done := waitFor(t, a.HssClient, func(i model.ImageLocalInfo) bool {
				return *i.ImageName == name && (*i.ScanStatus == "success" || *i.ScanStatus == "failed")
			})
			if *done.ScanStatus != "success" {
				t.Fatalf("%s: %v", i.Ref, done)
			}
			if i.Ref == subject.Ref {
				a.id = *done.ImageId
			}
		}
		return a
	}
	bad, clean := serve(plot.Image, plot.Base), serve(planted.Clean())
	asked := 0
	for _, op := range plantedAsks() {
		t.Run(op.name, func(t *testing.T) {
			rows, err := op.ask(bad)
			var lost []string
			for _, w := range op.want(plot) {
				if !slices.Contains(rows, w) {
					lost = append(lost, w)
				}
			}
			asked++
			if err != nil {
				t.Fatal(err)
			}
			// 57 of 60 are asked for: rules change.
			if n := len(op.want(plot)); len(lost) > n/20 {
				t.Errorf("%d of %d missing: %q; there are %d: %.2000q", len(lost), n, lost, len(rows), rows)
			} else if len(lost) > 0 {
				t.Logf("%d of %d missing: %q", len(lost), n, lost)
			}
			rows, err = op.ask(clean)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(rows)
			if !slices.Equal(rows, op.clean) {
				t.Errorf("the clean image has %q, want %q", rows, op.clean)
			}
		})
	}
	if asked != 20 {
		t.Errorf("%d operations asked, want 20", asked)
	}
}
