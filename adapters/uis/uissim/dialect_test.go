package uissim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/uis/uissim"
	"github.com/pbxauth/pbx/conformance/golden"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const password = "your_password"

func inMemory(t *testing.T, settings uissim.Options, opts pbxsim.Options, f func(t *testing.T, p *pbxsim.PBX, c client)) {
	t.Helper()
	opts.Accounts = map[string]string{"your_login": password}
	drivertest.InMemory(t, func() *pbxsim.PBX { return uissim.New(&settings, &opts) }, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		f(t, p, client{t, s})
	})
}

type client struct {
	*testing.T
	server *pbxsim.Server
}

// response is one in all its parts.
type response struct {
	Version  string          `json:"jsonrpc"`
	ID       json.RawMessage `json:"id"`
	Metadata any             `json:"metadata"`
	Result   struct {
		Data     json.RawMessage `json:"data"`
		Metadata any             `json:"metadata"`
	} `json:"result"`
	Error struct {
		Code     int `json:"code"`
		Metadata any `json:"metadata"`
		Data     struct {
			Mnemonic string  `json:"mnemonic"`
			Field    *string `json:"field"`
			Value    *string `json:"value"`
			Metadata any     `json:"metadata"`
		} `json:"data"`
	} `json:"error"`
}

func (c client) send(body string) (int, response) {
	c.Helper()
	return c.sendAs("application/json; charset=UTF-8", body)
}

func (c client) sendAs(contentType, body string) (int, response) {
	c.Helper()
	resp, text := drivertest.Send(c.T, c.server, "POST", "/v4.0", body, "Content-Type", contentType)
	var got response
	if err := json.Unmarshal([]byte(text), &got); err != nil || got.Version != "2.0" {
		c.Fatalf("%d %s", resp.StatusCode, text)
	}
	return resp.StatusCode, got
}

func request(method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":"req1","method":%q,"params":%s}`, method, params)
}

func loginAs(user, password string) string {
	return request("login.user", fmt.Sprintf(`{"login":%q,"password":%q}`, user, password))
}

func (c client) login() string {
	c.Helper()
	_, got := c.send(loginAs("your_login", password))
	var data struct {
		Token string `json:"access_token"`
	}
	json.Unmarshal(got.Result.Data, &data)
	if len(data.Token) != 72 {
		c.Fatalf("%+v", got)
	}
	return data.Token
}

// The samples' requests get the samples' responses.
func TestTheSamples(t *testing.T) {
	const token = "2fRN4g217ca0b4224a67988aff3e584f91964a692045415f36fa66146f5a3c1ae1f6093d"
	settings := uissim.Options{NullID: true, Metadata: uissim.NoMetadata}
	inMemory(t, settings, pbxsim.Options{NewToken: func() string { return token }}, func(t *testing.T, p *pbxsim.PBX, c client) {
		for _, name := range []string{"login", "logout", "dead-token", "wrong-password"} {
			x, err := golden.Load("../testdata/golden/" + name + ".http")
			if err != nil {
				t.Fatal(err)
			}
			text := drivertest.Replay(t, c.server, x)
			// The order of fields is not the document's, and the time is not today's.
			var want, got any
			end := fmt.Sprint(time.Now().Add(time.Hour).Unix())
			if json.Unmarshal([]byte(strings.Replace(x.Response.Body, "1475853742", end, 1)), &want) != nil || json.Unmarshal([]byte(text), &got) != nil || fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s: %s, want %s", name, text, x.Response.Body)
			}
		}
	})
}

func TestFailuresHaveTheDocumentsWords(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		code       int
		mnemonic   string
		status     int // with Options.HTTPStatus
	}{
		{"no JSON", "x", -32700, "parse_error", 400},
		{"a batch", "[" + loginAs("your_login", password) + "]", -32600, "invalid_request", 400},
		{"another version", `{"jsonrpc":"1.0","id":1,"method":"list.calls","params":{}}`, -32600, "invalid_request", 400},
		{"no id", `{"jsonrpc":"2.0","method":"list.calls","params":{}}`, -32600, "invalid_request", 400},
		{"no params", `{"jsonrpc":"2.0","id":1,"method":"list.calls"}`, -32600, "invalid_request", 400},
		{"an unknown method", request("nothing", "{}"), -32601, "method_not_found", 400},
		{"no token", request("list.calls", "{}"), -32602, "required_parameter_missed", 400},
		{"a token elsewhere", `{"jsonrpc":"2.0","id":1,"method":"list.calls","params":{},"access_token":"x"}`, -32602, "required_parameter_missed", 400},
		{"an unknown token", request("list.calls", `{"access_token":"x"}`), -32001, "access_token_invalid", 401},
		{"a logout of one", request("logout.user", `{"access_token":"x"}`), -32001, "access_token_invalid", 401},
		{"no login", request("login.user", `{"password":"x"}`), -32602, "required_parameter_missed", 400},
		{"no password", request("login.user", `{"login":"x"}`), -32602, "required_parameter_missed", 400},
		{"a wrong password", loginAs("your_login", "wrong"), -32001, "auth_error", 401},
		{"an unknown user", loginAs("nobody", password), -32001, "auth_error", 401},
	} {
		for _, byStatus := range []bool{false, true} {
			inMemory(t, uissim.Options{HTTPStatus: byStatus}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
				status, got := c.send(tt.body)
				want := 200
				if byStatus {
					want = tt.status
				}
				if got.Error.Code != tt.code || got.Error.Data.Mnemonic != tt.mnemonic || status != want {
					t.Errorf("%s: %d %+v", tt.name, status, got.Error)
				}
				wrong := 0
				if tt.mnemonic == "auth_error" {
					wrong = 1
				}
				if n := p.Counts().WrongLogins; n != wrong {
					t.Errorf("%s: %d wrong logins", tt.name, n)
				}
			})
		}
	}
	inMemory(t, uissim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		if _, got := c.sendAs("text/plain", loginAs("your_login", password)); got.Error.Data.Mnemonic != "invalid_request" {
			t.Errorf("another media type: %+v", got)
		}
		for target, want := range map[string]int{"/v4.0": 405, "/": 200, "/v3.0": 404} {
			if resp, _ := drivertest.Send(t, c.server, "GET", target, ""); resp.StatusCode != want {
				t.Errorf("GET %s: %d", target, resp.StatusCode)
			}
		}
	})
}

