// Package archive reads images from files: the archives that docker save
// writes (docker-archive), OCI layouts (a directory), and OCI layouts in a tar
// (oci-archive).
//
// Nothing is unpacked. A tar is gone over once for the offsets of its members,
// which takes as long as reading their headers; layers are then read through
// offsets into the one file. Layers may be plain or compressed with gzip or
// zstd, each for itself; a compressed outer tar has no offsets and is refused.
//
// Archives are untrusted. Configurations and manifests are verified when they
// are read. Of a layer the diff ID counts, which is for package layer to check:
// a digest of what is stored says no more. Sizes, counts and nesting are
// bounded, and a name in an archive never becomes a path of the host.
//
// Formats: OCI image layout 1.1 ("image-layout.md"), docker image
// specification 1.2 ("combined image JSON + filesystem changeset format") and
// POSIX pax tar.
package archive
