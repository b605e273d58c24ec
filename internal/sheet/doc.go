// Package sheet makes the files that people export: reports as tables that a
// spreadsheet program opens.
//
// It stands between the records that package store reads and the pieces of a file
// that package store keeps. A Maker leases the tasks that the API accepted, one at
// a time, reads the records of each in a stream, and writes them as CSV in a zip
// archive or as XLSX. The memory it takes does not grow with the number of records,
// and no temporary file is written.
//
// It promises that the same state gives the same bytes: no clock and no map order
// reaches a file. A server that is killed loses nothing: its lease lapses, and the
// file is made anew by whoever comes next.
//
// It knows no SQL, no HTTP, and does not decide who may see what.
package sheet
