package grandstreamsim

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Challenge is the first step of a login, for faults.
const Challenge pbxsim.Action = "challenge"

func (u *ucm) Action(r *pbxsim.Request) pbxsim.Action {
	if r.URL.Path != "/api" {
		return pbxsim.Web
	}
	if r.Method != http.MethodPost {
		return pbxsim.AppRequest
	}
	in, _ := parse(r.Body)
	switch in.text("action") {
	case "challenge":
		return Challenge
	case "login":
		return pbxsim.Login
	case u.KeepAlive:
		return pbxsim.KeepAlive
	case "logout":
		return pbxsim.Logout
	}
	return pbxsim.AppRequest
}

func (u *ucm) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	switch {
	case r.URL.Path == "/" && r.Method == http.MethodGet:
		return pbxsim.Reply{Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte(pbxsim.HTMLPage)}
	case r.URL.Path != "/api":
		return page(http.StatusNotFound, "404 Not Found")
	case r.Method != http.MethodPost:
		return page(http.StatusMethodNotAllowed, "405 Method Not Allowed")
	}
	in, ok := parse(r.Body)
	if !ok || in.text("action") == "" {
		return u.fail(invalidParameters)
	}
	switch r.Action {
	case Challenge:
		return u.begin(a, r, in)
	case pbxsim.Login:
		return u.login(a, r, in)
	}

	// The body is the only place for a cookie: one in a header is not seen.
	cookie := in.text("cookie")
	if cookie == "" {
		return u.fail(needAuthentication)
	}
	verdict := a.Use
	switch {
	case r.Action == pbxsim.KeepAlive && !u.Fixed:
		verdict = a.KeepAlive
	case r.Action == pbxsim.Logout && u.NoLogout:
		if a.Use(cookie) == pbxsim.OK {
			return u.fail(invalidParameters)
		}
	case r.Action == pbxsim.Logout:
		verdict = a.Logout
	}
	switch verdict(cookie) {
	case pbxsim.OK:
	case pbxsim.Locked:
		return u.fail(loginRestriction)
	default:
		return u.fail(u.DeadCookie)
	}
	if r.Action != pbxsim.AppRequest {
		return u.succeed(map[string]any{})
	}
	if own, ok := a.Respond("application/json"); ok {
		return own
	}
	switch in.text("action") {
	case "getSystemStatus", "getSystemGeneralStatus":
		return u.succeed(map[string]any{})
	case "listAccount":
		return u.succeed(map[string]any{"account": accounts, "total_item": len(accounts), "total_page": 1, "page": 1})
	}
	return u.fail(unsupported)
}

// An account of the UCM is an extension. The fields are the options of the
// vendor's request listAccount that public clients ask for.
type account struct {
	Extension string  `json:"extension"`
	Type      string  `json:"account_type"`
	FullName  *string `json:"fullname"`
	Status    string  `json:"status"`
	Address   string  `json:"addr"`
}

var (
	reception = "Reception"
	accounts  = []account{
		{Extension: "1000", Type: "SIP", FullName: &reception, Status: "Idle", Address: "192.0.2.50:5060"},
		{Extension: "1001", Type: "SIP", Status: "Unavailable", Address: "-"},
	}
)

// begin responds to a challenge, also for a user that does not exist.
func (u *ucm) begin(a *pbxsim.Accounts, r *pbxsim.Request, in fields) pbxsim.Reply {
	if in.text("user") == "" || in.text("version") == "" {
		return u.fail(invalidParameters)
	}
	if u.BanAtChallenge && a.Locked(in.text("user")) {
		return u.fail(loginRestriction)
	}
	return u.succeed(map[string]any{"challenge": u.challenge(in.text("user"))})
}

func (u *ucm) login(a *pbxsim.Accounts, r *pbxsim.Request, in fields) pbxsim.Reply {
	user, token := in.text("user"), in.text("token")
	if user == "" || token == "" || u.WantsURL && in.text("url") == "" {
		return u.fail(invalidParameters)
	}
	cookie, v := a.Login(user, func(password string) bool {
		return u.answered(user, func(challenge string) bool {
			sum := md5.Sum([]byte(challenge + password))
			return token == hex.EncodeToString(sum[:]) // lower case only
		})
	})
	switch v {
	case pbxsim.OK:
		return u.succeed(map[string]any{"cookie": cookie.Value})
	case pbxsim.Locked:
		return u.fail(loginRestriction)
	}
	return u.fail(u.WrongLogin)
}

// fields are those of a request.
type fields map[string]json.RawMessage

// parse reads an envelope. Names are compared exactly.
func parse(body []byte) (in fields, ok bool) {
	var outer fields
	if json.Unmarshal(body, &outer) != nil || json.Unmarshal(outer["request"], &in) != nil {
		return nil, false
	}
	return in, true
}

// text returns a field that is a text.
func (f fields) text(name string) string {
	var s string
	if json.Unmarshal(f[name], &s) != nil {
		return ""
	}
	return s
}

// envelope is that of every response, in the order of the samples.
type envelope struct {
	Response any `json:"response"`
	Status   any `json:"status"`
}

func (u *ucm) succeed(response any) pbxsim.Reply { return u.answer(response, success) }

func (u *ucm) fail(status int) pbxsim.Reply {
	if status == invalidParameters {
		return u.answer(map[string]any{"error_msg": "Invalid parameters!"}, status)
	}
	return u.answer(map[string]any{}, status)
}

// answer responds with HTTP 200, which failures have too.
func (u *ucm) answer(response any, status int) pbxsim.Reply {
	e := envelope{response, status}
	if u.StatusInString {
		e.Status = strconv.Itoa(status)
	}
	body, err := json.Marshal(e)
	if err != nil {
		panic(err) // a response has nothing that JSON has not
	}
	return pbxsim.Reply{Header: http.Header{"Content-Type": {"application/json"}}, Body: body}
}

// page is a response of the web server's.
func page(status int, title string) pbxsim.Reply {
	return pbxsim.Reply{
		Status: status,
		Header: http.Header{"Content-Type": {"text/html"}},
		Body:   []byte("<html>\n<head><title>" + title + "</title></head>\n<body><h1>" + title + "</h1></body>\n</html>\n"),
	}
}
