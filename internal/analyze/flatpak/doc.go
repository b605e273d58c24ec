// Package flatpak reads which applications and runtimes Flatpak has deployed:
// each has a directory flatpak/app/ID/ARCH/BRANCH/COMMIT, or flatpak/runtime/…,
// below /var/lib or a home, with a file "deploy" in it. The path tells what it
// is; the file, a GVariant of type (ssasta{sv}) as common/flatpak-dir.c writes
// it, tells the version that the application gives itself. Without one, as for
// runtimes, the branch is the version. The files of the tests were written by
// flatpak itself.
package flatpak
