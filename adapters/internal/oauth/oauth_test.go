package oauth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/oauth"
	"github.com/pbxauth/pbx/adapters/wire"
)

// endpoint is a PBX that responds to everything in one way, and keeps the last
// request.
type endpoint struct {
	status int
	header http.Header
	body   string

	requests int
	request  *http.Request
	form     url.Values
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body.Close()
	e.requests++
	e.request = r
	if e.form, err = url.ParseQuery(string(body)); err != nil {
		return nil, err
	}
	header := e.header
	if header == nil {
		header = http.Header{"Content-Type": {"application/json"}}
	}
	return &http.Response{
		StatusCode: e.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header,
		Body: io.NopCloser(strings.NewReader(e.body)), ContentLength: int64(len(e.body)), Request: r,
	}, nil
}

var brand = oauth.Brand{TokenPath: "/oauth/token", Lifetime: 5 * time.Minute}

func client(t testing.TB, e *endpoint, b oauth.Brand, app *oauth.Application) *oauth.Client {
	t.Helper()
	w, err := wire.New(wire.Endpoint{Driver: "brand"}, pbx.Config{
		URL: "https://pbx.example.com", Username: "us&er", Password: pbx.NewSecret("p=ss w+rd/ÿ"), Transport: e,
	})
	if err != nil {
		t.Fatal(err)
	}
	return oauth.New(w, b, app)
}

var app = &oauth.Application{ID: "application", Secret: pbx.NewSecret("app secret")}

// jwt is a token with these claims. Nothing about it is signed.
func jwt(claims string) string {
	return "eyJhbGciOiJFUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2lnbmF0dXJl"
}

func TestTheGrantsAreSent(t *testing.T) {
	basic, scoped := brand, brand
	basic.Basic = true
	scoped.Scope = "gql:core rest:core"
	for _, tt := range []struct {
		name          string
		brand         oauth.Brand
		app           *oauth.Application
		form          url.Values
		authorization string
	}{
		{"client credentials", brand, nil, url.Values{
			"grant_type": {"client_credentials"}, "client_id": {"us&er"}, "client_secret": {"p=ss w+rd/ÿ"}}, ""},
		{"client credentials by Basic", basic, nil, url.Values{"grant_type": {"client_credentials"}},
			"Basic " + base64.StdEncoding.EncodeToString([]byte("us&er:p=ss w+rd/ÿ"))},
		{"client credentials with a scope", scoped, nil, url.Values{
			"grant_type": {"client_credentials"}, "client_id": {"us&er"}, "client_secret": {"p=ss w+rd/ÿ"}, "scope": {"gql:core rest:core"}}, ""},
		{"password", brand, app, url.Values{
			"grant_type": {"password"}, "username": {"us&er"}, "password": {"p=ss w+rd/ÿ"}, "client_id": {"application"}, "client_secret": {"app secret"}}, ""},
		{"password by Basic", basic, app, url.Values{
			"grant_type": {"password"}, "username": {"us&er"}, "password": {"p=ss w+rd/ÿ"}},
			"Basic " + base64.StdEncoding.EncodeToString([]byte("application:app secret"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &endpoint{status: 200, body: `{"token_type":"Bearer","expires_in":3600,"access_token":"access"}`}
			if _, err := client(t, e, tt.brand, tt.app).Login(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.form, e.form); diff != "" {
				t.Errorf("form (-want +got):\n%s", diff)
			}
			if got := e.request.Header.Get("Authorization"); got != tt.authorization {
				t.Errorf("Authorization %q, want %q", got, tt.authorization)
			}
			if e.request.URL.String() != "https://pbx.example.com/oauth/token" || e.request.Method != "POST" || e.requests != 1 {
				t.Errorf("%d requests, the last %s %s", e.requests, e.request.Method, e.request.URL)
			}
		})
	}
}

func TestARefreshBringsAnotherPair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := brand
		b.RefreshLifetime = time.Hour
		e := &endpoint{status: 200, body: `{"expires_in":60,"access_token":"new","refresh_token":"newer"}`}
		got, err := client(t, e, b, app).KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret("old"), Refresh: pbx.NewSecret("older")})
		if err != nil {
			t.Fatal(err)
		}
		got.Details = nil
		now := time.Now()
		want := &pbx.Token{Value: pbx.NewSecret("new"), Refresh: pbx.NewSecret("newer"), IssuedAt: now, ExpiresAt: now.Add(time.Minute), RefreshExpiresAt: now.Add(time.Hour)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"older"}, "client_id": {"application"}, "client_secret": {"app secret"}}
		if diff := cmp.Diff(form, e.form); diff != "" {
			t.Errorf("form (-want +got):\n%s", diff)
		}
	})
}

