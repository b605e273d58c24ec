// Package layer reads one image layer, wherever it lies, and shows every entry
// of it once: from a directory tree that an overlay file system uses, or from a
// tar stream, plain or compressed with gzip or zstd.
//
// Both forms show the same: the directory that an overlay engine makes of the
// layer, entry by entry, with every directory on the way to one. Links of the
// layer itself are followed, those of the layers below are not; of entries that
// replace one another the last one counts. What a directory leaves in the
// layers below (overlayfs's redirect and metacopy) is shown where it belongs.
//
// Layers are hostile. Nothing is followed out of the layer, nothing but regular
// files is opened, and everything that a layer can make large has a limit. A
// layer that is damaged half-way has shown what came before the damage; Walk's
// error says what went wrong, and the caller must treat the layer as
// incomplete. A stream is checked against the layer's diff ID while it is read.
//
// The package writes nothing, except that a single file too large for memory in
// a stream (never in a directory) is spooled to an unlinked temporary file.
package layer
