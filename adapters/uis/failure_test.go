package uis_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/uis"
	"github.com/pbxauth/pbx/adapters/uis/uissim"
	"github.com/pbxauth/pbx/session"
)

// The document's list of errors, read twice: here, and in the driver.
func TestEveryDocumentedErrorHasItsKind(t *testing.T) {
	const forbidden, unavailable, protocol = "forbidden", "unavailable", "unexpected response"
	for mnemonic, row := range map[string]struct {
		code         int
		login, other string
	}{
		"auth_error":                     {-32001, "invalid credentials", "none"},
		"access_token_invalid":           {-32001, protocol, "token rejected"},
		"access_token_expired":           {-32001, protocol, "token rejected"},
		"access_token_blocked":           {-32001, protocol, "token rejected"},
		"ip_not_whitelisted":             {-32003, forbidden, forbidden},
		"forbidden":                      {-32003, forbidden, forbidden},
		"account_inactive":               {-32009, forbidden, forbidden},
		"component_disabled":             {-32008, forbidden, forbidden},
		"limit_exceeded":                 {-32029, unavailable, unavailable},
		"internal_error":                 {-32603, unavailable, unavailable},
		"parse_error":                    {-32700, protocol, protocol},
		"invalid_request":                {-32600, protocol, protocol},
		"method_not_found":               {-32601, protocol, protocol},
		"required_parameter_missed":      {-32602, protocol, protocol},
		"invalid_parameter_value":        {-32602, protocol, protocol},
		"data_type_error":                {-32602, protocol, protocol},
		"unexpected_parameters":          {-32602, protocol, protocol},
		"batch_opreations_not_supported": {-32099, protocol, protocol},
		"notifications_not_supported":    {-32099, protocol, protocol},

		// Not listed for all methods: read by the group of the code.
		"call_session_not_found": {-32602, "none", "none"},
		"safety_rule":            {-32002, "none", "none"},
		"a_new_one":              {-32001, "invalid credentials", "token rejected"},
		"a_new_limit":            {-32029, unavailable, unavailable},
		"a_new_right":            {-32003, forbidden, forbidden},
		"a_new_component":        {-32008, forbidden, forbidden},
		"a_new_lock":             {-32009, forbidden, forbidden},
		"a_new_failure":          {-32603, unavailable, unavailable},
		"":                       {-32601, protocol, protocol},
	} {
		for _, status := range []int{200, 400, 401, 403, 500} {
			body := fmt.Sprintf(`{"jsonrpc":"2.0","id":null,"error":{"code":%d,"message":"m","data":{"mnemonic":%q,"field":"contact","value":"79260000000"}}}`, row.code, mnemonic)
			response := drivertest.Response{Status: status, Body: body}
			check := func(what string, err error, want string) {
				t.Helper()
				got := failure(t, err)
				kind := "none"
				if got.Kind != nil {
					kind = got.Kind.Error()
				}
				code := mnemonic
				if code == "" {
					code = fmt.Sprint(row.code)
				}
				if kind != want || got.Code != code || !got.Sent || got.HTTPStatus != status || got.Message == "" || strings.Contains(got.Message, "7926") {
					t.Errorf("%s under HTTP %d, %s: %+v, want %s", mnemonic, status, what, got, want)
				}
			}
			_, err := on(t, drivertest.Responses(response)).Login(t.Context())
			check("login", err, row.login)
			r, _ := http.NewRequest(http.MethodPost, "https://callapi.uiscom.ru/v4.0", nil)
			err = on(t, drivertest.Unsent{T: t}).Inspect(&http.Response{StatusCode: status, Header: http.Header{}, Request: r}, []byte(body), &pbx.Token{Value: pbx.NewSecret(token)})
			check("request", err, row.other)
		}
	}
}

func TestTheNameOfTheFieldIsSaidAndItsValueIsNot(t *testing.T) {
	body := `{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"Data supplied is of wrong type","data":{"mnemonic":"data_type_error","field":"employee.phone_number","value":"79260000000"}}}`
	err := on(t, drivertest.Unsent{T: t}).Inspect(&http.Response{StatusCode: 200, Header: http.Header{}}, []byte(body), &pbx.Token{Value: pbx.NewSecret(token)})
	if text := err.Error(); !strings.Contains(text, "employee.phone_number") || strings.Contains(text, "79260000000") {
		t.Errorf("%s", text)
	}
}