// A refresh token is of unknown lifetime unless the brand says one.
func TestOnlyARefreshTokenOfKnownLifetimeExpires(t *testing.T) {
	b := brand
	b.RefreshLifetime = time.Hour
	for _, tt := range []struct {
		brand   oauth.Brand
		body    string
		expires bool
	}{
		{b, `{"access_token":"new","refresh_token":"newer"}`, true},
		{b, `{"access_token":"new"}`, false},
		{brand, `{"access_token":"new","refresh_token":"newer"}`, false},
	} {
		got, err := client(t, &endpoint{status: 200, body: tt.body}, tt.brand, app).Login(t.Context())
		if err != nil || got.RefreshExpiresAt.IsZero() == tt.expires {
			t.Errorf("%s, known lifetime %s: %v, %v", tt.body, tt.brand.RefreshLifetime, got, err)
		}
	}
}

func TestWhatCannotBeRefreshedIsNotSent(t *testing.T) {
	e := &endpoint{status: 200}
	_, err := client(t, e, brand, nil).KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret("old")})
	if !errors.Is(err, pbx.ErrNotSupported) {
		t.Errorf("client credentials: %v", err)
	}
	_, err = client(t, e, brand, app).KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret("old")})
	if !errors.Is(err, pbx.ErrTokenRejected) {
		t.Errorf("without a refresh token: %v", err)
	}
	if e.requests != 0 {
		t.Errorf("%d requests", e.requests)
	}
}

