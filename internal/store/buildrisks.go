package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/onceover/onceover/internal/check/buildcmd"
	"github.com/onceover/onceover/internal/fault"
)

const (
	// maxInstructions bounds the instructions kept of one content that break
	// one rule. All of them are counted.
	maxInstructions = 50
	// buildBatch is how many contents are checked anew at a time: a
	// configuration may be large.
	buildBatch = 32
)

// buildRules is the version of the rules that this process checks with.
var buildRules = sync.OnceValue(buildcmd.Version)

// A brokenRule is a row of build_risk.
type brokenRule struct {
	rule         string
	num          int64
	instructions string // JSON
}

// buildRisks checks an image configuration.
func buildRisks(config []byte) ([]brokenRule, error) {
	img, err := buildcmd.ParseImage(config)
	if err != nil {
		return nil, err
	}
	var out []brokenRule
	var shown []string
	findings := buildcmd.Check(img).Findings // by rule
	for i, f := range findings {
		if i == 0 || findings[i-1].RuleID != f.RuleID {
			out, shown = append(out, brokenRule{rule: f.RuleID}), nil
		}
		out[len(out)-1].num++
		if len(shown) < maxInstructions {
			shown = append(shown, f.Instruction)
		}
		if i+1 == len(findings) || findings[i+1].RuleID != f.RuleID {
			b, err := json.Marshal(shown)
			if err != nil {
				return nil, fmt.Errorf("encode instructions: %w", err)
			}
			out[len(out)-1].instructions = string(b)
		}
	}
	return out, nil
}

// checkBuild is buildRisks where a configuration that cannot be checked is only
// told of: nothing else depends on it.
func (s *Store) checkBuild(ctx context.Context, config []byte) []brokenRule {
	out, err := buildRisks(config)
	if err != nil {
		s.log.WarnContext(ctx, "build commands of an image are not checked", "err", err)
	}
	return out
}

const (
	sqlDropBuild    = `DELETE FROM build_risk WHERE content_id = $1`
	sqlPutBuild     = `INSERT INTO build_risk (content_id, rule_id, num, instructions) VALUES`
	sqlSetBuild     = `UPDATE content_detail SET build_rules = $1 WHERE content_id = $2`
	sqlBuildRulesOf = `SELECT build_rules FROM content_detail WHERE content_id = $1`
	// Two ranges, for an index has no way to look for what is not equal.
	sqlOldBuild = `SELECT content_id, config FROM content_detail WHERE (build_rules < $1 OR build_rules > $2) LIMIT $3`
)

