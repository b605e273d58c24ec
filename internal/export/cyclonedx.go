package export

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// propertyPrefix marks properties of ours, as the property taxonomy of
// CycloneDX asks for.
const propertyPrefix = "onceover:"

// CycloneDX writes d as a CycloneDX 1.6 bill of materials in JSON. One image
// is the subject of the document itself; of several each is a container
// component that holds its packages. Vulnerabilities stand one for each pair
// of advisory and package, so that each keeps its own evidence. The document
// has no timestamp, and its serial number is a hash of its content.
func CycloneDX(w io.Writer, d *Document) error {
	b := bomWriter{doc: d}
	bom := b.build()
	js, err := json.Marshal(bom)
	if err != nil {
		return fmt.Errorf("write cyclonedx: %w", err)
	}
	bom.SerialNumber = "urn:uuid:" + contentUUID(js)
	enc := cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false)
	if err := enc.EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("write cyclonedx: %w", err)
	}
	return nil
}

type bomWriter struct {
	doc             *Document
	vulnerabilities []cdx.Vulnerability
	dependencies    []cdx.Dependency
}

func (b *bomWriter) build() *cdx.BOM {
	d := b.doc
	bom := cdx.NewBOM()
	bom.SpecVersion = cdx.SpecVersion1_6
	bom.JSONSchema = "http://cyclonedx.org/schema/bom-1.6.schema.json"
	meta := &cdx.Metadata{
		Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{{
			Type: cdx.ComponentTypeApplication, Name: d.Tool.Name, Version: d.Tool.Version,
		}}},
		Properties: b.documentProperties(),
	}
	bom.Metadata = meta
	components := []cdx.Component{}
	if len(d.Images) == 1 {
		subject, parts := b.image(&d.Images[0])
		meta.Component = &subject
		components = parts
	} else {
		meta.Component = &cdx.Component{BOMRef: "images", Type: cdx.ComponentTypePlatform, Name: "container images"}
		refs := []string{}
		for i := range d.Images {
			subject, parts := b.image(&d.Images[i])
			if len(parts) > 0 {
				subject.Components = &parts
			}
			components = append(components, subject)
			refs = append(refs, subject.BOMRef)
		}
		b.dependencies = append(b.dependencies, dependency("images", refs))
	}
	bom.Components = &components
	bom.Dependencies = &b.dependencies
	if d.Inventory {
		return bom
	}
	if b.vulnerabilities == nil {
		b.vulnerabilities = []cdx.Vulnerability{}
	}
	bom.Vulnerabilities = &b.vulnerabilities
	return bom
}

func (b *bomWriter) documentProperties() *[]cdx.Property {
	var ps properties
	ps.add("analyzer-set", b.doc.AnalyzerSet)
	if b.doc.Inventory {
		return ps.list()
	}
	ps.add("advisories:generation", b.doc.Advisories.Generation)
	ps.add("advisories:date", b.doc.Advisories.Date)
	ps.add("advisories:starter", strconv.FormatBool(b.doc.Advisories.Starter))
	ps.add("advisories:notice", b.doc.Advisories.Notice)
	ps.add("filters:severities", strings.Join(b.doc.Filters.Severities, ","))
	if b.doc.Filters.IgnoreUnfixed {
		ps.add("filters:ignore-unfixed", "true")
	}
	for _, w := range b.doc.Warnings {
		ps.add("warning", w)
	}
	return ps.list()
}

// image makes the component of an image and those of its packages.
func (b *bomWriter) image(im *Image) (cdx.Component, []cdx.Component) {
	name, tag := im.Title(), ""
	if len(im.Names) > 0 {
		ref := image.ParseRef(im.Names[0])
		name, tag = ref.Name, ref.Tag
	}
	subject := cdx.Component{
		BOMRef:  string(im.ConfigDigest) + "/" + im.Platform,
		Type:    cdx.ComponentTypeContainer,
		Name:    name,
		Version: tag,
	}
	var ps properties
	identify(im, ps.add)
	for _, e := range im.Engines {
		ps.add("image:engine", e)
	}
	describe(im, ps.add)
	subject.Properties = ps.list()

	parts, refs := []cdx.Component{}, []string{}
	if im.Distro.ID != "" {
		os := cdx.Component{
			BOMRef:      subject.BOMRef + "#os",
			Type:        cdx.ComponentTypeOS,
			Name:        im.Distro.ID,
			Version:     im.Distro.VersionID,
			Description: im.Distro.Name,
		}
		parts, refs = append(parts, os), append(refs, os.BOMRef)
	}
	byKey, sums := map[string]string{}, fileSums(im)
	for _, p := range im.Packages {
		key := packageKey(p.Package)
		if byKey[key] != "" {
			continue
		}
		c := packageComponent(subject.BOMRef, p)
		if sum := sums[fileOf(p.Package)]; sum != "" {
			c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}}
		}
		byKey[key] = c.BOMRef
		parts, refs = append(parts, c), append(refs, c.BOMRef)
		b.dependencies = append(b.dependencies, dependency(c.BOMRef, nil))
	}
	b.dependencies = append(b.dependencies, dependency(subject.BOMRef, refs))
	for _, f := range slices.Concat(im.Findings, im.Suppressed) {
		ref := byKey[packageKey(f.Package)]
		if ref == "" {
			// A finding on a package that is not listed would dangle.
			ref = subject.BOMRef
		}
		b.vulnerabilities = append(b.vulnerabilities, vulnerability(ref, f))
	}
	return subject, parts
}

