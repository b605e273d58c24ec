// Package storage reads the images of podman, CRI-O and buildah where they
// lie: in a graph root of the library containers/storage, without a daemon,
// without a lock, and without writing.
//
//	ROOT/DRIVER-images/images.json            images, with their top layer and names
//	ROOT/DRIVER-images/ID/                    manifest and configuration
//	ROOT/DRIVER-layers/layers.json            layers, with parent, diff ID and sizes
//	ROOT/DRIVER-layers/ID.tar-split.gz        all of the layer's tar that is not file content
//	ROOT/DRIVER-containers/containers.json    containers, with image and layer
//	ROOT/overlay/ID/diff                      the layer
//	ROOT/vfs/dir/ID                           the layer and all below it
//	ROOT/libpod/{bolt_state.db,db.sql}        podman's own records: commands, pods, states
//
// With the driver overlay a layer is its directory. With vfs, and wherever
// somebody other than root or ourselves could have changed the directory, it
// is put together as the tar that it was, from the record and the files, and
// checked against its diff ID (package tarsplit).
//
// The library replaces its files whole, so that each is consistent in itself
// and two of them may disagree for a moment: then both are read again.
//
// A layer that was pulled in part (zstd:chunked) and known only by its table
// of contents has no diff ID that anybody verified, and one kept by composefs
// has no directory tree: images with such layers are listed with the reason
// why they are not read. Manifest lists are no images and are not listed.
package storage
