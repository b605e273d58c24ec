package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"

	"github.com/onceover/onceover/internal/check/baseline"
	"github.com/onceover/onceover/internal/check/buildcmd"
	"github.com/onceover/onceover/internal/check/policy"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/test/fleetmodel"
)

// denyList is what the operator of the fleet denies: rare software, so that
// about one image in some has it.
const denyList = `deny:
  - id: no-scripts
    reason: Not supported any more.
    name: "*script*"
  - id: no-telnet
    reason: Log-ins go over SSH.
    name: "telnet*"
`

// firstFilePart keeps the ids of parts of files apart from those of packages.
const firstFilePart = int64(1) << 40

// checkLoader makes what the checks have found in a fleet. The same fleet gives
// the same rows.
type checkLoader struct {
	fleet     *fleetmodel.Fleet
	rules     *baseline.RuleSet
	deny      *policy.Policy
	layers    []int32         // that have files: those that images share
	filePart  map[int32]int64 // of a part of packages
	secrets   []heldSecret
	baselines []loadedBaseline
	checks    [][]any
}

type heldSecret struct {
	part int32 // whose images have it
	row  []any
}

type loadedBaseline struct {
	id               int64
	check, standard  string
	rules            []*baseline.Rule
	failed, severity []int64
}

// loadChecks writes what scans with all checks would have written beside
// packages.
func loadChecks(ctx context.Context, load loader, f *fleetmodel.Fleet) error {
	rules, err := baseline.Builtin()
	if err != nil {
		return err
	}
	deny, err := policy.Parse("deny.yaml", []byte(denyList))
	if err != nil {
		return err
	}
	l := &checkLoader{fleet: f, rules: rules, deny: deny, filePart: map[int32]int64{}}
	tables := slices.Concat(l.files(), l.secretTables(), l.baselineTables(), l.passwords(), l.malware(), l.build(), l.denied(), taskTables(f))
	// Made last: the others say what they have found.
	tables = append(tables, table{"content_check", "content_id, name, key, num, severity, partial, checked_at", func(yield func([]any) error) error {
		for _, row := range l.checks {
			if err := yield(row); err != nil {
				return err
			}
		}
		return nil
	}})
	return loadTables(ctx, load, tables)
}

// draw is a source of numbers for one thing of one kind.
func draw(kind string, n int) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(n), uint64(len(kind))<<8|uint64(kind[0])))
}

func (l *checkLoader) checked(content int, name string, num, severity int64) {
	l.checks = append(l.checks, []any{int64(content + 1), name, name + "-0123456789abcdef", num, severity, int64(0), loadedAt})
}

// files gives each layer that images share executables and files without an
// owner.
func (l *checkLoader) files() []table {
	seen := map[int32]bool{}
	for _, m := range l.fleet.Images {
		for _, p := range m.Parts[:len(m.Parts)-1] {
			if !seen[p] {
				seen[p] = true
				l.filePart[p] = firstFilePart + int64(len(l.layers))
				l.layers = append(l.layers, p)
			}
		}
	}
	entries := func(i int) int { return 6 + len(l.fleet.Parts[l.layers[i]].Packages)/8 }
	return []table{
		{"part", "id, layer, policy, denied", each(len(l.layers), func(i int) []any {
			return []any{firstFilePart + int64(i), l.fleet.Parts[l.layers[i]].Layer, l.deny.Version(), int64(0)}
		})},
		{"file_list", "id, layer", each(len(l.layers), func(i int) []any { return []any{int64(i + 1), l.fleet.Parts[l.layers[i]].Layer} })},
		{"file_part", "part_id, list_id, hidden, num, size", each(len(l.layers), func(i int) []any {
			n := int64(entries(i))
			return []any{firstFilePart + int64(i), int64(i + 1), []byte{}, n, n * 4096}
		})},
		{"file_entry", "list_id, n, key, rest, path, size, mode, kind, owned", func(yield func([]any) error) error {
			for i := range l.layers {
				for n := range entries(i) {
					name := fmt.Sprintf("/opt/app/bin/tool-%d-%d", i%997, n)
					if err := yield([]any{int64(i + 1), int64(n), int64(i)<<20 | int64(n), []byte{}, name, int64(4096), int64(0o755), "elf", int64(0)}); err != nil {
						return err
					}
				}
			}
			return nil
		}},
		{"content_part", "content_id, part_id", func(yield func([]any) error) error {
			for i, m := range l.fleet.Images {
				for _, p := range slices.Compact(slices.Sorted(slices.Values(m.Parts[:len(m.Parts)-1]))) {
					if err := yield([]any{int64(i + 1), l.filePart[p]}); err != nil {
						return err
					}
				}
			}
			return nil
		}},
	}
}

