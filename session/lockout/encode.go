package lockout

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// format is the version of the encoding. A reader leaves newer ones alone.
const format = 1

// checkFormat refuses the encoding of a newer version, and what is none.
func checkFormat(version int, none string) error {
	switch {
	case version > format:
		return fmt.Errorf("lockout: format %d, this program reads %d: %w", version, format, ErrNewer)
	case version < 1:
		return fmt.Errorf("lockout: %s: there is no version", none)
	}
	return nil
}

// MaxSize is the size in bytes that an encoded Host does not exceed.
const MaxSize = 64 << 10

// ErrNewer reports a Host that a newer version of this package has written.
var ErrNewer = errors.New("written by a newer version of this library: update this program, or give it a store of its own")

// encodedHost is the JSON of a Host. Times are Unix milliseconds. The
// credentials, of which there may be 2,500, are packed.
type encodedHost struct {
	Version     int               `json:"v"`
	URLs        []string          `json:"urls,omitempty"`
	Bookings    []encodedBooking  `json:"bookings,omitempty"`
	Credentials []byte            `json:"credentials,omitempty"`
	Newest      instant           `json:"newest,omitempty"` // credentials' times count back from here
	Locks       []encodedLock     `json:"locks,omitempty"`
	Clearings   []encodedClearing `json:"clearings,omitempty"`
	Suspects    []encodedSuspect  `json:"suspects,omitempty"`
	Unclear     int               `json:"unclear,omitempty"`
	UnclearFrom instant           `json:"unclear_from,omitempty"`
	UnclearLast instant           `json:"unclear_last,omitempty"`
	InFront     int               `json:"in_front,omitempty"`
	PageStatus  int               `json:"page_status,omitempty"`
	PageLength  int               `json:"page_length,omitempty"`
	LastSuccess instant           `json:"last_success,omitempty"`
	LastRefused instant           `json:"last_refused,omitempty"`
	LastRelogin instant           `json:"last_relogin,omitempty"`
	Forgiven    instant           `json:"forgiven,omitempty"`
}

type encodedBooking struct {
	Process     string        `json:"process"`
	Number      uint64        `json:"n"`
	URL         int           `json:"url"`
	Account     string        `json:"account,omitempty"`
	Fingerprint string        `json:"credentials"`
	State       state         `json:"state"`
	Booked      instant       `json:"booked"`
	Settled     instant       `json:"settled,omitempty"`
	Timeout     time.Duration `json:"timeout,omitempty"`
	Memory      time.Duration `json:"memory"`
	Try         bool          `json:"try,omitempty"`
}

type encodedLock struct {
	URL     string        `json:"url,omitempty"`
	Account string        `json:"account,omitempty"`
	Since   instant       `json:"since"`
	Until   instant       `json:"until"`
	Window  time.Duration `json:"window"`
}

type encodedClearing struct {
	Kind        clearingKind `json:"kind"`
	URL         int          `json:"url"`
	Account     string       `json:"account,omitempty"`
	Fingerprint string       `json:"credentials,omitempty"`
	At          instant      `json:"at"`
}

type encodedSuspect struct {
	URL    int     `json:"url"`
	Before instant `json:"before"`
}

// MarshalText and UnmarshalText make the states readable in a stored Host.
func (s state) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s *state) UnmarshalText(text []byte) error {
	for k := inFlight; k <= deadToken; k++ {
		if k.String() == string(text) {
			*s = k
			return nil
		}
	}
	return fmt.Errorf("%.20q is no state of a booking", text)
}

// MarshalJSON encodes h in at most [MaxSize] bytes. Where it would be larger, the
// oldest of what can be missed is left out: first proven credentials, and suspects and
// locks where there are very many, then refused logins if there are more than a PBX has
// that counts by address, then refused credentials. It fails if that is not enough.
func (h *Host) MarshalJSON() ([]byte, error) {
	kept := *h
	for {
		data, err := kept.encode()
		if err != nil || len(data) <= MaxSize {
			return data, err
		}
		if !kept.shorten() {
			return nil, fmt.Errorf("lockout: the state of one host needs %d bytes, more than %d", len(data), MaxSize)
		}
	}
}

