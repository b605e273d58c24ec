package sheet

import (
	"archive/zip"
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxCell is how many UTF-16 units a cell of a workbook has at most. Longer texts
// end with an ellipsis there; CSV has them whole.
const maxCell = 32_767

// xlsxTable writes a workbook (ECMA-376, Office Open XML) with the least that one
// needs. Texts stand in the cells ("inlineStr"), not in a table of strings, which
// would have to be kept to the end; a text is never a formula. The parts that name
// the sheets come last, when their number is known.
type xlsxTable struct {
	z       *zip.Writer
	name    string
	columns []column
	rows    int // of all sheets
	max     int // of one sheet
	sheets  int
	w       *bufio.Writer
}

const (
	xmlHead   = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"
	sheetHead = xmlHead + `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><sheetData>`
	sheetFoot = `</sheetData></worksheet>`
	rootRels  = xmlHead + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>`

	typesHead = xmlHead + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>`
	typesOne  = `<Override PartName="/xl/worksheets/sheet%d.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>`
	typesFoot = `</Types>`
	bookHead  = xmlHead + `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>`
	bookOne   = `<sheet name="%s" sheetId="%d" r:id="rId%d"/>`
	bookFoot  = `</sheets></workbook>`
	relsHead  = xmlHead + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">`
	relsOne   = `<Relationship Id="rId%d" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet%d.xml"/>`
	relsFoot  = `</Relationships>`
)

func newXLSX(z *zip.Writer, name string, columns []column) (*xlsxTable, error) {
	t := &xlsxTable{z: z, name: name, columns: columns, max: maxRows}
	return t, t.begin()
}

func (t *xlsxTable) begin() error {
	t.sheets++
	to, err := create(t.z, fmt.Sprintf("xl/worksheets/sheet%d.xml", t.sheets))
	if err != nil {
		return err
	}
	t.w = bufio.NewWriterSize(to, 1<<16)
	if _, err := t.w.WriteString(sheetHead); err != nil {
		return err
	}
	return t.write(titles(t.columns), true)
}

func (t *xlsxTable) row(cells []string) error {
	if t.rows > 0 && t.rows%t.max == 0 {
		if err := t.end(); err != nil {
			return err
		}
		if err := t.begin(); err != nil {
			return err
		}
	}
	t.rows++
	return t.write(cells, false)
}

// write keeps the first error in the writer, and Flush tells it.
func (t *xlsxTable) write(cells []string, head bool) error {
	_, _ = t.w.WriteString("<row>")
	for i, c := range cells {
		switch {
		case c == "":
			_, _ = t.w.WriteString("<c/>")
		case t.columns[i].number && !head:
			_, _ = t.w.WriteString("<c><v>" + c + "</v></c>")
		default:
			_, _ = t.w.WriteString(`<c t="inlineStr"><is><t xml:space="preserve">`)
			writeXML(t.w, c)
			_, _ = t.w.WriteString("</t></is></c>")
		}
	}
	_, err := t.w.WriteString("</row>")
	return err
}

// writeXML writes a text, with what XML has no character for replaced.
func writeXML(w *bufio.Writer, s string) {
	units := 0
	for i, r := range s {
		last := i+utf8.RuneLen(r) >= len(s)
		if units += utf16.RuneLen(r); units > maxCell || units == maxCell && !last {
			_, _ = w.WriteString("…")
			return
		}
		switch {
		case r == '&':
			_, _ = w.WriteString("&amp;")
		case r == '<':
			_, _ = w.WriteString("&lt;")
		case r == '>':
			_, _ = w.WriteString("&gt;")
		case r == '\r':
			_, _ = w.WriteString("&#13;")
		case r < ' ' && r != '\t' && r != '\n', r == 0xFFFE, r == 0xFFFF:
			_, _ = w.WriteRune(utf8.RuneError)
		default:
			_, _ = w.WriteRune(r)
		}
	}
}

func (t *xlsxTable) end() error {
	if _, err := t.w.WriteString(sheetFoot); err != nil {
		return err
	}
	return t.w.Flush()
}

// Close implements table.
func (t *xlsxTable) Close() error {
	if err := t.end(); err != nil {
		return err
	}
	var types, book, rels strings.Builder
	for n := 1; n <= t.sheets; n++ {
		name := t.name
		if n > 1 {
			name = fmt.Sprintf("%s-%d", t.name, n)
		}
		fmt.Fprintf(&types, typesOne, n)
		fmt.Fprintf(&book, bookOne, name, n, n)
		fmt.Fprintf(&rels, relsOne, n, n)
	}
	for _, part := range []struct{ name, body string }{
		{"xl/workbook.xml", bookHead + book.String() + bookFoot},
		{"xl/_rels/workbook.xml.rels", relsHead + rels.String() + relsFoot},
		{"_rels/.rels", rootRels},
		{"[Content_Types].xml", typesHead + types.String() + typesFoot},
	} {
		to, err := create(t.z, part.name)
		if err != nil {
			return err
		}
		if _, err := io.WriteString(to, part.body); err != nil {
			return err
		}
	}
	return t.z.Close()
}
