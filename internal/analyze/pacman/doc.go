// Package pacman reads what the package manager of Arch Linux and its kin
// knows: one directory for each installed package in /var/lib/pacman/local,
// with its description (desc) and its list of files (files). The format is that
// of pacman's lib/libalpm/be_local.c; the files of the tests were written by
// pacman itself.
//
// A package speaks for itself, and is gone when its directory is: there is no
// database as a whole. The package that several were split from (%BASE%) is
// its source.
package pacman
