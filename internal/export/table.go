package export

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
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
	minTableWidth = 75
	tableIndent   = "  "
	tableGap      = "  "
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
	t := tableWriter{r: r, opts: opts, priority: d.Filters.Sort == SortPriority, suppressed: d.Filters.ShowSuppressed, scanners: d.Filters.Scanners}
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
	// priority and suppressed ask for a column and for a second table.
	priority, suppressed bool
	scanners             []string
	out                  strings.Builder
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
	t.base(im)
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
	t.line("  " + im.Counts.String() + t.nothing(im.Counts))
	t.ledger(im)
	if len(im.Findings) > 0 {
		t.line("")
		t.findings(im.Findings)
	}
	if len(im.Secrets) > 0 {
		t.line("")
		t.secrets(im.Secrets)
	}
	if len(im.Malware) > 0 {
		t.line("")
		t.malware(im.Malware)
	}
	if len(im.BuildRisks) > 0 {
		t.line("")
		t.buildRisks(im.BuildRisks)
	}
	if im.Baseline != nil {
		t.line("")
		t.baseline(im.Baseline)
	}
	if im.Passwords != nil {
		t.line("")
		t.passwords(im.Passwords)
	}
	if len(im.Violations) > 0 {
		t.line("")
		t.violations(im.Violations)
	}
	if len(im.Undecided) > 0 {
		t.line("")
		t.line("  not decided by the deny list:")
		t.violations(im.Undecided)
	}
	if t.suppressed && len(im.Suppressed) > 0 {
		t.line("")
		t.line("  suppressed:")
		t.findings(im.Suppressed)
	}
	t.line("")
}

// nothing names what was looked for beside vulnerabilities and is not there.
func (t *tableWriter) nothing(c Counts) string {
	s := ""
	if c.Secrets == 0 && slices.Contains(t.scanners, ScanSecrets) {
		s += "; no secrets"
	}
	if c.Malware == 0 && slices.Contains(t.scanners, ScanMalware) {
		s += "; no malware"
	}
	if c.BuildRisks == 0 && slices.Contains(t.scanners, ScanBuild) {
		s += "; no risks in the build"
	}
	if c.BaselineFailed == 0 && slices.Contains(t.scanners, ScanBaseline) {
		s += "; no rules of baselines failed"
	}
	if c.WeakPasswords == 0 && slices.Contains(t.scanners, ScanPasswords) {
		s += "; no weak passwords"
	}
	if c.Violations == 0 && slices.Contains(t.scanners, ScanPolicy) {
		s += "; nothing that the deny list denies"
	}
	return s
}

func (t *tableWriter) findings(fs []report.Finding) {
	rows := foldRows(fs)
	columns := []column{
		{title: "SEVERITY", min: 8}, {title: "ADVISORY", min: 14}, {title: "PACKAGE", min: 16, flexible: true},
		{title: "INSTALLED", min: 9}, {title: "FIXED IN", min: 8},
	}
	wide := slices.ContainsFunc(rows, func(r row) bool { return r.path != "" })
	if wide {
		columns = append(columns, column{title: "PATH", min: 16, flexible: true})
	}
	judged := slices.ContainsFunc(rows, func(r row) bool { return r.judgement != "" })
	if judged {
		columns = append(columns, column{title: "JUDGEMENT", min: 16, flexible: true})
	}
	if t.priority {
		columns = slices.Insert(columns, 1, column{title: "PRIORITY", min: 8})
	}
	cells := make([][]string, len(rows))
	for i, r := range rows {
		cells[i] = []string{r.severity, Printable(r.advisory), Printable(r.packages()), Printable(r.installed), Printable(r.fixed)}
		if wide {
			cells[i] = append(cells[i], Printable(r.path))
		}
		if judged {
			cells[i] = append(cells[i], Printable(r.judgement))
		}
		if t.priority {
			cells[i] = slices.Insert(cells[i], 1, strconv.Itoa(r.priority))
		}
	}
	fit(columns, cells, t.opts.Width-len(tableIndent))
	plain := t.r.NewStyle()
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = c.title
	}
	t.cells(columns, head, plain.Faint(true), plain.Faint(true))
	colors := map[string]lipgloss.Style{
		report.SeverityCritical: plain.Bold(true).Foreground(lipgloss.ANSIColor(1)),
		report.SeverityHigh:     plain.Foreground(lipgloss.ANSIColor(1)),
		report.SeverityMedium:   plain.Foreground(lipgloss.ANSIColor(3)),
		report.SeverityLow:      plain.Foreground(lipgloss.ANSIColor(4)),
	}
	for i, r := range rows {
		first, ok := colors[r.severity]
		if !ok {
			first = plain
		}
		t.cells(columns, cells[i], first, plain)
	}
}