func packageComponent(imageRef string, p Package) cdx.Component {
	c := cdx.Component{
		BOMRef:     packageRef(imageRef, p),
		Type:       cdx.ComponentTypeLibrary,
		Name:       p.Name,
		Version:    p.Version,
		PackageURL: p.PURL,
	}
	if p.Type == report.TypeJava {
		if g, a, ok := strings.Cut(p.Name, ":"); ok {
			c.Group, c.Name = g, a
		}
	}
	if p.Declared {
		c.Scope = cdx.ScopeOptional
	}
	if len(p.Licenses) > 0 {
		var ls cdx.Licenses
		for _, l := range p.Licenses {
			ls = append(ls, cdx.LicenseChoice{License: &cdx.License{
				Name: l, Acknowledgement: cdx.LicenseAcknowledgementDeclared}})
		}
		c.Licenses = &ls
	}
	if p.Path != "" {
		c.Evidence = &cdx.Evidence{Occurrences: &[]cdx.EvidenceOccurrence{{Location: p.Path}}}
	}
	if p.Vendor != "" {
		c.Supplier = &cdx.OrganizationalEntity{Name: p.Vendor}
	}
	var ps properties
	describePackage(p.Package, ps.add)
	c.Properties = ps.list()
	return c
}

func vulnerability(ref string, f report.Finding) cdx.Vulnerability {
	v := cdx.Vulnerability{
		BOMRef:      f.ID + "#" + shortHash(ref),
		ID:          f.ID,
		Source:      &cdx.Source{Name: f.Evidence.Source, URL: f.URL},
		Description: f.Summary,
		Affects: &[]cdx.Affects{{Ref: ref, Range: &[]cdx.AffectedVersions{
			{Version: f.Package.Version, Status: cdx.VulnerabilityStatusAffected}}}},
	}
	if refs := references(f); len(refs) > 0 {
		v.References = &refs
	}
	rating := cdx.VulnerabilityRating{Severity: cdx.Severity(strings.ToLower(f.Severity)), Vector: f.Vector}
	if f.Score > 0 {
		rating.Score = &f.Score
		rating.Method = scoringMethod(f.Vector)
	}
	if f.SeverityFrom == "vendor" {
		rating.Source = &cdx.Source{Name: f.Evidence.Source}
	}
	v.Ratings = &[]cdx.VulnerabilityRating{rating}
	if f.URL != "" {
		v.Advisories = &[]cdx.Advisory{{URL: f.URL}}
	}
	if f.Published > 0 {
		v.Published = time.UnixMilli(f.Published).UTC().Format(time.RFC3339)
	}
	if f.FixedVersion != "" {
		v.Recommendation = fmt.Sprintf("update %s to %s", f.Package.Name, f.FixedVersion)
	}
	var ps properties
	ps.add("finding:fix-state", f.FixState)
	ps.add("finding:fixed-version", f.FixedVersion)
	ps.add("finding:ecosystem", f.Evidence.Ecosystem)
	ps.add("finding:name", f.Evidence.Name)
	ps.add("finding:range", f.Evidence.Range)
	ps.add("finding:compared", f.Evidence.Compared)
	ps.add("finding:layer", f.Package.Layer)
	ps.add("finding:build-command", f.Evidence.BuildCommand)
	ps.add("finding:record", f.Evidence.Record)
	ps.add("finding:note", f.Evidence.Note)
	ps.add("finding:priority", strconv.Itoa(f.Priority))
	if f.Exploited {
		ps.add("finding:exploited", "true")
		ps.add("finding:exploited-since", f.ExploitedSince)
	}
	if f.EPSS > 0 {
		ps.add("finding:epss", strconv.FormatFloat(f.EPSS, 'f', -1, 64))
		ps.add("finding:epss-percentile", strconv.FormatFloat(f.EPSSPercentile, 'f', -1, 64))
	}
	judge(&v, &ps, f.Judgement)
	v.Properties = ps.list()
	return v
}

