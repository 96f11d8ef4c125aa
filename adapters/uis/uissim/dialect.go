package uissim

import (
	"encoding/json"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const path = "/v4.0"

func (*platform) Action(r *pbxsim.Request) pbxsim.Action {
	if r.URL.Path != path {
		return pbxsim.Web
	}
	var in request
	json.Unmarshal(r.Body, &in)
	switch {
	case r.Method != http.MethodPost:
		return pbxsim.AppRequest
	case in.Method == "login.user":
		return pbxsim.Login
	case in.Method == "logout.user":
		return pbxsim.Logout
	}
	return pbxsim.AppRequest
}

// request has the fields of every request. All are required.
type request struct {
	Version string                     `json:"jsonrpc"`
	ID      json.RawMessage            `json:"id"`
	Method  string                     `json:"method"`
	Params  map[string]json.RawMessage `json:"params"`
}

// text returns a parameter that is a text.
func (in request) text(name string) (value string, ok bool) {
	ok = json.Unmarshal(in.Params[name], &value) == nil && in.Params[name] != nil
	return value, ok
}

func (p *platform) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	switch {
	case r.Action == pbxsim.Web && r.URL.Path == "/" && r.Method == http.MethodGet:
		return pbxsim.Reply{Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte(pbxsim.HTMLPage)}
	case r.Action == pbxsim.Web:
		return pbxsim.Reply{Status: http.StatusNotFound}
	case r.Method != http.MethodPost:
		return pbxsim.Reply{Status: http.StatusMethodNotAllowed, Header: http.Header{"Allow": {http.MethodPost}}}
	}
	var in request
	if !json.Valid(r.Body) {
		return p.fail(in, parseError, "", "")
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if json.Unmarshal(r.Body, &in) != nil || in.Version != "2.0" || len(in.ID) == 0 || in.Params == nil || kind != "application/json" {
		return p.fail(in, invalidRequest, "", "")
	}
	if r.Action == pbxsim.Login {
		return p.login(a, in)
	}
	if in.Method != "logout.user" && in.Method != "list.calls" && in.Method != "list.talk_options" {
		if token, _ := in.text("access_token"); a.Use(token) == pbxsim.OK {
			if own, ok := a.Respond("application/json"); ok {
				return own
			}
		}
		return p.fail(in, methodNotFound, "", "")
	}
	token, ok := in.text("access_token")
	if !ok {
		return p.fail(in, missing, "access_token", "")
	}
	verdict := a.Use
	if r.Action == pbxsim.Logout {
		verdict = a.Logout
	}
	if verdict(token) != pbxsim.OK {
		return p.fail(in, refusals[p.DeadToken], "access_token", token)
	}
	if r.Action == pbxsim.Logout {
		return p.succeed(in, map[string]bool{"success": true})
	}
	if own, ok := a.Respond("application/json"); ok {
		return own
	}
	switch {
	case p.Disabled && in.Method == "list.calls":
		return p.fail(in, disabled, "", "")
	case p.MinuteLimit > 0:
		if left, _ := p.points(0); left <= 0 {
			return p.fail(in, limitExceeded, "", "")
		}
		p.points(1)
	}
	if in.Method == "list.talk_options" {
		return p.succeed(in, []any{})
	}
	return p.succeed(in, calls)
}

func (p *platform) login(a *pbxsim.Accounts, in request) pbxsim.Reply {
	user, ok1 := in.text("login")
	given, ok2 := in.text("password")
	switch {
	case !ok1:
		return p.fail(in, missing, "login", "")
	case !ok2:
		return p.fail(in, missing, "password", "")
	}
	token, v := a.Login(user, func(password string) bool { return given == password })
	if v != pbxsim.OK { // the document has no words for a lock
		return p.fail(in, authError, "password", given)
	}
	data := map[string]any{"access_token": token.Value, "expire_at": token.Expires.Unix()}
	switch p.ExpireAt {
	case AsString:
		data["expire_at"] = strconv.FormatInt(token.Expires.Unix(), 10)
	case AsFloat:
		data["expire_at"] = float64(token.Expires.UnixMicro()) / 1e6
	}
	return p.succeed(in, data)
}

// failure is one of the document's errors.
type failure struct {
	Code     int
	Mnemonic string
	Text     string
	Status   int // where Options.HTTPStatus has it
}

var (
	parseError     = failure{-32700, "parse_error", "Invalid JSON was received by the server.", 400}
	invalidRequest = failure{-32600, "invalid_request", "Invalid Request The JSON sent is not a valid Request object", 400}
	methodNotFound = failure{-32601, "method_not_found", "The method does not exist / is not available", 400}
	missing        = failure{-32602, "required_parameter_missed", "The required parameter has been missed", 400}
	authError      = failure{-32001, "auth_error", "Login or password is wrong", 401}
	limitExceeded  = failure{-32029, "limit_exceeded", "Limit per minute has been exceeded.", 400}
	disabled       = failure{-32008, "component_disabled", "Component Call API has been disabled", 403}

	refusals = map[string]failure{
		"access_token_invalid": {-32001, "access_token_invalid", "Access token is invalid", 401},
		"access_token_expired": {-32001, "access_token_expired", "Access token has been expired", 401},
		"access_token_blocked": {-32001, "access_token_blocked", "Access token has been blocked", 401},
	}
)

// A leg is a part of a call that list.calls shows. The Call API has no list of
// extensions: these are employees who are on the phone.
type leg struct {
	ID       int    `json:"leg_id"`
	Calling  string `json:"calling_phone_number"`
	Called   string `json:"called_phone_number"`
	Employee string `json:"employee_full_name"`
	State    string `json:"state"`
}

var calls = []map[string]any{{
	"call_session_id": 28575639,
	"legs": []leg{
		{ID: 287866220, Calling: "74950000000", Called: "1000", Employee: "Reception", State: "Разговор"},
		{ID: 287866221, Calling: "1000", Called: "1001", Employee: "Sales", State: "Разговор"},
	},
}}

func (p *platform) metadata() any {
	limit := p.MinuteLimit
	if limit == 0 {
		limit = 60
	}
	left, reset := p.points(0)
	return map[string]any{"limits": map[string]int{
		"day_limit": 10000, "day_remaining": 9000, "day_reset": int(24*time.Hour/time.Second) - 1,
		"minute_limit": limit, "minute_remaining": max(left, 0), "minute_reset": reset,
	}}
}

func (p *platform) succeed(in request, data any) pbxsim.Reply {
	result := map[string]any{"data": data}
	if p.Metadata != NoMetadata {
		result["metadata"] = p.metadata()
	}
	return reply(http.StatusOK, map[string]any{"jsonrpc": "2.0", "id": in.ID, "result": result})
}

// fail responds with a failure. value is what was sent in the field, and comes
// back as it is. Failures of authentication and of the request's form have no
// metadata.
func (p *platform) fail(in request, f failure, field, value string) pbxsim.Reply {
	data := map[string]any{"mnemonic": f.Mnemonic, "field": nil, "value": nil, "params": map[string]any{"object": nil}, "extended_helper": nil}
	if field != "" {
		data["field"] = field
	}
	if value != "" {
		data["value"] = value
	}
	problem := map[string]any{"code": f.Code, "message": f.Text, "data": data}
	envelope := map[string]any{"jsonrpc": "2.0", "id": in.ID, "error": problem}
	if p.NullID || len(in.ID) == 0 {
		envelope["id"] = nil
	}
	switch f.Code {
	case -32700, -32600, -32601, -32001:
	default:
		switch p.Metadata {
		case InErrorData:
			data["metadata"] = p.metadata()
		case InError:
			problem["metadata"] = p.metadata()
		case InEnvelope:
			envelope["metadata"] = p.metadata()
		}
	}
	status := http.StatusOK
	if p.HTTPStatus {
		status = f.Status
	}
	return reply(status, envelope)
}

func reply(status int, envelope any) pbxsim.Reply {
	body, err := json.Marshal(envelope)
	if err != nil {
		panic(err) // nothing here is unknown to JSON
	}
	return pbxsim.Reply{Status: status, Header: http.Header{"Content-Type": {"application/json; charset=UTF-8"}}, Body: body}
}
