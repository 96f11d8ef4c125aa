package yeastar_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastar"
)

// errnos is the vendor's table (help.yeastar.com, s-series-developer, Error
// Code), as far as it concerns logins and tokens, with some codes beyond it.
var errnos = []struct {
	code string
	kind error
}{
	{"10002", pbx.ErrProtocol},           // XML is not supported
	{"10003", pbx.ErrProtocol},           // no such request
	{"10004", pbx.ErrProtocol},           // a required parameter is blank
	{"20000", pbx.ErrProtocol},           // not JSON
	{"20001", pbx.ErrProtocol},           // not a POST
	{"20002", pbx.ErrLocked},             // login failed, locked out
	{"20003", pbx.ErrInvalidCredentials}, // wrong user name or password
	{"20004", pbx.ErrTokenRejected},      // no such token
	{"20005", pbx.ErrTokenRejected},      // token blank
	{"20006", pbx.ErrTokenRejected},      // token timed out
	{"20007", pbx.ErrProtocol},           // data blank
	{"20008", pbx.ErrConfig},             // wrong port
	{"20009", pbx.ErrProtocol},           // request blank
	{"20010", pbx.ErrUnavailable},        // not handed to the API process
	{"20011", nil},                       // heartbeat failed: the token may still live
	{"20015", pbx.ErrForbidden},          // the caller's IP is not allowed
	{"30001", pbx.ErrUnavailable},        // internal allocation failed
	{"30003", pbx.ErrUnavailable},        // the API process is not running

	// In the table, and no concern of a login: an extension's password.
	{"10032", nil},
	// In the table of another family, where they mean other things.
	{"10005", nil},
	{"60002", nil},
	{"70004", nil},
	// Nowhere.
	{"0", nil},
	{"-1", nil},
	{"99999", nil},
}

// operations are the four ways in which an answer comes to be read.
func operations(t *testing.T, body string) map[pbx.Op]error {
	t.Helper()
	return operationsOf(t, yeastar.SV1, body)
}

func operationsOf(t *testing.T, family yeastar.Family, body string) map[pbx.Op]error {
	t.Helper()
	driver, token := ofFamily(t, family, drivertest.Body(body)), &pbx.Token{Value: pbx.NewSecret("48a7d7481a5355aa4fb5dc285edeb40e")}
	results := map[pbx.Op]error{}
	var got *pbx.Token
	if got, results[pbx.OpLogin] = driver.Login(t.Context()); got != nil {
		t.Errorf("%s: Login brought a token", body)
	}
	if got, results[pbx.OpKeepAlive] = driver.KeepAlive(t.Context(), token); got != nil {
		t.Errorf("%s: KeepAlive brought a token", body)
	}
	results[pbx.OpLogout] = driver.Logout(t.Context(), token)
	results[pbx.OpRequest] = inspect(driver, 200, body)
	return results
}

func TestEachErrnoHasTheKindThatTheVendorsTableImplies(t *testing.T) {
	for _, family := range []yeastar.Family{yeastar.SV1, yeastar.SV2, yeastar.CloudV2} { // by heartbeat, without a refresh token
		eachErrno(t, family)
	}
}

// What the PBX says of the length of its lock precedes what its vendor says.
func TestTheLockLastsAsLongAsThePBXSays(t *testing.T) {
	driver := ofFamily(t, yeastar.SV1, drivertest.Responses(drivertest.Response{
		Body: `{"status":"Failed","errno":"20002"}`, Header: http.Header{"Retry-After": {"120"}},
	}))
	_, err := driver.Login(t.Context())
	if got := failure(t, err); got.Kind != pbx.ErrLocked || got.RetryAfter != 2*time.Minute {
		t.Errorf("%v, and to wait %s", err, got.RetryAfter)
	}
}

func eachErrno(t *testing.T, family yeastar.Family) {
	for _, tt := range errnos {
		for _, status := range []string{"Failed", "Failure"} {
			escaped := fmt.Sprintf(`"\u%04x%s"`, tt.code[0], tt.code[1:])
			for _, errno := range []string{`"` + tt.code + `"`, tt.code, escaped, tt.code + ".0", tt.code + "e0"} {
				body := `{"status":"` + status + `","errno":` + errno + `}`
				for op, err := range operationsOf(t, family, body) {
					want := tt.kind
					if want == pbx.ErrInvalidCredentials && op != pbx.OpLogin {
						want = pbx.ErrTokenRejected // the login that follows judges the password
					}
					if op == pbx.OpLogout && want == pbx.ErrTokenRejected {
						if err != nil {
							t.Errorf("%s: logout of a dead token: %v", body, err)
						}
						continue
					}
					got := failure(t, err)
					if got.Op != op || got.Kind != want || got.Code != tt.code || got.HTTPStatus != 200 || !got.Sent {
						t.Errorf("%s: %s: %#v\nwant kind %v, code %s, HTTP status 200, sent", body, op, got, tt.kind, tt.code)
					}
					var wait time.Duration
					if tt.code == "20002" {
						wait = 10 * time.Minute
					}
					if got.RetryAfter != wait {
						t.Errorf("%s: %s: retry after %s, want %s", body, op, got.RetryAfter, wait)
					}
					if got.Message == "" {
						t.Errorf("%s: %s: no message", body, op)
					}
				}
			}
		}
	}
}

