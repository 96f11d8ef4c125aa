package uis

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// meaning is what a mnemonic or a group of codes means to a login, and to anything
// else.
type meaning struct {
	login, other error
	text         string
}

// mnemonics are those that the document lists for all methods. An expired token of
// a login is access_token_invalid. The other two are of keys.
var mnemonics = map[string]meaning{
	"auth_error":                     {pbx.ErrInvalidCredentials, nil, "wrong login or password"},
	"access_token_invalid":           {pbx.ErrProtocol, pbx.ErrTokenRejected, "the token is unknown or has expired"},
	"access_token_expired":           {pbx.ErrProtocol, pbx.ErrTokenRejected, "the key has expired"},
	"access_token_blocked":           {pbx.ErrProtocol, pbx.ErrTokenRejected, "the key is blocked"},
	"ip_not_whitelisted":             {pbx.ErrForbidden, pbx.ErrForbidden, "this machine's IP address is not in the list of the account's Call API page: add it there"},
	"forbidden":                      {pbx.ErrForbidden, pbx.ErrForbidden, "the user has no right to the Call API or to this method: give it in the account's user management"},
	"account_inactive":               {pbx.ErrForbidden, pbx.ErrForbidden, "the account is blocked: ask the platform's support"},
	"component_disabled":             {pbx.ErrForbidden, pbx.ErrForbidden, "the component of this method is not part of the tariff"},
	"limit_exceeded":                 {pbx.ErrUnavailable, pbx.ErrUnavailable, "the points of the minute or the day are used up"},
	"internal_error":                 {pbx.ErrUnavailable, pbx.ErrUnavailable, "the platform failed"},
	"parse_error":                    {pbx.ErrProtocol, pbx.ErrProtocol, "the request is not JSON"},
	"invalid_request":                {pbx.ErrProtocol, pbx.ErrProtocol, "the request is not JSON-RPC 2.0"},
	"method_not_found":               {pbx.ErrProtocol, pbx.ErrProtocol, "the API has no such method"},
	"required_parameter_missed":      {pbx.ErrProtocol, pbx.ErrProtocol, "a parameter is missing"},
	"invalid_parameter_value":        {pbx.ErrProtocol, pbx.ErrProtocol, "a parameter has a wrong value"},
	"data_type_error":                {pbx.ErrProtocol, pbx.ErrProtocol, "a parameter has a wrong type"},
	"unexpected_parameters":          {pbx.ErrProtocol, pbx.ErrProtocol, "the method has no such parameter"},
	"batch_opreations_not_supported": {pbx.ErrProtocol, pbx.ErrProtocol, "batches are not supported"}, // so spelt
	"notifications_not_supported":    {pbx.ErrProtocol, pbx.ErrProtocol, "the request has no id"},
}

// notJudged are the mnemonics of a login whose password was right or not looked at.
// invalid_parameter_value is none: the password is a parameter.
var notJudged = []string{
	"ip_not_whitelisted", "forbidden", "account_inactive", "component_disabled", "limit_exceeded",
	"parse_error", "invalid_request", "method_not_found", "required_parameter_missed", "data_type_error", "unexpected_parameters",
	"batch_opreations_not_supported", "notifications_not_supported",
}

// limits is the code of everything about points.
const limits = -32029

// groups are the document's groups of codes, for mnemonics that are not listed. That
// of parameters, -32602, has many, which are the application's.
var groups = map[int]meaning{
	-32700: {pbx.ErrProtocol, pbx.ErrProtocol, "the request is not JSON"},
	-32600: {pbx.ErrProtocol, pbx.ErrProtocol, "the request is not JSON-RPC 2.0"},
	-32601: {pbx.ErrProtocol, pbx.ErrProtocol, "the API has no such method"},
	-32603: {pbx.ErrUnavailable, pbx.ErrUnavailable, "the platform failed"},
	-32001: {pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, "authentication failed"},
	-32003: {pbx.ErrForbidden, pbx.ErrForbidden, "the address or the user has no right"},
	-32008: {pbx.ErrForbidden, pbx.ErrForbidden, "a component is missing"},
	-32009: {pbx.ErrForbidden, pbx.ErrForbidden, "something is wrong with the account: ask the platform's support"},
	limits: {pbx.ErrUnavailable, pbx.ErrUnavailable, "a limit is reached"},
	-32099: {pbx.ErrProtocol, pbx.ErrProtocol, "the API does not support this part of JSON-RPC"},
}

// response is what the driver needs of one. What is of another type stays empty.
type response struct {
	succeeded, failed bool // there is a result, or an error

	data struct {
		AccessToken string    `json:"access_token"`
		ExpireAt    wire.Text `json:"expire_at"` // a number in the sample
		Success     truth     `json:"success"`   // true in one sample, "true" in others
	}
	metadata json.RawMessage // of either

	code     wire.Number
	mnemonic wire.Text
	field    wire.Text
}

// truth is a JSON string or a literal, as it is written.
type truth string

