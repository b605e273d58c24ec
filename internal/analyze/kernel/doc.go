// Package kernel recognises Linux kernels and modules that were built outside
// of them.
//
// A kernel for x86 tells its version in the setup header of its image
// (Documentation/arch/x86/boot.rst: "HdrS", kernel_version). A module tells
// name and version in its section ".modinfo" (kernel/module/main.c); those in
// the directory "kernel" of /lib/modules/VERSION belong to the kernel and say
// nothing more, so only modules elsewhere are read: DKMS and vendors put
// theirs into "updates", "extra" and the like. Modules compressed with gzip and
// zstd are opened; of those compressed with xz only the name is known.
//
// What a distribution's package installed is marked as owned at the merge, and
// matched through the package. Kernels of other architectures are not known by
// their content.
package kernel
