// Package hss is the HTTP API: the container image operations of Huawei
// Cloud's Host Security Service, version 5, wire-compatible, so that its SDKs,
// Terraform provider and scripts work against this server unmodified.
//
// The contract is api/openapi.yaml. "go generate" makes two files from it: the
// models of the operations that are built, and a table of all operations, by
// which requests are routed and their parameters checked. Checks are lenient
// where clients rely on it: an unknown scan_status selects nothing, a page
// size out of bounds is clamped, unknown parameters and members are ignored.
// Operations that are not built answer 501 with a coded error.
//
// To build an operation: add it to models.yaml, run "go generate", write one
// function from its input to its answer, and one Handle line in routes.go.
//
// What was decided where the contract is silent stands in
// docs/hss-compatibility.md.
package hss

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.0 -config models.yaml ../../api/openapi.yaml
//go:generate go run ../../api/gen -spec ../../api/openapi.yaml -out operations.gen.go