func TestHalfAPairIsNoRefresh(t *testing.T) {
	for _, body := range []string{`{"access_token":"new"}`, `{"refresh_token":"newer"}`, `{"access_token":"new","refresh_token":""}`} {
		_, err := client(t, &endpoint{status: 200, body: body}, brand, app).KeepAlive(t.Context(), &pbx.Token{Refresh: pbx.NewSecret("older")})
		if !errors.Is(err, pbx.ErrProtocol) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// A refresh token that client credentials bring all the same is of no use to a
// driver that has no refresh.
func TestClientCredentialsKeepNoRefreshToken(t *testing.T) {
	got, err := client(t, &endpoint{status: 200, body: `{"access_token":"new","refresh_token":"newer"}`}, brand, nil).Login(t.Context())
	if err != nil || !got.Refresh.IsZero() {
		t.Errorf("%v, %v", got, err)
	}
}

func TestTheTokensOwnClockComesFirst(t *testing.T) {
	for body, want := range map[string]time.Duration{
		`{"access_token":"` + jwt(`{"iat":1795678130,"exp":1795681730}`) + `","expires_in":60}`: time.Hour,
		`{"access_token":"` + jwt(`{"iat":1795678130.239577,"exp":1795681730.239577}`) + `"}`:   time.Hour,
		`{"access_token":"` + jwt(`{"iat":1795678130.239577,"exp":1795681730.138577}`) + `"}`:   3599898 * time.Millisecond,
		`{"access_token":"` + jwt(`{"iat":0,"exp":86400}`) + `"}`:                               24 * time.Hour,
		`{"access_token":"` + jwt(`{"iat":0,"exp":86401}`) + `","expires_in":60}`:               time.Minute,
		`{"access_token":"` + jwt(`{"iat":7200,"exp":3600}`) + `","expires_in":60}`:             time.Minute,
		`{"access_token":"` + jwt(`{"iat":7200,"exp":7200}`) + `","expires_in":60}`:             time.Minute,
		`{"access_token":"` + jwt(`{"exp":3600}`) + `","expires_in":60}`:                        time.Minute,
		`{"access_token":"` + jwt(`{"iat":3600}`) + `","expires_in":60}`:                        time.Minute,
		`{"access_token":"` + jwt(`{"iat":"1","exp":"2"}`) + `","expires_in":60}`:               time.Minute,
		`{"access_token":"` + jwt(`{"iat":0,"exp":1e300}`) + `","expires_in":60}`:               time.Minute,
		`{"access_token":"` + jwt(`[1]`) + `","expires_in":60}`:                                 time.Minute,
		`{"access_token":"a.%%%.c","expires_in":60}`:                                            time.Minute,
		`{"access_token":"a.b","expires_in":"90"}`:                                              90 * time.Second,
		`{"access_token":"a","expires_in":86400}`:                                               24 * time.Hour,
		`{"access_token":"a","expires_in":86401}`:                                               5 * time.Minute,
		`{"access_token":"a","expires_in":0}`:                                                   5 * time.Minute,
		`{"access_token":"a","expires_in":-60}`:                                                 5 * time.Minute,
		`{"access_token":"a","expires_in":"soon"}`:                                              5 * time.Minute,
		`{"access_token":"a"}`: 5 * time.Minute,
		`{"access_token":"` + jwt(`{"iat":0,"exp":60,"x":"`+strings.Repeat("x", 16<<10)+`"}`) + `","expires_in":90}`: 90 * time.Second,
	} {
		got, err := client(t, &endpoint{status: 200, body: body}, brand, nil).Login(t.Context())
		if err != nil {
			t.Fatalf("%.80s: %v", body, err)
		}
		if life := got.ExpiresAt.Sub(got.IssuedAt); life != want {
			t.Errorf("%.120s: %s, want %s", body, life, want)
		}
	}
}

func TestWhatARefusalMeans(t *testing.T) {
	empty := brand
	empty.EmptyRefusal = true
	basic, bearer := http.Header{"Www-Authenticate": {`Basic realm="x"`}}, http.Header{"Www-Authenticate": {"Bearer"}}
	for _, tt := range []struct {
		name           string
		brand          oauth.Brand
		status         int
		header         http.Header
		body           string
		login, refresh error
		code, setting  string
	}{
		{"a wrong client", brand, 401, nil, `{"error":"invalid_client"}`, pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials, "invalid_client", ""},
		{"a wrong client under another status", brand, 400, nil, `{"error":"invalid_client"}`, pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials, "invalid_client", ""},
		{"a wrong client under 200", brand, 200, nil, `{"error":"invalid_client","access_token":"x"}`, pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials, "invalid_client", ""},
		{"a wrong client that Basic was asked for", brand, 401, basic, `{"error":"invalid_client"}`, pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials, "invalid_client", ""},
		{"a wrong password", brand, 400, nil, `{"error":"invalid_grant"}`, pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, "invalid_grant", ""},
		{"a wrong password, long ago", brand, 401, nil, `{"error":"invalid_credentials"}`, pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, "invalid_credentials", ""},
		{"a request that is not understood", brand, 401, nil, `{"error":"invalid_request"}`, pbx.ErrProtocol, pbx.ErrTokenRejected, "invalid_request", ""},
		{"a wrong scope", brand, 400, nil, `{"error":"invalid_scope"}`, pbx.ErrConfig, pbx.ErrConfig, "invalid_scope", "scope"},
		{"a grant that there is not", brand, 400, nil, `{"error":"unsupported_grant_type"}`, pbx.ErrConfig, pbx.ErrConfig, "unsupported_grant_type", ""},
		{"a grant that is not permitted", brand, 400, nil, `{"error":"unauthorized_client"}`, pbx.ErrConfig, pbx.ErrConfig, "unauthorized_client", ""},
		{"denied", brand, 403, nil, `{"error":"access_denied"}`, pbx.ErrForbidden, pbx.ErrTokenRejected, "access_denied", ""},
		{"a failure", brand, 400, nil, `{"error":"server_error"}`, pbx.ErrUnavailable, pbx.ErrUnavailable, "server_error", ""},
		{"busy", brand, 400, nil, `{"error":"temporarily_unavailable"}`, pbx.ErrUnavailable, pbx.ErrUnavailable, "temporarily_unavailable", ""},
		{"an unknown code", brand, 400, nil, `{"error":"slow_down"}`, nil, nil, "slow_down", ""},
		{"an unknown code under 500", brand, 500, nil, `{"error":"oops"}`, pbx.ErrUnavailable, pbx.ErrUnavailable, "oops", ""},
		{"a gateway's 401", brand, 401, nil, `{"error":"Unauthorized"}`, pbx.ErrConfig, pbx.ErrConfig, "", ""},
		{"a gateway's 403", brand, 403, nil, `{"error":"Forbidden"}`, pbx.ErrConfig, pbx.ErrConfig, "", ""},
		{"another kind of error", brand, 400, nil, `{"error":{"code":"x"}}`, pbx.ErrProtocol, pbx.ErrProtocol, "", ""},
		{"an empty 401", brand, 401, nil, "", pbx.ErrConfig, pbx.ErrConfig, "", ""},
		{"an empty 401 of the brand's", empty, 401, nil, "", pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials, "", ""},
		{"one that repeats its status", empty, 401, nil, `{"type":"https://tools.ietf.org/html/rfc9110#section-15.5.2","title":"Unauthorized","status":401,"traceId":"00-1"}`, pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials, "", ""},
		{"one that repeats its status in words of OAuth", empty, 401, nil, `{"error":"unauthorized","error_description":"x"}`, pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials, "", ""},
		{"the same without a description, as a gateway has it", empty, 401, nil, `{"error":"unauthorized"}`, pbx.ErrConfig, pbx.ErrConfig, "", ""},
		{"the same under another status", empty, 403, nil, `{"error":"unauthorized","error_description":"x"}`, pbx.ErrConfig, pbx.ErrConfig, "", ""},
		{"the same of another brand", brand, 401, nil, `{"error":"unauthorized","error_description":"x"}`, pbx.ErrConfig, pbx.ErrConfig, "", ""},
		{"one that repeats another status", empty, 401, nil, `{"title":"Unauthorized","status":403}`, pbx.ErrConfig, pbx.ErrConfig, "", ""},
		{"one that repeats its status and asks for a password", empty, 401, basic, `{"title":"Unauthorized","status":401}`, pbx.ErrConfig, pbx.ErrConfig, "", ""},
		{"one that repeats its status, of another brand", brand, 401, nil, `{"title":"Unauthorized","status":401}`, pbx.ErrConfig, pbx.ErrConfig, "", ""},
		{"blanks in it", empty, 401, nil, " \r\n", pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials, "", ""},
		{"one that asks for a token", empty, 401, bearer, "", pbx.ErrInvalidCredentials, pbx.ErrInvalidCredentials, "", ""},
		{"one that asks for a password", empty, 401, basic, "", pbx.ErrConfig, pbx.ErrConfig, "", ""},
		{"one with a page", empty, 401, nil, "<html></html>", pbx.ErrConfig, pbx.ErrConfig, "", ""},
		{"an empty 403", empty, 403, nil, "", pbx.ErrConfig, pbx.ErrConfig, "", ""},
		{"not a bearer token", brand, 200, nil, `{"access_token":"x","refresh_token":"y","token_type":"mac"}`, pbx.ErrProtocol, pbx.ErrProtocol, "", ""},
		{"a token that no header carries", brand, 200, nil, `{"access_token":"x\r\ny","refresh_token":"y"}`, pbx.ErrProtocol, pbx.ErrProtocol, "", ""},
		{"no token", brand, 200, nil, `{}`, pbx.ErrProtocol, pbx.ErrProtocol, "", ""},
		{"no JSON", brand, 200, nil, `access_token=x`, pbx.ErrProtocol, pbx.ErrProtocol, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check := func(err error, want error) {
				t.Helper()
				got, ok := err.(*pbx.Error)
				if !ok || got.Driver != "brand" {
					t.Fatalf("%T %v", err, err)
				}
				if got.Kind != want || got.Code != tt.code || got.Setting != tt.setting {
					t.Errorf("%v, kind %v, code %q, setting %q; want kind %v", err, got.Kind, got.Code, got.Setting, want)
				}
			}
			e := &endpoint{status: tt.status, header: tt.header, body: tt.body}
			_, err := client(t, e, tt.brand, app).Login(t.Context())
			check(err, tt.login)
			_, err = client(t, e, tt.brand, app).KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret("old"), Refresh: pbx.NewSecret("older")})
			check(err, tt.refresh)
			if err.(*pbx.Error).NotJudged { // there was no login to judge
				t.Errorf("%v: NotJudged", err)
			}
		})
	}
}

