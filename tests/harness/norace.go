//go:build !race

package harness

// raceEnabled tells that the tests were built with the race detector.
const raceEnabled = false
