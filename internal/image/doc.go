// Package image holds the words for what lies on a host: digests, names,
// images, their layers, and the containers that use them.
//
// Engines disagree about what an "image ID" is. Here the config digest (the
// hash of the image configuration, which names the same content under every
// engine) and the manifest digest (the hash of the manifest, which a registry
// and the containerd store know) are two fields and never stand in for each
// other.
//
// Source is the interface that each runtime implements; package runtime opens
// sources, package layer reads what they hand out. Nothing here does I/O.
package image
