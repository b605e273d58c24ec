// Package errata reads the errata of AlmaLinux and Rocky Linux: JSON that
// lists, for each advisory, every binary package that was built for it, with
// the module stream that it belongs to. Records in the OSV format leave the
// stream out.
//
// Advisories without a CVE mend no vulnerability and are left out, as are
// source packages, which nobody installs.
package errata
