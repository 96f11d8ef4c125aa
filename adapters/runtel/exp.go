package runtel

import (
	"strconv"
	"strings"
	"time"
)

// minLife keeps a senseless exp from causing a login every moment.
const minLife = time.Minute

// moscow is fixed at UTC+3, which it has been since 2014, so that no zone
// database is needed for it.
var moscow = time.FixedZone("Europe/Moscow", 3*60*60)

// lifeLeft is how long a token lives from now on, the platform's own time, if its
// end is exp. The platform writes exp without a zone, and one printed sample
// cannot decide which is meant, so the life is computed for UTC, for tz (the
// login's own zone) and for Europe/Moscow, and the shortest that is not over
// yet is taken: too early costs a login, too late is caught when the PBX
// refuses the token. It is never under a minute, and 0 if exp cannot be read.
//
// In the vendor's sample exp is 10:14:13.998824 and the server's Date 06:14:14:
// four hours for UTC, two for its tz Europe/Prague, one for Europe/Moscow.
func lifeLeft(exp string, now time.Time, tz string) time.Duration {
	if end, ok := absolute(exp); ok {
		return max(end.Sub(now), minLife)
	}
	zones := []*time.Location{time.UTC, moscow}
	if loc, err := time.LoadLocation(tz); err == nil && tz != "" && tz != "Local" {
		zones = append(zones, loc)
	}
	var life time.Duration
	readable := false
	for _, zone := range zones {
		end, err := time.ParseInLocation("2006-01-02T15:04:05", strings.Replace(exp, " ", "T", 1), zone)
		if err != nil {
			continue
		}
		readable = true
		if left := end.Sub(now); left > 0 && (life == 0 || left < life) {
			life = left
		}
	}
	if !readable {
		return 0
	}
	return max(life, minLife)
}

// absolute reads an exp that leaves no doubt: with Z or an offset, as Python
// writes an aware time, or as Unix seconds.
func absolute(exp string) (time.Time, bool) {
	if end, err := time.Parse(time.RFC3339, strings.Replace(exp, " ", "T", 1)); err == nil {
		return end, true
	}
	if seconds, err := strconv.ParseFloat(exp, 64); err == nil && seconds > 0 && seconds < 1e11 {
		return time.UnixMilli(int64(seconds * 1000)), true
	}
	return time.Time{}, false
}
