// Package osrelease reads the file that names the distribution: os-release in
// /etc or /usr/lib (os-release(5)), and for systems that are older than it, the
// files that went before: one line of /etc/redhat-release and its like (that of EulerOS is read beside os-release, which
// keeps naming an older service pack),
// /etc/SuSE-release, /etc/lsb-release of Ubuntu, /etc/debian_version and
// /etc/alpine-release, from which ID, NAME, VERSION_ID and PRETTY_NAME are made.
//
// It collects what each layer says. Which of the files is in force is decided
// after the merge: /etc/os-release is usually a symbolic link.
package osrelease
