// Package overlay compares the merge of layer reports with other ways to put
// layers together: a naive model in memory, and overlay mounts of the kernel.
//
// Stacks of layers are made at random from few names, so that everything meets
// everything: files, directories, symbolic links among the parents (absolute,
// relative, dangling, in circles), hard links, whiteouts, opaque directories,
// one path twice in a layer, entries written through the layer's own links.
// Each layer is a real tar, read by the real pipeline.
//
// An overlay engine unpacks a layer into a directory of its own and mounts the
// directories one upon the other. That is what both comparisons do, each in its
// own way: the model with a tree of nodes, the other with system calls in a
// chroot. A layer that no engine unpacks must be called incomplete.
package overlay