// judge says what a document of the user says. The format has no word for a
// rule that leaves a finding out, and none for some justifications: VEX's own
// words stand in the properties.
func judge(v *cdx.Vulnerability, ps *properties, j *report.Judgement) {
	if j == nil {
		return
	}
	a := cdx.VulnerabilityAnalysis{Detail: j.Statement, LastUpdated: j.Date}
	switch j.Status {
	case report.StatusNotAffected:
		a.State = cdx.IASNotAffected
	case report.StatusFixed:
		a.State = cdx.IASResolved
	case report.StatusAffected:
		a.State = cdx.IASExploitable
	case report.StatusInvestigation:
		a.State = cdx.IASInTriage
	case report.StatusIgnored:
		a.Response = &[]cdx.ImpactAnalysisResponse{cdx.IARWillNotFix}
	}
	switch j.Justification {
	case "component_not_present", "vulnerable_code_not_present":
		a.Justification = cdx.IAJCodeNotPresent
	case "vulnerable_code_not_in_execute_path":
		a.Justification = cdx.IAJCodeNotReachable
	case "inline_mitigations_already_exist":
		a.Justification = cdx.IAJProtectedByMitigatingControl
	}
	v.Analysis = &a
	if j.Status == report.StatusNotAffected || j.Status == report.StatusFixed {
		(*(*v.Affects)[0].Range)[0].Status = cdx.VulnerabilityStatusNotAffected
	}
	ps.add("judgement:by", j.By)
	ps.add("judgement:status", j.Status)
	ps.add("judgement:justification", j.Justification)
	ps.add("judgement:document", j.Document)
	ps.add("judgement:until", j.Until)
}

// references are the CVEs and aliases of f, each with the place it is from,
// which the format requires.
func references(f report.Finding) []cdx.VulnerabilityReference {
	var out []cdx.VulnerabilityReference
	for _, id := range otherIDs(f) {
		name := "osv.dev"
		if strings.HasPrefix(id, "CVE-") {
			name = "CVE Program"
		}
		out = append(out, cdx.VulnerabilityReference{ID: id, Source: &cdx.Source{Name: name}})
	}
	return out
}

// otherIDs are the CVEs and aliases of f, without f.ID and without repeats.
func otherIDs(f report.Finding) []string {
	seen := map[string]bool{f.ID: true}
	var out []string
	for _, ids := range [][]string{f.CVEs, f.Aliases} {
		for _, id := range ids {
			if !seen[id] {
				seen[id] = true
				out = append(out, id)
			}
		}
	}
	return out
}

func scoringMethod(vector string) cdx.ScoringMethod {
	switch {
	case strings.HasPrefix(vector, "CVSS:4"):
		return cdx.ScoringMethodCVSSv4
	case strings.HasPrefix(vector, "CVSS:3.1"):
		return cdx.ScoringMethodCVSSv31
	case strings.HasPrefix(vector, "CVSS:3"):
		return cdx.ScoringMethodCVSSv3
	case strings.HasPrefix(vector, "AV:"):
		return cdx.ScoringMethodCVSSv2
	default:
		return cdx.ScoringMethodOther
	}
}

// packageRef names a package within the document. The package URL alone does
// not: the same package may lie in two places of one image, and in two images.
func packageRef(imageRef string, p Package) string {
	return p.PURL + "#" + shortHash(imageRef, packageKey(p.Package))
}

// packageKey is everything that tells packages of one image apart.
func packageKey(p report.Package) string {
	return strings.Join([]string{p.Type, p.Name, p.Version, p.Arch, p.Path, p.Layer}, "\x00")
}

func dependency(ref string, on []string) cdx.Dependency {
	d := cdx.Dependency{Ref: ref}
	if len(on) > 0 {
		d.Dependencies = &on
	}
	return d
}

func problemText(p report.Problem) string {
	if p.Path == "" {
		return p.Analyzer + ": " + p.Message
	}
	return p.Path + ": " + p.Analyzer + ": " + p.Message
}

func shortHash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:6])
}

// contentUUID is a version 5 UUID (RFC 9562, section 5.5) whose name is
// content and whose namespace is that of URLs.
func contentUUID(content []byte) string {
	ns := [16]byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}
	h := sha1.New() // what version 5 is defined with
	h.Write(ns[:])
	h.Write(content)
	u := h.Sum(nil)[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// properties collects properties; empty values are left out.
type properties []cdx.Property

func (ps *properties) add(name, value string) {
	if value != "" {
		*ps = append(*ps, cdx.Property{Name: propertyPrefix + name, Value: value})
	}
}

func (ps properties) list() *[]cdx.Property {
	if len(ps) == 0 {
		return nil
	}
	out := []cdx.Property(ps)
	return &out
}
