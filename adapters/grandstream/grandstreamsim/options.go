package grandstreamsim

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Options are how one UCM differs from another: what the vendor's page does not
// say. The zero value is the first of two readings.
type Options struct {
	// Fixed ends a cookie at the end of its lifetime, whatever is done with it.
	// Without Fixed, every request starts its lifetime anew, as in the web interface.
	Fixed bool

	// KeepAlive is the action that counts as a keep-alive: getSystemStatus if
	// empty. Nothing else is special about it.
	KeepAlive string

	// ChallengeLifetime is how long a challenge can be used; 0: it never expires.
	ChallengeLifetime time.Duration

	// NewestOnly makes a user's challenge void when the next one is asked for.
	NewestOnly bool

	// WrongLogin is the status of a wrong login, -37 if 0. It may be -71 where
	// the user does not exist, and a PBX may prefer not to say.
	WrongLogin int

	// DeadCookie is the status of a cookie that is unknown or has timed out, -6
	// if 0.
	DeadCookie int

	// BanAtChallenge reports the ban to a banned client when it asks for a challenge,
	// and not when it logs in.
	BanAtChallenge bool

	// WantsURL refuses a login without a url as one with invalid parameters. A
	// cloud-hosted UCM has done so, or seemed to.
	WantsURL bool

	// NoLogout has no action of that name.
	NoLogout bool

	// StatusInString writes the status as a string. Every sample has a number.
	StatusInString bool
}

// New returns a UCM. nil options are zero ones.
func New(o *Options, common *pbxsim.Options) *pbxsim.PBX {
	u := &ucm{challenges: map[string][]challenge{}}
	if o != nil {
		u.Options = *o
	}
	if u.KeepAlive == "" {
		u.KeepAlive = "getSystemStatus"
	}
	if u.WrongLogin == 0 {
		u.WrongLogin = wrongAccount
	}
	if u.DeadCookie == 0 {
		u.DeadCookie = cookieError
	}
	return pbxsim.New(u, common)
}

// The statuses that the simulator sends.
const (
	success            = 0
	invalidParameters  = -1
	unsupported        = -19
	needAuthentication = -5
	cookieError        = -6
	wrongAccount       = -37
	loginRestriction   = -68
)

// ucm is the dialect. It holds the challenges, which pbxsim does not know.
type ucm struct {
	Options

	mu         sync.Mutex             // guards challenges
	challenges map[string][]challenge // that are open, by user
}

type challenge struct {
	text  string
	since time.Time
}

func (*ucm) Name() string { return "grandstream" }

// Defaults are the web interface's: an idle lifetime of 10 minutes, and a ban of the
// address for 5 minutes after 5 failures. The manual names no time after which a
// failure is forgotten, and does not say that a good login clears the others'.
func (u *ucm) Defaults() pbxsim.Defaults {
	return pbxsim.Defaults{Lifetime: 10 * time.Minute, Sliding: !u.Fixed, Lockout: pbxsim.Lockout{
		After: 5, For: 5 * time.Minute,
		Memory: pbxsim.Forever, Per: pbxsim.Address, Reset: pbxsim.Account,
	}}
}

// NewToken returns a cookie, sid and two numbers, as in public samples.
func (*ucm) NewToken() string {
	return fmt.Sprintf("sid%d-%d", 100_000_000+rand.IntN(900_000_000), time.Now().Unix())
}

// challenge makes one for a user: 16 digits, as in the vendor's sample.
func (u *ucm) challenge(user string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := challenge{fmt.Sprintf("%016d", rand.Int64N(10_000_000_000)), time.Now()}
	if u.NewestOnly {
		u.challenges[user] = nil
	}
	u.challenges[user] = append(u.challenges[user], c)
	return c.text
}

// answered takes the challenge that proof is the response to, if there is one. Each
// can be used once.
func (u *ucm) answered(user string, proof func(challenge string) bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, c := range u.challenges[user] {
		if proof(c.text) && (u.ChallengeLifetime == 0 || time.Since(c.since) < u.ChallengeLifetime) {
			u.challenges[user] = append(u.challenges[user][:i:i], u.challenges[user][i+1:]...)
			return true
		}
	}
	return false
}