// API v2 adds a code next to that of a request that does not exist.
func TestAMissingCallIDIsNoMissingRequest(t *testing.T) {
	const body = `{"status":"Failed","errno":"10005"}`
	for _, family := range []yeastar.Family{yeastar.SV2, yeastar.CloudV2} {
		driver := ofFamily(t, family, drivertest.Unsent{T: t})
		if got := failure(t, inspect(driver, 200, body)); got.Kind != nil || !strings.Contains(got.Message, "call ID") {
			t.Errorf("%s: %v", family, got)
		}
	}
}

func TestAnErrnoThatIsNoNumberIsDropped(t *testing.T) {
	for _, errno := range []string{
		`null`, `""`, `"busy"`, `true`, `[20003]`, `{"20003":20003}`, `20003.5`, `20003e-1`, `"20003 "`, `"0x4e23"`,
		`"48a7d7481a5355aa4fb5dc285edeb40e"`, `48748153555425540`,
	} {
		body := `{"status":"Failed","errno":` + errno + `,"token":0}`
		for op, err := range operations(t, body) {
			if got := failure(t, err); got.Kind != nil || got.Code != "" {
				t.Errorf("%s: %s: %v, want neither kind nor code", body, op, err)
			}
		}
	}
}

// What has no status is not from this family, whatever else it holds.
func TestAResponseWithoutAStatusIsNotUnderstood(t *testing.T) {
	for _, body := range []string{
		`{"errcode":0,"errmsg":"SUCCESS","access_token":"48a7d7481a5355aa4fb5dc285edeb40e"}`, // P-Series
		`{"errcode":10004,"errmsg":"ACCESS TOKEN EXPIRED"}`,
		`{"response":{"cookie":"sid48a7d748"},"status":0}`, // Grandstream
		`{"code":200,"body":{"token":"48a7d748"}}`,         // Runtel
		`{"errno":"20003"}`,
		`{"token":"48a7d7481a5355aa4fb5dc285edeb40e"}`,
		`{"status":null,"token":"48a7d7481a5355aa4fb5dc285edeb40e"}`,
		`{"status":"","token":"48a7d7481a5355aa4fb5dc285edeb40e"}`,
		`{"status":true,"token":"48a7d7481a5355aa4fb5dc285edeb40e"}`,
		`[{"status":"Success","token":"48a7d7481a5355aa4fb5dc285edeb40e"}]`,
		`{"status":"Success","token":"48a7d7481a5355aa4fb5dc28`,
		`{"status":"Success"}{"status":"Success"}`,
		`<?xml version="1.0"?><xml><status>Success</status></xml>`,
		`"Success"`, `Success`, `{}`, `null`, ` `, ``,
	} {
		for op, err := range operations(t, body) {
			if op == pbx.OpRequest {
				if err != nil {
					t.Errorf("%s: Inspect: %v, want nothing said", body, err)
				}
				continue
			}
			if got := failure(t, err); !errors.Is(err, pbx.ErrProtocol) || got.Code != "" {
				t.Errorf("%s: %s: %v, want %v", body, op, err, pbx.ErrProtocol)
			}
		}
	}
}

// A gateway's own error may have a status, too. Without an errno, and under an HTTP
// status that this brand does not use, it is the gateway's, and the PBX has said
// nothing.
func TestTheStatusOfAGatewayIsNotThePBXs(t *testing.T) {
	for status, want := range map[int]error{401: pbx.ErrConfig, 403: pbx.ErrConfig, 404: pbx.ErrProtocol, 429: pbx.ErrUnavailable, 502: pbx.ErrUnavailable} {
		for _, body := range []string{`{"status":"error"}`, `{"status":"Failed"}`, `{"status":"502","errno":"EPIPE"}`} {
			driver := on(t, drivertest.Responses(drivertest.Response{Status: status, Body: body}))
			token := &pbx.Token{Value: pbx.NewSecret("48a7d7481a5355aa4fb5dc285edeb40e")}
			_, login := driver.Login(t.Context())
			_, keepAlive := driver.KeepAlive(t.Context(), token)
			request := driver.Inspect(&http.Response{StatusCode: status, Header: http.Header{}}, []byte(body), token)
			for what, err := range map[string]error{"login": login, "keep-alive": keepAlive, "request": request} {
				if got := failure(t, err); got.Kind != want {
					t.Errorf("%s under HTTP %d, %s: %v, want %v", body, status, what, err, want)
				}
			}
		}
	}
}