// putBuild replaces the risks in the build commands of a content whose detail
// is stored.
func putBuild(ctx context.Context, tx *sql.Tx, content int64, risks []brokenRule) error {
	if _, err := tx.ExecContext(ctx, sqlDropBuild, content); err != nil {
		return fmt.Errorf("drop build risks: %w", err)
	}
	rows := make([][]any, len(risks))
	for i, r := range risks {
		rows[i] = []any{content, r.rule, r.num, r.instructions}
	}
	if err := putRows(ctx, tx, sqlPutBuild, "", rows); err != nil {
		return fmt.Errorf("store build risks: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlSetBuild, buildRules(), content); err != nil {
		return fmt.Errorf("store version of build rules: %w", err)
	}
	return nil
}

// RecheckBuild checks the build commands of contents anew that were checked with
// other rules, or before there were any. It returns how many they were. No
// host is asked: the configurations are kept.
func (s *Store) RecheckBuild(ctx context.Context) (int, error) {
	return inBatches("check build commands anew", func() (int, error) { return s.recheckBuildBatch(ctx) })
}

func (s *Store) recheckBuildBatch(ctx context.Context) (int, error) {
	type old struct {
		content int64
		risks   []brokenRule
		plain   []byte // a configuration that is not sealed yet
	}
	var batch []old
	err := s.inView(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, sqlOldBuild, []any{buildRules(), buildRules(), buildBatch}, func(r *sql.Rows) error {
			var o old
			var config []byte
			if err := r.Scan(&o.content, &config); err != nil {
				return err
			}
			config, sealed, err := s.openConfig(o.content, config)
			if err != nil {
				return err
			}
			if len(config) > 0 {
				o.risks = s.checkBuild(ctx, config)
				if !sealed {
					o.plain = config
				}
			}
			batch = append(batch, o)
			return nil
		})
	})
	if err != nil || len(batch) == 0 {
		return 0, err
	}
	return len(batch), s.inTx(ctx, func(tx *sql.Tx) error {
		for _, o := range batch {
			var rules string
			err := tx.QueryRowContext(ctx, sqlBuildRulesOf, o.content).Scan(&rules)
			if errors.Is(err, sql.ErrNoRows) || err == nil && rules == buildRules() {
				continue // gone, or scanned meanwhile
			}
			if err == nil {
				err = putBuild(ctx, tx, o.content, o.risks)
			}
			if err == nil {
				err = revise(ctx, tx, o.content)
			}
			if err == nil && o.plain != nil {
				err = s.setConfig(ctx, tx, o.content, o.plain)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// A BuildRisk is a rule that build commands of a project's images break.
type BuildRisk struct {
	Rule     *buildcmd.Rule
	ImageNum int64
	ScanTime int64 // of the latest scan of these images, Unix milliseconds
}

// BuildRiskFilter selects risks; the zero value selects all.
type BuildRiskFilter struct {
	ImageID string
	Name    string // substring of the rule's title
	Level   string // a severity of buildcmd
}

func (f BuildRiskFilter) selects(r *buildcmd.Rule) bool {
	return strings.Contains(r.Title, f.Name) && (f.Level == "" || f.Level == r.Severity)
}

const (
	sqlPageBuildImages = `SELECT i.id, i.name, i.version, c.config_digest, i.size, c.latest_scan_time, b.num, b.instructions
FROM image i CROSS JOIN build_risk b CROSS JOIN content c WHERE b.content_id = i.content_id AND c.id = i.content_id AND b.rule_id = {rule} AND i.id IN {in}`
)

// BuildRisks lists the rules that the build commands of some projects' images
// break, worst first. An unknown image is fault.NotFound; one that was not scanned
// yet has none.
func (s *Store) BuildRisks(ctx context.Context, projects []string, f BuildRiskFilter, p Page) (out []BuildRisk, total int64, err error) {
	selected, err := s.known(ctx, projects, ImageSelector{ID: f.ImageID})
	if err != nil {
		return nil, 0, err
	}
	var uses map[string]use
	err = s.inFleet(ctx, func(_ *sql.Tx, revision int64) (err error) {
		count := func() (map[string]use, error) {
			return usesOf(&s.index, &s.index.risks, func(c *slot) []int32 { return c.risks }, projects, revision, selected)
		}
		if f.ImageID != "" {
			uses, err = count()
			return err
		}
		uses, err = remember(&s.remembered, revision, "build risks "+strings.Join(projects, " "), count)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list build risks: %w", err)
	}
	for id, u := range uses {
		// A rule that is gone is in no answer; its rows go soon.
		if rule := buildcmd.RuleByID(id); rule != nil && f.selects(rule) {
			out = append(out, BuildRisk{rule, u.images, u.scanned})
		}
	}
	slices.SortFunc(out, func(a, b BuildRisk) int {
		return cmp.Or(buildcmd.SeverityRank(b.Rule.Severity)-buildcmd.SeverityRank(a.Rule.Severity), strings.Compare(a.Rule.ID, b.Rule.ID))
	})
	out, total = PageOf(out, p)
	return out, total, nil
}

// A BuildRiskImage is an image whose build commands break a rule.
type BuildRiskImage struct {
	ImageID, Name, Version string
	ConfigDigest           string
	Size                   int64
	ScanTime               int64 // Unix milliseconds
	// Num counts the instructions that break it; Instructions are the first
	// 50 of them in the order of the history, secrets masked.
	Num          int64
	Instructions []string
}

// BuildRiskImages lists the images whose build commands break a rule, or one
// image if that is given and does. An unknown rule or image is fault.NotFound.
func (s *Store) BuildRiskImages(ctx context.Context, project, rule, imageID string, p Page) (out []BuildRiskImage, total int64, err error) {
	if buildcmd.RuleByID(rule) == nil {
		return nil, 0, fault.New(fault.NotFound, "there is no rule %s", rule)
	}
	selected, err := s.known(ctx, []string{project}, ImageSelector{ID: imageID})
	if err != nil {
		return nil, 0, err
	}
	err = s.inFleet(ctx, func(tx *sql.Tx, revision int64) error {
		number := s.index.risks.find(rule)
		page, n, err := s.imagesOf(project, revision, p, [2]string{project, rule}, selected, func(_ *picture, s *slot) bool { return slices.Contains(s.risks, number) })
		if err != nil {
			return err
		}
		total = n
		// The rule is one that there is.
		query := strings.Replace(sqlPageBuildImages, "{rule}", "'"+rule+"'", 1)
		out, err = inOrder(ctx, tx, query, imagesOf(page), func(r *sql.Rows) (string, BuildRiskImage, error) {
			var b BuildRiskImage
			var instructions []byte
			if err := r.Scan(&b.ImageID, &b.Name, &b.Version, &b.ConfigDigest, &b.Size, &b.ScanTime, &b.Num, &instructions); err != nil {
				return "", b, err
			}
			return b.ImageID, b, json.Unmarshal(instructions, &b.Instructions)
		})
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list images with a build risk: %w", err)
	}
	return out, total, nil
}
