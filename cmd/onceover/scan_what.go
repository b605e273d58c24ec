package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/check/buildcmd"
	"github.com/onceover/onceover/internal/check/secret"
	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/scan"
)

// scannerNames are what "onceover scan" can look for.
var scannerNames = []string{export.ScanVulnerabilities, export.ScanSecrets, export.ScanMalware, export.ScanBaseline, export.ScanPasswords, export.ScanBuild}

// parseScanners reads the value of --scanners.
func parseScanners(s string) (map[string]bool, error) {
	out := map[string]bool{}
	for name := range strings.SplitSeq(s, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(scannerNames, name) {
			return nil, fmt.Errorf("--scanners: no such scanner: %q; there are %s", name, strings.Join(scannerNames, ", "))
		}
		out[name] = true
	}
	return out, nil
}

// secrets are those in the files of an image and in its configuration.
func (s *scanRun) secrets(ctx context.Context, res *scan.Result) ([]report.Secret, error) {
	found, err := secret.ScanImage(ctx, res.Config)
	if errors.Is(err, secret.ErrLimit) {
		res.Inventory.Problems = append(res.Inventory.Problems, report.Problem{Analyzer: "secret", Message: "image configuration: " + err.Error()})
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return append(found, res.Inventory.Secrets...), nil
}

// buildRisks are those in the commands that built an image.
func buildRisks(res *scan.Result) ([]export.BuildRisk, error) {
	img, err := buildcmd.ParseImage(res.RawConfig)
	if err != nil {
		return nil, err
	}
	var out []export.BuildRisk
	for _, f := range buildcmd.Check(img).Findings {
		out = append(out, export.BuildRisk{
			Rule: f.RuleID, Title: f.Rule.Title, Severity: report.SeverityOf(f.Rule.Severity),
			Instruction: f.Instruction, Layer: f.Layer, Description: f.Rule.Description, Remediation: f.Rule.Remediation,
		})
	}
	return out, nil
}