func TestAFingerprintCoversAllThatALoginSends(t *testing.T) {
	key := []byte("key")
	print := func(a *oauth.Application) string {
		t.Helper()
		got, err := client(t, &endpoint{}, brand, a).Fingerprint(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	seen := map[string]string{}
	for name, a := range map[string]*oauth.Application{
		"no application": nil, "an application": app,
		"another id":     {ID: "other", Secret: app.Secret},
		"another secret": {ID: app.ID, Secret: pbx.NewSecret("other")},
	} {
		p := print(a)
		if other, ok := seen[p]; ok {
			t.Errorf("%s and %s have one fingerprint", name, other)
		}
		seen[p] = name
		if print(a) != p {
			t.Errorf("%s: the second fingerprint is another", name)
		}
	}
	w, err := wire.New(wire.Endpoint{Driver: "brand"}, pbx.Config{
		URL: "https://pbx.example.com", Transport: &endpoint{},
		Credentials: func(context.Context) (pbx.Credentials, error) { return pbx.Credentials{}, io.ErrUnexpectedEOF },
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oauth.New(w, brand, app).Fingerprint(t.Context(), key); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}

func TestNoSecretOfAnApplicationShows(t *testing.T) {
	secrets := []string{"app secret", "p=ss w+rd/ÿ", "canary-access-token", "canary-refresh-token"}
	body := `{"error":"ECHO","error_description":"ECHO","message":"ECHO","access_token":"canary-access-token","refresh_token":"canary-refresh-token"}`
	e := &endpoint{status: 400, body: strings.ReplaceAll(body, "ECHO", strings.Join(secrets, " "))}
	c := client(t, e, brand, app)
	_, err := c.Login(t.Context())
	_, err2 := c.KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret("canary-access-token"), Refresh: pbx.NewSecret("canary-refresh-token")})
	for _, err := range []error{err, err2} {
		for _, secret := range secrets {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%v shows %s", err, secret)
			}
		}
	}
	e.status, e.body = 200, `{"access_token":"canary-access-token","refresh_token":"canary-refresh-token","scope":"x","echo":["app secret of application","canary-access-token","canary-refresh-token","zebra-access","zebra-refresh"]}`
	login, err := c.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := c.KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret("zebra-access"), Refresh: pbx.NewSecret("zebra-refresh")})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range secrets {
		if strings.Contains(string(login.Details), secret) {
			t.Errorf("the details %s show %s", login.Details, secret)
		}
	}
	if !strings.Contains(string(login.Details), `"scope":"x"`) {
		t.Errorf("the details %s lack the scope", login.Details)
	}
	if strings.Contains(string(fresh.Details), "zebra") {
		t.Errorf("the details %s show a token that was exchanged", fresh.Details)
	}
}

