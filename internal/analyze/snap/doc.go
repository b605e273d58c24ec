// Package snap reads meta/snap.yaml, by which an unpacked snap tells its name,
// version and architectures (snapcraft.io/docs/snap-format). It stands in
// /snap/NAME/REVISION, or in the root directory of an image that is made of a
// snap.
//
// A snap as it is delivered, a ".snap" file, is a squashfs image: it is not
// opened. What a snap was built from (snap/manifest.yaml) names packages of
// Ubuntu that may differ from what stands there, and is not read.
package snap
