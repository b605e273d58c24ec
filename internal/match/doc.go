// Package match compares the packages of an image with the advisories of a
// generation and gives findings.
//
// Packages of a distribution are looked up in that distribution's own
// advisories, by source package where the distribution writes them for
// sources (deb, apk) and by binary package where it writes them for binaries
// (rpm). Packages of languages are looked up in the advisories of their
// registry, unless a distribution package installed them (OwnedBy): then the
// distribution mends them, and its version says whether it has.
//
// What the records say of one package is folded, so that each CVE is reported
// once: under the advisory with which the distribution mends it first, else by
// itself. A distribution that says that a package is not affected is believed;
// what it has not determined is no finding. Every finding carries its evidence:
// which record, which range, which comparison.
//
// Explain tells the same of one id, for findings that are there and for those
// that are not. It has no rules of its own: a tracer listens to the matching.
//
// What cannot be matched is said: an unknown distribution, an ecosystem that
// the generation does not have, an old generation, the starter generation.
// Matching is a pure function of the inventory and the generation; the order
// of packages does not matter.
package match
