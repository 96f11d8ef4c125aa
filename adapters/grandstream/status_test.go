package grandstream_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/adapters/grandstream/grandstreamsim"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

// inspect shows the driver an application's answer.
func inspect(driver pbx.Requester, status int, body string) error {
	return driver.Inspect(&http.Response{StatusCode: status, Header: http.Header{}}, []byte(body), new(pbx.Token))
}

// The vendor's table, and what a status means to each operation.
func TestWhatAStatusMeans(t *testing.T) {
	const none = ""
	kinds := map[string]error{
		"credentials": pbx.ErrInvalidCredentials, "locked": pbx.ErrLocked, "forbidden": pbx.ErrForbidden, "token": pbx.ErrTokenRejected,
		"unavailable": pbx.ErrUnavailable, "protocol": pbx.ErrProtocol, "config": pbx.ErrConfig, "unknown": nil,
	}
	tests := []struct {
		status       int
		vendor       string // what its page says
		login, other string
		wait         time.Duration
	}{
		{-1, "invalid parameters", "protocol", "protocol", 0},
		{-5, "needs authentication", "protocol", "token", 0},
		{-6, "cookie error", "protocol", "token", 0},
		{-7, "connection closed", "unavailable", "token", 0},
		{-8, "time-out", "unavailable", "token", 0},
		{-9, "abnormal", "unavailable", "unavailable", 0},
		{-15, "value of a parameter", "protocol", "protocol", 0},
		{-19, "unsupported", "protocol", "protocol", 0},
		{-25, "data", "unavailable", "unavailable", 0},
		{-37, "wrong account or password", "credentials", "token", 0},
		{-45, "too frequent", "locked", "unavailable", 15 * time.Second},
		{-46, "too frequent", "locked", "unavailable", 15 * time.Second},
		{-47, "no permission", "forbidden", "forbidden", 0},
		{-50, "forbidden characters", "protocol", "protocol", 0},
		{-57, "too frequent", "locked", "unavailable", time.Minute},
		{-68, "login restriction", "locked", "locked", 5 * time.Minute},
		{-70, "forbidden", "forbidden", "forbidden", 0},
		{-71, "no such user", "credentials", "token", 0},
		{-251, "another task running", "unavailable", "unavailable", 0},
		{-99, "", "unknown", "unknown", 0},
		{-2147483648, "", "unknown", "unknown", 0},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.status, " ", tt.vendor), func(t *testing.T) {
			challenge := tt.login
			if challenge == "credentials" { // nothing was there to be judged but the user's name
				challenge = "config"
			}
			for _, body := range []string{
				fmt.Sprintf(`{"response":{},"status":%d}`, tt.status),
				fmt.Sprintf("\ufeff {\"response\":{},\"status\":%d.0}\x00\r\n", tt.status),
				fmt.Sprintf(`{"status":"%d","response":null}`, tt.status),
				fmt.Sprintf(`{"response":{"error_msg":"…","cookie":"sid1","challenge":"1"},"status":%d}`, tt.status),
			} {
				token := &pbx.Token{Value: pbx.NewSecret(cookie)}
				got := map[string]error{}
				_, got["challenge"] = on(t, drivertest.Bodies(body, accepted)).Login(t.Context())
				_, got["login"] = on(t, drivertest.Bodies(challenged, body)).Login(t.Context())
				_, got["keep-alive"] = on(t, drivertest.Bodies(body)).KeepAlive(t.Context(), token)
				got["call"] = inspect(on(t, drivertest.Unsent{T: t}), 200, body)
				got["logout"] = on(t, drivertest.Bodies(body)).Logout(t.Context(), token)
				for step, row := range map[string]struct {
					op   pbx.Op
					want string
				}{
					"challenge": {pbx.OpLogin, challenge}, "login": {pbx.OpLogin, tt.login},
					"keep-alive": {pbx.OpKeepAlive, tt.other}, "call": {pbx.OpRequest, tt.other},
					"logout": {"", none}, // it is not documented, so any status will do
				} {
					if step == "call" && (tt.status == -7 || tt.status == -8) {
						row.want = "unavailable" // the UCM may have acted
					}
					if row.want == none {
						if got[step] != nil {
							t.Errorf("%s: %v, want no error", step, got[step])
						}
						continue
					}
					failed := failure(t, got[step])
					if names := failed.Setting == "Username"; names != (step == "challenge" && row.want == "config") {
						t.Errorf("%s, %s: setting %q", body, step, failed.Setting)
					}
					if failed.Kind != kinds[row.want] || failed.Op != row.op || failed.Code != fmt.Sprint(tt.status) || failed.RetryAfter != tt.wait || failed.Sent != (step != "challenge") {
						t.Errorf("%s, %s: %v, want kind %v and to wait %s", body, step, failed, kinds[row.want], tt.wait)
					}
				}
			}
		})
	}
}

