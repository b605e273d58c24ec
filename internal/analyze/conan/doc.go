// Package conan reads conaninfo.txt, which Conan 1 puts into each binary package
// of its cache: ~/.conan/data/NAME/VERSION/USER/CHANNEL/package/ID ("Package
// information" in the documentation of Conan 1). The package itself is named by
// the path. What it was built with ([full_requires], exact references) may be
// linked into it or not, and is declared; where it is in the cache it speaks for
// itself.
//
// The cache of Conan 2 has hashed directory names and keeps references in a
// database, which is not read. Lock files are package lockfile's.
package conan
