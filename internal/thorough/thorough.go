// Package thorough says how much the long tests play.
package thorough

import "os"

// Tests reports whether the environment has PBX_TESTS=all: then tests play every
// combination of what they vary. Otherwise they play each value at least once, so that
// go test ./... does not take minutes.
func Tests() bool { return os.Getenv("PBX_TESTS") == "all" }
