package runtel

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// minLifetime keeps a senseless exp from causing a login every moment.
const minLifetime = time.Minute

// zoneOfLogin is the ExpZone that means the login's own tz.
const zoneOfLogin = "tz"

// moscow is fixed at UTC+3, which it has been since 2014, so that no zone
// database is needed for it.
var moscow = time.FixedZone("Europe/Moscow", 3*60*60)

// clock knows how exp is to be read: see [Config].ExpZone and TokenTTL.
type clock struct {
	ttl     time.Duration  // 0: exp says
	zone    *time.Location // nil: guess, or
	ofLogin bool           // the login's tz
}

// assumption is what was made of one exp. Its JSON is documented at the package.
type assumption struct {
	Zone       string            `json:"zone,omitempty"`
	Life       string            `json:"life,omitempty"`
	Unsure     bool              `json:"unsure,omitempty"`
	Candidates map[string]string `json:"candidates,omitempty"`

	lifetime time.Duration // from now on; 0: unknown
}

// read returns how long a token is valid from now on if it expires at exp and tz is
// the login's zone. now is the platform's own time if told is true, and else this
// machine's.
//
// In the vendor's sample exp is 10:14:13.998824 and the server's Date 06:14:14:
// four hours for UTC, two for its tz Europe/Prague, one for Europe/Moscow.
func (c clock) read(exp, tz string, now time.Time, told bool) assumption {
	if c.ttl > 0 {
		return assumption{Life: c.ttl.String(), lifetime: c.ttl}
	}
	if end, zone, ok := absolute(exp); ok {
		return settled(zone, end.Sub(now), !told)
	}
	wall, ok := wallClock(exp)
	if !ok {
		return assumption{Unsure: true}
	}
	if c.zone != nil {
		return settled(c.zone.String(), earliest(wall, c.zone).Sub(now), !told)
	}
	own, known := loadZone(tz)
	if c.ofLogin && known {
		return settled(own.String(), earliest(wall, own).Sub(now), !told)
	}
	zones := []*time.Location{time.UTC, moscow}
	if known {
		zones = append(zones, own)
	}
	return guess(wall, now, zones)
}

// settled is the assumption for an exp that has one meaning.
func settled(zone string, left time.Duration, unsure bool) assumption {
	life := max(left, minLifetime)
	return assumption{Zone: zone, Life: whole(life), Unsure: unsure || life != left, lifetime: life}
}

// guess takes the zone with the shortest lifetime. One of less than a minute is as
// senseless as one that is over: an exp that is three hours ahead in UTC is a
// second ahead in Moscow, or a second behind.
func guess(wall, now time.Time, zones []*time.Location) assumption {
	a := assumption{Unsure: true, Candidates: map[string]string{}}
	for _, zone := range zones {
		left := earliest(wall, zone).Sub(now)
		a.Candidates[zone.String()] = whole(left)
		if left >= minLifetime && (a.lifetime == 0 || left < a.lifetime) {
			a.lifetime, a.Zone = left, zone.String()
		}
	}
	a.lifetime = max(a.lifetime, minLifetime)
	a.Life = whole(a.lifetime)
	return a
}

func whole(d time.Duration) string { return d.Round(time.Second).String() }

// wallClock reads an exp without a zone, as if it were in UTC. It is Python's
// isoformat, which leaves the fraction out when that is zero; str has a blank
// instead of the T.
func wallClock(exp string) (time.Time, bool) {
	wall, err := time.Parse("2006-01-02T15:04:05", strings.Replace(exp, " ", "T", 1))
	return wall, err == nil
}

// absolute reads an exp that leaves no doubt: with Z or an offset, as Python
// writes an aware time, or in Unix seconds.
func absolute(exp string) (end time.Time, zone string, ok bool) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700"} {
		if end, err := time.Parse(layout, strings.Replace(exp, " ", "T", 1)); err == nil {
			return end, end.Format("Z07:00"), true
		}
	}
	var seconds float64
	if json.Unmarshal([]byte(exp), &seconds) == nil && seconds > 0 && seconds < 1e11 {
		return time.UnixMilli(int64(seconds * 1000)), "UTC", true
	}
	return time.Time{}, "", false
}

// earliest is the first moment at which the clocks of a zone show wall. They
// show an hour twice when they are set back. The hour that they skip when they
// are set forward is read by the offset that holds after it.
func earliest(wall time.Time, zone *time.Location) time.Time {
	// No zone changes its clocks twice in two days, or lies a day off UTC.
	_, before := wall.Add(-24 * time.Hour).In(zone).Zone()
	_, after := wall.Add(24 * time.Hour).In(zone).Zone()
	first := wall.Add(-time.Duration(max(before, after)) * time.Second)
	last := wall.Add(-time.Duration(min(before, after)) * time.Second)
	if shows(last, zone, wall) && !shows(first, zone, wall) {
		return last
	}
	return first
}

func shows(at time.Time, zone *time.Location, wall time.Time) bool {
	_, offset := at.In(zone).Zone()
	return at.Add(time.Duration(offset) * time.Second).Equal(wall)
}

// loadZone finds an IANA zone. "Local" is not one: it is this machine's own.
func loadZone(name string) (*time.Location, bool) {
	if name == "" || name == "Local" {
		return nil, false
	}
	if zone, err := time.LoadLocation(name); err == nil {
		return zone, true
	}
	return moscow, name == moscow.String()
}

// serverTime is the platform's own clock by its Date header, and whether there
// is one; else it is local.
func serverTime(h http.Header, local time.Time) (now time.Time, told bool) {
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		return at, true
	}
	return local, false
}