// UnmarshalJSON implements [json.Unmarshaler]. It accepts everything.
func (t *truth) UnmarshalJSON(data []byte) error {
	*t = truth(bytes.Trim(data, `" `))
	return nil
}

func read(body []byte) response {
	var envelope struct {
		Result   json.RawMessage `json:"result"`
		Error    json.RawMessage `json:"error"`
		Metadata json.RawMessage `json:"metadata"`
	}
	var r response
	if !wire.ReadJSON(body, &envelope) {
		return r
	}
	r.failed = !isNull(envelope.Error)
	r.succeeded = !r.failed && !isNull(envelope.Result)
	if r.succeeded {
		var result struct {
			Data     json.RawMessage `json:"data"`
			Metadata json.RawMessage `json:"metadata"`
		}
		wire.ReadJSON(envelope.Result, &result)
		wire.ReadJSON(result.Data, &r.data)
		r.metadata = result.Metadata
		return r
	}
	var problem struct {
		Code     wire.Number     `json:"code"`
		Data     json.RawMessage `json:"data"`
		Metadata json.RawMessage `json:"metadata"`
	}
	var details struct {
		Mnemonic wire.Text       `json:"mnemonic"`
		Field    wire.Text       `json:"field"`
		Metadata json.RawMessage `json:"metadata"`
	}
	wire.ReadJSON(envelope.Error, &problem)
	wire.ReadJSON(problem.Data, &details)
	r.code, r.mnemonic, r.field = problem.Code, details.Mnemonic, details.Field
	for _, place := range []json.RawMessage{details.Metadata, problem.Metadata, envelope.Metadata} {
		if !isNull(place) {
			r.metadata = place
			break
		}
	}
	return r
}

func isNull(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || string(raw) == "null"
}

// do sends a method and proves its success. The response and the exchange come
// along with no error.
func (p *PBX) do(ctx context.Context, req wire.Request, method string, params any) (response, *wire.Exchange, error) {
	req.Path = path
	req.Header = http.Header{"Content-Type": {contentType}}
	req.Body, _ = json.Marshal(struct { // strings always marshal
		Version string `json:"jsonrpc"`
		ID      string `json:"id"`
		Method  string `json:"method"`
		Params  any    `json:"params"`
	}{"2.0", "pbx-" + string(req.Op), method, params})
	x, err := p.wire.Do(ctx, req)
	if err != nil {
		return response{}, nil, err
	}
	got := read(x.Response.Body)
	x.Hide(pbx.NewSecret(got.data.AccessToken))
	if !x.OK() || !got.succeeded {
		return response{}, nil, p.judge(x, got)
	}
	return got, x, nil
}

// withToken sends a method that has the token for its only parameter.
func (p *PBX) withToken(ctx context.Context, op pbx.Op, method string, t *pbx.Token) (response, *wire.Exchange, error) {
	return p.do(ctx, wire.Request{Op: op, Secrets: []pbx.Secret{t.Value}}, method, tokenParams{t.Value.Reveal()})
}

// judge makes the error for a response that is no success. An error object counts
// under any HTTP status.
func (p *PBX) judge(x *wire.Exchange, got response) *pbx.Error {
	if !got.failed {
		return x.Unexpected()
	}
	number, hasCode := got.code.Int()
	code := string(got.mnemonic)
	known, listed := mnemonics[code]
	if !listed {
		known = meaning{text: "the platform refuses the request for a reason that says nothing about the login"}
		if group, ok := groups[number]; ok {
			known = group
		}
	}
	if code == "" && hasCode {
		code = strconv.Itoa(number)
	}
	kind := known.other
	if x.Request.Op == pbx.OpLogin {
		kind = known.login
	}
	field := ""
	if kind == pbx.ErrProtocol || kind == nil { // it is about a parameter
		field = string(got.field)
	}
	failure := x.Fail(kind, code, known.text, field)
	if listed { // everybody knows these words: one that is missing would show a password
		failure.Code = code
		failure.NotJudged = x.Request.Op == pbx.OpLogin && slices.Contains(notJudged, code)
	}
	if number == limits && failure.RetryAfter == 0 {
		failure.RetryAfter = pause(got.metadata)
	}
	p.key.Judge(failure)
	return failure
}

// pause is how long to wait until there are points again: until the end of the
// minute, or of the day if its points are used up. 0: the metadata do not say.
func pause(metadata json.RawMessage) time.Duration {
	var m struct {
		Limits struct {
			DayRemaining wire.Number `json:"day_remaining"`
			DayReset     wire.Number `json:"day_reset"`
			MinuteReset  wire.Number `json:"minute_reset"`
		} `json:"limits"`
	}
	wire.ReadJSON(metadata, &m)
	seconds := m.Limits.MinuteReset.Value
	if day := m.Limits.DayRemaining; day.Known && day.Value <= 0 {
		seconds = max(seconds, m.Limits.DayReset.Value)
	}
	const most = 24 * 60 * 60 // so that the product does not overflow
	return wire.CapRetryAfter(time.Duration(min(seconds, most)) * time.Second)
}
