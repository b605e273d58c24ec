// Package starter holds the facts of the generation that is part of the
// program: for packages that are common in images, which version of which
// Debian release was the first to name a CVE in its changelog.
//
// The facts are ours: package gen reads them from the changelogs inside the
// packages that Debian publishes. They are no substitute for an advisory
// database. A changelog says nothing about what is not fixed yet, about
// severity, or about a fix that did not name its CVE.
package starter

import _ "embed"

//go:generate go run ./gen -out starter.tsv.zst

// Data is the list of facts, compressed with zstd. Lines that start with "#"
// say what it covers; a line "@ RELEASE SOURCE VERSION" opens the list of a
// source package at the version whose changelog was read; each line below is
// "YEAR-NUMBER FIXED DATE", a CVE without its prefix, the lowest version that
// names it, and the date of that entry as YYYYMMDD.
//
//go:embed starter.tsv.zst
var Data []byte
