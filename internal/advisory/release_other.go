//go:build !linux

package advisory

func releaseMap(_, _ uintptr) {}
