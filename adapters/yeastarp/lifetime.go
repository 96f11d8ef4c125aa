package yeastarp

import (
	"time"

	"github.com/pbxauth/pbx/adapters/wire"
)

// What the vendor documents, and what is taken for a misprint: a time in
// milliseconds, say, is beyond it.
const (
	accessLifetime  = 1800 * time.Second
	mostAccess      = 24 * time.Hour
	refreshLifetime = 86400 * time.Second
	mostRefresh     = 30 * 24 * time.Hour
)

// lifetime reads a time in whole seconds. If there is none that makes sense, it is
// the documented one.
func lifetime(seconds wire.Number, documented, most time.Duration) time.Duration {
	if !seconds.Known || seconds.Value <= 0 || seconds.Value > int64(most/time.Second) {
		return documented
	}
	return time.Duration(seconds.Value) * time.Second
}
