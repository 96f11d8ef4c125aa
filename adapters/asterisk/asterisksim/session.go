package asterisksim

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// NewToken returns a session's id: 8 hex digits. The login under way keeps the
// one that it came with.
func (a *asterisk) NewToken() string {
	if id := a.reserved.Swap(nil); id != nil {
		return *id
	}
	return newID()
}

func newID() string { return fmt.Sprintf("%08x", 1+rand.Uint32N(1<<32-1)) }

// cookie returns the session's id that a request carries, as Asterisk reads it:
// of several the last, in the last Cookie header, quoted or bare, in any case.
func cookie(r *pbxsim.Request) string {
	headers := r.Header["Cookie"]
	if len(headers) == 0 {
		return ""
	}
	id := ""
	for part := range strings.SplitSeq(headers[len(headers)-1], ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(name, "mansession_id") {
			id = strings.ToLower(strings.Trim(value, `"`))
		}
	}
	if n, err := strconv.ParseUint(id, 16, 32); err == nil {
		return fmt.Sprintf("%08x", n)
	}
	return id
}

// find returns the session that is not logged in and has this id. a.mu is held.
func (a *asterisk) find(id string) *unauthenticated {
	now := time.Now()
	maps.DeleteFunc(a.waiting, func(_ string, s *unauthenticated) bool { return !now.Before(s.until) })
	return a.waiting[id]
}

// open makes a session that is not logged in. a.mu is held.
func (a *asterisk) open() (id string, s *unauthenticated) {
	id, s = newID(), &unauthenticated{}
	a.waiting[id] = s
	return id, s
}

// touch gives a session that is not logged in its full lifetime. a.mu is held.
func (a *asterisk) touch(s *unauthenticated) { s.until = time.Now().Add(min(patience, a.life)) }

// proves reports whether a login's parameters prove that the user knows secret.
func (s *unauthenticated) proves(p params, secret string) bool {
	if !strings.EqualFold(p.get("AuthType"), "MD5") {
		return p.get("Secret") == secret
	}
	return s.challenge != "" && p.get("Key") == s.key(secret) // lower case only
}

// key is the MD5 key that proves secret.
func (s *unauthenticated) key(secret string) string {
	sum := md5.Sum([]byte(s.challenge + secret))
	return hex.EncodeToString(sum[:])
}

// owner returns the user who is logged in with a session, "" if none is.
func (a *asterisk) owner(accounts *pbxsim.Accounts, id string) string {
	for _, user := range a.users {
		if slices.Contains(accounts.Tokens(user), id) {
			return user
		}
	}
	return ""
}
