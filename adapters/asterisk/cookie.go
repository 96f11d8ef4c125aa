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

// usualLife is httptimeout unless manager.conf says otherwise.
const usualLife = time.Minute

// cookie is the session's id as a request carries it. Asterisk takes it quoted,
// as it gives it, or bare.
func cookie(id pbx.Secret) string { return cookieName + "=" + id.Reveal() }

// setCookie returns the session's id that an answer sets, and how long that
// session lives when it is left alone, which is the Max-Age.
func setCookie(h http.Header) (id pbx.Secret, life time.Duration) {
	for _, line := range h["Set-Cookie"] {
		c, err := http.ParseSetCookie(line)
		if err != nil || !strings.EqualFold(c.Name, cookieName) || strings.Trim(c.Value, "0123456789abcdefABCDEF") != "" {
			continue
		}
		if c.MaxAge > 0 {
			life = time.Duration(min(c.MaxAge, math.MaxInt32)) * time.Second
		} else {
			life = usualLife
		}
		return pbx.NewSecret(c.Value), life
	}
	return pbx.Secret{}, usualLife
}

// Authorize implements [pbx.Requester]: the token goes into the Cookie header,
// in place of any other session's. There is one such header, for of two Asterisk
// reads the last only; other cookies stay in it.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	var cookies []string
	for _, line := range r.Header["Cookie"] {
		for c := range strings.SplitSeq(line, ";") {
			c = strings.Trim(c, " \t")
			if name, _, _ := strings.Cut(c, "="); c != "" && !strings.EqualFold(strings.TrimRight(name, " \t"), cookieName) {
				cookies = append(cookies, c)
			}
		}
	}
	r.Header.Set("Cookie", strings.Join(append(cookies, cookie(t.Value)), "; "))
	return nil
}

// Inspect implements [pbx.Requester]. An answer that is no block, such as a file
// of Asterisk's HTTP server, says nothing.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	req := wire.Request{Op: pbx.OpRequest}
	x := read(req, &wire.Response{Status: r.StatusCode, Header: r.Header, Body: body}, t.Value)
	if wire.StatusKind(req.Op, r.StatusCode) != nil {
		return p.page(x)
	}
	if x.block["Response"] == "Error" {
		return p.refusal(x)
	}
	return nil
}
