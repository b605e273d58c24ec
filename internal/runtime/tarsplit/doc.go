// Package tarsplit puts the tar of an image layer together again, byte for
// byte, from a directory with the files and the record of everything that is
// not file content.
//
// docker and containers/storage keep such a record (tar-split.json.gz,
// LAYER.tar-split.gz) for each layer that they unpack, so that an image can be
// pushed with the digest it was pulled with. It lets a layer be read that lies
// in no form of its own: the storage driver vfs keeps a full copy of the root
// file system for each layer. It also lets a layer be read that somebody could
// have changed: what comes out is checked against the diff ID like any other
// blob.
//
// The record is a gzip stream of JSON objects, one to a line (package
// github.com/vbatts/tar-split/tar/storage, type Entry): raw bytes of the tar,
// or the name and the size of a file whose content belongs in between.
package tarsplit
