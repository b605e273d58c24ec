// Package inotify tells when an entry of a directory comes, goes or changes
// (inotify(7)). It serves sources whose engine has no stream of events, and the
// search for engines that come and go.
//
// It looks at single directories, never at trees, and promises no more than
// that something may have changed: what, the caller finds out by reading.
package inotify
