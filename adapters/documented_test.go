package adapters_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"

	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

// A meaning is what a vendor says that an error means.
type meaning int

const (
	other        meaning = iota // nothing about the password or the token
	wrongLogin                  // on a login: the password or the user name is wrong
	deadToken                   // on a keep-alive or a request: the token is not valid any more
	refusedKeep                 // on a keep-alive only: the same
	undocumented                // perhaps wrongLogin
	notPermitted                // a person has to permit the client or the user in the PBX
)

// documentedError is an error that a vendor documents.
type documentedError struct {
	name   string
	status int // the HTTP status that it comes with; 0: 200
	body   string
	means  meaning

	// byStatus: the body has no code, so that the HTTP status decides. Under
	// another one, or together with a challenge for HTTP authentication, the error
	// is not recognisable.
	byStatus bool

	// enveloped: the body is the brand's own, so that a challenge for HTTP
	// authentication says nothing.
	enveloped bool

	// onLogin is what it means on a login, if the vendor leaves that open: then the
	// session may send one login and wait for a person.
	onLogin meaning

	// edit completes the response from the request.
	edit func(*pbxsim.Request, *pbxsim.Reply)
}

// documentedErrors are those of the vendors' pages, by the name of the simulator or
// of its driver. They are copied from the pages, not from the drivers.
var documentedErrors = map[string][]documentedError{
	// help.yeastar.com: s-series-developer, Error Code.
	"yeastar": sSeriesErrors(`{"status":"Failed","errno":"%d"}`,
		10002, 10003, 10004, 10025, 10032, 20000, 20001, 20002, 20003, 20004, 20005, 20006, 20007, 20008, 20009, 20010, 20011, 20015, 30001, 30003),
	// help.openvox.cn prints no table. Its API is a descendant of Yeastar's.
	"openvox-json": sSeriesErrors(`{"status":"Failed","errno":"%d"}`,
		10002, 10003, 10004, 10025, 10032, 20000, 20001, 20002, 20003, 20004, 20005, 20006, 20007, 20008, 20009, 20010, 20011, 20015, 30001, 30003),
	"openvox-xml": sSeriesErrors(`<?xml version="1.0" encoding="utf-8"?><xml><status>Failed</status><errno>%d</errno></xml>`,
		10002, 10003, 10004, 10025, 10032, 20000, 20001, 20002, 20003, 20004, 20005, 20006, 20007, 20008, 20009, 20010, 20011, 20015, 30001, 30003),
	// help.yeastar.com: p-series-appliance-edition, Error Code & Error Message.
	"yeastar-p": append([]documentedError{
		{name: "-1, wrong credentials", means: wrongLogin, body: `{"errcode":-1,"errmsg":"FAILURE","invalid_param_list":[{"field":"username or password","value":"error"}]}`},
		{name: "-1", means: wrongLogin, body: `{"errcode":-1,"errmsg":"FAILURE"}`},
		{name: "10004", means: deadToken, body: `{"errcode":10004,"errmsg":"TOKEN EXPIRED"}`},
		{name: "10005", means: notPermitted, body: `{"errcode":10005,"errmsg":"ACCESS DENIED"}`},
		{name: "10009", means: notPermitted, body: `{"errcode":10009,"errmsg":"OPERATE FAILED"}`},
		{name: "70084", means: notPermitted, body: `{"errcode":70084,"errmsg":"FORBIDDEN"}`},
		{name: "70087", means: notPermitted, body: `{"errcode":70087,"errmsg":"IP FORBIDDEN"}`},
		{name: "70123", means: notPermitted, body: `{"errcode":70123,"errmsg":"API UNAVAILABLE"}`},
		{name: "70004", body: `{"errcode":70004,"errmsg":"ACCOUNT IP BLOCKED"}`},
	}, numbered(`{"errcode":%d,"errmsg":"FAILURE"}`, -2, 10001, 10002, 10003, 40001, 40002, 60001, 60002, 70082)...),
	// documentation.grandstream.com: HTTPS API, return codes.
	"grandstream": append([]documentedError{
		{name: "-5", means: deadToken, body: `{"response":{},"status":-5}`},
		{name: "-6", means: deadToken, body: `{"response":{},"status":-6}`},
		{name: "-37", means: wrongLogin, body: `{"response":{},"status":-37}`},
		{name: "-71", means: wrongLogin, body: `{"response":{},"status":-71}`},
		{name: "-47", means: notPermitted, body: `{"response":{},"status":-47}`},
		{name: "-70", means: notPermitted, body: `{"response":{},"status":-70}`},
		{name: "-7", means: refusedKeep, body: `{"response":{},"status":-7}`},
		{name: "-8", means: refusedKeep, body: `{"response":{},"status":-8}`},
	}, numbered(`{"response":{},"status":%d}`, -1, -9, -15, -19, -24, -25, -26, -45, -46, -50, -57, -68, -251)...),
	// Seen on the wire of Asterisk 18, 22 and 23.
	"asterisk": {
		{name: "Authentication failed", means: wrongLogin, body: block("Error", "Authentication failed"), edit: sameCookie},
		{name: "Permission denied, another cookie", means: deadToken, body: block("Error", "Permission denied"), edit: otherCookie},
		{name: "Permission denied, same cookie", body: block("Error", "Permission denied"), edit: sameCookie},
		{name: "Login Already In Use", body: block("Error", "Login Already In Use"), edit: sameCookie},
		{name: "Asterisk is shutting down", body: block("Error", "Asterisk is shutting down"), edit: sameCookie},
		{name: "no such path", status: 404, body: "<html><head><title>404 Not Found</title></head></html>", byStatus: true},
		{name: "ACL", status: 403, means: notPermitted, body: "<html><body>Access denied by ACL</body></html>", byStatus: true},
		{name: "shutdown", status: 503, body: "<html><body>Shutdown in progress</body></html>", byStatus: true},
		{name: "not implemented", status: 501, body: "<html><body>Not Implemented</body></html>", byStatus: true},
	},
	// doc-cp.runtel.ru documents no failing response. These are the likely ones.
	"runtel": {
		{name: "code 401", means: wrongLogin, body: runtelEnvelope(401), edit: sameID},
		{name: "code 401 of a dead token", means: deadToken, onLogin: wrongLogin, body: runtelEnvelope(401), edit: sameID},
		{name: "code 400", onLogin: undocumented, body: runtelEnvelope(400), edit: sameID},
		{name: "code 404", onLogin: undocumented, body: runtelEnvelope(404), edit: sameID},
		{name: "code 429", body: runtelEnvelope(429), edit: sameID},
		{name: "code 500", body: runtelEnvelope(500), edit: sameID},
		{name: "no token", onLogin: undocumented, body: `{"action":"auth","action_id":"ID","obj":"User","code":200,"notifies":[],"body":null}`, edit: sameID},
		{name: "nothing", body: "", byStatus: true},
	},
	// knowledge.starface.de: REST-Schnittstelle, and the OpenAPI file.
	"starface": {
		{name: "invalid login", status: 400, means: wrongLogin, body: `{"message":"invalid login"}`, byStatus: true, enveloped: true},
		{name: "dead token", status: 401, means: deadToken, body: `{"message":"unauthorized"}`, byStatus: true, enveloped: true},
		{name: "not an administrator", status: 403, body: `{"message":"forbidden"}`, byStatus: true, enveloped: true},
		{name: "no such record", status: 404, body: `{"message":"not found"}`, byStatus: true, enveloped: true},
		{name: "unexpected error", status: 500, body: `{"message":"unexpected error"}`, byStatus: true, enveloped: true},
		{name: "unexpected error in text", status: 500, body: `unexpected error`, byStatus: true},
	},
	// github.com/mikopbx/Core: Auth/LoginAction.php, RefreshAction.php, AuthenticationMiddleware.php, lua/fail-auth.lua.
	"mikopbx": {
		{name: "wrong login", status: 401, means: wrongLogin, body: mikoFailure("Wrong login or password. Attempts left: 4"), byStatus: true, enveloped: true},
		{name: "too many attempts", status: 429, body: mikoFailure("Too many login attempts"), byStatus: true, enveloped: true},
		{name: "a field is missing", status: 400, body: mikoFailure("login is required"), byStatus: true, enveloped: true},
		{name: "refresh token expired", status: 401, means: refusedKeep, body: mikoFailure("Refresh token expired"), byStatus: true, enveloped: true},
		{name: "dead token", status: 401, means: deadToken, body: mikoFailure("The user isn't authenticated."), byStatus: true, enveloped: true},
		{name: "no such path for the role", status: 404, body: mikoFailure("Endpoint not found."), byStatus: true, enveloped: true},
		{name: "no right", status: 403, body: mikoFailure("Access denied for role"), byStatus: true, enveloped: true},
		{name: "nginx: dead token", status: 403, means: deadToken, body: "The user isn't authenticated.", byStatus: true},
		{name: "queue full", status: 503, body: mikoFailure("The queue is full"), byStatus: true, enveloped: true},
		{name: "worker", status: 400, body: mikoFailure("Request timeout or worker not responding"), byStatus: true, enveloped: true},
		{name: "conflict", status: 409, body: mikoFailure("conflict"), byStatus: true, enveloped: true},
		{name: "any failure", status: 422, body: mikoFailure("failure"), byStatus: true, enveloped: true},
	},
	// uiscom.ru: Call API, errors.
	"uis": {
		{name: "auth_error", means: wrongLogin, body: uisError(-32001, "auth_error")},
		{name: "access_token_invalid", means: deadToken, body: uisError(-32001, "access_token_invalid")},
		{name: "access_token_expired", means: deadToken, body: uisError(-32001, "access_token_expired")},
		{name: "access_token_blocked", means: deadToken, body: uisError(-32001, "access_token_blocked")},
		{name: "ip_not_whitelisted", means: notPermitted, body: uisError(-32003, "ip_not_whitelisted")},
		{name: "forbidden", means: notPermitted, body: uisError(-32003, "forbidden")},
		{name: "component_disabled", means: notPermitted, body: uisError(-32008, "component_disabled")},
		{name: "account_inactive", means: notPermitted, body: uisError(-32009, "account_inactive")},
		{name: "limit_exceeded", body: uisError(-32029, "limit_exceeded")},
		{name: "internal_error", body: uisError(-32603, "internal_error")},
		{name: "parse_error", body: uisError(-32700, "parse_error")},
		{name: "invalid_request", body: uisError(-32600, "invalid_request")},
		{name: "method_not_found", body: uisError(-32601, "method_not_found")},
		{name: "required_parameter_missed", body: uisError(-32602, "required_parameter_missed")},
		{name: "data_type_error", body: uisError(-32602, "data_type_error")},
		{name: "unexpected_parameters", body: uisError(-32602, "unexpected_parameters")},
	},
	// Seen on the wire of wazo-auth 26.04, and read in its source.
	"wazo": {
		{name: "Authentication Failed", status: 401, means: wrongLogin, body: `{"reason":["Authentication Failed"],"timestamp":[1764098680.9],"status_code":401}`},
		{name: "too many sessions", status: 429, body: `{"reason":["User 1 has exceeded the maximum number of active sessions"],"timestamp":[1764098680.9],"status_code":429}`},
		{name: "expiration", status: 400, body: `{"reason":["{'expiration': ['Must be greater']}"],"timestamp":[1764098680.9],"status_code":400}`},
		{name: "broker down", status: 500, body: `{"message":"Internal Server Error"}`},
		{name: "dead token", status: 401, means: deadToken, body: `{"message":"Unauthorized","error_id":"unauthorized","details":{"invalid_token":"x","reason":"not_found_or_expired","required_access":"auth.users.read"},"timestamp":1.5}`},
		{name: "no permission", status: 401, body: `{"message":"Unauthorized","error_id":"unauthorized","details":{"invalid_token":"x","reason":"missing_permission_or_invalid_tenant","tenant_uuid":null},"timestamp":1.5}`},
		// github.com/wazo-platform/xivo-lib-python, git 5318d23 of 2026: http_exceptions.py.
		{name: "no permission, 403", status: 403, body: `{"message":"Forbidden","error_id":"forbidden","details":{"invalid_token":"x","reason":"missing_permission_or_invalid_tenant","required_access":"auth.users.read","tenant_uuid":null},"timestamp":1.5}`},
		{name: "foreign tenant", status: 401, body: `{"message":"Unauthorized tenant","error_id":"unauthorized-tenant","details":{"tenant_uuid":"x"},"timestamp":1.5}`},
		{name: "wazo-auth down", status: 503, body: `{"message":"Authentication server unreachable","error_id":"authentication-server-unreachable","timestamp":1.5}`},
		{name: "starting up", status: 503, body: `{"message":"Not initialized","error_id":"top-tenant-not-initialized","timestamp":1.5}`},
		{name: "nginx", status: 502, body: pbxsim.HTMLPage, byStatus: true},
	},
	// github.com/FreePBX/api, release 15.0 to 17.0; league/oauth2-server 6.1.1 and 8.5.4.
	"freepbx": {
		{name: "invalid_client", status: 401, means: wrongLogin, body: `{"error":"invalid_client","message":"Client authentication failed"}`},
		{name: "invalid_client, 17", status: 401, means: wrongLogin, body: `{"error":"invalid_client","error_description":"Client authentication failed","message":"Client authentication failed"}`},
		// github.com/thephpleague/oauth2-server/releases/tag/9.0.0: no "message".
		{name: "invalid_client, oauth2-server 9", status: 401, means: wrongLogin, body: `{"error":"invalid_client","error_description":"Client authentication failed"}`},
		{name: "access_denied, oauth2-server 9", status: 401, means: deadToken, onLogin: undocumented, body: `{"error":"access_denied","error_description":"The resource owner or authorization server denied the request.","hint":"Access token has been revoked"}`},
		{name: "invalid_scope", status: 400, body: `{"error":"invalid_scope","message":"The requested scope is invalid, unknown, or malformed"}`},
		{name: "unsupported_grant_type", status: 400, body: `{"error":"unsupported_grant_type","message":"x"}`},
		{name: "access_denied", status: 401, means: deadToken, onLogin: undocumented, body: `{"error":"access_denied","message":"The resource owner or authorization server denied the request.","hint":"Access token has been revoked"}`},
		{name: "a query fails", status: 400, body: `{"errors":[{"message":"x","status":false}]}`},
		{name: "17: GraphQL fails", status: 500, body: "", byStatus: true},
		{name: "the web interface", status: 200, body: pbxsim.HTMLPage, byStatus: true},
	},
	// github.com/3cx/xapi-tutorial, its OpenAPI file, 3cx.cn/docs/configuration-rest-api-endpoints
	// and call-control-api-endpoints, and notes of clients' authors.
	"3cx": {
		{name: "unauthorized", status: 401, means: wrongLogin, byStatus: true,
			body: `{"error":"unauthorized","error_description":"The request requires valid user authentication."}`},
		{name: "invalid_client", status: 400, means: wrongLogin, body: `{"error":"invalid_client"}`},
		{name: "wrong key", status: 401, means: wrongLogin, body: "", byStatus: true},
		{name: "dead token", status: 401, means: deadToken, body: "", byStatus: true},
		{name: "dead token, in words", status: 401, means: deadToken, byStatus: true,
			body: `{"error":"unauthorized","error_description":"The request requires valid user authentication."}`},
		{name: "role too low", status: 403, body: "", byStatus: true},
		{name: "old version", status: 404, body: "", byStatus: true},
		{name: "OData error", status: 400, body: `{"error":{"code":"","message":"x"}}`},
		{name: "rate", status: 429, body: "", byStatus: true},
		{name: "scope", status: 400, body: `{"error":"invalid_scope"}`},
	},
}

