// Package dpkg reads what the Debian package manager knows: the status
// database (/var/lib/dpkg/status), the single-package files of distroless
// images (/var/lib/dpkg/status.d/NAME), and the file lists of both
// (info/NAME.list, status.d/NAME.md5sums) with the diversions that move single
// files elsewhere. opkg, the package manager of OpenWrt and of systems built
// with Yocto, writes the same formats in its own directory.
//
// A package counts as installed when its files are unpacked: state installed,
// unpacked, half-configured, triggers-awaited or triggers-pending. A package
// of which only configuration is left does not. The formats are those of
// dpkg's own manual, deb-control(5) and dpkg-query(1). Licences stand in
// free-form copyright files and are not read.
package dpkg
