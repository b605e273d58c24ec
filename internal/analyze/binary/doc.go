// Package binary tells programs that no package manager installed by what
// stands in them: node, nginx, redis, python, openssl and their like, copied
// into an image from an archive, built in it, or taken from another image.
//
// A file is looked at if its name is that of a program in the table (table.go).
// The name alone proves nothing: the content has to hold one of the program's
// literals, and around it a text of the form that this program and no other
// prints, with a version in it. Two different versions of the same form are no
// answer. A program whose version is not found is not listed.
//
// What is found is a package of type "generic" with the upstream version. If a
// distribution package put the file there, the merge says so and the package is
// matched through its owner only. Programs written in Go tell more about
// themselves: package gobinary reads them, and here only those are listed that
// were built before Go recorded its modules.
//
// Content is read once, in chunks, whatever the number of literals: an ELF
// file's read-only data first, which nearly always ends the search.
package binary