func TestResponsesThatAreNotTheAPIs(t *testing.T) {
	driver := on(t, drivertest.Unsent{T: t})
	for name, tt := range map[string]struct {
		status int
		body   string
		want   error
		good   bool
	}{
		"a recording":          {200, "RIFF\x24\x08", nil, true},
		"an object of another": {200, `{"status":"ok"}`, nil, true},
		"nothing":              {200, "", nil, true},
		"a proxy's 401":        {401, "<html>", pbx.ErrConfig, false},
		"a proxy's 403":        {403, "<html>", pbx.ErrConfig, false},
		"404":                  {404, "", pbx.ErrProtocol, false},
		"429":                  {429, "", pbx.ErrUnavailable, false},
		"502":                  {502, "<html>", pbx.ErrUnavailable, false},

		"a gateway's text":             {503, `{"error":"Service Unavailable"}`, pbx.ErrUnavailable, false},
		"a gateway's code":             {503, `{"error":{"code":503,"message":"Service Unavailable"}}`, pbx.ErrUnavailable, false},
		"a gateway's 429":              {429, `{"error":{"message":"slow down"}}`, pbx.ErrUnavailable, false},
		"a gateway's 401":              {401, `{"error":"Unauthorized"}`, pbx.ErrConfig, false},
		"an application's empty error": {200, `{"result":{"data":[]},"error":""}`, nil, true},
	} {
		err := driver.Inspect(&http.Response{StatusCode: tt.status, Header: http.Header{}}, []byte(tt.body), &pbx.Token{Value: pbx.NewSecret(token)})
		if tt.good {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if failure(t, err).Kind != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The points of a minute come back with the next one. The token is none the worse.
func TestALimitIsWaitedForAndCostsNoLogin(t *testing.T) {
	for _, place := range []uissim.MetadataPlace{uissim.InErrorData, uissim.InError, uissim.InEnvelope, uissim.NoMetadata} {
		simulate(t, uissim.Options{MinuteLimit: 2, Metadata: place}, nil, func(t *testing.T, s simulation) {
			time.Sleep(20 * time.Second)
			token := s.Login(t)
			for range 2 {
				if err := request(t, s, token, listCalls); err != nil {
					t.Error(err)
				}
			}
			err := request(t, s, token, listCalls)
			got := failure(t, err)
			want := 41 * time.Second
			if place == uissim.NoMetadata {
				want = 0
			}
			if got.Kind != pbx.ErrUnavailable || got.RetryAfter != want {
				t.Errorf("metadata in %q: %v, retry after %s, want %s", place, err, got.RetryAfter, want)
			}
			time.Sleep(41 * time.Second)
			if err := request(t, s, token, listCalls); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestThePauseOfALimit(t *testing.T) {
	for limits, want := range map[string]time.Duration{
		`{"minute_remaining":0,"minute_reset":23,"day_remaining":900,"day_reset":40000}`: 23 * time.Second,
		`{"minute_remaining":3,"minute_reset":23}`:                                       23 * time.Second, // the method costs more
		`{"minute_reset":23,"day_remaining":0,"day_reset":1800}`:                         30 * time.Minute,
		`{"minute_reset":23,"day_remaining":"0","day_reset":"1800"}`:                     30 * time.Minute,
		`{"day_remaining":0,"day_reset":40000}`:                                          time.Hour, // the most that a PBX can ask for
		`{"minute_reset":9223372036854775807}`:                                           time.Hour,
		`{"minute_reset":-5}`:                                                            0,
		`{}`:                                                                             0,
		`[]`:                                                                             0,
	} {
		body := `{"error":{"code":-32029,"data":{"mnemonic":"limit_exceeded","metadata":{"limits":` + limits + `}}}}`
		_, err := on(t, drivertest.Bodies(body)).Login(t.Context())
		if got := failure(t, err); got.RetryAfter != want {
			t.Errorf("%s: %s, want %s", limits, got.RetryAfter, want)
		}
	}
}

// Real clients waited for access_token_expired, which never comes for the token of
// a login.
func TestAnExpiredTokenIsReplacedBySessionsWhateverItsMnemonic(t *testing.T) {
	for _, mnemonic := range []string{"access_token_invalid", "access_token_expired", "access_token_blocked"} {
		simulate(t, uissim.Options{DeadToken: mnemonic}, nil, func(t *testing.T, s simulation) {
			kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
			defer kept.Close(context.Background())
			for range 2 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				resp, err := postThrough(ctx, kept, s.Server.URL)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				cancel()
				s.Restart()
			}
			if counts := s.Counts(); counts.Logins != 2 || counts.AppRequests != 2 {
				t.Errorf("%s: %d logins, %d good requests, want 2 and 2", mnemonic, counts.Logins, counts.AppRequests)
			}
		})
	}
}

func postThrough(ctx context.Context, kept *session.Session, base string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v4.0", strings.NewReader(listCalls))
	if err != nil {
		return nil, err
	}
	return kept.Client().Do(r)
}

func TestAMissingComponentCostsNoLogin(t *testing.T) {
	simulate(t, uissim.Options{Disabled: true}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		if err := request(t, s, token, listCalls); !errors.Is(err, pbx.ErrForbidden) {
			t.Errorf("%v", err)
		}
	})
}

// A success has an object for its result.
func TestAResultThatIsNoObjectProvesNothing(t *testing.T) {
	for _, result := range []string{`"ok"`, `"error"`, `false`, `true`, `0`, `[]`, `null`} {
		body := `{"jsonrpc":"2.0","id":"1","result":` + result + `}`
		driver, err := uis.New(uis.Config{PingMethod: "list.calls", Config: pbx.Config{
			URL: "https://callapi.uiscom.ru", Username: "a", Password: pbx.NewSecret("b"), Transport: drivertest.Body(body),
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := driver.Ping(t.Context(), &pbx.Token{Value: pbx.NewSecret(token)}); err == nil || failure(t, err).Kind != pbx.ErrProtocol {
			t.Errorf("%s: %v", body, err)
		}
	}
}
