package lockout

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pbxauth/pbx"
)

// Refusal says that a PBX refused a token before its expiry. Processes that share a
// store report refusals to each other, so that together they send no more dead tokens
// than one process.
type Refusal struct {
	ID     ID          // of the process that saw it
	URL    string      // Traits.URL
	Token  Fingerprint // the same in all processes; zero: unknown
	Issued time.Time
	Read   time.Time // when the refusal was read
	// First says that the process that saw it, and knew of all that were told before,
	// took it for no sign that other tokens are lost.
	First bool
}

const (
	// RefusalLasts is how long a refusal is reported to other processes. After that, a
	// process finds out by itself.
	RefusalLasts = 5 * time.Minute

	// rememberRefusal is how long a refusal is known, so that it is not heard twice. Two
	// readings of the store's clock differ.
	rememberRefusal = 2 * RefusalLasts

	// toldSoon is how long it takes at most until a refusal is in the store. One that is
	// not there by then will not be.
	toldSoon = 30 * time.Second

	maxRefusals = 16 // that are kept and told: after the second, few follow
)

// Hear notes a refusal that another process has seen. limits are those of a session at
// its URL. Hear returns what [Host.TokenRefused] returns. It does nothing if it has heard
// of the refusal before, if this process has seen the same token refused, if that was too
// long ago, or if it has not been yet: the store's clock was set back.
func (h *Host) Hear(now time.Time, l *Local, limits Limits, r Refusal) (until time.Time) {
	t := at(now)
	l.clamp(t, r.URL)
	u := l.url(r.URL)
	dead := refusedToken{r.ID, r.Token, at(r.Issued), at(r.Read)}
	if dead.read > t || t > dead.read.add(RefusalLasts) || !u.note(t, dead) {
		return time.Time{}
	}
	switch {
	case limits.None || limits.DeadTokens == pbx.DeadTokensIgnored:
		return time.Time{}
	case limits.DeadTokens == pbx.DeadTokensCount:
		return h.TokensLost(now, r.URL, r.Read)
	}
	if r.First {
		u.care.clearedUp(dead.read)
	}
	return h.maybeLost(u, limits, dead.issued, dead.read)
}

// refusedToken is a token that was refused lately.
type refusedToken struct {
	id           ID
	token        Fingerprint
	issued, read instant
}

// note notes the refusal of a token, and reports whether it is news: another process may
// have seen the same refusal, or another one of the same token.
func (u *urlState) note(now instant, dead refusedToken) bool {
	u.forget(now)
	for i := range u.refused {
		k := &u.refused[i]
		if k.id == dead.id {
			return false
		}
		if k.token == dead.token && k.token != (Fingerprint{}) {
			u.care.readSooner(k.read, dead.read)
			k.read = min(k.read, dead.read)
			return false
		}
	}
	u.refused = append(u.refused[max(0, len(u.refused)-maxRefusals):], dead)
	return true
}

// forget drops the refusals that nobody tells any more.
func (u *urlState) forget(now instant) {
	u.refused = slices.DeleteFunc(u.refused, func(k refusedToken) bool { return now > k.read.add(rememberRefusal) })
}

// Refusals are those of one host, as a store has them: the newest, with times by the
// store's clock.
type Refusals []Refusal

// With returns the refusals that have to be known at now, and r.
func (rs Refusals) With(now time.Time, r Refusal) Refusals {
	rs = slices.DeleteFunc(slices.Clone(rs), func(k Refusal) bool { return now.Sub(k.Read) > RefusalLasts || k.Read.After(now) })
	rs = append(rs, r)
	return rs[max(0, len(rs)-maxRefusals):]
}

// encodedRefusals is the JSON of Refusals. Times are Unix milliseconds.
type encodedRefusals struct {
	Version  int              `json:"v"`
	Refusals []encodedRefusal `json:"refusals"`
}

type encodedRefusal struct {
	Process string  `json:"process"`
	Number  uint64  `json:"n"`
	URL     string  `json:"url"`
	Token   string  `json:"token,omitempty"`
	Issued  instant `json:"issued,omitempty"`
	Read    instant `json:"read"`
	First   bool    `json:"first,omitempty"`
}

// MarshalJSON encodes the refusals.
func (rs Refusals) MarshalJSON() ([]byte, error) {
	e := encodedRefusals{Version: format}
	for _, r := range rs {
		e.Refusals = append(e.Refusals, encodedRefusal{r.ID.Process, r.ID.Number, r.URL, hex.EncodeToString(r.Token[:]), at(r.Issued), at(r.Read), r.First})
	}
	return json.Marshal(e)
}

// UnmarshalJSON decodes what MarshalJSON wrote. The error is [ErrNewer] if a newer
// version did.
func (rs *Refusals) UnmarshalJSON(data []byte) error {
	var e encodedRefusals
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("lockout: these are no stored refusals: %w", err)
	}
	if err := checkFormat(e.Version, "these are no stored refusals"); err != nil {
		return err
	}
	*rs = nil
	for _, r := range e.Refusals {
		token, _ := hex.DecodeString(r.Token) // else it is unknown
		*rs = append(*rs, Refusal{ID{r.Process, r.Number}, r.URL, FingerprintOf(token), r.Issued.time(), r.Read.time(), r.First})
	}
	return nil
}
