// Package e2e holds the tests that run the built binary as a user does: on
// real engines and real images, and as servers and agents that are spoken to
// in signed requests, killed in the middle of their work and started again.
package e2e
