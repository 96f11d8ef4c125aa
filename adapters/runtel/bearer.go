package runtel

import (
	"net/http"
	"strings"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
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

// Inspect implements [pbx.Requester]. An answer without the envelope, such as a
// recording, is judged by its HTTP status.
//
// The error repeats the platform's words only if r.Request is the request as it
// was sent, with its token, or a key is used: they may quote the token, and
// nothing else tells which one that was.
func (p *PBX) Inspect(r *http.Response, body []byte, t *pbx.Token) error {
	said, enveloped := parseOutcome(body)
	if enveloped && said.succeeded(r.StatusCode) || !enveloped && r.StatusCode/100 == 2 {
		return nil
	}
	x := exchange{
		req:       wire.Request{Op: pbx.OpRequest, Secrets: p.borne(r.Request)},
		resp:      &wire.Response{Status: r.StatusCode, Header: r.Header, Body: body},
		envelope:  envelope{outcome: said},
		enveloped: enveloped,
	}
	if len(x.req.Secrets) == 0 {
		x.Notifies = nil
		if _, ok := integer(x.Code); !ok {
			x.Code = nil
		}
	}
	return p.refusal(x)
}

// borne returns the secrets that went with r.
func (p *PBX) borne(r *http.Request) []pbx.Secret {
	var secrets []pbx.Secret
	if !p.key.IsZero() {
		secrets = append(secrets, p.key)
	}
	if r != nil {
		if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), scheme); ok && token != "" {
			secrets = append(secrets, pbx.NewSecret(token))
		}
	}
	return secrets
}
