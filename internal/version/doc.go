// Package version answers one question: which of two versions of one
// ecosystem is newer?
//
// Ecosystems are named as OSV names them ("Debian", "Alpine", "npm"); a suffix
// after ":" is ignored. The algorithms come from osv-scalibr/semantic, with
// overrides of our own where it differs from the distribution's own tool; each
// override says so where it stands.
package version
