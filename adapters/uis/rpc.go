package uis

import (
	"cmp"
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
	Result   *result   `json:"result"`
	Error    *problem  `json:"error"`
	Metadata *metadata `json:"metadata"`
}

// result is that of the driver's own requests.
type result struct {
	Data struct {
		AccessToken string          `json:"access_token"`
		ExpireAt    wire.Text       `json:"expire_at"` // a number in the sample
		Success     json.RawMessage `json:"success"`   // true in one sample, "true" in others
	} `json:"data"`
	Metadata json.RawMessage `json:"metadata"`
}

// problem is the error object of any request.
type problem struct {
	Code wire.Number `json:"code"`
	Data struct {
		Mnemonic wire.Text `json:"mnemonic"`
		Field    wire.Text `json:"field"`
		Metadata *metadata `json:"metadata"`
	} `json:"data"`
	Metadata *metadata `json:"metadata"`
}

// metadata are those of a failure. All fields of the limits count points or seconds.
type metadata struct {
	Limits struct {
		DayRemaining wire.Number `json:"day_remaining"`
		DayReset     wire.Number `json:"day_reset"`
		MinuteReset  wire.Number `json:"minute_reset"`
	} `json:"limits"`
}

// read reads a response. Result and error are objects: {"result":"ok"} and
// {"error":"Service Unavailable"} are not this API's.
func read(body []byte) (r response) {
	var raw struct{ Result, Error json.RawMessage }
	wire.ReadJSON(body, &raw)
	wire.ReadJSON(body, &r)
	if !isObject(raw.Result) {
		r.Result = nil
	}
	if !isObject(raw.Error) {
		r.Error = nil
	}
	return r
}

func isObject(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '{' }

// do sends a method and proves its success. The result and the exchange come along
// with no error.
func (p *PBX) do(ctx context.Context, req wire.Request, method string, with params) (*result, *wire.Exchange, error) {
	req.Path = path
	req.Header = http.Header{"Content-Type": {contentType}}
	req.JSON = struct {
		Version string `json:"jsonrpc"`
		ID      string `json:"id"`
		Method  string `json:"method"`
		Params  params `json:"params"`
	}{"2.0", "pbx-" + string(req.Op), method, with}
	x, err := p.wire.Do(ctx, req)
	if err != nil {
		return nil, nil, err
	}
	got := read(x.Response.Body)
	if got.Result != nil {
		x.Hide(pbx.NewSecret(got.Result.Data.AccessToken))
	}
	if !x.OK() || got.Error != nil || got.Result == nil {
		return nil, nil, p.judge(x, got)
	}
	return got.Result, x, nil
}

// withToken sends a method that has the token for its only parameter.
func (p *PBX) withToken(ctx context.Context, op pbx.Op, method string, t *pbx.Token) (*result, *wire.Exchange, error) {
	return p.do(ctx, wire.Request{Op: op, Secrets: []pbx.Secret{t.Value}}, method, params{AccessToken: t.Value.Reveal()})
}

// judge makes the error for a response that is no success. An error object counts
// under any HTTP status, if it is one of JSON-RPC, whose codes are below zero:
// gateways write {"error":{"code":503}}.
func (p *PBX) judge(x *wire.Exchange, got response) *pbx.Error {
	if got.Error == nil {
		return x.Unexpected()
	}
	login := x.Request.Op == pbx.OpLogin
	number, hasCode := got.Error.Code.Int()
	code := string(got.Error.Data.Mnemonic)
	if !x.OK() && code == "" && number >= 0 {
		return x.Unexpected()
	}
	known, listed := mnemonics[code]
	if !listed {
		known = groups[number]
	}
	if code == "" && hasCode {
		code = strconv.Itoa(number)
	}
	kind := known.other
	if login {
		kind = known.login
	}
	field := ""
	if kind == pbx.ErrProtocol || kind == nil { // it is about a parameter
		field = string(got.Error.Data.Field)
	}
	refusal := x.Fail(kind, code, cmp.Or(known.text, "the platform refuses the request for a reason that says nothing about the login"), field)
	if listed { // everybody knows these words: one that is missing would show a password
		refusal.Code = code
		refusal.NotJudged = login && slices.Contains(notJudged, code)
	}
	if number == limits && refusal.RetryAfter == 0 {
		refusal.RetryAfter = pause(cmp.Or(got.Error.Data.Metadata, got.Error.Metadata, got.Metadata))
	}
	p.key.Judge(refusal)
	return refusal
}

// pause is how long to wait until there are points again: until the end of the
// minute, or of the day if its points are used up. 0: the metadata do not say.
func pause(m *metadata) time.Duration {
	if m == nil {
		return 0
	}
	seconds := m.Limits.MinuteReset.Value
	if day := m.Limits.DayRemaining; day.Known && day.Value <= 0 {
		seconds = max(seconds, m.Limits.DayReset.Value)
	}
	const most = 24 * 60 * 60 // so that the product does not overflow
	return wire.CapRetryAfter(time.Duration(min(seconds, most)) * time.Second)
}
