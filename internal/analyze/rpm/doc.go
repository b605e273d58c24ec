// Package rpm reads RPM databases in place, in each of the three formats that
// rpm has used: Berkeley DB ("Packages", to RHEL 8), NDB ("Packages.db", SUSE)
// and SQLite ("rpmdb.sqlite", RHEL 9 and Fedora, with its write-ahead log).
//
// The readers are our own, because an image's database is hostile input: they
// work on an io.ReaderAt, make no copy on disk, look at their context at each
// page, visit no page more often than a sound database has reason to, and never
// hand out more bytes of headers than the file holds. Formats: Berkeley DB's
// hash access method (db_page.h), rpm's lib/backend/ndb/rpmpkg.c, the SQLite
// file format page, and rpm's header format for the records themselves.
//
// A version is written "epoch:version-release" if the epoch is there and not 0,
// as rpm compares them. The public keys that rpm lists as packages
// (gpg-pubkey) are left out.
package rpm