// cells writes one row, the first column in a style of its own. Cells that are
// wider than their column go on in the lines below.
func (t *tableWriter) cells(columns []column, cells []string, first, rest lipgloss.Style) {
	wrapped, height := make([][]string, len(cells)), 1
	for x, s := range cells {
		wrapped[x] = wrap(s, columns[x].width)
		height = max(height, len(wrapped[x]))
	}
	for y := range height {
		var b strings.Builder
		b.WriteString(tableIndent)
		pending := 0 // spaces owed; none at the end of a line
		for x, lines := range wrapped {
			s := ""
			if y < len(lines) {
				s = lines[y]
			}
			if s != "" {
				b.WriteString(strings.Repeat(" ", pending))
				pending = 0
				if !t.opts.Color {
					b.WriteString(s)
				} else if x == 0 {
					b.WriteString(first.Render(s))
				} else {
					b.WriteString(rest.Render(s))
				}
			}
			pending += columns[x].width - width(s) + len(tableGap)
		}
		t.line(b.String())
	}
}

func (t *tableWriter) footer(d *Document) {
	if len(d.Images) != 1 {
		t.line(plural(len(d.Images), "image") + ": " + d.Total().String())
	}
	for _, w := range d.Warnings {
		t.line("warning: " + Printable(w))
	}
	if d.Advisories.Notice != "" && d.Filters.Matched() {
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
	if c.Unmatched {
		s = "vulnerabilities were not looked for"
	}
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
	if c.Suppressed > 0 {
		s += fmt.Sprintf("; %d suppressed", c.Suppressed)
	}
	if c.Secrets > 0 {
		s += "; " + plural(c.Secrets, "secret")
	}
	if c.Malware > 0 {
		s += "; " + plural(c.Malware, "sign") + " of malware"
	}
	if c.BuildRisks > 0 {
		s += "; " + plural(c.BuildRisks, "risk") + " in the build"
	}
	if c.BaselineFailed > 0 {
		s += "; " + plural(c.BaselineFailed, "rule") + " of baselines failed"
	}
	if c.WeakPasswords > 0 {
		s += "; " + plural(c.WeakPasswords, "weak password")
	}
	if c.Violations > 0 {
		s += "; " + plural(c.Violations, "violation") + " of the deny list"
	}
	if c.Undecided > 0 {
		s += fmt.Sprintf("; %d not decided", c.Undecided)
	}
	return s
}

// secrets lists where secrets stand, without them.
func (t *tableWriter) secrets(all []report.Secret) {
	columns := []column{{title: "SEVERITY", min: 8}, {title: "SECRET", min: 16, flexible: true}, {title: "MASKED", min: 12, flexible: true}, {title: "PATH", min: 20, flexible: true}}
	cells := make([][]string, len(all))
	for i, s := range all {
		place := s.Path
		if s.Line > 0 && strings.HasPrefix(place, "/") {
			place += ":" + strconv.Itoa(s.Line)
		}
		if s.Deleted {
			place += " (deleted by a later layer)"
		}
		cells[i] = []string{s.Severity, Printable(s.Title), Printable(s.Masked), Printable(place)}
	}
	t.rows(columns, cells)
}

// malware lists what was planted, and where.
func (t *tableWriter) malware(all []report.Malware) {
	columns := []column{{title: "SEVERITY", min: 8}, {title: "MALWARE", min: 16, flexible: true}, {title: "TYPE", min: 8}, {title: "FOUND BY", min: 12, flexible: true}, {title: "PATH", min: 20, flexible: true}}
	cells := make([][]string, len(all))
	for i, m := range all {
		place := m.Path
		if m.Inner != "" {
			place += "!" + m.Inner
		}
		if m.Deleted {
			place += " (deleted by a later layer)"
		}
		by := m.Engine
		if m.Rule != "" && m.Rule != m.Name {
			by += " " + m.Rule
		}
		cells[i] = []string{m.Severity, Printable(m.Name), Printable(m.Type), Printable(by), Printable(place)}
	}
	t.rows(columns, cells)
}

// buildRisks lists instructions, masked, and what is wrong with them.
func (t *tableWriter) buildRisks(all []BuildRisk) {
	columns := []column{{title: "SEVERITY", min: 8}, {title: "RULE", min: 14}, {title: "RISK", min: 20, flexible: true}, {title: "INSTRUCTION", min: 24, flexible: true}}
	cells := make([][]string, len(all))
	for i, r := range all {
		cells[i] = []string{r.Severity, r.Rule, Printable(r.Title), Printable(r.Instruction)}
	}
	t.rows(columns, cells)
}

// violations lists software that the deny list denies, and why.
func (t *tableWriter) violations(all []Violation) {
	columns := []column{{title: "SEVERITY", min: 8}, {title: "RULE", min: 14}, {title: "PACKAGE", min: 16, flexible: true}, {title: "VERSION", min: 8},
		{title: "PATH", min: 16, flexible: true}, {title: "REASON", min: 20, flexible: true}}
	cells := make([][]string, len(all))
	for i, v := range all {
		cells[i] = []string{cmp.Or(v.Severity, "-"), Printable(v.Rule), Printable(v.Name), Printable(cmp.Or(v.Version, "?")), Printable(v.Path), Printable(v.Reason)}
	}
	t.rows(columns, cells)
}

// base says in one line what the image was built from, and how long its system
// is supported.
func (t *tableWriter) base(im *Image) {
	var parts, names []string
	for _, b := range im.Bases {
		if len(b.Names) > 0 {
			names = append(names, b.Names[0]+" ("+b.How+")")
		} else if b.How == "layers" && len(b.Digests) > 0 {
			names = append(names, b.Digests[0].Short()+" ("+b.How+")")
		}
	}
	if len(names) > maxNamed {
		names = append(names[:maxNamed-1], fmt.Sprintf("%d more", len(names)-maxNamed+1))
	}
	if len(names) > 0 {
		parts = append(parts, "built on "+strings.Join(names, ", "))
	}
	if im.SupportEnds != "" {
		parts = append(parts, "security support of the system until "+im.SupportEnds)
	}
	if len(parts) > 0 {
		t.line("  " + Printable(strings.Join(parts, "; ")))
	}
}

// A row is one advisory and the packages it concerns alike.
type row struct {
	severity, advisory, installed, fixed, path, judgement string
	priority                                              int
	names                                                 []string
}

func (r row) packages() string {
	if len(r.names) <= maxNamed {
		return strings.Join(r.names, ", ")
	}
	return strings.Join(r.names[:maxNamed-1], ", ") + fmt.Sprintf(" and %d more", len(r.names)-maxNamed+1)
}

func foldRows(fs []report.Finding) []row {
	type key struct {
		severity, id, installed, fixed, path, source, judgement string
		priority                                                int
	}
	at := map[key]int{}
	var rows []row
	for _, f := range fs {
		r := row{severity: f.Severity, advisory: advisoryName(f), installed: cmp.Or(f.Package.Version, "?"), fixed: f.FixedVersion}
		switch {
		case r.fixed != "":
		case f.FixState == report.FixWont:
			r.fixed = "(won't fix)"
		case f.FixState == report.FixDeferred:
			r.fixed = "(fix deferred)"
		}
		r.priority, r.judgement = f.Priority, judgementText(f.Judgement)
		if !report.OSType(f.Package.Type) {
			r.path = f.Package.Path
		}
		k := key{f.Severity, f.ID, r.installed, r.fixed, r.path, f.Evidence.Name, r.judgement, r.priority}
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

// advisoryName is the id, with the CVE behind it or how many there are.
func advisoryName(f report.Finding) string {
	switch {
	case len(f.CVEs) > 1:
		return fmt.Sprintf("%s (%d CVEs)", f.ID, len(f.CVEs))
	case len(f.CVEs) == 1 && f.CVEs[0] != f.ID:
		return fmt.Sprintf("%s (%s)", f.ID, f.CVEs[0])
	default:
		return f.ID
	}
}

// judgementText is "not_affected: vulnerable_code_not_present, because … (web.vex.json)".
func judgementText(j *report.Judgement) string {
	if j == nil {
		return ""
	}
	s := j.Status
	if why := strings.Join(slices.DeleteFunc([]string{j.Justification, j.Statement}, func(s string) bool { return s == "" }), ", "); why != "" {
		s += ": " + why
	}
	return s + " (" + j.Document + ")"
}

// A column of the table.
type column struct {
	title string
	min   int
	// flexible columns give way first when room is short.
	flexible bool
	width    int
}

// fit sets the widths of columns: as wide as their cells, or as much narrower
// as it takes to keep within limit. Identifiers keep in one piece as long as
// names and paths can give way. A limit of 0 or less is none.
func fit(columns []column, cells [][]string, limit int) {
	total := -len(tableGap)
	for x := range columns {
		columns[x].width = len(columns[x].title)
		for _, r := range cells {
			columns[x].width = max(columns[x].width, width(r[x]))
		}
		total += columns[x].width + len(tableGap)
	}
	if limit <= 0 {
		return
	}
	excess := total - max(limit, minTableWidth-len(tableIndent))
	for _, flexible := range []bool{true, false} {
		for excess > 0 {
			// The widest goes first: take it down one by one.
			at := -1
			for x, c := range columns {
				if c.flexible == flexible && c.width > c.min && (at < 0 || c.width > columns[at].width) {
					at = x
				}
			}
			if at < 0 {
				break
			}
			columns[at].width--
			excess--
		}
	}
	// A terminal too narrow for the least widths: names and paths break.
	for x := len(columns) - 1; x >= 0 && excess > 0; x-- {
		if columns[x].flexible {
			cut := min(excess, columns[x].width-8)
			columns[x].width -= cut
			excess -= cut
		}
	}
}

// width is how many columns s takes.
func width(s string) int {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return ansi.StringWidth(s)
		}
	}
	return len(s)
}

// wrap breaks s into lines of at most limit columns: at spaces, and within a
// word only if it is too long for a line, then after a separator if there is
// one in its second half. Names stay whole where they can.
func wrap(s string, limit int) []string {
	if width(s) <= limit {
		return []string{s}
	}
	var lines []string
	line := ""
	for word := range strings.SplitSeq(s, " ") {
		if line != "" && width(line)+1+width(word) <= limit {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		for width(word) > limit {
			cut := len(ansi.Truncate(word, limit, ""))
			if at := strings.LastIndexAny(word[:cut], "/-.,:!+~"); at+1 > cut/2 {
				cut = at + 1
			}
			if cut == 0 {
				break // one character wider than the column
			}
			lines, word = append(lines, word[:cut]), word[cut:]
		}
		line = word
	}
	return append(lines, line)
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
