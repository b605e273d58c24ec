// Package oracle compares Onceover with syft, grype and osv-scanner on real
// images.
//
// All are built from source. The nested module in tools pins syft and grype,
// together with a program that writes grype's vulnerability database from the
// same OSV records that Onceover is given; the one in osv pins osv-scanner, as
// the newest release that the Go of this project builds. They are test oracles only: nothing of them
// is linked into Onceover.
//
// A comparison may differ only where a rule of this package says why. A rule
// is a name, a reason and a predicate; the tests print every difference with
// the rule that explains it, and fail on one that none explains, and on a rule
// that no image needs.
//
// The tests are skipped where the oracles have not been built
// (go run ./test/oracle/cmd/oracles); with ONCEOVER_REQUIRE_ORACLES=1 the
// tests build them, and fail if that cannot be done.
package oracle
