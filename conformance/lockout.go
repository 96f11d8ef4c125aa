package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var lockoutRules = []Rule{
	{
		ID:    "LOCKOUT-01",
		Says:  "A wrong password is ErrInvalidCredentials, and is sent once.",
		Why:   "PBXs lock the caller's address after a few, and with it every other account of the same server.",
		check: wrongPassword,
	},
	{
		ID:    "LOCKOUT-02",
		Says:  "A locked caller is ErrLocked, and not told that the password is wrong.",
		Why:   "The one mends itself with time; for the other, people change a password that was right.",
		check: lockedCaller,
	},
	{
		ID:    "LOCKOUT-03",
		Says:  "A login under a lock is sent at most once, and is an error.",
		Why:   "No vendor says whether an attempt under the lock prolongs it.",
		check: loginUnderLock,
	},
	{
		ID:    "LOCKOUT-04",
		Says:  "The PBX does not lock before the number of wrong logins that Traits names.",
		Why:   "Sessions share out that number, less two; a number too high locks them all out.",
		needs: []need{lockoutLimit},
		check: lockoutTraits,
	},
}

func wrongPassword(t *trial) error {
	t.sim.SetPassword(account, "another")
	err := noToken(t.auth.Login(context.Background()))
	if n := t.sim.Counts().WrongLogins; n != 1 {
		return fmt.Errorf("the wrong password is sent %d times", n)
	}
	return errors.Join(ofKind(err, pbx.ErrInvalidCredentials), sent(err, true))
}

func lockedCaller(t *trial) error {
	t.sim.Lock(caller)
	return ofKind(noToken(t.auth.Login(context.Background())), pbx.ErrLocked)
}

func loginUnderLock(t *trial) error {
	t.sim.Lock(caller)
	err := noToken(t.auth.Login(context.Background()))
	if n := t.count(pbxsim.Login); n > 1 { // none where a challenge is refused first
		return fmt.Errorf("the login is sent %d times", n)
	}
	return ofKind(err)
}

func lockoutTraits(t *trial) error {
	t.sim.SetPassword(account, "another")
	attempts := t.auth.Traits().Lockout.Attempts
	for i := range attempts - 1 {
		t.auth.Login(context.Background())
		if _, locked := t.sim.Locked(caller); locked {
			return fmt.Errorf("the PBX locks after %d wrong logins, Traits says %d", i+1, attempts)
		}
	}
	return nil
}
