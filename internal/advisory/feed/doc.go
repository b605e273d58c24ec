// Package feed has what the adapters of primary feeds share: the form in which
// they hand over advisories, and readers that say in which file and line
// something is wrong.
//
// A primary feed is what a distribution itself publishes, in its own format.
// It is read where the OSV records of that distribution say less: states other
// than "fixed in", module streams, subscriptions. Each adapter is a package
// below this one and one line in package all; docs/feeds.md tells how to add
// one.
//
// An adapter translates and judges nothing: it does not compare versions, and
// it drops nothing that the feed says about a package. Which states become
// findings is the matter of package match.
package feed
