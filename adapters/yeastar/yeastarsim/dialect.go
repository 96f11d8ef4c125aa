package yeastarsim

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// New returns an S-Series PBX.
func New(opts *pbxsim.Options) *pbxsim.PBX {
	return pbxsim.New(Dialect{}, opts)
}

// Dialect is the wire format. Its zero value is the one that the vendor's pages
// document; the fields are for [pbxsim.New], where the pages contradict each
// other, say nothing, or are known to be wrong.
type Dialect struct {
	// Family is one of [SV1], [SV2], [CloudV1] and [CloudV2]; empty: SV1.
	Family string

	// Version is the path's version segment where it is not the family's:
	// v1.0.0 and v1.0.1 of old firmware, v1.10 of one page's endpoint.
	Version string

	// FailingStatus is the word for "status" in a failing answer: "Failed" if
	// empty. The guides of 2017 have "Failure".
	FailingStatus string

	// NumericErrno writes errno as a number. Every printed sample has a string.
	NumericErrno bool

	// WrongLoginErrno answers a wrong login. 0 means 20003, as the table of
	// errors has it; the login page's own sample of a failure shows 30003.
	WrongLoginErrno int

	// HeartbeatInsists makes a heartbeat without ipaddr and port fail with errno
	// 10004. The English pages require both, the Chinese page of 2017 does not,
	// and the official sample leaves them out.
	HeartbeatInsists bool

	// LogoutForgives answers a logout of a dead token with Success. What the
	// PBX answers is not documented; without LogoutForgives it is the errno of
	// the token.
	LogoutForgives bool

	// VersionErrno answers a path with an unknown version with errno 10003, "no
	// such request". What the PBX answers is not documented; without
	// VersionErrno it is HTTP 404.
	VersionErrno bool

	// CallsSlide makes every call prolong a token, which of API v2 and of the
	// Cloud PBX is not documented. The S-Series with API v1 always does it.
	CallsSlide bool

	// NoRefreshToken leaves the refreshtoken out of a login's answer. Of the
	// Cloud PBX with API v2 that answer is not printed.
	NoRefreshToken bool

	// RefreshErrno answers a dead refreshtoken. What the PBX answers is not
	// documented; 0 means the errno of a dead token.
	RefreshErrno int

	// ReportsOverTCP is the PBX's report method with API v2. A login needs no
	// port then.
	ReportsOverTCP bool

	// KeepConnections leaves connections open. The vendor's samples close every
	// one.
	KeepConnections bool
}

func (Dialect) Name() string { return "yeastar" }

func (d Dialect) Defaults() pbxsim.Defaults {
	defaults := d.family().defaults
	if d.CallsSlide {
		defaults.Sliding = true
	}
	if d.NoRefreshToken {
		defaults.RefreshLife = 0
	}
	return defaults
}

// family returns the data of d's, which panics where there is none: a test
// misspelt it.
func (d Dialect) family() family {
	name := d.Family
	if name == "" {
		name = SV1
	}
	f, ok := families[name]
	if !ok {
		panic("yeastarsim: no family " + name)
	}
	if d.Version != "" {
		f.version = d.Version
	}
	return f
}

// NewToken returns 32 hex characters, as in every printed sample.
func (Dialect) NewToken() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (Dialect) Action(r *pbxsim.Request) pbxsim.Action {
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		return pbxsim.Web
	}
	if r.Method != http.MethodPost { // errno 20001, whatever the name
		return pbxsim.Call
	}
	switch _, name := split(r.URL.Path); name {
	case "login":
		return pbxsim.Login
	case "heartbeat", "token/refresh":
		return pbxsim.KeepAlive
	case "logout":
		return pbxsim.Logout
	}
	return pbxsim.Call
}

func (d Dialect) Serve(p *pbxsim.PBX, r *pbxsim.Request) pbxsim.Reply {
	f := d.family()
	version, name := split(r.URL.Path)
	if r.Action == pbxsim.Web && r.URL.Path == "/" && r.Method == http.MethodGet {
		return d.reply(http.StatusOK, "text/html", []byte(pbxsim.HTMLPage))
	}
	if name == "" || version != f.version {
		if d.VersionErrno && r.Action != pbxsim.Web {
			return d.fail(noSuchRequest)
		}
		return d.reply(http.StatusNotFound, "text/html",
			[]byte("<HTML><HEAD><TITLE>404 Not Found</TITLE></HEAD>\n<BODY><H1>404 Not Found</H1></BODY></HTML>\n"))
	}
	if r.Method != http.MethodPost {
		return d.fail(notPOST)
	}
	if r.Action == pbxsim.Login {
		return d.login(p, r)
	}
	if name == "token/refresh" && f.refresh {
		return d.refresh(p, r)
	}

	// The query is the only place for a token: one in the body is not seen.
	token := r.URL.Query().Get("token")
	if token == "" {
		return d.fail(tokenBlank)
	}
	switch r.Action {
	case pbxsim.KeepAlive:
		if name != "heartbeat" || !f.heartbeat {
			return d.fail(noSuchRequest)
		}
		return d.heartbeat(p, r, token)
	case pbxsim.Logout:
		v := p.Logout(r, token)
		if v != pbxsim.OK && !d.LogoutForgives {
			return d.fail(errnos[v])
		}
		return d.succeed(answer{})
	}
	if v := p.Use(r, token); v != pbxsim.OK {
		return d.fail(errnos[v])
	}
	if name == "deviceinfo/query" {
		return d.succeed(answer{DeviceInfo: device()})
	}
	return d.succeed(answer{})
}

