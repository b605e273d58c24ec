// Package cache keeps layer reports, so that no layer is read twice.
//
// A report is kept under its diff ID and the key of the analyser set that made
// it: a report made by other analysers is simply not found. Those used last are
// held in memory as they are used. The others lie compressed: where a directory
// is given in one file each, so that the next process finds them too, else in
// memory.
//
// It promises that what comes out is what went in: every file carries a
// checksum and names its own key, files appear whole or not at all, several
// processes may share a directory, and a damaged file is a miss and is
// removed. It is a cache: anything in it may vanish at any time, the least
// recently used first, once it grows beyond its bound.
//
// It does not keep reports of layers that could not be read to their end.
package cache
