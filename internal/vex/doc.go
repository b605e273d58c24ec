// Package vex applies what people say about findings: OpenVEX and CSAF VEX
// documents, and files of ignore rules.
//
// A document makes statements about vulnerabilities and products. The newest
// statement about a finding is its judgement. One that says "not affected" or
// "fixed" sets the finding aside: it is not lost, and stands apart with the
// justification and the name of the document. A rule does the same until a day
// that it names.
//
// Package match decides whether a package is affected and knows nothing of this
// one. What is said about an image by the image itself, in attestations, is used
// only where the caller asks for it: their signatures are not verified.
package vex