// A host has no more bookings if its PBX counts by address. More locks or suspects are of
// single accounts or URLs.
const (
	manyBookings = 128
	manyEach     = 64 // of locks, and of suspects
)

// shorten leaves out some of what can be missed, and reports whether there was any. It
// changes no array of h.
func (h *Host) shorten() bool {
	size := func() int { return len(h.credentials) + len(h.suspects) + len(h.locks) + len(h.bookings) }
	before := size()
	h.credentials = withoutOldest(h.credentials, func(c *credential) (instant, bool) { return c.proven, c.isProven() })
	if len(h.suspects) > manyEach {
		h.suspects = withoutOldest(h.suspects, func(s *suspect) (instant, bool) { return s.before, true })
	}
	if len(h.locks) > manyEach {
		h.locks = withoutOldest(h.locks, func(l *lock) (instant, bool) { return l.until, l.account != "" || l.url != "" })
	}
	if size() == before && len(h.bookings) > manyBookings {
		h.bookings = withoutOldest(h.bookings, func(b *Booking) (instant, bool) { return b.settled, b.state == refused })
	}
	if size() == before {
		h.credentials = withoutOldest(h.credentials, func(c *credential) (instant, bool) { return c.newest(), true })
	}
	return size() < before
}

// withoutOldest returns all without the oldest eighth of those that can be missed.
func withoutOldest[T any](all []T, missed func(*T) (at instant, ok bool)) []T {
	var times []instant
	for i := range all {
		if at, ok := missed(&all[i]); ok {
			times = append(times, at)
		}
	}
	if len(times) == 0 {
		return all
	}
	slices.Sort(times)
	oldest := times[len(times)/8]
	return slices.DeleteFunc(slices.Clone(all), func(k T) bool {
		at, ok := missed(&k)
		return ok && at <= oldest
	})
}

func (h *Host) encode() ([]byte, error) {
	e := encodedHost{
		Version: format,
		Unclear: h.row.count, UnclearFrom: h.row.since, UnclearLast: h.row.last,
		InFront: h.row.inFront.logins, PageStatus: h.row.inFront.page.Status, PageLength: h.row.inFront.page.Length,
		LastSuccess: h.lastSuccess, LastRefused: h.lastRefused, LastRelogin: h.lastRelogin, Forgiven: h.forgiven,
	}
	index := map[string]int{}
	urlOf := func(url string) int {
		i, known := index[url]
		if !known {
			i = len(e.URLs)
			index[url] = i
			e.URLs = append(e.URLs, url)
		}
		return i
	}
	for _, b := range h.bookings {
		e.Bookings = append(e.Bookings, encodedBooking{
			Process: b.ID.Process, Number: b.ID.Number, URL: urlOf(b.URL), Account: b.Account, Fingerprint: hex.EncodeToString(b.Fingerprint[:]),
			State: b.state, Booked: b.booked, Settled: b.settled, Timeout: b.timeout, Memory: b.memory, Try: b.try,
		})
	}
	for _, l := range h.locks {
		e.Locks = append(e.Locks, encodedLock{l.url, l.account, l.since, l.until, l.window})
	}
	for _, c := range h.clearings {
		e.Clearings = append(e.Clearings, encodedClearing{c.kind, urlOf(c.url), c.account, hex.EncodeToString(c.print[:]), c.at})
	}
	for _, s := range h.suspects {
		e.Suspects = append(e.Suspects, encodedSuspect{urlOf(s.url), s.before})
	}
	for _, c := range h.credentials {
		e.Newest = max(e.Newest, c.proven, c.refused, c.retried, c.tried)
	}
	for _, c := range h.credentials {
		p := binary.AppendUvarint(e.Credentials, uint64(urlOf(c.url)))
		p = append(p, c.print[:]...)
		times := [...]instant{c.proven, c.refused, c.retried, c.tried}
		present := byte(0)
		for i, t := range times {
			if t != 0 {
				present |= 1 << i
			}
		}
		p = append(p, present)
		for _, t := range times {
			if t != 0 {
				p = binary.AppendUvarint(p, uint64(e.Newest-t))
			}
		}
		e.Credentials = p
	}
	return json.Marshal(e)
}