// The document: an error's value is what was sent, unchanged.
func TestAnErrorGivesBackWhatWasSent(t *testing.T) {
	inMemory(t, uissim.Options{}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		_, got := c.send(loginAs("your_login", "wr<o>ng"))
		if v := got.Error.Data.Value; v == nil || *v != "wr<o>ng" {
			t.Errorf("%+v", got.Error.Data)
		}
		_, got = c.send(request("list.calls", `{"access_token":"x"}`))
		if v := got.Error.Data.Value; v == nil || *v != "x" {
			t.Errorf("%+v", got.Error.Data)
		}
	})
}

func TestATokenIsValidForAnHour(t *testing.T) {
	for _, mnemonic := range []string{"", "access_token_expired", "access_token_blocked"} {
		inMemory(t, uissim.Options{DeadToken: mnemonic}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
			use := request("list.calls", `{"access_token":"`+c.login()+`"}`)
			time.Sleep(time.Hour - time.Nanosecond)
			if _, got := c.send(use); got.Error.Code != 0 || !strings.Contains(string(got.Result.Data), `"1000"`) {
				t.Errorf("a live token: %+v", got)
			}
			time.Sleep(time.Nanosecond)
			want := mnemonic
			if want == "" {
				want = "access_token_invalid"
			}
			if _, got := c.send(use); got.Error.Data.Mnemonic != want {
				t.Errorf("after an hour: %+v", got)
			}
			token := c.login()
			if _, got := c.send(request("logout.user", `{"access_token":"`+token+`"}`)); string(got.Result.Data) != `{"success":true}` || len(p.Tokens("your_login")) != 0 {
				t.Errorf("a logout: %+v", got)
			}
		})
	}
}

func TestExpireAtHasTheSpellingOfTheOptions(t *testing.T) {
	for spelling, want := range map[uissim.Spelling]string{uissim.AsNumber: "946688400", uissim.AsString: `"946688400"`, uissim.AsFloat: "946688400.5"} {
		inMemory(t, uissim.Options{ExpireAt: spelling}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
			time.Sleep(500 * time.Millisecond)
			_, got := c.send(loginAs("your_login", password))
			if !strings.Contains(string(got.Result.Data), `"expire_at":`+want+"}") {
				t.Errorf("%q: %s", spelling, got.Result.Data)
			}
		})
	}
}

func TestPointsAndTheirMetadata(t *testing.T) {
	for _, place := range []uissim.MetadataPlace{uissim.InErrorData, uissim.InError, uissim.InEnvelope, uissim.NoMetadata} {
		inMemory(t, uissim.Options{MinuteLimit: 2, Metadata: place, NullID: true}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
			use := request("list.calls", `{"access_token":"`+c.login()+`"}`)
			for range 2 {
				_, got := c.send(use)
				if got.Error.Code != 0 || (got.Result.Metadata == nil) != (place == uissim.NoMetadata) || string(got.ID) != `"req1"` {
					t.Errorf("%q: %+v", place, got)
				}
			}
			_, got := c.send(use)
			if got.Error.Data.Mnemonic != "limit_exceeded" || string(got.ID) != "null" {
				t.Errorf("%q: %+v", place, got)
			}
			if (got.Error.Data.Metadata != nil) != (place == uissim.InErrorData) || (got.Error.Metadata != nil) != (place == uissim.InError) || (got.Metadata != nil) != (place == uissim.InEnvelope) {
				t.Errorf("%q: %+v", place, got)
			}
			if _, got := c.send(request("list.calls", `{"access_token":"x"}`)); got.Error.Data.Metadata != nil || got.Error.Metadata != nil || got.Metadata != nil {
				t.Errorf("%q: a failure of authentication has metadata: %+v", place, got)
			}
			time.Sleep(time.Minute)
			if _, got := c.send(use); got.Error.Code != 0 {
				t.Errorf("%q: in the next minute: %+v", place, got)
			}
		})
	}
	inMemory(t, uissim.Options{Disabled: true}, pbxsim.Options{}, func(t *testing.T, p *pbxsim.PBX, c client) {
		token := c.login()
		if _, got := c.send(request("list.calls", `{"access_token":"`+token+`"}`)); got.Error.Data.Mnemonic != "component_disabled" {
			t.Errorf("%+v", got)
		}
		if _, got := c.send(request("list.talk_options", `{"access_token":"`+token+`"}`)); got.Error.Code != 0 {
			t.Errorf("%+v", got)
		}
	})
}
