// Package query is the API of our own for questions for which HSS has no
// operation: who has a vulnerability, who has a package in a range of versions, who
// has a file, which vulnerabilities come first, what has changed since a new
// generation of advisories, and how a scan goes on.
//
// It stands beside package hss on the store, and is authenticated in the same
// way. It reads parameters, asks, and writes JSON; what the answers mean is said
// in docs/fleet.md. All that it changes are the VEX documents of a project.
package query
