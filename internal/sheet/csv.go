package sheet

import (
	"archive/zip"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
)

// bom is the byte order mark of UTF-8. Excel takes a CSV file without it for one
// in the code page of the machine, and shows Chinese as rubbish.
const bom = "\uFEFF"

// csvTable writes CSV (RFC 4180) into an archive.
type csvTable struct {
	z       *zip.Writer
	name    string
	columns []column
	rows    int // of all files
	max     int // of one file
	w       *csv.Writer
	safe    []string
}

func newCSV(z *zip.Writer, name string, columns []column) (*csvTable, error) {
	t := &csvTable{z: z, name: name, columns: columns, max: maxRows, safe: make([]string, len(columns))}
	return t, t.begin(name + ".csv")
}

func (t *csvTable) begin(name string) error {
	to, err := create(t.z, name)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(to, bom); err != nil {
		return err
	}
	t.w = csv.NewWriter(to)
	t.w.UseCRLF = true
	return t.w.Write(titles(t.columns))
}

func (t *csvTable) row(cells []string) error {
	if t.rows > 0 && t.rows%t.max == 0 {
		if err := t.flush(); err != nil {
			return err
		}
		if err := t.begin(fmt.Sprintf("%s-%d.csv", t.name, t.rows/t.max+1)); err != nil {
			return err
		}
	}
	t.rows++
	for i, c := range cells {
		t.safe[i] = harmless(c)
	}
	return t.w.Write(t.safe)
}

func (t *csvTable) flush() error {
	t.w.Flush()
	return t.w.Error()
}

// Close implements table.
func (t *csvTable) Close() error {
	if err := t.flush(); err != nil {
		return err
	}
	return t.z.Close()
}

// harmless is a cell that no spreadsheet program takes for a formula: names in
// images are whatever someone wrote. The characters and the apostrophe are those of
// https://owasp.org/www-community/attacks/CSV_Injection.
func harmless(cell string) string {
	if cell != "" && strings.IndexByte("=+-@\t\r", cell[0]) >= 0 {
		return "'" + cell
	}
	return cell
}
