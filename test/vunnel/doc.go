// Package vunnel translates the records of the scenarios that grype's matchers
// are tested with (grype-matcher-testdata of the shared test data) into
// advisories. The records are real ones, in the shape in which vunnel writes
// them (https://github.com/anchore/vunnel, schema): one shape for distributions,
// OSV, GitHub's, annotated OpenVEX, CSAF VEX.
//
// It is test code: the shape is not one that is published anywhere, and no
// adapter reads it. The advisories come out in the format of feed "custom"
// (docs/feeds.md), so that a generation is built of them as of any other
// import.
package vunnel
