package session

import (
	"math"
	"time"
)

const (
	// The mean renewal comes after 0.65 of a lifetime, spread by a tenth of it:
	// three heartbeats an hour at 30 minutes, and time left to repeat them.
	renewalShare  = 0.65
	renewalSpread = 0.1
	minRenewal    = time.Second // however short the lifetime is

	firstBackoff = time.Second
	slowBackoff  = time.Minute // for failures that take a person to fix
	maxBackoff   = 5 * time.Minute

	longestPause = 24 * time.Hour // whatever the PBX asks for

	// A refresh that got no usable response for so long after the expiry of its
	// token is given up for a login. Until then the PBX may just be down.
	refreshPatience = time.Hour

	credentialLook = time.Minute     // between two looks for new credentials, where only these help
	longLook       = 5 * time.Minute // where the login waits for something else

	retryPause = 10 * time.Second // between two retries by a person

	// A token that the PBX refuses before it is this old is early, unless it is older
	// than its own lifetime: then the PBX has only not kept it alive. The first few in
	// a row are replaced at once, because PBXs restart. Then the pace of logins falls.
	earlyAge  = 15 * time.Minute
	freeEarly = 3
	// So many early ones in a row are reported: another program may log in with
	// the same account.
	suspiciousEarly = 2
	// After freeEarly, the refusal of a token that the PBX has accepted may concern the
	// request. A ping decides. Without one, the token is kept for a while: for this time
	// at first, and twice as long each time.
	trustAge  = time.Minute
	mostTrust = 10 * time.Minute
	// So many early tokens in a row that a refresh brought lead to a login.
	mostBadRefreshes = 2

	// After a suspension all renewals are spread over this time, so that they do
	// not come together.
	jumpSpread = time.Minute
)

// unlimited stands for a lifetime without a known end. It is far from overflow.
const unlimited = math.MaxInt64 / 4

// backoff doubles from a second to five minutes. chance, from 0 to 1, spreads
// it, so that sessions that failed together do not come back together.
func backoff(fails int, chance float64) time.Duration {
	wait := maxBackoff
	if fails < 9 {
		wait = firstBackoff << fails
	}
	return spread(wait, chance)
}

// trusted is for how long a token that the PBX has accepted is not given up for a
// refusal alone, after so many early ones.
func trusted(early int) time.Duration {
	if early < freeEarly {
		return 0
	}
	return min(trustAge<<min(early-freeEarly, 10), mostTrust)
}

// spread varies a wait by a tenth either way.
func spread(wait time.Duration, chance float64) time.Duration {
	return time.Duration(float64(wait) * (0.9 + 0.2*chance))
}

// Shares of a lifetime are written as durations too: a second is the whole.
const whole = time.Second
