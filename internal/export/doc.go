// Package export writes the result of a scan for people and for programs.
//
// A Document holds everything a scan found out about a list of images. Four
// writers turn it into a table, JSON of a documented and versioned schema
// (docs/json-schema.md), a CycloneDX 1.6 bill of materials
// (https://cyclonedx.org/docs/1.6/json/) and SARIF 2.1.0
// (https://docs.oasis-open.org/sarif/sarif/v2.1.0/).
//
// It promises that the same document gives the same bytes: no clock, no
// random number and no map order reaches an output. A document that rests on
// the embedded starter advisories says so in every form.
//
// It draws no conclusions of its own and reads nothing: findings come ready
// from package match.
package export
