package session

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pbxauth/pbx/session/internal/tokencell"
	"github.com/pbxauth/pbx/session/store"
)

// Shared lets several processes behave towards a PBX like one: they share each
// session's token and the budget of wrong logins. A restart then needs no login.
// One Shared may serve several Managers of a process. [NewShared] makes one.
//
// A session is the same in all processes if its name, its PBX's URL and its
// account are. The process that renews a token claims it first, and the others
// adopt what it brings. They get no Details that are too large for a cell of the
// store, as beyond 45 KB. While the store does not respond, tokens are handed out and
// heartbeats go on, but nothing logs in.
type Shared struct {
	backing backing
	guard   *Guard
}

// SharedSettings are for [NewShared]. Prefix, Egress and Process have up to 40 of a-z,
// 0-9 and ._- and may be empty.
type SharedSettings struct {
	// Store is where tokens and budgets are kept. If it has a Close method, close it
	// after the Managers.
	Store store.Store
	// Keys encrypt the tokens in the store: 32 random bytes each, the same in all
	// processes, and not the Key of the Store. The first encrypts, all decrypt. To
	// change the key, add the new one at the end in all processes, then make it the
	// first, then remove the old one.
	Keys [][]byte `json:"-"`

	// Prefix keeps applications apart that use one store.
	Prefix string
	// Egress names the address that PBXs see, where processes have different ones:
	// each has a budget of its own. Empty: all processes share one.
	Egress string
	// Process names this process for people, as in "crm-2".
	Process string
	// Timeout bounds an operation of the store. 0: 2 s.
	Timeout time.Duration
}

// Format writes the names, without the keys.
func (s SharedSettings) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "settings of a session store: prefix %q, egress %q, process %q", s.Prefix, s.Egress, s.Process)
}

// NewShared checks the settings. It does not use the store.
func NewShared(settings SharedSettings) (*Shared, error) {
	fault := func(format string, args ...any) (*Shared, error) {
		return nil, fmt.Errorf("session: NewShared: "+format, args...)
	}
	if settings.Store == nil {
		return fault("Store is nil: name one, such as store.Files")
	}
	sealer, err := tokencell.NewSealer(settings.Keys)
	if err != nil {
		return fault("%w", err)
	}
	for _, part := range []struct{ name, value string }{{"Prefix", settings.Prefix}, {"Egress", settings.Egress}, {"Process", settings.Process}} {
		if strings.Trim(part.value, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" || len(part.value) > 40 {
			return fault("%s %.60q: use up to 40 of a-z, 0-9 and ._-", part.name, part.value)
		}
	}
	if settings.Timeout < 0 {
		return fault("Timeout is %s: use a positive time, or 0 for %s", settings.Timeout, storeTimeout)
	}
	if settings.Timeout == 0 {
		settings.Timeout = storeTimeout
	}
	id := make([]byte, 4)
	rand.Read(id)
	process := strings.TrimPrefix(settings.Process+"-"+hex.EncodeToString(id), "-")
	c := &Shared{backing: backing{store: settings.Store, sealer: sealer, prefix: settings.Prefix, process: process, timeout: settings.Timeout}}
	in := &cells{store: &c.backing, prefix: settings.Prefix, egress: settings.Egress}
	var key []byte
	if keyed, ok := settings.Store.(interface{ Key() []byte }); ok {
		key = keyed.Key()
		if slices.ContainsFunc(settings.Keys, func(k []byte) bool { return bytes.Equal(k, key) }) {
			return fault("Keys has the Key of the Store, which is for fingerprints and may lie beside the tokens: set random bytes that are kept elsewhere")
		}
	} else {
		in.printKey = &printKey{store: &c.backing}
	}
	c.guard = storedGuard(in, key)
	return c, nil
}

// Guard is the budget of wrong logins in the store.
func (c *Shared) Guard() *Guard { return c.guard }

// Format writes the names, without the keys.
func (c *Shared) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "session store of process %s", c.backing.process)
}
