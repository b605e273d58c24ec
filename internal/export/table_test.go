package export

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"
	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

func tableOf(t testing.TB, d *Document, opts TableOptions) string {
	return render(t, func(w io.Writer, d *Document) error { return Table(w, d, opts) }, d)
}

func TestTable(t *testing.T) {
	d := sample()
	d.Finish()
	got := tableOf(t, d, TableOptions{})
	want := `
gone:1
  ` + image.DigestOf([]byte("gone")).Short() + `, linux/arm64/v8, containerd, 0 packages
  not scanned: image was removed

nginx:1.25, web:latest
  ` + image.DigestOf([]byte("web")).Short() + `, linux/amd64, containerd, docker, Debian GNU/Linux 12 (bookworm), 188 MB, 5 packages, 1 container
  1 problem while reading; the first: /app/bad.jar: java/1: not a zip ` + "\ufffd" + `[31m
  5 findings: 1 critical, 2 high, 1 low, 1 unknown; 3 fixable

  SEVERITY  ADVISORY        PACKAGE                              INSTALLED  FIXED IN  PATH
  Critical  CVE-2021-44228  org.apache.logging.log4j:log4j-core  2.14.1     2.15.0    /app/x.jar!/BOOT-INF/lib/log4j-core-2.14.1.jar
  High      CVE-2024-1      libssl3, openssl                     3.0.11-1   3.0.13-1
  Low       CVE-2024-2      libssl3                              3.0.11-1
  Unknown   OSV-1           lodash                               4.17.15              /app/node_modules/lodash/package.json

3 images: 5 findings: 1 critical, 2 high, 1 low, 1 unknown; 3 fixable
warning: a
warning: b
note: ` + StarterNotice + `
`
	_, rest, _ := strings.Cut(got, "\n\n") // after the image without a name
	if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), rest); diff != "" {
		t.Errorf("%s\n%s", diff, got)
	}
}

func TestTableWidth(t *testing.T) {
	d := sample()
	d.Finish()
	for _, width := range []int{minTableWidth, 80, 100, 120} {
		for _, color := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d columns, color %v", width, color), func(t *testing.T) {
				got := tableOf(t, d, TableOptions{Width: width, Color: color})
				_, rows, ok := strings.Cut(got, "SEVERITY")
				if !ok {
					t.Fatal(got)
				}
				rows, _, _ = strings.Cut(rows, "\n\n")
				for line := range strings.Lines(rows) {
					if w := lipgloss.Width(strings.TrimSuffix(line, "\n")); w > width {
						t.Errorf("%d columns: %q", w, line)
					}
				}
				if strings.Contains(got, "\x1b") != color {
					t.Errorf("escape sequences: %v, want %v", !color, color)
				}
				// Identifiers stay in one piece, to be copied.
				for _, s := range []string{"3.0.13-1", "3.0.11-1", "CVE-2021-44228"} {
					if !color && !strings.Contains(rows, s) {
						t.Errorf("lost %q at %d columns:\n%s", s, width, got)
					}
				}
			})
		}
	}
}

// What an image contains must not reach the terminal as a command.
func TestTableIsNotSteered(t *testing.T) {
	evil := "x\x1b]0;owned\a\x9b2J\u202egnp\r\nfake line\xff"
	d := &Document{Warnings: []string{evil}, Images: []Image{{
		Names: []string{evil}, ConfigDigest: image.DigestOf(nil), Engines: []string{evil}, Complete: true,
		Distro:   report.Distro{ID: "x", Name: evil},
		Problems: []report.Problem{{Path: evil, Analyzer: "a", Message: evil}},
		Findings: []report.Finding{{ID: evil, Severity: report.SeverityHigh, FixState: report.FixAvailable, FixedVersion: evil,
			Package: report.Package{Type: report.TypeNPM, Name: evil, Version: evil, Path: evil}}},
	}, {Error: evil, ConfigDigest: image.DigestOf(nil)}}}
	d.Finish()
	got := tableOf(t, d, TableOptions{})
	if !utf8.ValidString(got) {
		t.Error("not UTF-8")
	}
	for _, r := range got {
		if r != '\n' && r != ' ' && Printable(string(r)) != string(r) {
			t.Errorf("contains %q", r)
		}
	}
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "fake line") {
			t.Error("an image wrote a line of its own")
		}
	}
}

func TestWrap(t *testing.T) {
	for _, tc := range []struct {
		in    string
		width int
		want  []string
	}{
		{"", 10, []string{""}},
		{"libperl5.36, perl, perl-base, perl-modules-5.36", 20, []string{"libperl5.36, perl,", "perl-base,", "perl-modules-5.36"}},
		{"/usr/lib/python3/dist-packages/x.egg-info", 16, []string{"/usr/lib/", "python3/dist-", "packages/x.egg-", "info"}},
		{"abcdefghij", 4, []string{"abcd", "efgh", "ij"}},
		{"漢字漢字", 4, []string{"漢字", "漢字"}},
		{"漢", 1, []string{"漢"}},
	} {
		t.Run(tc.in, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, wrap(tc.in, tc.width)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRowsNameFewPackages(t *testing.T) {
	var fs []report.Finding
	for i := range 9 {
		fs = append(fs, report.Finding{ID: "X", Severity: report.SeverityLow,
			Package: report.Package{Type: report.TypeDeb, Name: fmt.Sprint("p", i), Version: "1"}})
	}
	rows := foldRows(fs)
	if len(rows) != 1 || rows[0].packages() != "p0, p1, p2 and 6 more" {
		t.Errorf("got %+v", rows)
	}
	if got := foldRows(fs[:maxNamed])[0].packages(); got != "p0, p1, p2, p3" {
		t.Errorf("got %q", got)
	}
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{0: "", 999: "999 B", 1500: "1.5 kB", 187_654_321: "188 MB", 3_100_000_000: "3.1 GB"} {
		if got := formatSize(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func BenchmarkTable(b *testing.B) {
	d := &Document{Images: []Image{{ConfigDigest: image.DigestOf(nil)}}}
	for i := range 3000 {
		d.Images[0].Findings = append(d.Images[0].Findings, report.Finding{ID: fmt.Sprint("CVE-2024-", i), Severity: report.SeverityLow,
			Package: report.Package{Type: report.TypeDeb, Name: fmt.Sprint("package-with-a-name-", i), Version: "1.2.3-4+deb12u5"}})
	}
	d.Finish()
	for b.Loop() {
		tableOf(b, d, TableOptions{Width: 70})
	}
}
