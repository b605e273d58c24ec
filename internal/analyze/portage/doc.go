// Package portage reads Gentoo's database of installed packages: one directory
// /var/db/pkg/CATEGORY/NAME-VERSION for each, in which CONTENTS lists what the
// package put in place (portage's vartree.py; names and versions by the Package
// Manager Specification, sections 3.1 and 3.2).
//
// The directory tells the package, CONTENTS the files it owns, and LICENSE and
// repository beside it the licences, as the ebuild writes them, and the
// repository, which is given as the vendor.
package portage
