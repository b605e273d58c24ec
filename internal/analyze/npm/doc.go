// Package npm reads package.json, which lies in the directory of every
// installed npm package and of most applications. Every file with a name and a
// version is listed.
//
// A package.json below the root of an installed package
// (node_modules/x/test/package.json) is a part of that package or a fixture of
// its tests, and proves nothing of its own: it is marked as declared. One that
// stands outside of any node_modules describes the software it lies in.
//
// Yarn since version 2 runs packages from the archives of its cache
// (.yarn/cache/NAME-npm-VERSION-….zip), which are read too.
package npm