// notJudged are the errors of a login that do not mean a wrong password, by the
// vendor's page: the password was right or not looked at, or there was no room for
// a token. The key is that of documentedErrors. What a page leaves open is not here.
var notJudged = map[string][]string{
	"yeastar":     {"10002", "10003", "10004", "10025", "20000", "20001", "20007", "20008", "20009", "20010", "20015", "30001"},
	"yeastar-p":   {"10001", "10002", "10003", "60002", "70082", "70087", "70123"},
	"grandstream": {"-19", "-47", "-50", "-251"},
	"asterisk":    {"Login Already In Use", "Asterisk is shutting down", "ACL", "shutdown"},
	"mikopbx":     {"queue full", "any failure"},
	"uis": {"ip_not_whitelisted", "forbidden", "component_disabled", "account_inactive", "limit_exceeded", "parse_error", "invalid_request",
		"method_not_found", "required_parameter_missed", "data_type_error", "unexpected_parameters"},
	"wazo":    {"too many sessions", "expiration", "wazo-auth down", "starting up"},
	"freepbx": {"invalid_scope", "unsupported_grant_type"},
	"3cx":     {"scope"},
}

// refusesForAWhile are the errors of a login that state a lock, a limit of requests or
// of tokens, whatever the password. A session waits, and tries again.
var refusesForAWhile = map[string][]string{
	"yeastar":      {"20002"},
	"openvox-json": {"20002"},
	"openvox-xml":  {"20002"},
	"yeastar-p":    {"60002", "70004"},
	"grandstream":  {"-45", "-46", "-57", "-68"},
	"asterisk":     {"Login Already In Use"},
	"runtel":       {"code 429"},
	"mikopbx":      {"too many attempts"},
	"wazo":         {"too many sessions"},
	"3cx":          {"rate"},
}

