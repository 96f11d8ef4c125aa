package yeastarpsim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const (
	good    = `{"username":"id","password":"secret"}`
	bad     = `{"username":"id","password":"guess"}`
	success = `{"errcode":0,"errmsg":"SUCCESS"}`

	// Printed by the vendor.
	wrongCredentials = `{"errcode":-1,"errmsg":"FAILURE","invalid_param_list":[{"field":"username or password","value":"error"}]}`
)

func failed(errcode int) string { return fmt.Sprintf(`{"errcode":%d,"errmsg":"FAILURE"}`, errcode) }

// desk is a caller at a P-Series PBX in virtual time.
type desk struct {
	*pbxsim.PBX
	t *testing.T
	s *pbxsim.Server
}

func atDesk(t *testing.T, d yeastarpsim.Options, opts pbxsim.Options, f func(d desk)) {
	t.Helper()
	opts.Accounts = map[string]string{"id": "secret"}
	drivertest.InMemory(t, func() *pbxsim.PBX { return yeastarpsim.New(&d, &opts) }, func(t *testing.T, p *pbxsim.PBX, s *pbxsim.Server) {
		f(desk{p, t, s})
	})
}

func (d desk) ask(method, path, body string) (*http.Response, string) {
	d.t.Helper()
	return drivertest.Send(d.t, d.s, method, path, body)
}

func (d desk) want(method, path, body, want string) {
	d.t.Helper()
	if resp, got := d.ask(method, "/openapi/v1.0/"+path, body); got != want || resp.StatusCode != 200 || !resp.Close {
		d.t.Errorf("%s %s %s: HTTP %d, %s, closed %v; want HTTP 200 as always, %s, and an end", method, path, body, resp.StatusCode, got, resp.Close, want)
	}
}

type pair struct {
	Access          string `json:"access_token"`
	Refresh         string `json:"refresh_token"`
	AccessLifetime  int    `json:"access_token_expire_time"`
	RefreshLifetime int    `json:"refresh_token_expire_time"`
}

func (d desk) pair(path, body string) pair {
	d.t.Helper()
	_, answer := d.ask("POST", "/openapi/v1.0/"+path, body)
	var p pair
	if json.Unmarshal([]byte(answer), &p); p.Access == "" || p.Refresh == "" {
		d.t.Fatalf("%s: %s, want a pair", path, answer)
	}
	return p
}

// The answer to the byte, but for the tokens and the line breaks.
func TestGetTokenRespondsAsPrinted(t *testing.T) {
	tokens := []string{"EXZMpZAO86mbrKm6rFtgeb3rfcpC9uqS", "SCduGecwbG9jIusiS8FxFUVn3kf0Q9R8"}
	opts := pbxsim.Options{NewToken: func() string {
		next := tokens[0]
		tokens = tokens[1:]
		return next
	}}
	atDesk(t, yeastarpsim.Options{}, opts, func(d desk) {
		d.want("POST", "get_token", good, `{"errcode":0,"errmsg":"SUCCESS","access_token_expire_time":1800,"access_token":"EXZMpZAO86mbrKm6rFtgeb3rfcpC9uqS","refresh_token_expire_time":86400,"refresh_token":"SCduGecwbG9jIusiS8FxFUVn3kf0Q9R8"}`)
	})
}

func TestLifetimesAreTheOptions(t *testing.T) {
	atDesk(t, yeastarpsim.Options{}, pbxsim.Options{Lifetime: 3 * time.Second, RefreshLifetime: time.Minute}, func(d desk) {
		got := d.pair("get_token", good)
		if got.AccessLifetime != 3 || got.RefreshLifetime != 60 {
			t.Errorf("%+v", got)
		}
		time.Sleep(3 * time.Second)
		d.want("GET", "system/information?access_token="+got.Access, "", failed(10004))
		d.pair("refresh_token", `{"refresh_token":"`+got.Refresh+`"}`)
	})
}

func TestWhatALoginIsRefusedFor(t *testing.T) {
	for body, want := range map[string]string{
		bad:                                     wrongCredentials,
		`{"username":"ID","password":"secret"}`: wrongCredentials,
		`{"username":"id"}`:                     failed(40002),
		`{"Username":"id","password":"secret"}`: failed(40002),
		`{"username":1,"password":"secret"}`:    failed(40001),
		"username=id&password=secret":           failed(40001),
		"":                                      failed(40001),
	} {
		atDesk(t, yeastarpsim.Options{}, pbxsim.Options{}, func(d desk) {
			d.want("POST", "get_token", body, want)
			d.want("GET", "get_token", good, failed(10001))
			if d.Tokens("id") != nil {
				t.Errorf("%s brought a token", body)
			}
		})
	}
}

