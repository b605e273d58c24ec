// Package e2e holds the tests that run the built binary on real engines and
// real images, as a user does.
package e2e
