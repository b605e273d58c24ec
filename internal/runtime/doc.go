// Package runtime finds the places on this host where images lie: the engines
// that run, and the archives that someone names.
//
// Each engine has a package of its own below this one that implements
// image.Source and passes the shared suite in runtimetest. To add one, write
// that package and a probe in probe.go.
package runtime
