// Package chisel reads /var/lib/chisel/manifest.wall, the list that Canonical's
// chisel leaves in an image that it cut out of Ubuntu packages, without dpkg's
// database: one JSON object a line, compressed with zstd ("jsonwall", schema 1,
// chisel's public/manifest). It tells the packages, and for each path the slices
// that brought it, which begin with the name of their package.
//
// The list does not tell which source a package was built from, and Ubuntu's
// advisories are written for sources. A short table knows the sources of what
// chiselled images usually hold; other packages take the source of their own
// name.
package chisel