func (d Dialect) login(p *pbxsim.PBX, r *pbxsim.Request) pbxsim.Reply {
	f := d.family()
	required := []string{"username", "password"}
	if f.port || f.transport && !d.ReportsOverTCP {
		required = append(required, "port")
	}
	params, errno := d.parameters(r.Body, required...)
	if errno != 0 {
		return d.fail(errno)
	}
	digest := params["password"]
	token, v := p.Login(r, params["username"], func(password string) bool {
		sum := md5.Sum([]byte(password))
		return digest == hex.EncodeToString(sum[:]) // lower case only
	})
	switch {
	case v == pbxsim.WrongPassword && d.WrongLoginErrno != 0:
		return d.fail(d.WrongLoginErrno)
	case v != pbxsim.OK:
		return d.fail(errnos[v])
	}
	a := answer{Token: token.Value, RefreshToken: token.Refresh}
	switch {
	case f.transport && d.ReportsOverTCP:
		a.Transport = "TCP"
	case f.transport:
		a.Transport = "HTTP"
	}
	return d.succeed(a)
}

// refresh trades the latest refreshtoken for another pair.
func (d Dialect) refresh(p *pbxsim.PBX, r *pbxsim.Request) pbxsim.Reply {
	params, errno := d.parameters(r.Body, "refreshtoken")
	if errno != 0 {
		return d.fail(errno)
	}
	token, v := p.Refresh(r, params["refreshtoken"])
	switch {
	case v != pbxsim.OK && d.RefreshErrno != 0:
		return d.fail(d.RefreshErrno)
	case v != pbxsim.OK:
		return d.fail(errnos[v])
	}
	return d.succeed(answer{Token: token.Value, RefreshToken: token.Refresh})
}

// heartbeat prolongs a token. In the field "{}" and no body at all work.
func (d Dialect) heartbeat(p *pbxsim.PBX, r *pbxsim.Request, token string) pbxsim.Reply {
	var required []string
	if d.HeartbeatInsists {
		required = []string{"ipaddr", "port"}
	}
	if len(r.Body) > 0 || d.HeartbeatInsists {
		if _, errno := d.parameters(r.Body, required...); errno != 0 {
			return d.fail(errno)
		}
	}
	if v := p.KeepAlive(r, token); v != pbxsim.OK {
		return d.fail(errnos[v])
	}
	return d.succeed(answer{})
}

// split takes /api/{version}/{name} apart.
func split(path string) (version, name string) {
	rest, ok := strings.CutPrefix(path, "/api/")
	if !ok {
		return "", ""
	}
	version, name, _ = strings.Cut(rest, "/")
	return version, name
}

// parameters reads the fields of a request, which are strings all, and of which
// some are required. Names are compared exactly. A port may be a number with API
// v2, as in the sample of its heartbeat.
func (d Dialect) parameters(body []byte, required ...string) (params map[string]string, errno int) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return nil, notJSON
	}
	params = map[string]string{}
	for name, raw := range fields {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			if name != "port" || d.family().port || json.Unmarshal(raw, new(json.Number)) != nil {
				return nil, notJSON
			}
			text = string(raw)
		}
		params[name] = text
	}
	for _, name := range required {
		if params[name] == "" {
			return nil, parameterBlank
		}
	}
	if port, ok := params["port"]; ok && !validPort(port) {
		return nil, wrongPort
	}
	return params, 0
}

// validPort tells whether s is in 1..65535. The pages have "0 ~ 65536" and
// "0<port<65536"; both agree on this much.
func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// An answer is the body of every answer, fields in the order of the samples.
type answer struct {
	Status       string      `json:"status"`
	Errno        any         `json:"errno,omitempty"`
	Token        string      `json:"token,omitempty"`
	RefreshToken string      `json:"refreshtoken,omitempty"`
	Transport    string      `json:"transport,omitempty"`
	DeviceInfo   *deviceInfo `json:"deviceinfo,omitempty"`
}

type deviceInfo struct {
	DeviceName      string `json:"devicename"`
	SN              string `json:"sn"`
	HardwareVer     string `json:"hardwarever"`
	FirmwareVer     string `json:"firmwarever"`
	SystemTime      string `json:"systemtime"`
	Uptime          string `json:"uptime"`
	ExtensionStatus string `json:"extensionstatus"`
}

func device() *deviceInfo {
	return &deviceInfo{
		DeviceName:      "S50",
		SN:              "3631A2100042",
		HardwareVer:     "V1.10 0000-0000",
		FirmwareVer:     "30.15.0.60",
		SystemTime:      time.Now().UTC().Format("2006-01-02 15:04:05"),
		Uptime:          "12 days 03:41:07",
		ExtensionStatus: "Registered",
	}
}

func (d Dialect) succeed(a answer) pbxsim.Reply {
	a.Status = "Success"
	return d.json(a)
}

func (d Dialect) fail(errno int) pbxsim.Reply {
	a := answer{Status: "Failed", Errno: strconv.Itoa(errno)}
	if d.FailingStatus != "" {
		a.Status = d.FailingStatus
	}
	if d.NumericErrno {
		a.Errno = errno
	}
	return d.json(a)
}

// json answers HTTP 200, which failures have too.
func (d Dialect) json(a answer) pbxsim.Reply {
	body, err := json.Marshal(a)
	if err != nil {
		panic(err) // an answer has nothing that JSON has not
	}
	return d.reply(http.StatusOK, "application/json", body)
}

func (d Dialect) reply(status int, contentType string, body []byte) pbxsim.Reply {
	header := http.Header{
		"Server":       {"Boa/0.94.14rc21"},
		"Content-Type": {contentType},
	}
	if !d.KeepConnections {
		header.Set("Connection", "close")
	}
	return pbxsim.Reply{Status: status, Header: header, Body: body}
}
