//go:build race

package conformance

// underRace: the race detector makes everything ten times slower, so each mutant
// is put to its own rule only.
const underRace = true