// A 401 in words that nobody knows may be the verdict on a wrong key.
func TestA401OfUnknownFormMayBeTheBrandsVerdict(t *testing.T) {
	empty := brand
	empty.EmptyRefusal = true
	for _, tt := range []struct {
		brand     oauth.Brand
		challenge string
		body      string
	}{
		{empty, "", `{"reason":"x"}`}, {empty, "Bearer", "<html></html>"}, {empty, `Basic realm="x"`, ""},
		{brand, "", `{"reason":"x"}`},
	} {
		e := &endpoint{status: 401, header: http.Header{}, body: tt.body}
		if tt.challenge != "" {
			e.header.Set("WWW-Authenticate", tt.challenge)
		}
		_, err := client(t, e, tt.brand, nil).Login(t.Context())
		if got, ok := err.(*pbx.Error); !ok || got.Kind != pbx.ErrConfig || !got.Sent {
			t.Errorf("%q, %q: %v, sent %v", tt.challenge, tt.body, err, ok && got.Sent)
		}
	}
}

// A code that is missing from an error would show that the secret is like it, and
// drivers compare codes.
func TestACodeOfTheStandardShowsWhateverTheSecretIs(t *testing.T) {
	for _, code := range []string{"invalid_client", "invalid_request"} {
		e := &endpoint{status: 400, body: `{"error":"` + code + `"}`}
		like := &oauth.Application{ID: "application", Secret: pbx.NewSecret(code + "7")}
		_, err := client(t, e, brand, like).Login(t.Context())
		if got, ok := err.(*pbx.Error); !ok || got.Code != code {
			t.Errorf("%v, want the code %s", err, code)
		}
	}
}

