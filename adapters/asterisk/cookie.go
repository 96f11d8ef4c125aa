package asterisk

import (
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

const cookieName = "mansession_id"

// sweepsLate is how long after its end a session may still count: Asterisk removes
// dead sessions up to six seconds late.
const sweepsLate = 7 * time.Second

// usualLifetime is httptimeout unless manager.conf says otherwise.
const usualLifetime = time.Minute

// setCookie returns the session's id that a response sets, and how long that
// session is valid without a request, which is the Max-Age.
func setCookie(h http.Header) (id pbx.Secret, lifetime time.Duration) {
	c, ok := wire.Cookie(h, cookieName)
	if !ok || strings.Trim(c.Value, "0123456789abcdefABCDEF") != "" {
		return pbx.Secret{}, usualLifetime
	}
	if c.MaxAge <= 0 {
		return pbx.NewSecret(c.Value), usualLifetime
	}
	return pbx.NewSecret(c.Value), time.Duration(min(c.MaxAge, math.MaxInt32)) * time.Second
}

// Authorize implements [pbx.Requester]: the token goes into the Cookie header,
// instead of any other session's. Other cookies stay in it.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	wire.SetCookie(r.Header, cookieName, t.Value.Reveal())
	return nil
}

// Inspect implements [pbx.Requester]. Whether the session has ended is judged by
// the cookie, which /rawman, /mxml and /manager set in every response. What else
// the web server has, such as ARI or /arawman with its HTTP authentication, says
// nothing about the session.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	if r.Request != nil && r.Request.URL != nil && !manager(r.Request.URL.Path) {
		return nil
	}
	x := p.exchange(p.wire.Inspect(r, body, t), t.Value)
	if r.StatusCode == http.StatusOK && x.block == nil && !x.replaced() {
		return nil
	}
	return p.judge(x)
}

// manager reports whether a path is one of the manager's.
func manager(path string) bool {
	path = strings.TrimSuffix(path, "/")
	for _, own := range apiPaths {
		if strings.HasSuffix(path, own) {
			return true
		}
	}
	return false
}
