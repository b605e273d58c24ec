// Command bench measures "onceover scan" beside other scanners, in the same
// run. "bench peers" does it on large images from a docker engine and from
// docker-archives, as docs/benchmarks.md says; without a word it does it on
// one image, beside syft and grype. "bench match" measures matching alone,
// beside grype on the same list of packages and the same records; "bench
// advisories" measures a generation: compiling, size, look-ups and matching, on
// the records as they are and on a set ten times as large.
// "bench checks" measures what
// looking for more than packages finds and costs, beside gitleaks.
//
//	go run ./test/bench checks [-check] [-gitleaks FILE] [-only trees|image]
//	go run ./test/bench match [-check]
//	go run ./test/bench advisories [-check]
//	go run ./test/bench [--rounds 5] [--image debian-web | docker-archive:FILE | oci:DIR | NAME]
//	                    [--docker-socket PATH] [--advisories FILE] [--osv DIR]
//
// Without --image it takes the fixture debian-web, as an OCI layout and as a
// docker-archive. With --docker-socket the image is one of that engine's:
// onceover reads it in place, syft and grype through the engine's API.
//
// The programs take turns, so that what else the machine does hits all alike;
// the first turn of each is not counted, so that all find the page cache warm.
// The table gives medians:
//
//   - cpu: user and system time of the process and of the children that it
//     waited for, from wait4(2).
//   - wall: from start to exit.
//   - peak: ru_maxrss of wait4(2), the largest resident set of the process or
//     of one of its children. The programs are started by a small helper
//     process, so that no memory of the bench itself is counted.
//   - read and written: rchar and wchar of /proc/PID/io (proc(5)), read after
//     the process has exited and before it is reaped: what passed through
//     read(2) and write(2), from disk or from the page cache. Memory-mapped
//     files do not count, and neither does what the kernel splices; children
//     count once they have been waited for.
//
// What the engine itself does for syft and grype (exporting the image) is not
// in their figures; it is measured apart, as the CPU time of the engine's
// process over each turn, where --docker-pid gives its process ID.
//
// onceover is measured cold (no layer report kept) and with layer reports at
// hand. Its time includes matching; the fair sum on the other side is syft's
// and grype's, where grype takes syft's list, and grype alone.
package main
