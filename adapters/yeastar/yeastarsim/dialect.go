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

// dialect is the wire format.
type dialect struct {
	Options
	lists map[string]Extensions
}

func (dialect) Name() string { return "yeastar" }

func (d dialect) Defaults() pbxsim.Defaults {
	defaults := d.family().defaults
	if d.CallsSlide {
		defaults.Sliding = true
	}
	if d.NoRefreshToken {
		defaults.RefreshLifetime = 0
	}
	return defaults
}

// family returns the data of d's, which panics where there is none: a test
// misspelt it.
func (d dialect) family() family {
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
	if name == SV2 && d.RefreshTokenOfK2 {
		f.refresh, f.defaults.RefreshLifetime = true, refreshLifetime
	}
	return f
}

// NewToken returns 32 hex characters, as in every printed sample.
func (dialect) NewToken() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func (dialect) Action(r *pbxsim.Request) pbxsim.Action {
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		return pbxsim.Web
	}
	if r.Method != http.MethodPost { // errno 20001, whatever the name
		return pbxsim.AppRequest
	}
	switch _, name := split(r.URL.Path); name {
	case "login":
		return pbxsim.Login
	case "heartbeat", "token/refresh":
		return pbxsim.KeepAlive
	case "logout":
		return pbxsim.Logout
	}
	return pbxsim.AppRequest
}

func (d dialect) Serve(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
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
		return d.login(a, r)
	}
	if name == "token/refresh" && f.refresh {
		return d.refresh(a, r)
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
		return d.heartbeat(a, r, token)
	case pbxsim.Logout:
		v := a.Logout(token)
		if v == pbxsim.Locked || v != pbxsim.OK && !d.LogoutForgives {
			return d.fail(errnos[v])
		}
		return d.succeed(answer{})
	}
	if v := a.Use(token); v != pbxsim.OK {
		return d.fail(errnos[v])
	}
	if reply, ok := a.Respond("application/json"); ok {
		return d.finish(reply)
	}
	if name == "deviceinfo/query" {
		return d.succeed(answer{DeviceInfo: device()})
	}
	if list, ok := d.lists[name]; ok {
		return d.succeed(answer{Extensions: list})
	}
	return d.fail(noSuchRequest)
}

func (d dialect) login(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
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
	token, v := a.Login(params["username"], func(password string) bool {
		sum := md5.Sum([]byte(password))
		return digest == hex.EncodeToString(sum[:]) // lower case only
	})
	switch {
	case v == pbxsim.WrongPassword && d.WrongLoginErrno != 0:
		return d.fail(d.WrongLoginErrno)
	case v != pbxsim.OK:
		return d.fail(errnos[v])
	}
	response := answer{Token: token.Value, RefreshToken: token.Refresh}
	switch {
	case f.transport && d.ReportsOverTCP:
		response.Transport = "TCP"
	case f.transport:
		response.Transport = "HTTP"
	}
	return d.succeed(response)
}

// refresh trades the latest refreshtoken for another pair.
func (d dialect) refresh(a *pbxsim.Accounts, r *pbxsim.Request) pbxsim.Reply {
	params, errno := d.parameters(r.Body, "refreshtoken")
	if errno != 0 {
		return d.fail(errno)
	}
	token, v := a.Refresh(params["refreshtoken"])
	switch {
	case v != pbxsim.OK && d.RefreshErrno != 0:
		return d.fail(d.RefreshErrno)
	case v != pbxsim.OK:
		return d.fail(errnos[v])
	}
	return d.succeed(answer{Token: token.Value, RefreshToken: token.Refresh})
}

// heartbeat prolongs a token. In the field "{}" and no body at all work.
func (d dialect) heartbeat(a *pbxsim.Accounts, r *pbxsim.Request, token string) pbxsim.Reply {
	var required []string
	if d.HeartbeatInsists {
		required = []string{"ipaddr", "port"}
	}
	if len(r.Body) > 0 || d.HeartbeatInsists {
		if _, errno := d.parameters(r.Body, required...); errno != 0 {
			return d.fail(errno)
		}
	}
	if v := a.KeepAlive(token); v != pbxsim.OK {
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
func (d dialect) parameters(body []byte, required ...string) (params map[string]string, errno int) {
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

// validPort reports whether s is in 1..65535. The pages have "0 ~ 65536" and
// "0<port<65536"; both agree on this much.
func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// An answer is the body of every response, fields in the order of the samples.
type answer struct {
	Status       string      `json:"status"`
	Errno        any         `json:"errno,omitempty"`
	Token        string      `json:"token,omitempty"`
	RefreshToken string      `json:"refreshtoken,omitempty"`
	Transport    string      `json:"transport,omitempty"`
	DeviceInfo   *deviceInfo `json:"deviceinfo,omitempty"`
	Extensions
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

func (d dialect) succeed(a answer) pbxsim.Reply {
	a.Status = "Success"
	return d.json(a)
}

func (d dialect) fail(errno int) pbxsim.Reply {
	a := answer{Status: "Failed", Errno: strconv.Itoa(errno)}
	if d.FailingStatus != "" {
		a.Status = d.FailingStatus
	}
	if d.NumericErrno {
		a.Errno = errno
	}
	return d.json(a)
}

// json responds with HTTP 200, which failures have too.
func (d dialect) json(a answer) pbxsim.Reply {
	body, err := json.Marshal(a)
	if err != nil {
		panic(err) // a response has nothing that JSON has not
	}
	return d.reply(http.StatusOK, "application/json", body)
}

func (d dialect) reply(status int, contentType string, body []byte) pbxsim.Reply {
	return d.finish(pbxsim.Reply{Status: status, Header: http.Header{"Content-Type": {contentType}}, Body: body})
}

// finish adds the headers that every response has.
func (d dialect) finish(r pbxsim.Reply) pbxsim.Reply {
	r.Header.Set("Server", "Boa/0.94.14rc21")
	if !d.KeepConnections {
		r.Header.Set("Connection", "close")
	}
	return r
}
