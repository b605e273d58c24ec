// Package openeuler reads what openEuler publishes below
// https://repo.openeuler.org/security/data/: CSAF documents of advisories
// (csaf/advisories) and of CVEs (csaf/cve), and documents of CVRF 1.1, the
// format before CSAF (cvrf), in which advisories for hot patches still come
// (hotpatch_cvrf).
//
// An advisory that lies there in both formats counts once. Of what it names,
// the source package of each release is taken: architectures and packages made
// from one source have the same version, and package match looks up sources.
// File names of rpms have no epoch, so openEuler's versions have none.
//
// A CVE's document repeats what advisories say is fixed, which is left out
// here, and says what is affected without a fix, not affected, or not yet known.
//
// Some documents are not JSON, because there is a comma before the end of a
// list. That is let pass.
//
// openEuler states no licence for this data.
package openeuler
