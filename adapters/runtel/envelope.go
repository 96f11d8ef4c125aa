package runtel

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// request is the envelope of every call, in the order of the vendor's sample.
type request struct {
	Action   string `json:"action"`
	Obj      string `json:"obj"`
	ActionID string `json:"action_id"`
	Params   any    `json:"params"`
}

// envelope is that of every answer.
type envelope struct {
	outcome
	ActionID json.RawMessage `json:"action_id"`
	Body     json.RawMessage `json:"body"`
}

// outcome is what an envelope says of success and failure. Nobody has seen a
// failing one, so the fields are kept raw.
type outcome struct {
	Code     json.RawMessage `json:"code"`
	Notifies json.RawMessage `json:"notifies"`
}

// parseEnvelope reports whether answer is an envelope: an object with a code.
func parseEnvelope(answer []byte) (envelope, bool) {
	var e envelope
	if json.Unmarshal(answer, &e) != nil || isNull(e.Code) {
		return envelope{}, false
	}
	return e, true
}

// parseOutcome is parseEnvelope without what may be large.
func parseOutcome(answer []byte) (outcome, bool) {
	var o outcome
	if json.Unmarshal(answer, &o) != nil || isNull(o.Code) {
		return outcome{}, false
	}
	return o, true
}

// succeeded reports whether both layers say success.
func (o outcome) succeeded(http int) bool { return o.status(http)/100 == 2 }

// status is HTTP's or the code, whichever is worse; 0 where the code says neither
// success nor failure in HTTP's terms, which proves nothing.
func (o outcome) status(http int) int {
	code, _ := integer(o.Code)
	switch {
	case code/100 == 2:
		return http
	case code < 400 || code > 599:
		if http/100 == 2 {
			return 0
		}
		return http
	case code/100 == 5 && http/100 == 4: // the one that is not to be repeated
		return http
	}
	return int(code)
}

// exchange is a request and its answer.
type exchange struct {
	req  wire.Request
	resp *wire.Response
	envelope
	enveloped bool      // the answer is an envelope
	login     loginBody // what the body holds of one
}

// actionIDs counts the requests of this process from a random number on. They
// are digits, as in the vendor's sample, and few: they fit whatever type the
// platform reads them into.
var actionIDs atomic.Uint32

func init() { actionIDs.Store(rand.Uint32N(1e9)) }

// call sends an action on the obj User and proves its success: HTTP status,
// envelope, code, and the echo of the request's id. The answer comes along with
// no error.
func (p *PBX) call(ctx context.Context, req wire.Request, action string, params any) (exchange, error) {
	id := strconv.FormatUint(uint64(actionIDs.Add(1)), 10)
	req.Path = "/api/"
	req.Body, _ = json.Marshal(request{Action: action, Obj: "User", ActionID: id, Params: params}) // strings always marshal
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.wire.Do(ctx, req)
	if err != nil {
		return exchange{}, p.unanswered(err)
	}
	x := exchange{req: req, resp: resp}
	x.envelope, x.enveloped = parseEnvelope(resp.Body)
	if x.login = parseLogin(x.Body); x.login.token != "" { // a refusal may bring one, too
		x.req.Secrets = append(x.req.Secrets, pbx.NewSecret(x.login.token))
	}
	echo := text(x.ActionID)
	if x.enveloped && echo != "" && echo != id {
		return exchange{}, p.wire.Fail(x.req, resp, pbx.ErrProtocol, "", "the answer is to another request: its action_id is "+wire.Clean(echo, x.req.Secrets...))
	}
	if !x.enveloped || !x.succeeded(resp.Status) {
		return exchange{}, p.refusal(x)
	}
	if echo == "" {
		return exchange{}, p.wire.Fail(x.req, resp, pbx.ErrProtocol, "", "the answer has no action_id, so it may be to another request")
	}
	return x, nil
}

// maxNotices bounds what is read of notifies.
const maxNotices = 20

// notices collects the texts in notifies, whose shape is not documented: strings,
// objects, lists of them, nested. They are cleaned.
func (x exchange) notices() []string {
	var v any
	if json.Unmarshal(x.Notifies, &v) != nil {
		return nil
	}
	texts := collect(nil, v)
	for i, text := range texts {
		texts[i] = wire.Clean(text, x.req.Secrets...)
	}
	return texts
}

func collect(texts []string, v any) []string {
	if len(texts) == maxNotices {
		return texts
	}
	switch v := v.(type) {
	case string:
		if v != "" {
			texts = append(texts, v)
		}
	case []any:
		for _, item := range v {
			texts = collect(texts, item)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			texts = collect(texts, v[name])
		}
	}
	return texts
}

// text reads a JSON string, or a number as it is written; "" for anything else.
func text(raw json.RawMessage) string {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0:
		return ""
	case raw[0] == '"':
		var s string
		json.Unmarshal(raw, &s) // it is a part of what was read already
		return s
	case raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9':
		return string(raw)
	}
	return ""
}

// integer reads a JSON number, or one in a string.
func integer(raw json.RawMessage) (int64, bool) {
	s := text(raw)
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f), true
	}
	return 0, false
}

func isNull(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || string(raw) == "null"
}
