package yeastar_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

func TestATokenIsPutIntoTheQuery(t *testing.T) {
	const plain, awkward = "48a7d7481a5355aa4fb5dc285edeb40e", "a+b/c=&token=x#%2"
	tests := []struct{ query, token, want string }{
		{"", plain, "token=" + plain},
		{"type=json", plain, "type=json&token=" + plain},
		{"b=2&a=1", plain, "b=2&a=1&token=" + plain}, // the order is the caller's
		{"name=A%20B&to=%2B49+30", plain, "name=A%20B&to=%2B49+30&token=" + plain},
		{"flag&empty=", plain, "flag&empty=&token=" + plain},
		{"a=1;b=2&c=%zz&%zz=d", plain, "a=1;b=2&c=%zz&%zz=d&token=" + plain}, // not ours to change
		{"&a=1&&", plain, "a=1&token=" + plain},

		// An old one goes, wherever it is and however it is spelled.
		{"token=old", plain, "token=" + plain},
		{"token=old&a=1&token=older", plain, "a=1&token=" + plain},
		{"a=1&%74oken=old", plain, "a=1&token=" + plain},
		{"token", plain, "token=" + plain},

		// What only looks like one stays.
		{"Token=a&tokens=b&xtoken=c&q=token=d", plain, "Token=a&tokens=b&xtoken=c&q=token=d&token=" + plain},

		{"a=1", awkward, "a=1&token=a%2Bb%2Fc%3D%26token%3Dx%23%252"},
	}
	driver := on(t, drivertest.Unsent{T: t})
	for _, tt := range tests {
		r, err := http.NewRequest("POST", "https://pbx.example.com:8088/api/v1.1.0/cdr/download?"+tt.query, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		if err := driver.Authorize(r, &pbx.Token{Value: pbx.NewSecret(tt.token)}); err != nil {
			t.Error(err)
		}
		if r.URL.RawQuery != tt.want {
			t.Errorf("%q became %q, want %q", tt.query, r.URL.RawQuery, tt.want)
		}
		if got := r.URL.Query()["token"]; len(got) != 1 || got[0] != tt.token {
			t.Errorf("%q: the PBX would read %q, want %q", r.URL.RawQuery, got, tt.token)
		}
		if len(r.Header) != 0 {
			t.Errorf("%q: headers were set: %v", tt.query, r.Header)
		}
	}
}

// inspect shows the driver an application's answer.
func inspect(driver *yeastar.PBX, status int, body string) error {
	return driver.Inspect(&http.Response{StatusCode: status, Header: http.Header{}}, []byte(body), new(pbx.Token))
}

func TestResponsesThatSayNothingAboutTheToken(t *testing.T) {
	const list = `{"status":"Success","extlist":[{"number":"1000","status":"Registered"},{"number":"1001","status":"Failed","errno":"20004"}]}`
	wav := "RIFF\x24\x08\x00\x00WAVEfmt \x10\x00\x00\x00" + strings.Repeat("\x00\xff", 512)
	for name, body := range map[string]string{
		"nothing":            "",
		"success":            `{"status":"Success"}`,
		"list":               list,
		"beginning of list":  list[:len(list)/2],
		"beginning of this":  list[:12],
		"array":              `[{"status":"Failed","errno":"20004"}]`,
		"nested":             `{"calls":[],"result":{"status":"Failed","errno":"20004"}}`,
		"recording":          wav,
		"table":              "id,status,errno\n1,Failed,20004\n",
		"web page":           pbxsim.HTMLPage,
		"text that quotes":   `the PBX said {"status":"Failed","errno":"20004"}`,
		"status of a number": `{"status":20004}`,
		"errno alone":        `{"errno":"20004"}`,
	} {
		if err := inspect(on(t, drivertest.Unsent{T: t}), 200, body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestResponsesThatRefuse(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		kind   error
		code   string
	}{
		{"no such token", 200, `{"status":"Failed","errno":"20004"}`, pbx.ErrTokenRejected, "20004"},
		{"blank token", 200, `{"status":"Failed","errno":"20005"}`, pbx.ErrTokenRejected, "20005"},
		{"token timed out", 200, `{"status":"Failed","errno":"20006"}`, pbx.ErrTokenRejected, "20006"},
		{"with blanks", 200, "\r\n{\n    \"status\": \"Failed\",\n    \"errno\": \"20006\"\n}\n", pbx.ErrTokenRejected, "20006"},
		{"with more, of any type", 200, `{"token":[],"status":"Failed","errno":20006,"data":{"token":1}}`, pbx.ErrTokenRejected, "20006"},
		{"a parameter is blank", 200, `{"status":"Failed","errno":"10004"}`, pbx.ErrProtocol, "10004"},
		{"no such extension", 200, `{"status":"Failed","errno":"10006"}`, nil, "10006"},
		{"IP not allowed", 200, `{"status":"Failed","errno":"20015"}`, pbx.ErrForbidden, "20015"},
		{"HTTP 401", 401, "", pbx.ErrConfig, ""},
		{"HTTP 401, an envelope", 401, `{"status":"Failed","errno":"20006"}`, pbx.ErrTokenRejected, "20006"},
		{"HTTP 500, an envelope", 500, "\ufeff{\"status\":\"Failed\",\"errno\":20004}\x00", pbx.ErrTokenRejected, "20004"},
		{"HTTP 403", 403, pbxsim.HTMLPage, pbx.ErrConfig, ""},
		{"HTTP 404", 404, pbxsim.HTMLPage, pbx.ErrProtocol, ""},
		{"HTTP 503", 503, `{"status":"Success"}`, pbx.ErrUnavailable, ""},
	}
	for _, tt := range tests {
		got := failure(t, inspect(on(t, drivertest.Unsent{T: t}), tt.status, tt.body))
		if got.Op != pbx.OpRequest || got.Kind != tt.kind || got.Code != tt.code || got.HTTPStatus != tt.status {
			t.Errorf("%s: %#v, want a call's kind %v, code %q, status %d", tt.name, got, tt.kind, tt.code, tt.status)
		}
	}
}
