package advisory

import "golang.org/x/sys/unix"

// releaseMap gives back the memory of a map of size bytes at addr: the pages
// stay in the page cache and come back when they are read again. Readers may be
// at work. It returns no error: without it everything works, in more memory.
func releaseMap(addr, size uintptr) {
	// madvise(2): for a shared map of a file, MADV_DONTNEED drops nothing but
	// the entries of the page table.
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, addr, size, unix.MADV_DONTNEED)
}