// UnmarshalJSON decodes what MarshalJSON wrote. The error is [ErrNewer] if a
// newer version did.
func (h *Host) UnmarshalJSON(data []byte) error {
	var version struct {
		Version int `json:"v"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return fmt.Errorf("lockout: this is no stored host: %w", err)
	}
	if err := checkFormat(version.Version, "this is no stored host"); err != nil {
		return err
	}
	var e encodedHost
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("lockout: this is no stored host: %w", err)
	}
	decoded, err := e.decode()
	if err != nil {
		return fmt.Errorf("lockout: this is no stored host: %w", err)
	}
	*h = decoded
	return nil
}

var errCut = errors.New("it was cut short")

func (e *encodedHost) decode() (Host, error) {
	h := Host{
		row: row{
			count: e.Unclear, since: e.UnclearFrom, last: e.UnclearLast,
			inFront: inFront{Page{e.PageStatus, e.PageLength}, max(e.InFront, 0), e.UnclearLast},
		},
		lastSuccess: e.LastSuccess, lastRefused: e.LastRefused, lastRelogin: e.LastRelogin, forgiven: e.Forgiven,
	}
	var bad error
	urlOf := func(i int) string {
		if i < 0 || i >= len(e.URLs) {
			bad = errors.New("it names a URL that is not listed")
			return ""
		}
		return e.URLs[i]
	}
	print := func(text string) (f Fingerprint) {
		if n, err := hex.Decode(f[:], []byte(text[:min(len(text), 2*len(f))])); err != nil || n != len(f) {
			bad = errors.New("a fingerprint is not 16 hexadecimal digits")
		}
		return f
	}
	for _, b := range e.Bookings {
		h.bookings = append(h.bookings, Booking{
			ID: ID{b.Process, b.Number}, URL: urlOf(b.URL), Account: b.Account, Fingerprint: print(b.Fingerprint),
			state: b.State, booked: b.Booked, settled: b.Settled, timeout: b.Timeout, memory: b.Memory, try: b.Try,
		})
		if b.Booked < 0 || b.Settled < 0 || b.Timeout < 0 || b.Timeout > time.Hour || b.Memory < 0 {
			bad = errors.New("a booking has impossible times")
		}
	}
	for _, l := range e.Locks {
		h.locks = append(h.locks, lock{l.URL, l.Account, l.Since, l.Until, l.Window})
		if l.Window < 0 {
			bad = errors.New("a lock has impossible times")
		}
	}
	for _, c := range e.Clearings {
		h.clearings = append(h.clearings, clearing{c.Kind, urlOf(c.URL), c.Account, print(c.Fingerprint), c.At})
		if c.Kind > clearedTry {
			bad = errors.New("a clearing is of an unknown kind")
		}
	}
	for _, s := range e.Suspects {
		h.suspects = append(h.suspects, suspect{urlOf(s.URL), s.Before})
	}
	p := e.Credentials
	next := func() uint64 {
		v, n := binary.Uvarint(p)
		if n <= 0 {
			bad, p = errCut, nil
			return 0
		}
		p = p[n:]
		return v
	}
	for len(p) > 0 && bad == nil {
		c := credential{url: urlOf(int(min(next(), 1<<20)))}
		if len(p) < len(c.print)+1 {
			return Host{}, errCut
		}
		p = p[copy(c.print[:], p):]
		present := p[0]
		p = p[1:]
		for i, t := range [...]*instant{&c.proven, &c.refused, &c.retried, &c.tried} {
			if present&(1<<i) != 0 {
				if *t = e.Newest - instant(min(next(), 1<<62)); *t < 0 {
					bad = errors.New("a credential has impossible times")
				}
			}
		}
		h.setCredential(c)
	}
	return h, bad
}
