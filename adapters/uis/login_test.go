package uis_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/uis"
	"github.com/pbxauth/pbx/adapters/uis/uissim"
)

func TestAWrongPasswordIsSentOnceAndNotRepeatedByTheError(t *testing.T) {
	simulate(t, uissim.Options{}, func(c *uis.Config) { c.Password = pbx.NewSecret("wrong") }, func(t *testing.T, s simulation) {
		token, err := s.Driver.Login(t.Context())
		want := &pbx.Error{
			Driver: "uis", Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials, Code: "auth_error", HTTPStatus: 200, Length: 213, Sent: true,
			Message: "wrong login or password",
		}
		if diff := cmp.Diff(want, failure(t, err)); diff != "" || token != nil {
			t.Errorf("token %v, error (-want +got):\n%s", token, diff)
		}
		if counts := s.Counts(); counts.WrongLogins != 1 || counts.Requests != 1 {
			t.Errorf("%d requests, %d wrong logins", counts.Requests, counts.WrongLogins)
		}
	})
}

// expire_at belongs to the platform's clock. This machine's may be off by hours.
func TestTheEndOfATokenIsReadByThePlatformsClock(t *testing.T) {
	const at = 1475850142 // Date
	date := http.Header{"Date": {time.Unix(at, 0).UTC().Format(http.TimeFormat)}}
	for name, tt := range map[string]struct {
		expireAt string
		header   http.Header
		want     time.Duration // from the login on; 0: not known
	}{
		"a number":                {fmt.Sprint(at + 3600), date, time.Hour - time.Second},
		"a string":                {fmt.Sprintf(`"%d"`, at+3600), date, time.Hour - time.Second},
		"a float":                 {fmt.Sprintf("%d.5", at+3600), date, time.Hour - 500*time.Millisecond},
		"a float in a string":     {fmt.Sprintf(`"%d.25"`, at+3600), date, time.Hour - 750*time.Millisecond},
		"without a Date":          {fmt.Sprint(946684800 + 3600), nil, time.Hour}, // the bubble begins in the year 2000
		"with a Date that is odd": {fmt.Sprint(946684800 + 3600), http.Header{"Date": {"now"}}, time.Hour},
		"past":                    {fmt.Sprint(at - 1), date, 0},
		"now":                     {fmt.Sprint(at + 1), date, 0},
		"zero":                    {"0", date, 0},
		"far off":                 {fmt.Sprint(at + 2*24*3600), date, 0},
		"an old Date":             {fmt.Sprint(at + 3600), http.Header{"Date": {"Thu, 01 Jan 1970 00:00:00 GMT"}}, 0},
		"milliseconds":            {fmt.Sprintf("%d000", at+3600), date, 0},
		"null":                    {"null", date, 0},
		"a text":                  {`"soon"`, date, 0},
		"no number":               {`"NaN"`, date, 0},
		"endless":                 {`"Inf"`, date, 0},
		"an object":               {"{}", date, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			got, err := on(t, drivertest.Responses(drivertest.Response{Header: tt.header, Body: `{"jsonrpc":"2.0","id":1,"result":{"data":{"access_token":"` + token + `","expire_at":` + tt.expireAt + `}}}`})).Login(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want := &pbx.Token{Value: pbx.NewSecret(token), IssuedAt: time.Now()}
			if tt.want > 0 {
				want.ExpiresAt = want.IssuedAt.Add(tt.want)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		})
	}
}

func TestDetailsAreTheMetadata(t *testing.T) {
	const metadata = `{"api_version":{"current_version_depricated":true,"latest_version":"v5.0"},"limits":{"day_limit":1000}}`
	got, err := on(t, drivertest.Bodies(`{"result":{"data":{"access_token":"`+token+`","expire_at":1},"metadata":`+metadata+`}}`)).Login(t.Context())
	if err != nil || string(got.Details) != metadata {
		t.Errorf("%s, %v", got.Details, err)
	}
}

func TestALoginThatJSONCannotCarryIsRefused(t *testing.T) {
	open := func(cfg pbx.Config) (pbx.Authenticator, error) { return uis.New(uis.Config{Config: cfg}) }
	for setting, account := range map[string]pbx.Credentials{
		"Username": {Username: "a\xff", Password: pbx.NewSecret(password)},
		"Password": {Username: user, Password: pbx.NewSecret("s3cret\xff")},
	} {
		drivertest.Impossible(t, uis.Name, open, config(t), account, setting, "not UTF-8")
	}
}

func TestASuccessIsProven(t *testing.T) {
	good := `{"jsonrpc":"2.0","id":null,"result":{"data":{"success":%s,"access_token":%q,"expire_at":1}}}`
	given := &pbx.Token{Value: pbx.NewSecret(token)}
	for name, tt := range map[string]struct {
		body          string
		login, logout bool
	}{
		"a token and a success":        {fmt.Sprintf(good, "true", token), true, true},
		"a success in a string":        {fmt.Sprintf(good, `"true"`, token), true, true},
		"no success":                   {fmt.Sprintf(good, "false", token), true, false},
		"a success that is null":       {fmt.Sprintf(good, "null", token), true, false},
		"no token":                     {fmt.Sprintf(good, "true", ""), false, true},
		"a result one level too high":  {`{"result":{"access_token":"x","success":true}}`, false, false},
		"a result of null":             {`{"result":null}`, false, false},
		"a result and an error":        {`{"result":{"data":{"access_token":"x","success":true}},"error":{"code":1}}`, false, false},
		"a result and no error":        {`{"result":{"data":{"access_token":"x","success":true}},"error":null}`, true, true},
		"an error that is a text":      {`{"error":"no"}`, false, false},
		"an error of nothing":          {`{"error":{}}`, false, false},
		"a list":                       {"[" + fmt.Sprintf(good, "true", token) + "]", false, false},
		"something behind it":          {fmt.Sprintf(good, "true", token) + "}", false, false},
		"a byte order mark and blanks": {"\ufeff\r\n" + fmt.Sprintf(good, "true", token) + "\x00", true, true},
	} {
		got, err := on(t, drivertest.Bodies(tt.body)).Login(t.Context())
		if (err == nil) != tt.login || (got != nil) != tt.login {
			t.Errorf("%s: Login: %v, %v", name, got, err)
		}
		if err := on(t, drivertest.Bodies(tt.body)).Logout(t.Context(), given); (err == nil) != tt.logout {
			t.Errorf("%s: Logout: %v", name, err)
		}
	}
}

// The vendor's document has the token in params and nowhere else.
func TestTheTokenIsInTheParamsAndNowhereElse(t *testing.T) {
	simulate(t, uissim.Options{}, func(c *uis.Config) { c.PingMethod = "list.calls" }, func(t *testing.T, s simulation) {
		token := s.Login(t)
		if err := s.Driver.Ping(t.Context(), token); err != nil {
			t.Error(err)
		}
		if err := request(t, s, token, listCalls); err != nil {
			t.Error(err)
		}
		if err := s.Driver.Logout(t.Context(), token); err != nil {
			t.Error(err)
		}
		log := s.Log()
		for _, r := range log[1:] {
			if !strings.Contains(string(r.Body), `"access_token":"`+token.Value.Reveal()+`"`) || r.Header.Get("Authorization") != "" || r.RawQuery != "" {
				t.Errorf("%s %v", r.Body, r.Header)
			}
			if got := strings.ToLower(r.Header.Get("Content-Type")); got != "application/json; charset=utf-8" {
				t.Errorf("Content-Type %q", got)
			}
		}
		if len(log) != 4 || len(s.Tokens(user)) != 0 {
			t.Errorf("%d requests, %d tokens left", len(log), len(s.Tokens(user)))
		}
	})
}

func TestARequestWithoutParamsHasNoPlaceForTheToken(t *testing.T) {
	driver := on(t, drivertest.Unsent{T: t})
	for _, body := range []string{"", "[" + listCalls + "]", `{"jsonrpc":"2.0","id":1,"method":"list.calls"}`, `{"params":[]}`} {
		r, _ := http.NewRequest(http.MethodPost, "https://callapi.uiscom.ru/v4.0", strings.NewReader(body))
		err := driver.Authorize(r, &pbx.Token{Value: pbx.NewSecret(token)})
		if got := failure(t, err); got.Kind != pbx.ErrNotSupported || !strings.Contains(got.Message, `"params":{…}`) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestALockThatOthersCausedEndsWithIt(t *testing.T) {
	simulate(t, uissim.Options{}, nil, func(t *testing.T, s simulation) {
		s.LockedByOthers(t, user, password)
	})
}
