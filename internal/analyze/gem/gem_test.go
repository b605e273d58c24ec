package gem

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/analyzetest"
	"github.com/onceover/onceover/internal/report"
)

const p = "/usr/lib/ruby/gems/3.1.0/specifications/probe-1.2.3.gemspec"

const good = `# -*- encoding: utf-8 -*-
# stub: probe 1.2.3 x86_64-linux lib

Gem::Specification.new do |s|
  s.name = "probe".freeze
  s.version = "1.2.3"
  s.platform = "x86_64-linux".freeze

  s.required_rubygems_version = Gem::Requirement.new(">= 0".freeze) if s.respond_to? :required_rubygems_version=
  s.metadata = { "name" => "other", "version" => "9" } if s.respond_to? :metadata=
  s.authors = ["Nobody".freeze]
  s.description = "s.name = 'wrong'".freeze
  s.licenses = ["MIT".freeze, "Ruby".freeze]

  s.add_runtime_dependency(%q<rake>.freeze, ["= 1".freeze])
end
`

func TestSuite(t *testing.T) { analyzetest.Suite(t, New(), p, []byte(good)) }

func TestAnalyze(t *testing.T) {
	pkg := func(version, platform string, licenses ...string) *report.Facts {
		return &report.Facts{Packages: []report.Package{{Type: report.TypeGem, Name: "probe", Version: version, Arch: platform, Licenses: licenses, Path: p}}}
	}
	for _, tc := range []struct {
		name, text string
		want       *report.Facts
	}{
		{"generated", good, pkg("1.2.3", "x86_64-linux", "MIT", "Ruby")},
		{"old form", "  s.name = %q{x}\n  s.name = 'probe'\n  s.version = Gem::Version.new('1.0')\n", pkg("1.0", "")},
		{"other receiver", "spec.name='probe'\nspec.version='1'\nspec.license = 'MIT'\nspec.platform='ruby'\n", pkg("1", "", "MIT")},
		{"prerelease", "s.name = \"probe\"\ns.version = \"2.0.0.rc1\"\n", pkg("2.0.0.rc1", "")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := analyzetest.Facts(t, New(), analyzetest.File(p, []byte(tc.text)))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWants(t *testing.T) {
	for path, want := range map[string]bool{
		p: true,
		"/usr/share/rubygems-integration/all/specifications/default/a-1.gemspec": true,
		"/var/lib/gems/gems/a-1/a.gemspec":                                       false,
		"/var/lib/gems/specifications/a.txt":                                     false,
	} {
		if got := New().Wants(path, nil); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestDamaged(t *testing.T) {
	for _, text := range []string{"", "s.name = \"a\"", "s.name = \"a\"\ns.version = Foo::VERSION\n", "s.name = \"a\ns.version = \"1\n",
		"s.name = \"a-#{x}\"\ns.version = \"1\"\n", "s.name = \"a b\"\ns.version = \"1\"\n"} {
		if _, err := New().Analyze(t.Context(), analyzetest.File(p, []byte(text))); !errors.Is(err, errNoName) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

func TestLimits(t *testing.T) {
	f := analyzetest.File(p, nil)
	f.Size = maxFileBytes + 1
	if _, err := New().Analyze(t.Context(), f); !errors.Is(err, analyze.ErrLimit) {
		t.Errorf("bytes: got %v", err)
	}
	long := "s.name = \"" + strings.Repeat("a", maxTextBytes+1) + "\"\ns.version = \"1\"\n"
	if _, err := New().Analyze(t.Context(), analyzetest.File(p, []byte(long))); !errors.Is(err, errNoName) {
		t.Errorf("name: got %v", err)
	}
	text := "s.name = \"a\"\ns.version = \"1\"\n" + strings.Repeat("s.license = 'x'\n", maxLicenses+1)
	if n := len(analyzetest.Facts(t, New(), analyzetest.File(p, []byte(text))).Packages[0].Licenses); n != maxLicenses {
		t.Errorf("got %d licences, want %d", n, maxLicenses)
	}
	if n := len(literals(strings.Repeat("'x',", maxLicenses+1))); n != maxLicenses {
		t.Errorf("got %d literals of one line, want %d", n, maxLicenses)
	}
}

func FuzzGemspec(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("s.version='"))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts, err := New().Analyze(t.Context(), analyzetest.File(p, b))
		if err == nil && !analyze.Plain(facts.Packages[0].Name) {
			t.Errorf("unusable package %+v", facts.Packages[0])
		}
	})
}
