// Package version answers one question: which of two versions of one
// ecosystem is newer?
//
// Ecosystems are named as OSV names them ("Debian", "Alpine", "npm"); a suffix
// after ":" is ignored, so "Debian:12" and "Ubuntu:22.04:LTS" are understood.
//
// Versions of distribution packages (dpkg, rpm, apk) are compared by our own
// implementations of what the package managers do, without allocating: they
// are compared millions of times, and osv-scalibr/semantic differs from the
// tools in cases that matter. Each file says which. So does each for the
// languages in which it differs (RubyGems, Maven, npm and those like it). Go
// versions are brought into the form of semantic versioning first. Everything
// else is answered by osv-scalibr/semantic.
//
// An ecosystem that is not known is an error, never a guess.
package version
