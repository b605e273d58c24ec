package sheet

import (
	"archive/zip"
	"io"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/onceover/onceover/internal/store"
)

// maxRows is how many records one table has: spreadsheet programs take 1,048,576
// rows. Further ones go into a second file of the archive, or a second sheet.
const maxRows = 1_000_000

// A table takes records. Close ends the file; it does not close what it writes to.
type table interface {
	row(cells []string) error
	Close() error
}

// newTable begins a table of a format; name is that of the report.
func newTable(format, name string, columns []column, to io.Writer) (table, error) {
	z := zip.NewWriter(to)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.DefaultCompression) })
	if format == store.FormatXLSX {
		return newXLSX(z, name, columns)
	}
	return newCSV(z, name, columns)
}

// create begins a file of an archive. Its time is fixed, so that the same records
// give the same bytes.
func create(z *zip.Writer, name string) (io.Writer, error) {
	return z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)})
}
