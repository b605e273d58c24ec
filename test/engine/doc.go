// Package engine starts real container engines for tests and stops them
// again: dockerd with overlay2 and with vfs, containerd, a dockerd that keeps
// its images in containerd, and podman with overlay and with vfs.
//
// Each engine has a data root and sockets of its own in temporary
// directories, so that it neither sees nor touches what the machine runs.
// It ends with the test, by process id; should the test process die without
// saying goodbye, a pipe that closes with it ends the daemon.
//
// The functions that take a testing.TB skip the test where binaries, root
// rights or a file system that overlay works on are missing, and fail it
// instead where REQUIRE_RUNTIMES=1 says that they must be there. Start is the
// same for programs; cmd/engine is one.
//
// The engine with the containerd store is newer than what Debian 12 has. It
// runs inside a root file system of Debian forky that is built once with
// mmdebstrap (about two minutes, 600 MB) below $ONCEOVER_CACHE, or build/cache
// of the project.
package engine
