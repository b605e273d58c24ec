// Package contentset reads the content manifests of images that Red Hat's
// build service makes: JSON files in /root/buildinfo/content_manifests, and
// since 2024 /usr/share/buildinfo/content-sets.json, whose content_sets name
// the repositories that packages were taken from.
//
// A repository of a stream with extended support (EUS, E4S, AUS, TUS, ELS) has
// the word in its name. Such an image gets fixes that the release as a whole
// does not, under versions of their own; nothing else in it says so. The
// manifest says only that: it is no list of packages.
package contentset
