// Package runtimetest is the conformance suite of image sources and the small
// images that it is run on.
//
// A new runtime calls Suite from a test that has put the images of Build where
// the runtime keeps them.
package runtimetest
