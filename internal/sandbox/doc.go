// Package sandbox runs a part of this program in a child process that can do
// almost nothing: it reads what it was given, computes, and writes its answer
// to a pipe. Bytes from an image never meet the heap of the parent before the
// child has made small, checked facts of them.
//
// The parent calls Start, which executes the running program once more with
// ChildArg as its first argument and some open files. The child calls Enter
// before it looks at anything hostile, and from then on has no network, no new
// files but those beneath the directories of its policy, and those for reading
// only, no new programs or processes, no privileges it does not need, and hard
// limits on memory, processor time, descriptors and file size.
//
// What a kernel lacks is left out and named: Enter returns it, and the parent
// says it once. On other systems than Linux Start is not supported and the
// work is done in the process itself.
package sandbox
