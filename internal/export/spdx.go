package export

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// Words of SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/).
const (
	spdxVersion     = "SPDX-2.3"
	spdxDataLicense = "CC0-1.0"
	spdxDocumentID  = "SPDXRef-DOCUMENT"
	spdxUnknown     = "NOASSERTION"
	// spdxNamespace is what the specification offers to those who have no
	// place of their own for documents.
	spdxNamespace = "https://spdx.org/spdxdocs/onceover-"
	// spdxNoDate stands where no image says when it was built.
	spdxNoDate = "1970-01-01T00:00:00Z"
	// spdxDateComment says why the date is no time of day.
	spdxDateComment = "The date is that of the newest image, so that equal images give equal documents."
)

// SPDX writes d as an SPDX 2.3 bill of materials in JSON: images, their
// distributions and their packages are packages of the document, and what is only
// asked for by a file is not said to be contained. Findings stand as security
// references of their packages. The document has no time of its own, and its
// namespace is a hash of its content.
func SPDX(w io.Writer, d *Document) error {
	b := spdxWriter{doc: d, licenses: map[string]string{}}
	out := b.build()
	js, err := json.Marshal(out)
	if err != nil {
		return fmt.Errorf("write spdx: %w", err)
	}
	out.Namespace = spdxNamespace + contentUUID(js)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(out); err != nil {
		return fmt.Errorf("write spdx: %w", err)
	}
	return nil
}

type spdxDocument struct {
	Version      string `json:"spdxVersion"`
	DataLicense  string `json:"dataLicense"`
	ID           string `json:"SPDXID"`
	Name         string `json:"name"`
	Namespace    string `json:"documentNamespace"`
	CreationInfo struct {
		Created            string   `json:"created"`
		Creators           []string `json:"creators"`
		LicenseListVersion string   `json:"licenseListVersion"`
		Comment            string   `json:"comment"`
	} `json:"creationInfo"`
	Annotations   []spdxAnnotation   `json:"annotations,omitempty"`
	Packages      []spdxPackage      `json:"packages"`
	Relationships []spdxRelationship `json:"relationships"`
	Licenses      []spdxLicense      `json:"hasExtractedLicensingInfos,omitempty"`
}

