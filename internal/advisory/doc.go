// Package advisory is the compiled advisory database: which versions of which
// packages are affected by what.
//
// A generation is one bbolt file that is written once and then only read,
// through a memory map. Opening one costs about a millisecond whatever its
// size. It is replaced as a whole, by rename; a program that has the old file
// open keeps reading it (see Holder).
//
// Build compiles a generation from records in the OSV format
// (https://ossf.github.io/osv-schema/). The same records give the same bytes:
// everything is sorted, and the generation's id is the SHA-256 of its content.
// Update fetches the records first, Import takes a finished file, and
// OpenStarter opens the small generation that is part of the program.
//
// Former generations are kept beside the present one (see Kept), Compare tells
// what changed from one to another, and Export carries one, or the changes
// alone, elsewhere in a bundle that can be signed. A Publisher offers bundles,
// and Update finds them. docs/bundles.md describes all that.
//
// The package does not decide whether a package is affected: package match
// does. It only keeps ranges in a form in which that is quick: already split
// into intervals, sorted, without what ecosystems write twice.
//
// The format of a generation is described in docs/advisories.md.
package advisory
