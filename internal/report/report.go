package report

import (
	"cmp"
	"slices"
)

// Package types. They are the types of package URLs
// (https://github.com/package-url/purl-spec).
const (
	TypeDeb    = "deb"
	TypeAPK    = "apk"
	TypeRPM    = "rpm"
	TypeGo     = "golang"
	TypeNPM    = "npm"
	TypePython = "pypi"
	TypeJava   = "maven"
	TypeGem    = "gem"

	TypeNuGet    = "nuget"
	TypeCargo    = "cargo"
	TypeComposer = "composer"
	TypeConda    = "conda"
	TypeCRAN     = "cran"
	TypeLua      = "luarocks"
	TypeHex      = "hex"
	TypeOTP      = "otp"
	TypeSwift    = "swift"
	TypeConan    = "conan"
	TypeBitnami  = "bitnami"
	// Pacman packages, Gentoo's, Nix's and OpenWrt's.
	TypeAlpm   = "alpm"
	TypeEbuild = "ebuild"
	TypeNix    = "nix"
	TypeOpkg   = "opkg"
	// Applications of their own store.
	TypeSnap      = "snap"
	TypeFlatpak   = "flatpak"
	TypeWordPress = "wordpress"
	// A kernel or a module of one that no package manager installed.
	TypeKernel       = "linux-kernel"
	TypeKernelModule = "linux-kernel-module"
	// TypeGeneric is a program that is known by its content alone.
	TypeGeneric = "generic"
)

// OSType reports whether packages of type t come from a distribution's
// package manager.
func OSType(t string) bool {
	switch t {
	case TypeDeb, TypeAPK, TypeRPM, TypeAlpm, TypeEbuild, TypeOpkg:
		return true
	default:
		return false
	}
}

// A Package is one piece of installed software, as its own metadata tells.
type Package struct {
	// Type is one of the Type constants.
	Type string `json:"type"`
	// Name as the package manager writes it; "group:artifact" for Java,
	// the module path for Go, normalised (PEP 503) for Python.
	Name string `json:"name"`
	// Version as the package manager writes it, epoch and release
	// included ("1:2.3-4", "2.3-r0"). Empty if unknown: such a package
	// is listed and never matched.
	Version string `json:"version"`
	Arch    string `json:"arch,omitempty"`
	// Source names the source package of a deb, apk or rpm if it is not
	// the package itself; SourceVersion its version if that differs.
	Source        string `json:"source,omitempty"`
	SourceVersion string `json:"source_version,omitempty"`
	// Module is the modularity label of an rpm, "name:stream:…".
	Module string `json:"module,omitempty"`
	// Vendor is what an rpm says built it, and the distribution that a bill
	// of materials names.
	Vendor string `json:"vendor,omitempty"`
	// Licenses as declared, not normalised.
	Licenses []string `json:"licenses,omitempty"`
	// Path is the file that says so, absolute within the image, with
	// "!" between an archive and a file inside it.
	Path string `json:"path"`
	// Declared marks what a file asks for without proof that it is
	// installed. Declared packages are not counted or matched by default.
	Declared bool `json:"declared,omitempty"`
	// SBOM marks what a bill of materials in the image says. Merge folds
	// such a package into the one that other evidence names alike.
	SBOM bool `json:"sbom,omitempty"`

	// Layer is the diff ID of the layer that brought the package. Set by
	// Merge.
	Layer string `json:"layer,omitempty"`
	// OwnedBy is "type:name" of the distribution package or component of
	// Bitnami that installed the file at Path, if one did. Set by Merge. Owned packages are
	// matched only through their owner.
	OwnedBy string `json:"owned_by,omitempty"`
}

// Compare orders packages by type, name, version, architecture and path.
func (p Package) Compare(o Package) int {
	return cmp.Or(
		cmp.Compare(p.Type, o.Type),
		cmp.Compare(p.Name, o.Name),
		cmp.Compare(p.Version, o.Version),
		cmp.Compare(p.Arch, o.Arch),
		cmp.Compare(p.Path, o.Path),
		cmp.Compare(p.Layer, o.Layer),
	)
}

// A Database is one package database found in a layer: every package it
// lists, and which files of interest each package owns. A database file
// hides the one of the same path below it, packages and all.
type Database struct {
	// Path of the database, absolute within the image.
	Path string `json:"path"`
	// Packages it lists, installed ones only.
	Packages []Package `json:"packages,omitempty"`
}

// An Ownership says that an installed distribution package put some files in
// place. It stands apart from Database because some managers keep it in other
// files (dpkg's info/NAME.list).
type Ownership struct {
	// Path of the file that says so; it is hidden together with it.
	Path string `json:"path"`
	// Owner is "type:name". It is empty where an administrator diverts.
	Owner string `json:"owner"`
	// Files are the PathHash of each file owned, sorted.
	Files Hashes `json:"files,omitempty"`
	// Diverted are files that stand elsewhere than the packages other than
	// Owner list them (dpkg-divert(1)).
	Diverted []Diversion `json:"diverted,omitempty"`
}

