// Package api holds the descriptions of the interfaces: openapi.yaml is the wire
// contract of HSS, from which code is generated; onceover.yaml is what Onceover
// speaks beside it, and a test holds the answers of a server against it.
package api

import _ "embed" // for the description

// Onceover describes our own API (OpenAPI 3.0, YAML).
//
//go:embed onceover.yaml
var Onceover []byte
