package runtel

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// request is the envelope of every request, in the order of the vendor's sample.
type request struct {
	Action   string `json:"action"`
	Obj      string `json:"obj"`
	ActionID string `json:"action_id"`
	Params   any    `json:"params"`
}

// envelope is that of every response. Nobody has seen a failing one, so the
// shape of notifies is not known.
type envelope struct {
	Code     json.RawMessage `json:"code"`
	Notifies json.RawMessage `json:"notifies"`
	ActionID wire.Text       `json:"action_id"`
	Body     json.RawMessage `json:"body"`
}

// parseEnvelope reports whether a response is an envelope: an object with a code. A
// gateway may respond with an object that has nothing but a word as its code.
func parseEnvelope(response []byte) (envelope, bool) {
	var e envelope
	if !wire.ReadJSON(response, &e) || isNull(e.Code) || integer(e.Code) == 0 && e.Notifies == nil && e.Body == nil && e.ActionID == "" {
		return envelope{}, false
	}
	return e, true
}

// succeeded reports whether both layers say success.
func (e envelope) succeeded(http int) bool { return e.status(http)/100 == 2 }

// status is HTTP's or the code, whichever is worse. It is 0 if the code says
// neither success nor failure in HTTP's terms, which proves nothing.
func (e envelope) status(http int) int {
	code := int(integer(e.Code))
	switch {
	case code/100 == 2:
		return http
	case code < 400 || code > 599:
		if http/100 == 2 {
			return 0
		}
		return http
	}
	return code
}

// exchange is a request and its response.
type exchange struct {
	*wire.Exchange
	envelope
	enveloped bool      // the response is an envelope
	login     loginBody // what its body holds of a login
	onlyLogin bool      // a login got HTTP 403, and not every request does
}

func newExchange(x *wire.Exchange) exchange {
	e := exchange{Exchange: x}
	e.envelope, e.enveloped = parseEnvelope(x.Response.Body)
	if e.login = parseLogin(e.Body); e.login.token != "" { // a refusal may bring one, too
		x.Hide(pbx.NewSecret(e.login.token))
	}
	return e
}

// actionIDs counts the requests of this process from a random number on. They
// are digits, as in the vendor's sample, and few: they fit whatever type the
// platform reads them into.
var actionIDs atomic.Uint32

func init() { actionIDs.Store(rand.Uint32N(1e9)) }

// call sends an action and proves its success: HTTP status, envelope, code, and the
// echo of the request's id. The exchange comes along with no error.
func (p *PBX) call(ctx context.Context, req wire.Request, obj, action string, params any) (exchange, error) {
	id := strconv.FormatUint(uint64(actionIDs.Add(1)), 10)
	req.Path = apiPath
	req.JSON = request{Action: action, Obj: obj, ActionID: id, Params: params}
	answered, err := p.wire.Do(ctx, req)
	if err != nil {
		return exchange{}, p.unanswered(err)
	}
	x := newExchange(answered)
	echo := string(x.ActionID)
	if x.enveloped && echo != "" && echo != id {
		return exchange{}, x.Fail(pbx.ErrProtocol, "", "the response is to another request: its action_id is not the one that was sent")
	}
	x.onlyLogin = req.Op == pbx.OpLogin && !x.enveloped && x.Response.Status == http.StatusForbidden && !p.refusesAll(ctx)
	if !x.enveloped || !x.succeeded(x.Response.Status) {
		return exchange{}, p.refusal(x)
	}
	if echo == "" {
		return exchange{}, x.Fail(pbx.ErrProtocol, "", "the response has no action_id, so it may be to another request")
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
	return x.Clean(collect(nil, v)...)
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
	var t wire.Text
	_ = t.UnmarshalJSON(raw)
	return string(t)
}

// integer reads a JSON number, or one in a string; 0 for anything else.
func integer(raw json.RawMessage) int64 { return wire.Text(text(raw)).Number().Value }

func isNull(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || string(raw) == "null"
}