// A Diversion is the PathHash of the place that packages list, and that of the
// place where their file really stands.
type Diversion struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// A Problem is something that could not be read. It never stops a scan.
type Problem struct {
	Path string `json:"path,omitempty"`
	// Analyzer is the key of the analyser that met it, or "layer".
	Analyzer string `json:"analyzer"`
	Message  string `json:"message"`
	// Reason is the reason in Ledger.Skipped that the file was counted
	// under, empty if it was not skipped. Message names the limit.
	Reason string `json:"reason,omitempty"`
	// Layer is set by Merge.
	Layer string `json:"layer,omitempty"`
}

// Facts are what one analyser learned from one file.
type Facts struct {
	// Packages stand on their own: each is hidden with its Path.
	Packages []Package `json:"packages,omitempty"`
	// Database is set by analysers of package databases, instead of
	// Packages.
	Database *Database `json:"database,omitempty"`
	// Ownership by analysers of file lists.
	Ownership []Ownership `json:"ownership,omitempty"`
	// OSRelease is the content of an os-release file, key to value.
	OSRelease map[string]string `json:"os_release,omitempty"`
	// Secrets that stand in the file.
	Secrets []Secret `json:"secrets,omitempty"`
	// Malware is what was found in the file, Settings what it says as a
	// configuration.
	Malware  []Malware `json:"malware,omitempty"`
	Settings []Setting `json:"settings,omitempty"`
	// Problems met on the way that did not spoil the rest.
	Problems []Problem `json:"problems,omitempty"`
}

// A Ledger counts every entry of a layer exactly once, so that nothing
// vanishes.
type Ledger struct {
	// Files is the number of regular files and hard links.
	Files int64 `json:"files"`
	// Parsed is how many of them an analyser read and understood.
	Parsed int64 `json:"parsed"`
	// Examined is how many were opened and found to be of no interest.
	Examined int64 `json:"examined"`
	// Passed is how many were ruled out by name, size and mode. Owned is
	// how many of them a distribution package put there, Unowned how many
	// none did: only the layers together tell, so both are 0 in a
	// LayerReport and are set by Merge and Ledgers.
	Passed  int64 `json:"passed"`
	Owned   int64 `json:"owned,omitempty"`
	Unowned int64 `json:"unowned,omitempty"`
	// Skipped counts what should have been read and was not, by reason.
	Skipped map[string]int64 `json:"skipped,omitempty"`
	// Dirs, Symlinks and Others (devices, pipes, sockets) are not files.
	Dirs     int64 `json:"dirs"`
	Symlinks int64 `json:"symlinks"`
	Others   int64 `json:"others"`
	// Bytes is how much file content was looked at, counted for each name of
	// a file.
	Bytes int64 `json:"bytes"`
	// Hashed is how many files stand in the report with their digest, if
	// digests are taken, and HashedBytes their sizes together. Unhashed
	// counts those that should and do not, by reason. They are counted
	// beside what stands above.
	Hashed      int64            `json:"hashed,omitempty"`
	HashedBytes int64            `json:"hashed_bytes,omitempty"`
	Unhashed    map[string]int64 `json:"unhashed,omitempty"`
}

// Add adds o to l.
func (l *Ledger) Add(o Ledger) {
	l.Files += o.Files
	l.Parsed += o.Parsed
	l.Examined += o.Examined
	l.Passed += o.Passed
	l.Owned += o.Owned
	l.Unowned += o.Unowned
	l.Dirs += o.Dirs
	l.Symlinks += o.Symlinks
	l.Others += o.Others
	l.Bytes += o.Bytes
	for k, n := range o.Skipped {
		l.Skip(k, n)
	}
	l.Hashed += o.Hashed
	l.HashedBytes += o.HashedBytes
	for k, n := range o.Unhashed {
		l.LeaveOut(k, n)
	}
}

// LeaveOut counts n files whose digests were not taken for reason.
func (l *Ledger) LeaveOut(reason string, n int64) {
	if l.Unhashed == nil {
		l.Unhashed = map[string]int64{}
	}
	l.Unhashed[reason] += n
}

// Skip counts n files that were skipped for reason.
func (l *Ledger) Skip(reason string, n int64) {
	if l.Skipped == nil {
		l.Skipped = map[string]int64{}
	}
	l.Skipped[reason] += n
}

