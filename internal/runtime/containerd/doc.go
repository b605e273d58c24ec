// Package containerd lists and opens the images of a containerd, in every
// namespace, and reads them where they lie.
//
// Lists come over containerd's gRPC API with its generated stubs; content does
// not. The daemon tells where its content store and its overlayfs snapshotter
// live, and from there on files are read:
//
//   - a layer that is unpacked is the directory snapshots/ID/fs. The API does
//     not name it for a committed snapshot without making a View, which would
//     write. The snapshotter's own database does; it is locked by the daemon,
//     so it is copied to memory and taken only if no transaction ended
//     meanwhile.
//   - a layer that is not unpacked is the blob blobs/sha256/HEX of the content
//     store.
//   - if the data root cannot be seen from here, the content API streams the
//     same blob.
//
// Nothing is written, not even a lease. An image that is deleted while it is
// read is caught by Layer.Check instead.
//
// A name whose manifest is not here (only a name is left, or a pull is under
// way) is no image of this host and is not listed. Other platforms than the
// host's are listed if all of their content is here.
package containerd