type spdxPackage struct {
	ID               string           `json:"SPDXID"`
	Name             string           `json:"name"`
	Version          string           `json:"versionInfo,omitempty"`
	Supplier         string           `json:"supplier"`
	DownloadLocation string           `json:"downloadLocation"`
	FilesAnalyzed    bool             `json:"filesAnalyzed"`
	Checksums        []spdxChecksum   `json:"checksums,omitempty"`
	SourceInfo       string           `json:"sourceInfo,omitempty"`
	LicenseConcluded string           `json:"licenseConcluded"`
	LicenseDeclared  string           `json:"licenseDeclared"`
	CopyrightText    string           `json:"copyrightText"`
	Description      string           `json:"description,omitempty"`
	Purpose          string           `json:"primaryPackagePurpose,omitempty"`
	ExternalRefs     []spdxReference  `json:"externalRefs,omitempty"`
	Annotations      []spdxAnnotation `json:"annotations,omitempty"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxReference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
	Comment  string `json:"comment,omitempty"`
}

type spdxAnnotation struct {
	Date      string `json:"annotationDate"`
	Type      string `json:"annotationType"`
	Annotator string `json:"annotator"`
	Comment   string `json:"comment"`
}

type spdxRelationship struct {
	From    string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	To      string `json:"relatedSpdxElement"`
	Comment string `json:"comment,omitempty"`
}

type spdxLicense struct {
	ID   string `json:"licenseId"`
	Name string `json:"name"`
	Text string `json:"extractedText"`
}

type spdxWriter struct {
	doc      *Document
	out      spdxDocument
	licenses map[string]string // text to id, of what the list does not have
}

func (b *spdxWriter) build() *spdxDocument {
	d, out := b.doc, &b.out
	out.Version, out.DataLicense, out.ID, out.Name = spdxVersion, spdxDataLicense, spdxDocumentID, "container images"
	out.CreationInfo.Created = created(d.Images)
	out.CreationInfo.Creators = []string{b.tool()}
	out.CreationInfo.LicenseListVersion = licenseListVersion()
	out.CreationInfo.Comment = spdxDateComment
	out.Packages, out.Relationships = []spdxPackage{}, []spdxRelationship{}
	if len(d.Images) == 1 {
		out.Name = d.Images[0].Title()
	}
	var notes spdxNotes
	notes.add("analyzer-set", d.AnalyzerSet)
	if !d.Inventory {
		notes.add("advisories:generation", d.Advisories.Generation)
		notes.add("advisories:date", d.Advisories.Date)
		notes.add("advisories:notice", d.Advisories.Notice)
	}
	for _, w := range d.Warnings {
		notes.add("warning", w)
	}
	out.Annotations = b.annotations(notes)
	for i := range d.Images {
		b.image(&d.Images[i])
	}
	for text, id := range b.licenses {
		out.Licenses = append(out.Licenses, spdxLicense{ID: id, Name: text, Text: text})
	}
	slices.SortFunc(out.Licenses, func(a, b spdxLicense) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// created is when the newest image was built, in the form of SPDX: seconds, UTC.
func created(images []Image) string {
	newest := time.Time{}
	for _, im := range images {
		if at, err := time.Parse(time.RFC3339, im.Created); err == nil && at.After(newest) {
			newest = at
		}
	}
	if year := newest.UTC().Year(); newest.IsZero() || year < 1970 || year > 9999 {
		return spdxNoDate
	}
	return newest.UTC().Format("2006-01-02T15:04:05Z")
}

func (b *spdxWriter) tool() string {
	if b.doc.Tool.Version == "" {
		return "Tool: " + b.doc.Tool.Name
	}
	return "Tool: " + b.doc.Tool.Name + "-" + b.doc.Tool.Version
}

// image adds an image with what it contains.
func (b *spdxWriter) image(im *Image) {
	hash := shortHash(string(im.ConfigDigest), im.Platform)
	p := newSPDXPackage("SPDXRef-Image-"+hash, im.Title(), "")
	p.Purpose = "CONTAINER"
	if len(im.Names) > 0 {
		ref := image.ParseRef(im.Names[0])
		p.Name, p.Version = ref.Name, ref.Tag
	}
	if len(im.ManifestDigests) == 1 {
		if sum, ok := strings.CutPrefix(string(im.ManifestDigests[0]), "sha256:"); ok {
			p.Checksums = []spdxChecksum{{"SHA256", sum}}
		}
	}
	var notes spdxNotes
	identify(im, notes.add)
	describe(im, notes.add)
	p.Annotations = b.annotations(notes)
	at := len(b.out.Packages)
	b.out.Packages = append(b.out.Packages, p)
	b.relate(spdxDocumentID, "DESCRIBES", p.ID, "")
	if im.Distro.ID != "" {
		os := newSPDXPackage("SPDXRef-OS-"+hash, im.Distro.ID, im.Distro.VersionID)
		os.Purpose, os.Description = "OPERATING_SYSTEM", im.Distro.Name
		b.out.Packages = append(b.out.Packages, os)
		b.relate(p.ID, "CONTAINS", os.ID, "")
	}
	places := b.packages(im, p.ID, hash)
	if b.doc.Inventory {
		return
	}
	for _, f := range slices.Concat(im.Findings, im.Suppressed) {
		i, ok := places[packageKey(f.Package)]
		if !ok {
			i = at // a finding on a package that is not listed
		}
		if ref, ok := advisoryReference(f); ok {
			b.out.Packages[i].ExternalRefs = append(b.out.Packages[i].ExternalRefs, ref)
		}
	}
}

// packages adds the packages of an image and says where each stands.
func (b *spdxWriter) packages(im *Image, imageID, hash string) map[string]int {
	sums := fileSums(im)
	places := map[string]int{}
	owners := map[string]string{} // "type:name" to the id
	for _, p := range im.Packages {
		key := packageKey(p.Package)
		if _, ok := places[key]; ok {
			continue
		}
		out := b.pkg(p, hash)
		if sum := sums[fileOf(p.Package)]; sum != "" {
			out.Checksums = []spdxChecksum{{"SHA256", sum}}
		}
		places[key] = len(b.out.Packages)
		b.out.Packages = append(b.out.Packages, out)
		if p.Declared {
			b.relate(imageID, "OTHER", out.ID, "A file of the image asks for the package; there is no proof that it is installed.")
			continue
		}
		b.relate(imageID, "CONTAINS", out.ID, "")
		if name := p.Type + ":" + p.Name; owners[name] == "" {
			owners[name] = out.ID
		}
	}
	for _, p := range im.Packages {
		id := b.out.Packages[places[packageKey(p.Package)]].ID
		if owner := owners[p.OwnedBy]; owner != "" && owner != id {
			b.relate(owner, "CONTAINS", id, "")
		}
	}
	return places
}

func (b *spdxWriter) pkg(p Package, hash string) spdxPackage {
	out := newSPDXPackage("SPDXRef-Package-"+spdxWord(p.Type)+"-"+spdxWord(p.Name)+"-"+shortHash(hash, packageKey(p.Package)), p.Name, p.Version)
	if p.Vendor != "" {
		out.Supplier = "Organization: " + p.Vendor
	}
	out.LicenseDeclared = b.license(p.Licenses)
	if p.Path != "" {
		out.SourceInfo = "found in " + p.Path
	}
	switch {
	case p.Type == report.TypeGeneric:
		out.Purpose = "APPLICATION"
	case !report.OSType(p.Type):
		out.Purpose = "LIBRARY"
	}
	if p.PURL != "" {
		out.ExternalRefs = []spdxReference{{Category: "PACKAGE-MANAGER", Type: "purl", Locator: p.PURL}}
	}
	var notes spdxNotes
	describePackage(p.Package, notes.add)
	out.Annotations = b.annotations(notes)
	return out
}

func (b *spdxWriter) relate(from, how, to, comment string) {
	b.out.Relationships = append(b.out.Relationships, spdxRelationship{from, how, to, comment})
}

// spdxNotes are what SPDX has no member for: lines of an annotation, named as
// the properties of our CycloneDX are.
type spdxNotes []string

func (n *spdxNotes) add(name, value string) {
	if value != "" {
		*n = append(*n, propertyPrefix+name+"="+strings.ReplaceAll(value, "\n", " "))
	}
}

func (b *spdxWriter) annotations(n spdxNotes) []spdxAnnotation {
	if len(n) == 0 {
		return nil
	}
	return []spdxAnnotation{{b.out.CreationInfo.Created, "OTHER", b.tool(), strings.Join(n, "\n")}}
}

func newSPDXPackage(id, name, version string) spdxPackage {
	return spdxPackage{
		ID: id, Name: name, Version: version, Supplier: spdxUnknown, DownloadLocation: spdxUnknown,
		LicenseConcluded: spdxUnknown, LicenseDeclared: spdxUnknown, CopyrightText: spdxUnknown,
	}
}

// spdxWord is s with what an id may have alone: letters, digits, "." and "-".
func spdxWord(s string) string {
	const most = 64
	if len(s) > most {
		s = s[:most]
	}
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}, s)
}

// advisoryReference is a finding as a reference of its package; false for one
// whose advisory has no address.
func advisoryReference(f report.Finding) (spdxReference, bool) {
	if f.URL == "" || strings.ContainsAny(f.URL, " \t\r\n") {
		return spdxReference{}, false
	}
	words := []string{f.ID}
	words = append(words, otherIDs(f)...)
	comment := strings.Join(words, ", ") + ": " + f.Severity
	if f.FixedVersion != "" {
		comment += ", fixed in " + f.FixedVersion
	}
	if f.Judgement.Suppresses() {
		comment += ", set aside: " + f.Judgement.Status
	}
	return spdxReference{"SECURITY", "advisory", f.URL, comment}, true
}

// fileOf is the file that a package is, "" if it is more or less than one file.
func fileOf(p report.Package) string {
	switch p.Type {
	case report.TypeJava, report.TypeGeneric, report.TypeKernel, report.TypeKernelModule:
		return p.Path
	default:
		return ""
	}
}

// fileSums are the digests of an image's files by path, in hexadecimal digits.
func fileSums(im *Image) map[string]string {
	out := map[string]string{}
	for _, f := range im.Files {
		if f.SHA256 != (report.SHA256{}) {
			out[f.Path] = hex.EncodeToString(f.SHA256[:])
		}
	}
	return out
}
