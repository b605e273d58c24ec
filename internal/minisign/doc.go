// Package minisign signs files, and checks signatures, in the format of
// minisign (https://jedisct1.github.io/minisign/): Ed25519 over the BLAKE2b-512
// hash of the file, with a comment that is signed too. Keys and signatures are
// those of the minisign tool, which can check what is signed here and the other
// way round.
//
// Signatures over the file itself, which minisign made before version 0.10,
// are refused: they cannot be checked without holding all of the file.
package minisign
