// Package contract drives the API through Huawei's unmodified Go SDK. It is a
// module of its own, so that the SDK never becomes a dependency of the
// project.
//
// The server under test is made of the real parts: the SQLite store, the
// authenticator, the agent protocol's store interface, an advisory generation
// built from OSV records, the matcher. Nothing stands in for anything.
package contract
