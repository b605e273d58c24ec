// Package policy judges the software of an image by an operator's deny list.
//
// A list is a YAML or JSON file of rules; a rule denies packages by name, by
// package URL, by version, by where they lie, or by several of these together.
// Versions are compared as the ecosystem of the package compares them. What a
// rule denies is not compliant, with the reason that the rule gives; what it
// cannot decide, because a version is unknown, is listed apart and never
// passed over.
//
// A list that is not understood is refused with file and line. Check is a pure
// function of list and inventory.
package policy