// secretTables puts secrets into a third of the layers that images share, and
// into the own layer of one image in eight.
func (l *checkLoader) secretTables() []table {
	own := map[int32]bool{}
	for _, m := range l.fleet.Images {
		own[m.Parts[len(m.Parts)-1]] = true
	}
	of := map[int32][]int{} // part to secrets
	for p := range l.fleet.Parts {
		rng := draw("secret", p)
		if own[int32(p)] && rng.IntN(8) > 0 || rng.IntN(3) > 0 {
			continue
		}
		for n := range 1 + rng.IntN(3) {
			severity := []int64{1, 2, 3, 4}[rng.IntN(4)]
			id := int64(len(l.secrets) + 1)
			of[int32(p)] = append(of[int32(p)], len(l.secrets))
			l.secrets = append(l.secrets, heldSecret{int32(p), []any{id, benchProject, "generic-token", "Token", "token", severity,
				fmt.Sprintf("/srv/app-%d/config/secrets-%d.env", p%911, n), int64(3 + n), int64(9), "ab…yz", int64(40), "TOKEN=ab…yz", int64(0), int64(0),
				l.fleet.Parts[p].Layer, loadedAt, int64(0), int64(0), int64(0)}})
		}
	}
	return []table{
		{"secret", "id, project_id, rule, title, kind, severity, path, line, col, masked, length, context, encrypted, test, layer, seen_at, ignored, skipped, judged",
			each(len(l.secrets), func(i int) []any { return l.secrets[i].row })},
		{"content_secret", "content_id, secret_id, deleted", func(yield func([]any) error) error {
			for i, m := range l.fleet.Images {
				num, worst := int64(0), int64(0)
				for _, p := range slices.Compact(slices.Sorted(slices.Values(m.Parts))) {
					for _, s := range of[p] {
						num, worst = num+1, max(worst, l.secrets[s].row[5].(int64))
						if err := yield([]any{int64(i + 1), int64(s + 1), int64(0)}); err != nil {
							return err
						}
					}
				}
				l.checked(i, report.CheckSecrets, num, worst)
			}
			return nil
		}},
	}
}

// variants is in how many ways images answer one baseline.
const variants = 40

// baselineTables lets the images of a distribution answer its baseline and that
// of SSH in some ways.
func (l *checkLoader) baselineTables() []table {
	names := []string{}
	for _, d := range l.fleet.Distros {
		_, name := baseline.Distribution{ID: d.ID, VersionID: d.VersionID}.Baseline()
		names = append(names, name)
	}
	const ssh = "SSH"
	names = append(names, ssh)
	at := map[string]int{} // check, standard, variant
	for _, check := range slices.Compact(slices.Sorted(slices.Values(names))) {
		asked := baseline.CheckNameOS
		if check == ssh {
			asked = ssh
		}
		for _, standard := range []string{"cn_standard", "hw_standard"} {
			for v := range variants {
				b := loadedBaseline{id: int64(len(l.baselines) + 1), check: check, standard: standard}
				rng := draw("baseline", len(l.baselines))
				for _, r := range l.rules.Rules() {
					if slices.Contains(r.Standards, standard) && r.CheckName == asked {
						b.rules = append(b.rules, r)
						b.failed = append(b.failed, int64(rng.IntN(4)/3))
						b.severity = append(b.severity, int64(report.SeverityRank(r.Severity)))
					}
				}
				at[fmt.Sprint(check, standard, v)] = len(l.baselines)
				l.baselines = append(l.baselines, b)
			}
		}
	}
	return []table{
		{"baseline", "id, check_name, standard", each(len(l.baselines), func(i int) []any {
			return []any{l.baselines[i].id, l.baselines[i].check, l.baselines[i].standard}
		})},
		{"baseline_rule", "baseline_id, rule_id, failed, severity", func(yield func([]any) error) error {
			for _, b := range l.baselines {
				for i, r := range b.rules {
					if err := yield([]any{b.id, r.ID, b.failed[i], b.severity[i]}); err != nil {
						return err
					}
				}
			}
			return nil
		}},
		{"content_baseline", "content_id, baseline_id", func(yield func([]any) error) error {
			for i, m := range l.fleet.Images {
				num, worst := int64(0), int64(0)
				for _, check := range []string{names[m.Distro], ssh} {
					for _, standard := range []string{"cn_standard", "hw_standard"} {
						b := &l.baselines[at[fmt.Sprint(check, standard, int(m.Parts[1])%variants)]]
						for k, failed := range b.failed {
							if num += failed; failed == 1 {
								worst = max(worst, b.severity[k])
							}
						}
						if err := yield([]any{int64(i + 1), b.id}); err != nil {
							return err
						}
					}
				}
				l.checked(i, report.CheckBaseline, num, worst)
			}
			return nil
		}},
		{"baseline_check", "content_id, rules", each(len(l.fleet.Images), func(i int) []any { return []any{int64(i + 1), l.rules.Version()} })},
	}
}

