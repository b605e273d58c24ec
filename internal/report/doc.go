// Package report holds the facts that scanning produces and the one pure
// function that joins them.
//
// A LayerReport says what one layer contains. It is made once for a diff ID
// and an analyser set, kept for the whole fleet, and never changes. Merge
// joins the reports of an image's layers by the overlay rules into an
// Inventory: the packages that are really there, the distribution, and which
// layer brought what. A Finding is one conclusion about one package.
//
// Everything here is data: no I/O, no clock, no host path. The same input
// gives byte-identical JSON.
package report
