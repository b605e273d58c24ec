// Package oci reads the manifests and indexes that lead from a name to an
// image, and chooses the platform of this host among those that an index
// offers.
//
// The formats are those of the OCI image specification 1.1 and their docker
// schema 2 twins (docs "image-spec/manifest.md", "image-index.md"). Documents
// come from untrusted images: their size, number and nesting are bounded, and
// every digest is parsed before it is used as part of a path.
//
// Nothing here knows where content lies: the caller hands in a Fetch.
package oci
