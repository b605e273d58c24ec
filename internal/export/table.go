package export

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/lipgloss/table"
	"github.com/muesli/termenv"

	"github.com/onceover/onceover/internal/report"
)

// TableOptions say what the table is written to.
type TableOptions struct {
	// Width of the terminal in columns; 0 for no limit.
	Width int
	// Color sets severities off by colour.
	Color bool
}

const (
	// minTableWidth keeps columns readable; a narrower terminal wraps.
	minTableWidth = 60
	// maxNamed is how many packages of one advisory are named in a row.
	maxNamed = 4
)

// Table writes d for people: the images one after the other, the worst
// findings of each first. Packages that one advisory concerns in the same way
// share a row. Nothing an image contains can steer the terminal: characters
// that are not printable are replaced.
func Table(w io.Writer, d *Document, opts TableOptions) error {
	r := lipgloss.NewRenderer(w)
	r.SetColorProfile(termenv.Ascii)
	if opts.Color {
		r.SetColorProfile(termenv.ANSI)
	}
	t := tableWriter{r: r, opts: opts}
	for i := range d.Images {
		t.image(&d.Images[i])
	}
	t.footer(d)
	if _, err := io.WriteString(w, t.out.String()); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

type tableWriter struct {
	r    *lipgloss.Renderer
	opts TableOptions
	out  strings.Builder
}

func (t *tableWriter) image(im *Image) {
	title := strings.Join(im.Names, ", ")
	if title == "" {
		title = string(im.ConfigDigest)
	}
	t.line(t.r.NewStyle().Bold(true).Render(Printable(title)))
	about := []string{im.ConfigDigest.Short(), im.Platform, strings.Join(im.Engines, ", ")}
	if name := cmp.Or(im.Distro.Name, strings.TrimSpace(im.Distro.ID+" "+im.Distro.VersionID)); name != "" {
		about = append(about, name)
	}
	about = append(about, formatSize(im.Size), plural(im.Counts.Packages, "package"))
	if n := len(im.Containers); n > 0 {
		about = append(about, plural(n, "container"))
	}
	t.line("  " + Printable(strings.Join(slices.DeleteFunc(about, func(s string) bool { return s == "" }), ", ")))
	if im.Error != "" {
		t.line("  not scanned: " + Printable(im.Error))
		t.line("")
		return
	}
	if !im.Complete {
		t.line("  incomplete: parts of this image could not be read")
	}
	if n := len(im.Problems); n > 0 {
		t.line("  " + plural(n, "problem") + " while reading; the first: " + Printable(problemText(im.Problems[0])))
	}
	t.line("  " + im.Counts.String())
	if len(im.Findings) > 0 {
		t.line("")
		t.findings(im.Findings)
	}
	t.line("")
}

func (t *tableWriter) findings(fs []report.Finding) {
	rows := foldRows(fs)
	headers := []string{"SEVERITY", "ADVISORY", "PACKAGE", "INSTALLED", "FIXED IN"}
	wide := slices.ContainsFunc(rows, func(r row) bool { return r.path != "" })
	if wide {
		headers = append(headers, "PATH")
	}
	cells := make([][]string, len(rows))
	for i, r := range rows {
		cells[i] = []string{r.severity, Printable(r.advisory), Printable(r.packages()), Printable(r.installed), Printable(r.fixed)}
		if wide {
			cells[i] = append(cells[i], Printable(r.path))
		}
	}
	base := t.r.NewStyle().PaddingRight(2)
	head := base.Faint(true)
	colors := map[string]lipgloss.Style{
		report.SeverityCritical: base.Bold(true).Foreground(lipgloss.ANSIColor(1)),
		report.SeverityHigh:     base.Foreground(lipgloss.ANSIColor(1)),
		report.SeverityMedium:   base.Foreground(lipgloss.ANSIColor(3)),
		report.SeverityLow:      base.Foreground(lipgloss.ANSIColor(4)),
	}
	tb := table.New().Border(lipgloss.HiddenBorder()).
		BorderTop(false).BorderBottom(false).BorderLeft(true).BorderRight(false).
		BorderHeader(false).BorderColumn(false).
		Headers(headers...).Rows(cells...).
		StyleFunc(func(y, x int) lipgloss.Style {
			if y == table.HeaderRow {
				return head
			}
			if s, ok := colors[rows[y].severity]; ok && x == 0 {
				return s
			}
			return base
		})
	if t.opts.Width > 0 && naturalWidth(headers, cells) > t.opts.Width {
		tb = tb.Width(max(t.opts.Width, minTableWidth)).Wrap(true)
	}
	for line := range strings.Lines(tb.Render()) {
		t.line(" " + strings.TrimRight(line, " \n"))
	}
}

func (t *tableWriter) footer(d *Document) {
	if len(d.Images) != 1 {
		t.line(plural(len(d.Images), "image") + ": " + d.Total().String())
	}
	for _, w := range d.Warnings {
		t.line("warning: " + Printable(w))
	}
	if d.Advisories.Notice != "" {
		t.line("note: " + d.Advisories.Notice)
	}
}

func (t *tableWriter) line(s string) {
	t.out.WriteString(s)
	t.out.WriteByte('\n')
}

// String is "3 findings: 1 critical, 2 low; 1 fixable; 4 hidden by filters".
func (c Counts) String() string {
	s := plural(c.Findings, "finding")
	var parts []string
	for _, p := range []struct {
		n    int
		name string
	}{{c.Critical, "critical"}, {c.High, "high"}, {c.Medium, "medium"}, {c.Low, "low"}, {c.Unknown, "unknown"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.name))
		}
	}
	if len(parts) > 0 {
		s += ": " + strings.Join(parts, ", ")
	}
	if c.Fixable > 0 {
		s += fmt.Sprintf("; %d fixable", c.Fixable)
	}
	if c.Hidden > 0 {
		s += fmt.Sprintf("; %d hidden by filters", c.Hidden)
	}
	return s
}

