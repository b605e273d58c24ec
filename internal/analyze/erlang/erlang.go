package erlang

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/report"
)

const key = "erlang/1"

// Limits. The longest resource file of OTP (wx) has 10 kB; one that lists the
// 3,000 modules of a large application 150 kB.
const (
	maxFileBytes = 8 << 20
	maxDepth     = 32
	maxTextBytes = 512
	maxLicenses  = 20
)

// An Analyzer reads resource files of applications.
type Analyzer struct{}

// New makes an analyser.
func New() Analyzer { return Analyzer{} }

// Key implements analyze.Analyzer.
func (Analyzer) Key() string { return key }

// Wants takes ebin/NAME.app and hex_metadata.config.
func (Analyzer) Wants(p string, _ fs.FileInfo) bool {
	if strings.HasSuffix(p, ".app") {
		return strings.HasSuffix(p[:strings.LastIndexByte(p, '/')], "/ebin")
	}
	return strings.HasSuffix(p, "/hex_metadata.config")
}

var (
	errNoApplication = errors.New("no application in it")
	errNoName        = errors.New("no usable name or version")
)

// Analyze implements analyze.Analyzer.
func (Analyzer) Analyze(ctx context.Context, f analyze.File) (*report.Facts, error) {
	content, err := analyze.ReadAll(ctx, f, maxFileBytes)
	if err != nil {
		return nil, fmt.Errorf("read application: %w", err)
	}
	pkg := report.Package{Path: f.Path}
	if strings.HasSuffix(f.Path, ".app") {
		err = application(ctx, content, &pkg)
	} else {
		err = metadata(ctx, content, &pkg)
	}
	if err != nil {
		return nil, fmt.Errorf("read application: %w", err)
	}
	if !plain(pkg.Name) || pkg.Version != "" && !plain(pkg.Version) {
		return nil, fmt.Errorf("read application: name %q, version %q: %w", analyze.Clip(pkg.Name), analyze.Clip(pkg.Version), errNoName)
	}
	pkg.Licenses = pkg.Licenses[:min(len(pkg.Licenses), maxLicenses)]
	return &report.Facts{Packages: []report.Package{pkg}}, nil
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
