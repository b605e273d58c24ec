// Package matrix holds the test that an image is the same image wherever it
// lies: every engine and every archive form, on every kind of image, has to
// give the same inventory and the same layer reports, byte for byte.
//
// The engines are real ones (package engine), the images real ones too
// (package fixture). "make matrix" runs it.
package matrix