// errorsOf are the documented errors of a simulator's brand, and those of them that
// are no verdict about a password.
func errorsOf(s simulators.Simulator) (all []documentedError, notJudgedOnes []string) {
	for _, name := range []string{s.Name(), s.Driver} {
		if all = documentedErrors[name]; all != nil {
			return all, notJudged[name]
		}
	}
	return nil, nil
}

func sSeriesErrors(format string, errnos ...int) []documentedError {
	all := numbered(format, errnos...)
	for i, errno := range errnos {
		switch errno {
		case 20003:
			all[i].means = wrongLogin
		case 20004, 20005, 20006:
			all[i].means = deadToken
		case 20015:
			all[i].means = notPermitted
		}
	}
	return all
}

func numbered(format string, codes ...int) (all []documentedError) {
	for _, code := range codes {
		all = append(all, documentedError{name: fmt.Sprint(code), body: fmt.Sprintf(format, code)})
	}
	return all
}

func block(response, message string) string {
	return "Response: " + response + "\r\nMessage: " + message + "\r\n\r\n"
}

const idOfAsterisk = "1c6c9072"

// sameCookie is what an Asterisk sets as long as the session is valid.
func sameCookie(r *pbxsim.Request, reply *pbxsim.Reply) {
	id := idOfAsterisk
	if c, err := r.Cookie("mansession_id"); err == nil {
		id = c.Value
	}
	reply.Header.Set("Set-Cookie", `mansession_id="`+id+`"; Version=1; Max-Age=60`)
}

