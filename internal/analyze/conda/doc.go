// Package conda reads conda-meta/NAME-VERSION-BUILD.json, which conda, mamba and
// pixi keep in the root of an environment for each package they have installed
// (conda's "PrefixRecord"). What lies in the cache of packages (pkgs/) is not
// installed.
//
// A Python package that conda installed has core metadata as well and is also
// listed by package python: advisories know it by that name, and none are
// written for conda's.
package conda
