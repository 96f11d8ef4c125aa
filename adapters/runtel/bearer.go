package runtel

import (
	"net/http"
	"strings"

	"github.com/pbxauth/pbx"
)

const scheme = "Bearer "

// bearable reports whether a header can carry s as a token.
func bearable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func bear(h http.Header, t *pbx.Token) { h.Set("Authorization", scheme+t.Value.Reveal()) }

// Authorize implements [pbx.Requester]: the token goes into the Authorization
// header, the only place that the vendor has for it.
func (p *PBX) Authorize(r *http.Request, t *pbx.Token) error {
	bear(r.Header, t)
	return nil
}

// Inspect implements [pbx.Requester]. A response without the envelope, such as a
// recording, is judged by its HTTP status.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	x := newExchange(p.wire.Inspect(r, body, t))
	x.Hide(p.key)
	if x.enveloped && x.succeeded(r.StatusCode) || !x.enveloped && x.OK() {
		return nil
	}
	return p.refusal(x)
}
