package erlang

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "erlang/2"

// Limits. The longest resource file of OTP (wx) has 10 kB; one that lists the
// 3,000 modules of a large application 150 kB.
const (
	maxFileBytes = 8 << 20
	maxDepth     = 32
	maxTextBytes = 512
	maxLicenses  = 20
	// An archive holds one application.
	maxArchived      = 1_000
	maxArchivedBytes = 1 << 20
)

// An Analyzer reads resource files of applications.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes ebin/NAME.app, hex_metadata.config, and applications packed as
// archives.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	return isResource(p) || strings.HasSuffix(p, "/hex_metadata.config") || isArchive(p)
}

func isResource(p string) bool {
	return strings.HasSuffix(p, ".app") && strings.HasSuffix(p[:strings.LastIndexByte(p, '/')], "/ebin")
}

func isArchive(p string) bool { return strings.HasSuffix(p, ".ez") }

var (
	errNoApplication = errors.New("no application in it")
	errNoName        = errors.New("no usable name or version")
)

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	if isArchive(f.Path) {
		facts, err := archive(ctx, f)
		if err != nil {
			return facts, fmt.Errorf("read archive: %w", err)
		}
		return facts, nil
	}
	content, err := analyze.ReadAll(ctx, f, maxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("read application: %w", err)
	}
	pkg, err := parse(ctx, content, f.Path)
	if err != nil {
		return nil, fmt.Errorf("read application: %w", err)
	}
	return &report.Facts{Packages: []report.Package{pkg}}, nil
}

// archive reads the resource files in an archive of code (the code(3erl) page):
// NAME-VERSION/ebin/NAME.app, one as a rule.
func archive(ctx context.Context, f analyze.File) (*report.Facts, error) {
	z, err := analyze.OpenZip(ctx, f)
	if z == nil || err != nil {
		return nil, err
	}
	facts := &report.Facts{}
	var problems analyze.Problems
	for _, e := range z.Files {
		if !isResource("/" + e.Name) {
			continue
		}
		if len(facts.Packages) == maxArchived {
			return facts, analyze.Limited("applications", maxArchived+1, maxArchived)
		}
		pkg, err := entry(ctx, f, e)
		switch {
		case z.Err() != nil:
			return facts, z.Err()
		case err != nil:
			problems.Add(f.Path, key, "%s: %v", analyze.Clip(e.Name), err)
		default:
			facts.Packages = append(facts.Packages, pkg)
		}
	}
	facts.Problems = problems.List()
	if len(facts.Packages) == 0 && len(facts.Problems) == 0 {
		return nil, nil
	}
	return facts, nil
}

// entry reads one resource file of an archive.
func entry(ctx context.Context, f analyze.File, e *zip.File) (report.Package, error) {
	r, err := e.Open()
	if err != nil {
		return report.Package{}, err
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, maxArchivedBytes+1))
	if err != nil {
		return report.Package{}, err
	}
	if len(content) > maxArchivedBytes {
		return report.Package{}, analyze.Limited("bytes", int64(len(content)), maxArchivedBytes)
	}
	return parse(ctx, content, f.Path+"!"+e.Name)
}

// parse reads the resource file or the metadata that stands at p.
func parse(ctx context.Context, content []byte, p string) (report.Package, error) {
	pkg := report.Package{Path: p}
	read := application
	if !strings.HasSuffix(p, ".app") {
		read = metadata
	}
	if err := read(ctx, content, &pkg); err != nil {
		return pkg, err
	}
	if !plain(pkg.Name) || pkg.Version != "" && !plain(pkg.Version) {
		return pkg, fmt.Errorf("name %q, version %q: %w", analyze.Clip(pkg.Name), analyze.Clip(pkg.Version), errNoName)
	}
	pkg.Licenses = pkg.Licenses[:min(len(pkg.Licenses), maxLicenses)]
	return pkg, nil
}

// application reads a resource file.
func application(ctx context.Context, content []byte, pkg *report.Package) error {
	found := false
	err := walk(ctx, content, func(keys []string, value string) {
		switch {
		case len(keys) == 1 && keys[0] == "application" && pkg.Name == "":
			pkg.Name, found = value, true
		case len(keys) == 3 && keys[2] == "vsn" && pkg.Version == "":
			pkg.Version = value
		case len(keys) == 4 && keys[2] == "licenses" && len(value) <= maxTextBytes:
			pkg.Licenses = append(pkg.Licenses, value)
		}
	})
	if err == nil && !found {
		err = errNoApplication
	}
	pkg.Type = report.TypeHex
	if ofOTP(pkg.Name) {
		pkg.Type = report.TypeOTP
	}
	return err
}

// metadata reads what Hex says of a package it has fetched.
func metadata(ctx context.Context, content []byte, pkg *report.Package) error {
	pkg.Type = report.TypeHex
	return walk(ctx, content, func(keys []string, value string) {
		switch {
		case len(keys) == 1 && keys[0] == "name" && pkg.Name == "":
			pkg.Name = value
		case len(keys) == 1 && keys[0] == "version" && pkg.Version == "":
			pkg.Version = value
		case len(keys) == 2 && keys[0] == "licenses" && len(value) <= maxTextBytes:
			pkg.Licenses = append(pkg.Licenses, value)
		}
	})
}

// ofOTP reports whether an application is one of Erlang/OTP, old ones
// included, or of the Elixir distribution.
func ofOTP(name string) bool {
	switch name {
	case "asn1", "common_test", "compiler", "crypto", "debugger", "dialyzer", "diameter", "edoc", "eldap",
		"erl_docgen", "erl_interface", "erts", "et", "eunit", "ftp", "hipe", "ic", "inets", "inviso",
		"jinterface", "kernel", "megaco", "mnesia", "observer", "odbc", "orber", "os_mon", "ose", "otp_mibs",
		"parsetools", "percept", "public_key", "reltool", "runtime_tools", "sasl", "snmp", "ssh", "ssl",
		"stdlib", "syntax_tools", "test_server", "tftp", "tools", "typer", "webtool", "wx", "xmerl",
		"cosEvent", "cosEventDomain", "cosFileTransfer", "cosNotification", "cosProperty", "cosTime",
		"cosTransactions", "gs",
		"eex", "elixir", "ex_unit", "iex", "logger", "mix":
		return true
	default:
		return false
	}
}

// plain reports whether s can be a name or a version.
func plain(s string) bool { return analyze.Plain(s) && len(s) <= maxTextBytes }
