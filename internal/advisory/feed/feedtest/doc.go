// Package feedtest has what the tests of feed adapters share: files of the
// archives of shared test data, the checks that every adapter has to pass, and
// a server that stands in for a publisher.
package feedtest
