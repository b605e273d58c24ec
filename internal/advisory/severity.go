package advisory

import (
	"strings"

	gocvss20 "github.com/pandatix/go-cvss/20"
	gocvss30 "github.com/pandatix/go-cvss/30"
	gocvss31 "github.com/pandatix/go-cvss/31"
	gocvss40 "github.com/pandatix/go-cvss/40"

	"github.com/onceover/onceover/internal/report"
)

// parseCVSS computes the CVSS base score of a vector of version 2, 3.0, 3.1 or
// 4.0. ok is false if the vector is none of these. It also ranks the version:
// where a record has several vectors, the
// highest rank is taken. 3.x stands before 4.0 because nearly every record has
// it, and the scores of the two are not on one scale.
func parseCVSS(vector string) (score float64, rank int, ok bool) {
	switch {
	case strings.HasPrefix(vector, "CVSS:3.1/"):
		if v, err := gocvss31.ParseVector(vector); err == nil {
			return v.BaseScore(), 4, true
		}
	case strings.HasPrefix(vector, "CVSS:3.0/"):
		if v, err := gocvss30.ParseVector(vector); err == nil {
			return v.BaseScore(), 3, true
		}
	case strings.HasPrefix(vector, "CVSS:4.0/"):
		if v, err := gocvss40.ParseVector(vector); err == nil {
			return v.Score(), 2, true
		}
	case strings.HasPrefix(vector, "AV:"):
		if v, err := gocvss20.ParseVector(vector); err == nil {
			return v.BaseScore(), 1, true
		}
	}
	return 0, 0, false
}

// SeverityOf turns a CVSS score into a level: from 9 Critical, from 7 High,
// from 4 Medium, above 0 Low (CVSS v3.1 specification, section 5, without its
// "None").
func SeverityOf(score float64) string {
	switch {
	case score >= 9:
		return report.SeverityCritical
	case score >= 7:
		return report.SeverityHigh
	case score >= 4:
		return report.SeverityMedium
	case score > 0:
		return report.SeverityLow
	default:
		return report.SeverityUnknown
	}
}

// vendorSeverity reads the words that vendors use for a severity. Words that
// say nothing ("untriaged", "not yet assigned", "None") give "".
func vendorSeverity(word string) string {
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "critical":
		return report.SeverityCritical
	case "high", "important":
		return report.SeverityHigh
	case "medium", "moderate":
		return report.SeverityMedium
	case "low", "minor", "negligible", "unimportant":
		return report.SeverityLow
	default:
		return ""
	}
}

// summarySeverity reads the level that AlmaLinux and Rocky Linux write in
// front of a summary: "Important: bcel security update".
func summarySeverity(summary string) string {
	word, _, ok := strings.Cut(summary, ": ")
	if !ok {
		return ""
	}
	switch word {
	case "Critical", "Important", "Moderate", "Low":
		return vendorSeverity(word)
	default:
		return ""
	}
}
