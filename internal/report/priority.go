package report

import "math"

// Weights of the parts of a priority; together they are 100. docs/priority.md
// has the reasons.
const (
	weightSeverity  = 50
	weightExploited = 25
	weightEPSS      = 10
	weightRunning   = 10
	weightFix       = 5
)

// A Priority is what a finding's place in the queue is made of, in points.
type Priority struct {
	Severity  int `json:"severity"`
	Exploited int `json:"exploited"`
	EPSS      int `json:"epss"`
	Running   int `json:"running"`
	Fix       int `json:"fix"`
	// Total is the sum, from 0 to 100.
	Total int `json:"total"`
}

// PriorityOf rates f in an image of which a container is running, or none.
//
// The severity counts half: by the vendor's level if there is one, else by the
// CVSS score, and what is unknown as something between low and medium. EPSS
// counts by its square root, since most probabilities are close to 0.
func PriorityOf(f Finding, running bool) Priority {
	var p Priority
	switch {
	case f.SeverityFrom == "cvss":
		p.Severity = int(math.Round(weightSeverity * min(max(f.Score, 0), 10) / 10))
	case f.Severity == SeverityCritical:
		p.Severity = 50
	case f.Severity == SeverityHigh:
		p.Severity = 40
	case f.Severity == SeverityMedium:
		p.Severity = 28
	case f.Severity == SeverityLow:
		p.Severity = 10
	default:
		p.Severity = 18
	}
	if f.Exploited {
		p.Exploited = weightExploited
	}
	p.EPSS = int(math.Round(weightEPSS * math.Sqrt(min(max(f.EPSS, 0), 1))))
	if running {
		p.Running = weightRunning
	}
	if f.FixState == FixAvailable {
		p.Fix = weightFix
	}
	p.Total = p.Severity + p.Exploited + p.EPSS + p.Running + p.Fix
	return p
}
