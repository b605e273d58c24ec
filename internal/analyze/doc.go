// Package analyze defines what an analyser is. Each lives in a folder of its
// own; package analyze/all lists them; package scan walks a layer once and
// hands each analyser the files it wants.
//
// To add one: a folder here with real testdata, one line in analyze/all, one
// row in docs/analysers.md. An analyser knows no path of the host, keeps no
// state between files, and bounds everything it reads: image content is
// hostile.
package analyze
