// Package rlang reads DESCRIPTION, which lies in the directory of every R
// package ("Writing R Extensions", section 1.1.1). R adds the field Built when it
// installs a package, save in the one of its own that holds translations only
// (License: Part of R …). Any other DESCRIPTION without it belongs to a source
// and says nothing.
package rlang
