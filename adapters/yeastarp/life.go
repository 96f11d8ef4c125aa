package yeastarp

import "time"

// What the vendor documents, and what is taken for a misprint: a time in
// milliseconds, say, is beyond it.
const (
	accessLife  = 1800 * time.Second
	mostAccess  = 24 * time.Hour
	refreshLife = 86400 * time.Second
	mostRefresh = 30 * 24 * time.Hour
)

// life reads a time in whole seconds; where there is none that makes sense, it
// is the documented one.
func life(seconds whole, documented, most time.Duration) time.Duration {
	if !seconds.ok || seconds.n <= 0 || seconds.n > int64(most/time.Second) {
		return documented
	}
	return time.Duration(seconds.n) * time.Second
}
