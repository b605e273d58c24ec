// Package docker lists the images and containers of a dockerd over its API and
// reads the layers where the daemon keeps them, never through an export.
//
// With the overlay2 graph driver the way from an image to its directories is
//
//	ROOT/image/overlay2/imagedb/content/sha256/CONFIG      the configuration, with the diff IDs
//	ROOT/image/overlay2/layerdb/sha256/CHAIN/{diff,cache-id} for each chain ID
//	ROOT/overlay2/CACHE-ID/diff                            the layer
//
// With the containerd image store, the default since Docker 29, the images lie
// in the namespace "moby" of a containerd, and package containerd reads them;
// dockerd is asked for the containers alone. Which of the two a daemon uses it
// says in the DriverStatus of /info.
//
// The API is the Docker Engine API over a unix socket, three read-only calls of
// it. The graph drivers vfs, btrfs, fuse-overlayfs and aufs keep the files of a
// layer in another form than overlay: the layer is put together as the tar that
// it was (package tarsplit), and so is every layer of a dockerd that somebody
// other than root runs. Images of the remaining drivers (zfs, devicemapper) are
// listed with the reason why they are not read.
package docker