// FuzzTokenResponse reads any bytes as the response to a login. Either there is a
// token with a lifetime, or an error on one line.
func FuzzTokenResponse(f *testing.F) {
	f.Add(200, `{"token_type":"Bearer","expires_in":3600,"access_token":"`+jwt(`{"iat":1795678130,"exp":1795681730}`)+`","refresh_token":null}`)
	f.Add(200, `{"token_type":"Bearer","expires_in":60,"access_token":"a.b.c"}`)
	f.Add(200, `{"access_token":"`+jwt(`{"iat":1.5,"exp":1e308}`)+`"}`)
	f.Add(401, `{"error":"invalid_client","message":"Client authentication failed"}`)
	f.Add(400, `{"error":["x"]}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 || status/100 == 3 { // wire's affair
			return
		}
		got, err := client(t, &endpoint{status: status, body: body}, brand, app).Login(t.Context())
		switch {
		case err == nil:
			if status/100 != 2 || got.Value.IsZero() {
				t.Errorf("HTTP %d: %v", status, got)
			}
			if life := got.ExpiresAt.Sub(got.IssuedAt); life < time.Second || life > 24*time.Hour {
				t.Errorf("a lifetime of %s", life)
			}
			if strings.ContainsAny(got.Value.Reveal(), "\r\n ") {
				t.Errorf("a token that no header carries: %q", got.Value.Reveal())
			}
		case got != nil:
			t.Errorf("a token together with %v", err)
		default:
			if text := err.Error(); strings.ContainsAny(text, "\r\n") || len(text) > 1200 {
				t.Errorf("%q", text)
			}
		}
	})
}

// FuzzLifetime reads any bytes as a token.
func FuzzLifetime(f *testing.F) {
	f.Add(jwt(`{"iat":1795678130,"exp":1795681730}`))
	f.Add(jwt(`{"iat":-1e308,"exp":1e308}`))
	f.Add("a.b.c")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		life, ok := oauth.Lifetime(token)
		if ok && (life < time.Second || life > 24*time.Hour) || !ok && life != 0 {
			t.Errorf("%s, %v", life, ok)
		}
	})
}
