package session

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/rs/zerolog"
)

// OpInfo is an operation of a driver that has ended: for [Options].OnOp.
type OpInfo struct {
	Session string // its name in its Manager
	Driver  string // the driver's registered name
	URL     string // of the PBX, as in [Session.URL]

	// Op is login, keep-alive, logout or ping, "check" for a request without
	// credentials that looks whether the PBX responds, or "credentials" for a look
	// at the credentials, which sends nothing to the PBX.
	Op      pbx.Op
	Started time.Time
	Took    time.Duration
	Err     error // nil: it succeeded
}

// hook hands operations to the application.
type hook struct {
	infos outbox[OpInfo]
}

// newHook returns nil where the application wants none.
func newHook(onOp func(OpInfo), j *journal) *hook {
	if onOp == nil {
		return nil
	}
	h := &hook{}
	h.infos.put = func(info OpInfo) {
		defer func() {
			if v := recover(); v != nil {
				what, stack := fmt.Sprintf("a %T", v), debug.Stack()
				j.write(zerolog.ErrorLevel, "panic in Options.OnOp", func(e *zerolog.Event) {
					e.Str("session", info.Session).Str("op", string(info.Op)).Str("panic", what).Bytes("stack", stack)
				})
			}
		}()
		onOp(info)
	}
	h.infos.lost = func(n int) {
		j.write(zerolog.WarnLevel, "operations not reported: Options.OnOp was too slow", func(e *zerolog.Event) { e.Int("operations", n) })
	}
	return h
}