func TestTheNinthTokenFails(t *testing.T) {
	atDesk(t, yeastarpsim.Options{}, pbxsim.Options{}, func(d desk) {
		var last pair
		for range 8 {
			last = d.pair("get_token", good)
		}
		d.want("POST", "get_token", good, failed(60002))
		d.want("GET", "del_token?access_token="+last.Access, "", success)
		d.pair("get_token", good)
		d.want("POST", "get_token", good, failed(60002))
		time.Sleep(30 * time.Minute)
		d.pair("get_token", good)
	})
}

func TestARefreshTradesThePairOnce(t *testing.T) {
	atDesk(t, yeastarpsim.Options{}, pbxsim.Options{}, func(d desk) {
		first := d.pair("get_token", good)
		second := d.pair("refresh_token", `{"refresh_token":"`+first.Refresh+`"}`)
		d.want("GET", "system/information?access_token="+second.Access, "", success)
		d.want("GET", "system/information?access_token="+first.Access, "", failed(10004))
		d.want("POST", "refresh_token", `{"refresh_token":"`+first.Refresh+`"}`, failed(10004))
		d.want("POST", "refresh_token", `{"refreshtoken":"`+second.Refresh+`"}`, failed(40002))
	})
	atDesk(t, yeastarpsim.Options{RefreshErrcode: -1}, pbxsim.Options{}, func(d desk) {
		d.want("POST", "refresh_token", `{"refresh_token":"x"}`, failed(-1))
	})
}

func TestTokensAreInTheQueryOnly(t *testing.T) {
	atDesk(t, yeastarpsim.Options{}, pbxsim.Options{}, func(d desk) {
		token := d.pair("get_token", good).Access
		d.want("POST", "extension/update", `{"access_token":"`+token+`"}`, failed(10004))
		d.want("GET", "system/information?token="+token, "", failed(10004))
		d.want("GET", "system/information?access_token="+token, "", success)
		d.want("GET", "extension/delete?access_token="+token, "", failed(10001))
		time.Sleep(30*time.Minute - time.Second) // calls do not prolong it
		d.want("GET", "system/information?access_token="+token, "", success)
		time.Sleep(time.Second)
		d.want("GET", "system/information?access_token="+token, "", failed(10004))
	})
}

func TestARevocationOfADeadToken(t *testing.T) {
	for forgives, want := range map[bool]string{false: failed(10004), true: success} {
		atDesk(t, yeastarpsim.Options{LogoutForgives: forgives}, pbxsim.Options{}, func(d desk) {
			path := "del_token?access_token=" + d.pair("get_token", good).Access
			d.want("GET", path, "", success)
			d.want("GET", path, "", want)
			d.want("POST", path, "", failed(10001))
		})
	}
}

func TestTheFifthWrongLoginBlocksTheClient(t *testing.T) {
	for _, silent := range []bool{false, true} {
		atDesk(t, yeastarpsim.Options{NoBlockTime: silent}, pbxsim.Options{}, func(d desk) {
			for range 5 {
				d.want("POST", "get_token", bad, wrongCredentials)
			}
			_, got := d.ask("POST", "/openapi/v1.0/get_token", good)
			want := map[string]any{"errcode": 70004.0, "errmsg": "FAILURE"}
			if !silent {
				want["block_expire_time"] = float64(time.Now().Add(10 * time.Minute).Unix())
			}
			var fields map[string]any
			json.Unmarshal([]byte(got), &fields)
			if diff := cmp.Diff(want, fields); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			time.Sleep(10 * time.Minute)
			d.pair("get_token", good)
		})
	}
}

func TestWhatIsNotThere(t *testing.T) {
	atDesk(t, yeastarpsim.Options{}, pbxsim.Options{}, func(d desk) {
		if _, got := d.ask("POST", "/openapi/v2.0/get_token", good); got != failed(10003) {
			t.Errorf("another version: %s, want %s", got, failed(10003))
		}
		if resp, _ := d.ask("POST", "/api/v1.1.0/login", good); resp.StatusCode != 404 {
			t.Errorf("another family's path: HTTP %d", resp.StatusCode)
		}
		req, _ := http.NewRequest("POST", d.s.URL+"/openapi/v1.0/get_token", strings.NewReader(good))
		req.Header["User-Agent"] = []string{""} // or net/http sends its own
		resp, err := d.s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got, _ := io.ReadAll(resp.Body); string(got) != failed(10005) {
			t.Errorf("without a User-Agent: %s, want %s", got, failed(10005))
		}
	})
}
