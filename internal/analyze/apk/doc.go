// Package apk reads the database of installed packages of Alpine and its kin:
// /lib/apk/db/installed, and /usr/lib/apk/db/installed where /usr is merged.
//
// The database is text: paragraphs of lines "X:value", one letter each, as
// apk-tools writes them (Alpine wiki, "Apk spec"). We read the package (P), its
// version (V), architecture (A), origin (o) and licence (L), and its folders
// (F) and files (R), which say what it owns.
package apk
