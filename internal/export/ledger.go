package export

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

// ledger writes what became of every file, if the document has it: a row for
// each layer, then the files that were skipped.
func (t *tableWriter) ledger(im *Image) {
	if !slices.ContainsFunc(im.Layers, func(l Layer) bool { return l.Ledger != nil }) {
		return
	}
	columns := []column{
		{title: "LAYER", min: 12}, {title: "FILES"}, {title: "PARSED"}, {title: "EXAMINED"},
		{title: "OWNED"}, {title: "UNOWNED"}, {title: "SKIPPED"}, {title: "READ", min: 5},
	}
	var cells [][]string
	add := func(name string, l *report.Ledger) {
		var skipped int64
		for _, n := range l.Skipped {
			skipped += n
		}
		row := []string{name}
		for _, n := range []int64{l.Files, l.Parsed, l.Examined, l.Owned, l.Unowned, skipped} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		cells = append(cells, append(row, cmp.Or(formatSize(l.Bytes), "0 B")))
	}
	for _, l := range im.Layers {
		if l.Ledger != nil {
			add(l.DiffID.Short(), l.Ledger)
		}
	}
	add("all", &im.Ledger)
	t.line("")
	t.rows(columns, cells)

	t.digests(&im.Ledger)
	t.checked(im)

	skipped := slices.DeleteFunc(slices.Clone(im.Problems), func(p report.Problem) bool { return p.Reason == "" && p.Path != "" })
	if len(skipped) == 0 {
		return
	}
	columns = []column{{title: "SKIPPED FILE", min: 20, flexible: true}, {title: "REASON", min: 8}, {title: "LAYER", min: 12}, {title: "WHY", min: 20, flexible: true}}
	cells = nil
	for _, p := range skipped {
		cells = append(cells, []string{Printable(cmp.Or(p.Path, "(the layer)")), cmp.Or(p.Reason, "incomplete"), image.Digest(p.Layer).Short(), Printable(p.Message)})
	}
	t.line("")
	t.rows(columns, cells)
}

// checked writes what became of files that were looked at for other things, a row
// for each.
func (t *tableWriter) checked(im *Image) {
	if len(im.Checked) == 0 {
		return
	}
	columns := []column{{title: "LOOKED AT FOR", min: 12}, {title: "FILES"}, {title: "TOLD OF"}, {title: "EXAMINED"}, {title: "PASSED OVER"}, {title: "SKIPPED"}, {title: "READ", min: 5}}
	var cells [][]string
	for _, check := range report.Checks {
		l, ok := im.Checked[check]
		if !ok {
			continue
		}
		var skipped int64
		for _, n := range l.Skipped {
			skipped += n
		}
		row := []string{check}
		for _, n := range []int64{l.Files, l.Parsed, l.Examined, l.Passed, skipped} {
			row = append(row, strconv.FormatInt(n, 10))
		}
		cells = append(cells, append(row, cmp.Or(formatSize(l.Bytes), "0 B")))
	}
	t.line("")
	t.rows(columns, cells)
}

// digests says how many files have their digest, if any were taken.
func (t *tableWriter) digests(l *report.Ledger) {
	if l.Hashed == 0 && len(l.Unhashed) == 0 {
		return
	}
	text := fmt.Sprintf("%d files with digests, %s", l.Hashed, cmp.Or(formatSize(l.HashedBytes), "0 B"))
	for _, reason := range slices.Sorted(maps.Keys(l.Unhashed)) {
		text += fmt.Sprintf("; %d without: %s", l.Unhashed[reason], reason)
	}
	t.line("")
	t.line(tableIndent + text)
}

// rows writes a table without colours.
func (t *tableWriter) rows(columns []column, cells [][]string) {
	fit(columns, cells, t.opts.Width-len(tableIndent))
	plain := t.r.NewStyle()
	head := make([]string, len(columns))
	for i, c := range columns {
		head[i] = c.title
	}
	t.cells(columns, head, plain.Faint(true), plain.Faint(true))
	for _, row := range cells {
		t.cells(columns, row, plain, plain)
	}
}