// passwords gives one image in five a weak account, and most of them rules for
// new passwords.
func (l *checkLoader) passwords() []table {
	return []table{
		{"password_account", "content_id, n, user_name, service, path, layer, login, status, rule, masked, reason, changed, suggestion", func(yield func([]any) error) error {
			for i := range l.fleet.Images {
				num := int64(0)
				if rng := draw("password", i); rng.IntN(5) == 0 {
					for n := range 1 + rng.IntN(2) {
						num++
						row := []any{int64(i + 1), int64(n), fmt.Sprintf("user%d", rng.IntN(40)), "system", "/etc/shadow", "", int64(1), "weak", "common", "p…d", "", int64(20000), "Choose another."}
						if err := yield(row); err != nil {
							return err
						}
					}
				}
				l.checked(i, report.CheckPasswords, num, min(num, 1)*3)
			}
			return nil
		}},
		{"password_rules", "content_id, good, min_length, length, upper_case, lower_case, digit, special, source, path, layer, suggestion", func(yield func([]any) error) error {
			for i := range l.fleet.Images {
				if i%10 < 7 {
					bad := int64(i % 3 / 2)
					if err := yield([]any{int64(i + 1), bad, bad, int64(8), bad, int64(1), int64(1), bad, "pam", "/etc/pam.d/common-password", "", "Demand more."}); err != nil {
						return err
					}
				}
			}
			return nil
		}},
	}
}

// malware is in one image in a hundred.
func (l *checkLoader) malware() []table {
	return []table{{"malware", "content_id, n, project_id, severity, name, path, inner_path, size, modified, sha256, layer, deleted, findings", func(yield func([]any) error) error {
		findings, err := json.Marshal([]report.Malware{{Name: "Miner", Type: "miner", Engine: "rules", Rule: "miner", Severity: report.SeverityHigh}})
		if err != nil {
			return err
		}
		for i, m := range l.fleet.Images {
			num := int64(0)
			if rng := draw("malware", i); rng.IntN(100) == 0 {
				for n := range 1 + rng.IntN(3) {
					num++
					file := fmt.Sprintf("/tmp/.x%d/miner-%d", i, n)
					row := []any{int64(i + 1), int64(n), benchProject, int64(3), path.Base(file), file, "", int64(100000), int64(0), fmt.Sprintf("%064x", i),
						l.fleet.Parts[m.Parts[3]].Layer, int64(0), string(findings)}
					if err := yield(row); err != nil {
						return err
					}
				}
			}
			l.checked(i, report.CheckMalware, num, min(num, 1)*3)
		}
		return nil
	}}}
}

// buildRiskIDs are rules that the images of the fleet break.
var buildRiskIDs = []string{"BC-COPY-ALL", "BC-PIPE-SHELL", "BC-ADD-REMOTE", "BC-SECRET-ENV", "BC-TLS-OFF", "BC-DOWNLOAD-HTTP", "BC-GIT-PLAIN", "BC-HISTORY-OFF"}

// build lets each application break some rules in all of its builds.
func (l *checkLoader) build() []table {
	return []table{{"build_risk", "content_id, rule_id, num, instructions", func(yield func([]any) error) error {
		for _, id := range buildRiskIDs {
			if buildcmd.RuleByID(id) == nil {
				return fmt.Errorf("there is no rule %s", id)
			}
		}
		for i := range l.fleet.Images {
			rng := draw("build", i/20)
			for n, id := range buildRiskIDs {
				if rng.IntN(2+2*n) > 0 {
					continue
				}
				if err := yield([]any{int64(i + 1), id, int64(1), `["COPY . /app"]`}); err != nil {
					return err
				}
			}
		}
		return nil
	}}}
}

// denied is what the deny list denies, and the version of the list on all parts.
func (l *checkLoader) denied() []table {
	return []table{{"non_compliant", "part_id, n, id", func(yield func([]any) error) error {
		for p, part := range l.fleet.Parts {
			for n, k := range part.Packages {
				pkg := l.fleet.Packages[k]
				var d report.Distro
				if pkg.Distro >= 0 {
					d = l.fleet.Distros[pkg.Distro]
				}
				one := pkg.Package
				one.Path, one.Layer = placeOf(pkg), part.Layer
				if v, _ := l.deny.Judge(&one, d); len(v) > 0 {
					if err := yield([]any{int64(p + 1), int64(n), v[0].ID}); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}}}
}
