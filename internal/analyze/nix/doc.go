// Package nix recognises packages by the paths of Nix's store:
// /nix/store/HASH-NAME-VERSION-OUTPUT. The name ends, by the rule of Nix's
// parseDrvName, before the first dash that no letter follows; what comes behind
// is the version, without the name of the output.
//
// Images made by Nix's own tools hold the paths and no database of them, so
// the paths alone are evidence: each file near the top of a store path tells of
// it, unread, and the report holds the path once. What holds files only deep
// below (sets of time zones, say) is not seen, nor is a path without a version,
// which is a script or a configuration.
package nix
