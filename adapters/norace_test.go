//go:build !race

package adapters_test

const everyRow = 1