// A firmware that lacks the action of keep-alives and pings says nothing about the cookie.
func TestAMissingActionIsNoRefusedCookie(t *testing.T) {
	driver := on(t, drivertest.Body(`{"response":{},"status":-19}`))
	err := driver.Ping(t.Context(), &pbx.Token{Value: pbx.NewSecret("sid1")})
	if !errors.Is(err, pbx.ErrNotSupported) || failure(t, err).Code != "-19" || !strings.Contains(err.Error(), "getSystemStatus: set keepalive_action") {
		t.Errorf("error %v", err)
	}
}

func TestASuccessIsProven(t *testing.T) {
	for name, body := range map[string]string{
		"no status":             `{"response":{"challenge":"1","cookie":"sid1"}}`,
		"null":                  `{"response":{"challenge":"1","cookie":"sid1"},"status":null}`,
		"true":                  `{"response":{"challenge":"1","cookie":"sid1"},"status":true}`,
		"a text":                `{"response":{"challenge":"1","cookie":"sid1"},"status":"ok"}`,
		"a fraction":            `{"response":{"challenge":"1","cookie":"sid1"},"status":0.5}`,
		"too large":             `{"response":{"challenge":"1","cookie":"sid1"},"status":-99999999999}`,
		"an object":             `{"response":{"challenge":"1","cookie":"sid1"},"status":{"code":0}}`,
		"a list":                `[{"status":0}]`,
		"cut short":             `{"response":{"challenge":"1","cookie":"sid1"},"status":0`,
		"another PBX's success": `{"status":"Success","token":"48a7d7481a5355aa4fb5dc285edeb40e"}`,
		"a web page":            pbxsim.HTMLPage,
		"nothing":               "",
	} {
		token := &pbx.Token{Value: pbx.NewSecret(cookie)}
		_, challenge := on(t, drivertest.Bodies(body, accepted)).Login(t.Context())
		_, login := on(t, drivertest.Bodies(challenged, body)).Login(t.Context())
		_, keepAlive := on(t, drivertest.Bodies(body)).KeepAlive(t.Context(), token)
		logout := on(t, drivertest.Bodies(body)).Logout(t.Context(), token)
		for step, err := range map[string]error{"challenge": challenge, "login": login, "keep-alive": keepAlive, "logout": logout} {
			if failure(t, err).Kind != pbx.ErrProtocol {
				t.Errorf("%s, %s: %v", name, step, err)
			}
		}
		if err := inspect(on(t, drivertest.Unsent{T: t}), 200, body); err != nil {
			t.Errorf("%s, a call: %v, want nothing said", name, err)
		}
	}
	for _, body := range []string{`{"response":{},"status":0}`, `{"response":{"cookie":7},"status":0}`, `{"response":[],"status":0}`, `{"response":{"cookie":""},"status":0}`} {
		_, err := on(t, drivertest.Bodies(challenged, body)).Login(t.Context())
		if failure(t, err).Kind != pbx.ErrProtocol || !strings.Contains(err.Error(), "no cookie") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestResponsesThatSayNothingAboutTheCookie(t *testing.T) {
	for name, body := range map[string]string{
		"success":                    `{"response":{"account":[{"extension":"1000","status":"Unavailable"}]},"status":0}`,
		"a list of calls":            `{"cdr_root":[{"AcctId":"1","disposition":"ANSWERED"}]}`,
		"calls as CSV":               "Acct Id,Account Code,Caller Number\n1,,1000\n",
		"a recording":                "RIFF\x24\x08\x00\x00WAVEfmt ",
		"a status of something else": `{"status":3}`,
		"a status deeper down":       `{"response":{"status":-6}}`,
		"the beginning of a list":    `{"response":{"account":[{"extension":"10`,
	} {
		if err := inspect(on(t, drivertest.Unsent{T: t}), 200, body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnHTTPStatusIsReadWhereTheEnvelopeIsMissing(t *testing.T) {
	token := &pbx.Token{Value: pbx.NewSecret(cookie)}
	for status, want := range map[int]struct{ login, call error }{
		400: {pbx.ErrProtocol, pbx.ErrProtocol},
		401: {pbx.ErrConfig, pbx.ErrConfig},
		403: {pbx.ErrConfig, pbx.ErrConfig},
		404: {pbx.ErrProtocol, pbx.ErrProtocol},
		429: {pbx.ErrUnavailable, pbx.ErrUnavailable},
		500: {pbx.ErrUnavailable, pbx.ErrUnavailable},
	} {
		for _, body := range []string{
			pbxsim.HTMLPage,
			fmt.Sprintf(`{"status":%d,"error":"of a gateway"}`, status), fmt.Sprintf(`{"status":"%d"}`, status),
		} {
			given := drivertest.Response{Status: status, Body: body}
			_, login := on(t, drivertest.Responses(drivertest.Response{Body: challenged}, given)).Login(t.Context())
			logout := on(t, drivertest.Responses(given)).Logout(t.Context(), token)
			if got := failure(t, login); got.Kind != want.login || got.HTTPStatus != status {
				t.Errorf("HTTP %d, login: %v", status, got)
			}
			for step, err := range map[string]error{"logout": logout, "call": inspect(on(t, drivertest.Unsent{T: t}), status, given.Body)} {
				if got := failure(t, err); got.Kind != want.call || got.HTTPStatus != status {
					t.Errorf("HTTP %d, %s: %v", status, step, got)
				}
			}
		}
	}
}

// A logout is not documented. Where there is none, the cookie ends by itself.
func TestALogoutThatTheFirmwareLacksIsNoError(t *testing.T) {
	simulate(t, grandstreamsim.Options{NoLogout: true}, nil, func(t *testing.T, s simulation) {
		if err := s.Driver.Logout(t.Context(), s.Login(t)); err != nil {
			t.Error(err)
		}
	})
	simulate(t, grandstreamsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		for range 2 {
			if err := s.Driver.Logout(t.Context(), token); err != nil {
				t.Error(err)
			}
		}
		if live := s.Tokens(user); live != nil {
			t.Errorf("%d cookies live on", len(live))
		}
		if got, want := string(s.Last().Body), `{"request":{"action":"logout","cookie":"`+token.Value.Reveal()+`"}}`; got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
	})
}

func TestTheKeepAliveIsTheRequestOfTheOption(t *testing.T) {
	simulate(t, grandstreamsim.Options{}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		time.Sleep(9 * time.Minute)
		kept, err := s.Driver.KeepAlive(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		want := &pbx.Token{Value: token.Value, IssuedAt: time.Now(), ExpiresAt: time.Now().Add(10 * time.Minute)}
		if diff := cmp.Diff(want, kept); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if got, want := string(s.Last().Body), `{"request":{"action":"getSystemStatus","cookie":"`+token.Value.Reveal()+`"}}`; got != want {
			t.Errorf("sent %s, want %s", got, want)
		}
		time.Sleep(9 * time.Minute)
		if _, err := s.Driver.KeepAlive(t.Context(), kept); err != nil {
			t.Errorf("it was not prolonged: %v", err)
		}
		time.Sleep(10 * time.Minute)
		if _, err := s.Driver.KeepAlive(t.Context(), kept); failure(t, err).Kind != pbx.ErrTokenRejected {
			t.Errorf("after its life: %v", err)
		}
	})
}

func TestThePasswordIsNotRevealedByWhatIsMissing(t *testing.T) {
	for _, word := range []string{"wrong", "password", "user", "PBX"} {
		for _, body := range []string{`{"response":{},"status":-37}`, `{"response":{},"status":-9}`, `{"response":{},"status":0}`} {
			simulate(t, grandstreamsim.Options{}, func(c *grandstream.Config) { c.Password = pbx.NewSecret(word) }, func(t *testing.T, s simulation) {
				s.Fault(pbxsim.Fault{On: pbxsim.Login, Body: []byte(body)})
				if _, err := s.Driver.Login(t.Context()); strings.Contains(err.Error(), pbx.Redacted) {
					t.Errorf("the password %q shows in %v", word, err)
				}
			})
		}
	}
}
