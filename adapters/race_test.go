//go:build race

package adapters_test

// The race detector makes a row ten times as slow, and needs few of them.
const everyRow = 61
