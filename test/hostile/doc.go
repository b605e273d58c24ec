// Package hostile holds images made to harm whoever reads them, and tests that
// the program reads them within its contract: it ends, with its children it
// stays within its memory, every file that it could not read is named with the
// reason, and a healthy package beside the bomb is found.
//
// The tests run the real binary as a user would.
package hostile
