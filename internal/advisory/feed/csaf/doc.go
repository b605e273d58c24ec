// Package csaf reads documents of the Common Security Advisory Framework
// (https://docs.oasis-open.org/csaf/csaf/v2.0/csaf-v2.0.html): advisories and
// VEX documents alike. Versions 2.0 and 2.1 are read.
//
// Parse resolves what the format keeps apart: the branches of the product tree,
// the relationships that make "bind as a component of SUSE Linux Enterprise
// Server 15", and the groups of products. Vulnerability.Verdicts then says, product by
// product, what is known about it.
//
// The package judges nothing. What a product is, which status becomes which
// state, and what a remediation means are matters of its callers: the adapters
// of feeds, and who reads the VEX documents of a user.
package csaf
