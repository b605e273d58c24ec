// Package rust reads the list of crates that "cargo auditable" puts into the
// programs and libraries it builds: a section ".dep-v0" of an ELF, PE or Mach-O
// file that holds JSON compressed by zlib (PARSING.md and the JSON schema of the
// cargo-auditable project). Alpine, Wolfi, openSUSE and NixOS build their Rust
// programs so.
//
// Crates that took part in the build only (build scripts, procedural macros) are
// declared: nothing of them runs. A program without the section says nothing;
// guessing crates from the paths in its panic messages is left to others.
package rust
