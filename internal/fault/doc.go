// Package fault is the one kind of error that crosses floors: a text for the
// person who asked, and a code that says what they can do about it.
//
// Inside a package plain wrapped errors are enough. A coded error is made
// where the meaning is known ("no such image"), and read at the edges, where
// one table each turns codes into HTTP statuses, HSS error codes and exit
// codes. The package knows none of these vocabularies.
package fault
