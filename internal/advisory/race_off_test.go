//go:build !race

package advisory

const raceDetector = false