// A LayerReport is what one check found in one layer. It is a function of the
// layer's bytes and the analyser set, nothing else. The structure of the layer
// (packages, Hides, Dirs and so on) stands in the report of CheckPackages alone;
// Join puts the others to it.
type LayerReport struct {
	// DiffID of the layer.
	DiffID string `json:"diff_id"`
	// Analyzers is the key of the analyser set that made the report; several,
	// as JoinKeys writes them, after Join.
	Analyzers string `json:"analyzers"`
	// Complete is false if the layer could not be read to its end. Such
	// a report is used and never cached as final.
	Complete bool `json:"complete"`

	Packages  []Package   `json:"packages,omitempty"`
	Databases []Database  `json:"databases,omitempty"`
	Ownership []Ownership `json:"ownership,omitempty"`
	// OSReleases are os-release files by path.
	OSReleases map[string]map[string]string `json:"os_releases,omitempty"`

	// Whiteouts are paths the layer deletes, Opaques directories whose
	// lower content it hides, both absolute and sorted.
	Whiteouts []string `json:"whiteouts,omitempty"`
	Opaques   []string `json:"opaques,omitempty"`
	// Hides and Passed are the PathHash of every entry that is not a
	// directory, sorted: each hides what lies at or beneath its path below.
	// Passed are the regular files of Ledger.Passed, Hides all the others.
	Hides  Hashes `json:"hides,omitempty"`
	Passed Hashes `json:"passed,omitempty"`
	// Dirs are the PathHash of every directory of the layer, sorted, those
	// on the way to an entry among them. A directory takes the place of
	// whatever stands at its path below, but for a directory.
	Dirs Hashes `json:"dirs,omitempty"`
	// Symlinks by absolute path, with their targets as written.
	Symlinks map[string]string `json:"symlinks,omitempty"`

	// Files are the executables of the layer, and those files that its
	// package database does not list, if it has one; at most MaxFiles,
	// sorted by path. FilesRead says that they were looked for.
	Files     []File `json:"files,omitempty"`
	FilesRead bool   `json:"files_read,omitempty"`

	// Secrets of the files, at most MaxSecrets, sorted.
	Secrets []Secret `json:"secrets,omitempty"`
	// Malware in the files, at most MaxMalware, and Settings of files and
	// directories, at most MaxSettings, both sorted.
	Malware  []Malware `json:"malware,omitempty"`
	Settings []Setting `json:"settings,omitempty"`

	Problems []Problem `json:"problems,omitempty"`
	Ledger   Ledger    `json:"ledger"`
	// Checked are the ledgers of the other checks, by their names, and
	// Partial the names of those checks that did not come to the end of the
	// layer. Set by Join.
	Checked map[string]Ledger `json:"checked,omitempty"`
	Partial []string          `json:"partial,omitempty"`
}

// Normalize sorts everything whose order carries no meaning, so that equal
// reports are equal bytes.
func (r *LayerReport) Normalize() {
	slices.SortFunc(r.Packages, Package.Compare)
	r.Packages = slices.CompactFunc(r.Packages, func(a, b Package) bool { return a.Compare(b) == 0 })
	for i := range r.Databases {
		slices.SortFunc(r.Databases[i].Packages, Package.Compare)
	}
	slices.SortFunc(r.Databases, func(a, b Database) int { return cmp.Compare(a.Path, b.Path) })
	for i := range r.Ownership {
		slices.Sort(r.Ownership[i].Files)
		r.Ownership[i].Files = slices.Compact(r.Ownership[i].Files)
	}
	slices.SortFunc(r.Ownership, func(a, b Ownership) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Owner, b.Owner))
	})
	slices.Sort(r.Whiteouts)
	r.Whiteouts = slices.Compact(r.Whiteouts)
	slices.Sort(r.Opaques)
	r.Opaques = slices.Compact(r.Opaques)
	slices.Sort(r.Hides)
	r.Hides = slices.Compact(r.Hides)
	slices.Sort(r.Passed)
	r.Passed = slices.Compact(r.Passed)
	slices.Sort(r.Dirs)
	r.Dirs = slices.Compact(r.Dirs)
	slices.SortFunc(r.Secrets, Secret.Compare)
	slices.SortFunc(r.Malware, Malware.Compare)
	slices.SortFunc(r.Settings, Setting.Compare)
	slices.SortFunc(r.Files, File.Compare)
	r.Files = slices.CompactFunc(r.Files, func(a, b File) bool { return a.Path == b.Path })
	slices.SortFunc(r.Problems, Problem.Compare)
}

// Compare orders problems by path, analyser and message.
func (p Problem) Compare(o Problem) int {
	return cmp.Or(cmp.Compare(p.Layer, o.Layer), cmp.Compare(p.Path, o.Path),
		cmp.Compare(p.Analyzer, o.Analyzer), cmp.Compare(p.Message, o.Message))
}
