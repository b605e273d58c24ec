// Package lines reads text of unknown origin line by line. It holds one line
// at a time, cuts lines that are too long instead of losing what follows them,
// and stops when its context does.
//
// The analysers of text databases use it. It knows nothing of their formats.
package lines
