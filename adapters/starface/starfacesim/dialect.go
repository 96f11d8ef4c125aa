package starfacesim

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"mime"
	"net/http"
	"strings"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// Nonce is the first step of a login, for faults.
const Nonce pbxsim.Action = "nonce"

func (*starface) Action(r *pbxsim.Request) pbxsim.Action {
	switch {
	case !strings.HasPrefix(r.URL.Path, "/rest/"):
		return pbxsim.Web
	case r.URL.Path != "/rest/login":
		return pbxsim.AppRequest
	}
	switch r.Method {
	case http.MethodGet:
		return Nonce
	case http.MethodPost:
		return pbxsim.Login
	case http.MethodDelete:
		return pbxsim.Logout
	}
	return pbxsim.AppRequest
}

func (s *starface) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	switch r.Action {
	case pbxsim.Web:
		if r.URL.Path == "/" && r.Method == http.MethodGet {
			return pbxsim.Reply{Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte(pbxsim.HTMLPage)}
		}
		return pbxsim.Reply{Status: http.StatusNotFound, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html><title>404 Not Found</title></html>")}
	case Nonce: // the vendor's Java client sends no X-Version here
		return respond(http.StatusOK, login{LoginType: s.loginType(), Nonce: s.issue()})
	}
	// The wiki has both headers on every request. What a STARFACE does without
	// them is not documented.
	if r.Header.Get("X-Version") != "2" {
		return s.fail(http.StatusBadRequest, "X-Version is missing")
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return s.fail(http.StatusBadRequest, "Content-Type is missing")
	}
	if r.Action == pbxsim.Login {
		return s.login(a, r)
	}

	// The header is the only place for a token.
	token := r.Header.Get("authToken")
	if r.Action == pbxsim.Logout {
		if a.Logout(token) != pbxsim.OK && s.DeadLogout != http.StatusNoContent {
			return s.fail(s.DeadLogout, "not logged in")
		}
		return pbxsim.Reply{Status: http.StatusNoContent}
	}
	if a.Use(token) != pbxsim.OK {
		return s.fail(http.StatusUnauthorized, "not logged in")
	}
	if own, ok := a.Respond("application/json"); ok {
		return own
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /rest/users/me":
		return respond(http.StatusOK, users[0])
	case "GET /rest/users":
		if s.NotAdministrator != 0 {
			return s.fail(s.NotAdministrator, "administrator rights are required")
		}
		return respond(http.StatusOK, users)
	}
	return s.fail(http.StatusNotFound, "there is no such record")
}

// login is the object that both steps of a login exchange.
type login struct {
	LoginType string  `json:"loginType"`
	Nonce     string  `json:"nonce"`
	Secret    *string `json:"secret"`
}

func (s *starface) loginType() string {
	switch {
	case s.ActiveDirectory && s.EnumNames:
		return "ACTIVE_DIRECTORY"
	case s.ActiveDirectory:
		return "ActiveDirectory"
	case s.EnumNames:
		return "INTERNAL"
	}
	return "Internal"
}

func (s *starface) login(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	var in login
	if json.Unmarshal(r.Body, &in) != nil || in.LoginType != s.loginType() || in.Nonce == "" || in.Secret == nil {
		return s.fail(http.StatusBadRequest, "bad request")
	}
	user, proves, ok := s.read(in)
	if !ok {
		return s.fail(http.StatusBadRequest, "bad request")
	}
	fresh := s.use(in.Nonce)
	token, v := a.Login(user, func(password string) bool { return fresh && proves(password) })
	if v != pbxsim.OK { // the vendor has no words for a lock
		return s.fail(s.WrongLogin, "invalid login")
	}
	return respond(http.StatusOK, map[string]string{"token": token.Value})
}

// read returns whose login it is, and how a password is compared with it.
func (s *starface) read(in login) (user string, proves func(password string) bool, ok bool) {
	if s.ActiveDirectory {
		text, err := base64.StdEncoding.DecodeString(*in.Secret)
		user, given, ok := strings.Cut(string(text), in.Nonce)
		return user, func(password string) bool { return given == password }, ok && err == nil
	}
	at := strings.LastIndexByte(*in.Secret, ':')
	if at < 0 {
		return "", nil, false
	}
	user, digest := (*in.Secret)[:at], (*in.Secret)[at+1:]
	return user, func(password string) bool {
		return digest == hash(user+in.Nonce+hash(password)) // lower case only
	}, true
}

func hash(text string) string {
	sum := sha512.Sum512([]byte(text))
	return hex.EncodeToString(sum[:])
}

// A user has the fields of the OpenAPI file that are not about faxes.
type user struct {
	ID         int    `json:"id"`
	Login      string `json:"login"`
	FirstName  string `json:"firstName"`
	FamilyName string `json:"familyName"`
	Email      string `json:"email"`
	Language   string `json:"language"`
}

var users = []user{
	{ID: 2, Login: "1000", FirstName: "Clara", FamilyName: "Reception", Email: "reception@office.example", Language: "de"},
	{ID: 3, Login: "1001", FirstName: "Jonas", FamilyName: "Sales", Email: "sales@office.example", Language: "default"},
}

func respond(status int, body any) pbxsim.Reply {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // nothing here is unknown to JSON
	}
	return pbxsim.Reply{Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: text}
}

func (s *starface) fail(status int, message string) pbxsim.Reply {
	reply := respond(status, map[string]string{"message": message})
	switch s.Body {
	case TextBody:
		reply.Header, reply.Body = http.Header{"Content-Type": {"text/plain"}}, []byte(message)
	case NoBody:
		reply.Header, reply.Body = http.Header{}, nil
	}
	if status == http.StatusUnauthorized && s.Challenge != "" {
		reply.Header.Set("WWW-Authenticate", s.Challenge)
	}
	return reply
}
