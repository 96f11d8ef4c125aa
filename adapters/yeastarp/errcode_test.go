package yeastarp_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/yeastarp/yeastarpsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// errcodes is the vendor's table (developer-guide, Error Code & Error Message),
// as far as it concerns logins and tokens, with some codes beyond it.
var errcodes = []struct {
	code      int
	kind      error
	onRefresh error
}{
	{-1, nil, pbx.ErrTokenRejected},                         // failure
	{-2, pbx.ErrUnavailable, pbx.ErrUnavailable},            // internal server error
	{10001, pbx.ErrProtocol, pbx.ErrProtocol},               // no such interface
	{10002, pbx.ErrProtocol, pbx.ErrProtocol},               // version out of maintenance
	{10003, pbx.ErrProtocol, pbx.ErrProtocol},               // version not supported
	{10004, pbx.ErrTokenRejected, pbx.ErrTokenRejected},     // token expired
	{10005, pbx.ErrForbidden, pbx.ErrTokenRejected},         // access denied
	{10009, pbx.ErrForbidden, pbx.ErrTokenRejected},         // operation failed: a feature or a permission
	{40001, pbx.ErrProtocol, pbx.ErrTokenRejected},          // parameter syntax
	{40002, pbx.ErrProtocol, pbx.ErrTokenRejected},          // parameter
	{60002, pbx.ErrTooManySessions, pbx.ErrTooManySessions}, // maximum reached
	{70004, pbx.ErrLocked, pbx.ErrLocked},                   // caller's IP blocked
	{70082, pbx.ErrUnavailable, pbx.ErrUnavailable},         // overloaded
	{70084, pbx.ErrForbidden, pbx.ErrTokenRejected},         // this action is forbidden
	{70087, pbx.ErrForbidden, pbx.ErrForbidden},             // IP forbidden
	{70123, pbx.ErrForbidden, pbx.ErrForbidden},             // API unavailable or disabled

	// In the table of another family, where they mean other things.
	{20003, nil, pbx.ErrTokenRejected},
	{20004, nil, pbx.ErrTokenRejected},
	{30003, nil, pbx.ErrTokenRejected},
	// Nowhere.
	{3, nil, pbx.ErrTokenRejected},
	{99999, nil, pbx.ErrTokenRejected},
	{-2147483648, nil, pbx.ErrTokenRejected},
}

func TestEachErrcodeHasTheKindThatTheVendorsTableImplies(t *testing.T) {
	for _, tt := range errcodes {
		body := fmt.Sprintf(`{"errcode":%d,"errmsg":"FAILURE"}`, tt.code)
		for op, err := range operations(t, body) {
			kind := tt.kind
			switch {
			case op == pbx.OpLogout && tt.kind == pbx.ErrTokenRejected:
				if err != nil {
					t.Errorf("%s: revocation of a dead token: %v", body, err)
				}
				continue
			case op == pbx.OpLogin && tt.code == -1:
				kind = pbx.ErrInvalidCredentials
			case op == pbx.OpKeepAlive:
				kind = tt.onRefresh
			case op != pbx.OpLogin && tt.code == 60002: // of whatever the request is about
				kind = nil
			}
			got := failure(t, err)
			if got.Op != op || got.Kind != kind || got.Code != fmt.Sprint(tt.code) || got.HTTPStatus != 200 || !got.Sent || got.Message == "" {
				t.Errorf("%s: %s: %#v\nwant kind %v, code %d, HTTP status 200, sent, a message", body, op, got, kind, tt.code)
			}
			if got.NotJudged && op != pbx.OpLogin { // there was no login to judge
				t.Errorf("%s: %s: NotJudged", body, op)
			}
			if got.RetryAfter != 0 { // nobody says how long a block lasts
				t.Errorf("%s: %s: retry after %s", body, op, got.RetryAfter)
			}
		}
	}
}

// The field that is wrong may be named, or not.
func TestAFailureOfALoginIsAboutTheCredentials(t *testing.T) {
	for _, list := range []string{`[{"field":"username or password","value":"error"}]`, `[{"field":1}]`, `[]`, `null`, `"username or password"`} {
		for _, code := range []string{`-1`, `"-1"`, `-1.0`} {
			body := `{"errcode":` + code + `,"errmsg":"FAILURE","invalid_param_list":` + list + `}`
			if _, err := on(t, drivertest.Body(body)).Login(t.Context()); failure(t, err).Kind != pbx.ErrInvalidCredentials {
				t.Errorf("%s: %v", body, err)
			}
			if err := inspect(on(t, drivertest.Unsent{T: t}), 200, body); failure(t, err).Kind != nil {
				t.Errorf("of a request, %s: %v, want no kind: it has no credentials", body, err)
			}
		}
	}
}