// A row is one advisory and the packages it concerns alike.
type row struct {
	severity, advisory, installed, fixed, path string
	names                                      []string
}

func (r row) packages() string {
	if len(r.names) <= maxNamed {
		return strings.Join(r.names, ", ")
	}
	return strings.Join(r.names[:maxNamed-1], ", ") + fmt.Sprintf(" and %d more", len(r.names)-maxNamed+1)
}

func foldRows(fs []report.Finding) []row {
	type key struct{ severity, id, installed, fixed, path, source string }
	at := map[key]int{}
	var rows []row
	for _, f := range fs {
		r := row{severity: f.Severity, advisory: advisoryName(f), installed: cmp.Or(f.Package.Version, "?"), fixed: f.FixedVersion}
		if r.fixed == "" && f.FixState == report.FixWont {
			r.fixed = "(won't fix)"
		}
		if !report.OSType(f.Package.Type) {
			r.path = f.Package.Path
		}
		k := key{f.Severity, f.ID, r.installed, r.fixed, r.path, f.Evidence.Name}
		i, ok := at[k]
		if !ok {
			i = len(rows)
			at[k] = i
			rows = append(rows, r)
		}
		if !slices.Contains(rows[i].names, f.Package.Name) {
			rows[i].names = append(rows[i].names, f.Package.Name)
		}
	}
	return rows
}

// advisoryName is the name people know: the CVE if there is just one.
func advisoryName(f report.Finding) string {
	if len(f.CVEs) == 1 {
		return f.CVEs[0]
	}
	return f.ID
}

func naturalWidth(headers []string, cells [][]string) int {
	total := 2
	for x, h := range headers {
		w := len(h)
		for _, r := range cells {
			w = max(w, lipgloss.Width(r[x]))
		}
		total += w + 2
	}
	return total
}

// Printable replaces what a terminal could take as a command, or what could
// make text read otherwise than it is: control, format and bidirectional
// characters, and bytes that are not UTF-8.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// formatSize writes bytes in decimal units, as the engines do.
func formatSize(n int64) string {
	if n <= 0 {
		return ""
	}
	size, unit := float64(n), 0
	units := []string{"B", "kB", "MB", "GB", "TB"}
	for size >= 1000 && unit < len(units)-1 {
		size, unit = size/1000, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.3g %s", size, units[unit])
}
