package runtel

import (
	"net/http"

	"github.com/pbxauth/pbx"
)

const scheme = "Bearer "

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
	x := newExchange(p.key.Inspect(p.wire, r, body, t))
	if x.enveloped && x.succeeded(r.StatusCode) || !x.enveloped && x.OK() {
		return nil
	}
	return p.refusal(x)
}