func TestABlockedClientLearnsUntilWhenIfThePBXSaysSo(t *testing.T) {
	for _, silent := range []bool{false, true} {
		simulate(t, yeastarpsim.Options{NoBlockTime: silent}, nil, func(t *testing.T, s simulation) {
			s.Lock("127.0.0.1")
			time.Sleep(3 * time.Minute)
			_, err := s.Driver.Login(t.Context())
			want := 7 * time.Minute
			if silent {
				want = 0
			}
			if got := failure(t, err); got.Kind != pbx.ErrLocked || got.Code != "70004" || got.RetryAfter != want {
				t.Errorf("%v, retry after %s; want %v, %s", err, got.RetryAfter, pbx.ErrLocked, want)
			}
		})
	}
}

func TestOnlyABlockHasAnEndAndAnyResponseMayNameTheWait(t *testing.T) {
	until := fmt.Sprintf(`,"block_expire_time":%d}`, time.Now().Add(24*time.Hour).Unix())
	for _, tt := range []struct {
		header http.Header
		body   string
		want   time.Duration
	}{
		{nil, `{"errcode":70082` + until, 0},
		{nil, `{"errcode":70004` + until, time.Hour},
		{http.Header{"Retry-After": {"7"}}, `{"errcode":70004` + until, 7 * time.Second},
		{http.Header{"Retry-After": {"7"}}, `{"errcode":70082}`, 7 * time.Second},
	} {
		_, err := on(t, drivertest.Response{Header: tt.header, Body: tt.body}).Login(t.Context())
		if got := failure(t, err).RetryAfter; got != tt.want {
			t.Errorf("%s with %v: retry after %s, want %s", tt.body, tt.header, got, tt.want)
		}
	}
}

func TestTheEndOfABlockIsReadByThePBXsOwnClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		theirs := time.Now().Add(-90 * 24 * time.Hour) // a PBX whose clock is a season behind
		date := map[string]string{"": "", "Date": theirs.UTC().Format(http.TimeFormat)}
		for _, tt := range []struct {
			header string
			until  string
			want   time.Duration
		}{
			{"Date", fmt.Sprint(theirs.Unix() + 600), 10 * time.Minute},
			{"", fmt.Sprint(time.Now().Unix() + 600), 10 * time.Minute},
			{"", fmt.Sprint(time.Now().Unix() - 600), 0},
			{"", fmt.Sprint(time.Now().Unix() + 7*86400), time.Hour},
			{"", "9223372036854775807", 0},
			{"", `"soon"`, 0},
			{"", "null", 0},
		} {
			s := yeastarpsim.New(&yeastarpsim.Options{}, nil)
			server := pbxsim.ListenMemory(s)
			header := http.Header{"Date": nil}
			if tt.header != "" {
				header.Set("Date", date[tt.header])
			}
			s.Fault(pbxsim.Fault{Body: []byte(`{"errcode":70004,"block_expire_time":` + tt.until + `}`), Header: header})
			cfg := config(nil)
			cfg.URL, cfg.Transport = server.URL, server.Client().Transport
			_, err := open(t, cfg).Login(t.Context())
			if got := failure(t, err).RetryAfter; got < 0 || got > time.Hour || tt.want != 0 && got != tt.want {
				t.Errorf("block_expire_time %s, %s: retry after %s, want %s", tt.until, tt.header, got, tt.want)
			}
			server.Close()
		}
	})
}

// What has no integer errcode is not from this family, whatever else it holds.
func TestAResponseWithoutAnErrcodeIsNotUnderstood(t *testing.T) {
	for _, body := range []string{
		`{"errcode":null,"access_token":"` + sampleAccess + `","refresh_token":"` + sampleFresh + `"}`,
		`{"errcode":0.5,"access_token":"` + sampleAccess + `","refresh_token":"` + sampleFresh + `"}`,
		`{"errcode":4294967296,"access_token":"` + sampleAccess + `","refresh_token":"` + sampleFresh + `"}`,
		`{"errcode":99999999999999999999}`, `{"errcode":[0]}`, `{"errcode":true}`, `{"errmsg":"SUCCESS"}`,
		`{"access_token":"` + sampleAccess + `","refresh_token":"` + sampleFresh + `"}`,
		`{"response":{"cookie":"sid48a7d748"},"status":0}`, // Grandstream
		`[{"errcode":0}]`, `{"errcode":0`, `{"errcode":0}{"errcode":0}`, pbxsim.HTMLPage, `0`, `null`, ` `, ``,
	} {
		for op, err := range operations(t, body) {
			if op == pbx.OpRequest {
				if err != nil {
					t.Errorf("%s: Inspect: %v, want nothing said", body, err)
				}
				continue
			}
			if got := failure(t, err); got.Kind != pbx.ErrProtocol || got.Code != "" || !strings.Contains(got.Message, "the request went to") {
				t.Errorf("%s: %s: %v, want %v and the address", body, op, err, pbx.ErrProtocol)
			}
		}
	}
}