// otherCookie is what it sets when the session has ended.
func otherCookie(_ *pbxsim.Request, reply *pbxsim.Reply) {
	reply.Header.Set("Set-Cookie", `mansession_id="`+idOfAsterisk+`"; Version=1; Max-Age=60`)
}

func runtelEnvelope(code int) string {
	return fmt.Sprintf(`{"action":"auth","action_id":"ID","obj":"User","code":%d,"notifies":["x"],"body":null}`, code)
}

// sameID echoes the action_id of the request.
func sameID(r *pbxsim.Request, reply *pbxsim.Reply) {
	_, after, _ := bytes.Cut(r.Body, []byte(`"action_id":"`))
	id, _, _ := bytes.Cut(after, []byte(`"`))
	reply.Body = bytes.ReplaceAll(reply.Body, []byte("ID"), id)
}

func mikoFailure(text string) string {
	return `{"result":false,"data":[],"messages":{"error":["` + text + `"]},"function":"","processor":"","pid":1,"meta":{}}`
}

func uisError(code int, mnemonic string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":"req1","error":{"code":%d,"message":"x","data":{"mnemonic":"%s","field":"x"}}}`, code, mnemonic)
}

// wrongStatuses are the HTTP statuses of a login that mean a wrong password where the
// body has no code. The vendors do not all say which of them they use.
var wrongStatuses = map[string][]int{
	"3cx":      {http.StatusUnauthorized},
	"mikopbx":  {http.StatusUnauthorized},
	"runtel":   {http.StatusUnauthorized, http.StatusForbidden}, // the latter unless every request gets it
	"starface": {http.StatusBadRequest, http.StatusUnauthorized},
}

// recognisable reports whether the error says in a response what it means.
func (e documentedError) recognisable(r response) bool {
	return !e.byStatus || r.status == max(e.status, http.StatusOK) && !e.fromProxy(r)
}

// fromProxy reports whether something in front of the PBX asks for HTTP
// authentication.
func (e documentedError) fromProxy(r response) bool {
	return !e.enveloped && r.challenge && (r.status == http.StatusUnauthorized || r.status == http.StatusForbidden)
}

// isWrong reports whether a login is refused for a wrong password.
func (e documentedError) isWrong(r response) bool {
	return (e.means == wrongLogin || e.onLogin == wrongLogin) && e.recognisable(r)
}

// looksWrong reports whether a login may be refused for that, or may not.
func (e documentedError) looksWrong(driver string, r response) bool {
	return e.onLogin == undocumented || e.byStatus && slices.Contains(wrongStatuses[driver], r.status) && !e.fromProxy(r)
}
