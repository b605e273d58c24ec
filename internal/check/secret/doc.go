// Package secret finds secrets in the files and in the configuration of an
// image: keys of clouds, tokens of services, private keys, passwords.
//
// One pass of an automaton over a file finds the keywords of all rules. Only
// around a keyword does anything else run: a pattern that is anchored at the
// keyword, the value of an assignment whose name holds the keyword, or a
// pattern on a window of some hundred bytes. Files with a layout of their own
// (netrc, pgpass, docker's config.json, kubeconfig …) are parsed, private keys
// are read to their end, and small binary key stores are told by their bytes.
//
// No value leaves this package: a Secret holds a mask, a length, a keyed hash
// for equality and the name that stood before the value. What a scan may cost
// is bounded per file, whatever the file says. Whether a secret is still valid
// is not asked: that takes a network, and somebody else's log.
package secret