// An application's request may have no errcode if it succeeds, and only then.
func TestAFailureOfARequestWithoutAnErrcodeIsJudgedByItsStatus(t *testing.T) {
	for _, tt := range []struct {
		status int
		body   string
		kind   error
	}{
		{401, pbxsim.HTMLPage, pbx.ErrConfig}, {403, "", pbx.ErrConfig}, {404, pbxsim.HTMLPage, pbx.ErrProtocol},
		{429, "", pbx.ErrUnavailable}, {502, pbxsim.HTMLPage, pbx.ErrUnavailable},
	} {
		if err := inspect(on(t, drivertest.Unsent{T: t}), tt.status, tt.body); err == nil || failure(t, err).Kind != tt.kind {
			t.Errorf("HTTP %d: %v, want %v", tt.status, err, tt.kind)
		}
	}
}

// A proxy may replace the status, and nobody knows then what the PBX has done.
func TestASuccessUnderAnotherStatusIsNone(t *testing.T) {
	pair := `{"errcode":0,"access_token":"` + sampleAccess + `","refresh_token":"` + sampleFresh + `"}`
	for status, kind := range map[int]error{404: pbx.ErrProtocol, 403: pbx.ErrConfig, 500: pbx.ErrUnavailable} {
		driver := on(t, drivertest.Response{Status: status, Body: pair})
		login, err := driver.Login(t.Context())
		if login != nil || failure(t, err).Kind != kind {
			t.Errorf("HTTP %d: Login: %v, %v", status, login, err)
		}
		fresh, err := driver.KeepAlive(t.Context(), given())
		if fresh != nil || failure(t, err).Kind != kind {
			t.Errorf("HTTP %d: KeepAlive: %v, %v", status, fresh, err)
		}
		for op, err := range map[string]error{"Logout": driver.Logout(t.Context(), given()), "Ping": driver.Ping(t.Context(), given())} {
			if err == nil || failure(t, err).Kind != kind {
				t.Errorf("HTTP %d: %s: %v", status, op, err)
			}
		}
	}
}

func TestAResponseOfAnotherFamilyNamesTheDriverThatFits(t *testing.T) {
	for body, driver := range map[string]string{
		`{"status":"Failed","errno":"20001"}`:                                         "set the driver to yeastar, or to openvox",
		`{"status":"Success","token":"48a7d7481a5355aa4fb5dc285edeb40e"}`:             "set the driver to yeastar, or to openvox",
		`<?xml version="1.0"?><xml><status>Failed</status><errno>20001</errno></xml>`: "set the driver to openvox",
	} {
		for op, err := range operations(t, body) {
			if op == pbx.OpRequest { // the application's own response may be anything
				if err != nil {
					t.Errorf("%s: Inspect: %v", body, err)
				}
				continue
			}
			if got := failure(t, err); got.Kind != pbx.ErrProtocol || !strings.HasSuffix(got.Message, driver) {
				t.Errorf("%s: %s: %v, want %q", body, op, err, driver)
			}
		}
	}
}

func TestASuccessThatIsNotWholeIsNoneOfALoginAndNoMatterOfACall(t *testing.T) {
	for _, code := range []string{"1", "2"} {
		body := `{"errcode":` + code + `,"errmsg":"PARTIAL","access_token":"` + sampleAccess + `","refresh_token":"` + sampleFresh + `"}`
		for op, err := range operations(t, body) {
			if op == pbx.OpRequest {
				if err != nil {
					t.Errorf("%s: Inspect: %v", body, err)
				}
				continue
			}
			if got := failure(t, err); got.Kind != pbx.ErrProtocol || got.Code != code {
				t.Errorf("%s: %s: %v, want %v", body, op, err, pbx.ErrProtocol)
			}
		}
	}
}
