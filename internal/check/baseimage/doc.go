// Package baseimage says what an image was built from.
//
// The surest answer lies in the layers: an image whose whole stack of diff IDs
// is the beginning of another's is what the other was built on, or was built
// from the same. Stacks are compared by chain ID, so one look-up answers for
// every image of a fleet. Where the fleet holds no such image, the label
// org.opencontainers.image.base.name or what buildah writes into the history
// tells the name, which anyone may write; and where nothing does, os-release
// tells at least the system.
package baseimage
