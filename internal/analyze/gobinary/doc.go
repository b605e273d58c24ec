// Package gobinary reads the build information that the Go linker leaves in
// every executable (ELF, PE, Mach-O), with the standard library's
// debug/buildinfo: the modules built in, the main module, and the toolchain,
// which is listed as the package "stdlib" because its fixes are fixes of the
// standard library. The tools of the Go distribution (cmd/go) are listed as
// "toolchain", as the Go vulnerability database names them.
//
// Versions are written as the module system writes them ("v1.2.3"), the
// toolchain's as "1.22.1" without "go". A version that is not known ("(devel)",
// a replacement by a local directory) is empty: such a module is listed and
// never matched. For a main module without a release, a release number that was
// set with -ldflags "-X …version=…" is taken if it is the only one; where the
// flags were not recorded and no cgo is used, it is looked for in the program. What the
// compiler left out of the program by dead-code elimination is still listed.
package gobinary
