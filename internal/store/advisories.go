package store

import (
	"context"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/match"
	"github.com/onceover/onceover/internal/report"
)

// Advisories is where the store gets its conclusions from. Implementations are
// safe for concurrent use.
type Advisories interface {
	// Acquire pins the generation in use now. The caller calls its Release
	// once. Without a generation the error is fault.Unavailable.
	Acquire() (Generation, error)

	// Diff compares two generations by their ids; to is in use. If from is
	// not at hand any more the answer is nil without an error, and
	// everything is matched again.
	Diff(ctx context.Context, from, to string) (*advisory.Diff, error)
}

// A Generation is one generation of advisories, pinned.
type Generation struct {
	// ID is that of its description, advisory.Meta.
	ID      string
	Matcher Matcher
	// CVE looks up one CVE; ok is false if it is not known.
	CVE func(id string) (cve CVE, ok bool)
	// Exploits looks up what is known of attacks by one CVE, the zero value
	// if nothing is. nil knows nothing.
	Exploits func(id string) Exploits
	// Release ends the use of all of it.
	Release func()
}

// A Matcher finds what is wrong with packages; match.Matcher is one. It is safe
// for concurrent use.
type Matcher interface {
	// Package returns the findings of one package in an image of
	// distribution d. They depend on nothing else: not on Path, Layer and
	// Licenses, and for a package without meaning to a distribution
	// (report.OSType) not on d.
	Package(d report.Distro, p report.Package) ([]report.Finding, error)

	// Keys are the names under which advisories of the package may stand,
	// in this generation and any other.
	Keys(d report.Distro, p report.Package) []advisory.Key

	// Warnings says what the findings of an inventory do not cover; none
	// means that they cover it.
	Warnings(inv report.Inventory) []string
}

var _ Matcher = (*match.Matcher)(nil)

// CVE is what is known of one CVE apart from the advisories that name it.
type CVE struct {
	// Score is the CVSS base score, 0 if there is none.
	Score float64
	// Published in Unix milliseconds, 0 if unknown.
	Published   int64
	Description string
}

// Exploits is what is known of attacks that use a CVE. It is not stored with
// findings, but asked of the generation in use.
type Exploits struct {
	// Known says that it is in CISA's catalogue of vulnerabilities known to
	// be exploited, Since since when ("2021-12-10").
	Known bool
	Since string
	// EPSS is the probability of exploitation in the next 30 days, and
	// Percentile its rank, both from 0 to 1; 0 if unknown.
	EPSS, Percentile float64
}

// orWorse is what is known of two CVEs together, as match rates a finding of
// both: exploited since the earlier day, with the higher EPSS.
func (e Exploits) orWorse(o Exploits) Exploits {
	if o.Known {
		if e.Since == "" || o.Since != "" && o.Since < e.Since {
			e.Since = o.Since
		}
		e.Known = true
	}
	if o.EPSS > e.EPSS {
		e.EPSS, e.Percentile = o.EPSS, o.Percentile
	}
	return e
}

// OneGeneration is the Advisories of a program that keeps to one generation.
// The caller closes db when the store is closed.
func OneGeneration(db *advisory.DB) Advisories {
	return oneGeneration{db, match.New(db)}
}

type oneGeneration struct {
	db      *advisory.DB
	matcher *match.Matcher
}

func (o oneGeneration) Acquire() (Generation, error) {
	return GenerationOf(o.db, o.matcher, func() {}), nil
}

func (oneGeneration) Diff(context.Context, string, string) (*advisory.Diff, error) { return nil, nil }

// GenerationOf makes a Generation of an open database and a matcher for it.
func GenerationOf(db *advisory.DB, m Matcher, release func()) Generation {
	return Generation{
		ID: db.Meta().ID, Matcher: m, Release: release,
		CVE: func(id string) (CVE, bool) {
			c, err := db.CVE(id)
			if err != nil || c == nil {
				return CVE{}, false
			}
			return CVE{Score: c.Score, Published: c.Published, Description: c.Description}, true
		},
		Exploits: func(id string) Exploits {
			c, err := db.CVE(id)
			if err != nil || c == nil {
				return Exploits{}
			}
			return Exploits{Known: c.KEV, Since: c.KEVDate, EPSS: c.EPSS, Percentile: c.Percentile}
		},
	}
}
