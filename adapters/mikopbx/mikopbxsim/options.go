package mikopbxsim

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"sync"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Options are how one MikoPBX differs from another.
type Options struct {
	// Rotate brings a new refresh token with every refresh. The source has that,
	// switched off. The vendor's own texts speak of it.
	Rotate bool

	// Deletes has a login and a refresh delete the cookie before they set it, as PHP
	// programs do that replace one.
	Deletes bool

	// Gate has nginx refuse a request of the application's without a valid token:
	// 403 with a plain text, as for some paths. Without Gate the API does, with 401.
	Gate bool

	// Denied is a role without the right to anything but login and logout, and a key
	// without any right.
	Denied bool

	// Language is that of the PBX's texts: en if empty, or ru.
	Language string
}

const (
	lifetime        = 900 * time.Second // of a token, as its exp says
	leeway          = 600 * time.Second // for which a token is accepted after its exp
	refreshLifetime = 30 * 24 * time.Hour
	window          = 300 * time.Second // of counters, aligned to the clock
	maxRefreshes    = 99                // of one address in a window: RefreshAction.php refuses the 100th
)

// New returns a MikoPBX. nil options are zero ones.
func New(o *Options, common *pbxsim.Options) *pbxsim.PBX {
	m := &mikopbx{cookies: map[string]*cookie{}, refreshes: map[string]int{}}
	if o != nil {
		m.Options = *o
	}
	m.Language = cmp.Or(m.Language, "en")
	var all pbxsim.Options
	if common != nil {
		all = *common
	}
	all.RefreshSparesOld = true // no record of tokens is kept
	return pbxsim.New(m, &all)
}

// mikopbx is the dialect. It holds what pbxsim does not know: refresh tokens that
// stay as they are when they are used.
type mikopbx struct {
	Options

	mu        sync.Mutex // guards the fields below
	cookies   map[string]*cookie
	began     time.Time      // of the window of refreshes
	refreshes map[string]int // in it, by address
}

// cookie is a refresh token as clients know it.
type cookie struct {
	current string // pbxsim's refresh token
	expires time.Time
}

func (*mikopbx) Name() string { return "mikopbx" }

// Defaults: a token says that it is valid for 900 s, and is accepted for 600 s more
// (JWTHelper.php). Ten wrong logins of an address in a window of 300 s, which is
// aligned to the clock, lock it until the window's end, and a good login resets
// nothing (LoginAction.php).
func (*mikopbx) Defaults() pbxsim.Defaults {
	return pbxsim.Defaults{Lifetime: lifetime + leeway, RefreshLifetime: refreshLifetime, Lockout: pbxsim.Lockout{
		After: 10, For: window, Window: window,
		Memory: pbxsim.ClockWindow, UntilWindowEnds: true,
		Per: pbxsim.Address, Reset: pbxsim.Nothing,
	}}
}

// NewToken returns a JWT as MikoPBX signs them, with a claim of its own that makes
// it unique.
func (*mikopbx) NewToken() string {
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{
		"userId": "admin", "role": "admins", "language": "en",
		"iat": now, "exp": now + int64(lifetime/time.Second), "nbf": now, "jti": rand.Text(),
	})
	if err != nil {
		panic(err) // nothing here is unknown to JSON
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"typ":"JWT","alg":"HS256"}`)) + "." + encode(claims)
	mac := hmac.New(sha256.New, []byte("the PBX's secret"))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

// keep makes a cookie of a refresh token. It has signs that a client must hand
// back as they are.
func (m *mikopbx) keep(refresh string, expires time.Time) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	value := refresh + "%3D="
	m.cookies[value] = &cookie{refresh, expires}
	return value
}

// find returns pbxsim's refresh token for a cookie, "" if the cookie is unknown or
// has expired.
func (m *mikopbx) find(value string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.cookies[value]
	if c == nil || !time.Now().Before(c.expires) {
		return ""
	}
	return c.current
}

// refreshed notes that a cookie was used. It returns the cookie to set, "" if none.
func (m *mikopbx) refreshed(value, next string, expires time.Time) string {
	m.mu.Lock()
	c := m.cookies[value]
	if !m.Rotate && c != nil {
		c.current = next
		m.mu.Unlock()
		return ""
	}
	delete(m.cookies, value)
	m.mu.Unlock()
	return m.keep(next, expires)
}

func (m *mikopbx) drop(value string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.cookies, value)
}

// tooMany counts a refresh of an address, and reports whether it is one too many.
func (m *mikopbx) tooMany(address string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now().Truncate(window); !now.Equal(m.began) {
		m.began = now
		clear(m.refreshes)
	}
	m.refreshes[address]++
	return m.refreshes[address] > maxRefreshes
}
