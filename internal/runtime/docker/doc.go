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
// it. Other graph drivers keep no separate directories for layers, or in
// another form: their images are listed with the reason why they are not read.
package docker
