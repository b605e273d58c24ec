package openeuler

import (
	"bytes"
	"encoding/xml"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/advisory/feed"
)

// A cvrf is a document of CVRF 1.1 (http://www.icasi.org/cvrf-v-1-1-schemas/) as
// openEuler writes it. Names of elements are taken without their namespace.
type cvrf struct {
	Title    string `xml:"DocumentTitle"`
	Tracking struct {
		ID      string `xml:"Identification>ID"`
		Initial string `xml:"InitialReleaseDate"`
		Current string `xml:"CurrentReleaseDate"`
	} `xml:"DocumentTracking"`
	Notes []struct {
		Title string `xml:"Title,attr"`
		Text  string `xml:",chardata"`
	} `xml:"DocumentNotes>Note"`
	References []struct {
		Type string   `xml:"Type,attr"`
		URLs []string `xml:"URL"`
	} `xml:"DocumentReferences>Reference"`
	Packages        []cvrfBranch `xml:"ProductTree>Branch"`
	HotPatches      []cvrfBranch `xml:"HotPatchTree>Branch"`
	Vulnerabilities []struct {
		CVE    string `xml:"CVE"`
		Status []struct {
			Type     string   `xml:"Type,attr"`
			Releases []string `xml:"ProductID"`
		} `xml:"ProductStatuses>Status"`
		Vectors []string `xml:"CVSSScoreSets>ScoreSet>Vector"`
	} `xml:"Vulnerability"`
}

type cvrfBranch struct {
	Type     string `xml:"Type,attr"`
	Products []struct {
		CPE  string `xml:"CPE,attr"`
		Name string `xml:",chardata"`
	} `xml:"FullProductName"`
}

func readCVRF(file string, b []byte) ([]feed.Record, error) {
	s := feed.NewXMLStream(feed.File{Name: file, Reader: bytes.NewReader(b)})
	var d cvrf
	err := s.Elements(func(e xml.StartElement) error {
		if e.Name.Local != "cvrfdoc" {
			return feed.Errorf(file, s.Line(), "element %.50s, want cvrfdoc", e.Name.Local)
		}
		return s.Decode(&d, e)
	})
	if err != nil {
		return nil, err
	}
	if !advisoryPattern.MatchString(d.Tracking.ID) {
		line := feed.LineAt(b, int64(bytes.Index(b, []byte("<ID>"))))
		return nil, feed.Errorf(file, line, "%.100q is not the id of an advisory", d.Tracking.ID)
	}
	r := feed.Record{
		ID: d.Tracking.ID, Aliases: aliases(d.Tracking.ID), Summary: d.Title,
		Published: day(d.Tracking.Initial), Modified: day(d.Tracking.Current),
	}
	for _, n := range d.Notes {
		switch n.Title {
		case "Synopsis":
			r.Summary = n.Text
		case "Description":
			r.Details = n.Text
		case "Severity":
			r.Severity = n.Text
		}
	}
	for _, ref := range d.References {
		if ref.Type == "Self" && len(ref.URLs) > 0 && r.URL == "" {
			r.URL = ref.URLs[0]
		}
	}
	fixed := map[string]bool{}
	for _, v := range d.Vulnerabilities {
		r.CVEs = append(r.CVEs, strings.TrimSpace(v.CVE))
		for _, st := range v.Status {
			if st.Type != "Fixed" {
				continue
			}
			for _, id := range st.Releases {
				fixed[release(strings.TrimSpace(id))] = true
			}
		}
		if len(d.Vulnerabilities) == 1 {
			for _, vec := range v.Vectors {
				r.CVSS = append(r.CVSS, vector(vec))
			}
		}
	}
	var ps packages
	for _, br := range append(d.Packages, d.HotPatches...) {
		if br.Type != "Package Arch" {
			continue
		}
		for _, p := range br.Products {
			_, id, _ := strings.Cut(p.CPE, "cpe:/a:openEuler:openEuler:")
			if eco := release("openEuler-" + id); fixed[eco] {
				ps.add(eco, strings.TrimSpace(p.Name))
			}
		}
	}
	r.Affected = ps.affected()
	return []feed.Record{r}, nil
}

// vector adds the version that CVRF leaves out. Only vectors of version 3 have
// scopes.
func vector(s string) string {
	s = strings.TrimSpace(s)
	if strings.Contains(s, "/S:") && !strings.HasPrefix(s, "CVSS:") {
		return "CVSS:3.1/" + s
	}
	return s
}

// day is a date in Unix milliseconds, 0 if it is none.
func day(s string) int64 {
	t, err := time.Parse(time.DateOnly, strings.TrimSpace(s))
	if err != nil {
		return 0
	}
	return max(0, t.UnixMilli())
}
