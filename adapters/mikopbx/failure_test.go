package mikopbx_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/mikopbx/mikopbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// The table of the package's doc, read a second time.
func TestEveryStatusHasItsKind(t *testing.T) {
	for status, want := range map[int][3]error{ // login, refresh, request
		200: {nil, nil, nil},
		400: {pbx.ErrUnavailable, pbx.ErrUnavailable, pbx.ErrUnavailable},
		401: {pbx.ErrInvalidCredentials, pbx.ErrTokenRejected, pbx.ErrTokenRejected},
		403: {nil, pbx.ErrForbidden, pbx.ErrForbidden},
		404: {nil, nil, nil},
		408: {pbx.ErrUnavailable, pbx.ErrUnavailable, pbx.ErrUnavailable},
		409: {nil, nil, nil},
		422: {pbx.ErrUnavailable, nil, nil},
		429: {pbx.ErrLocked, pbx.ErrUnavailable, pbx.ErrUnavailable},
		500: {pbx.ErrUnavailable, pbx.ErrUnavailable, pbx.ErrUnavailable},
		503: {pbx.ErrUnavailable, pbx.ErrUnavailable, pbx.ErrUnavailable},
	} {
		const body = `{"result":false,"data":[],"messages":{"error":["текст"]},"function":"","processor":"","pid":7,"meta":{}}`
		response := drivertest.Response{Status: status, Body: body}
		_, login := on(t, drivertest.Responses(response)).Login(t.Context())
		_, refresh := on(t, drivertest.Responses(response)).KeepAlive(t.Context(), held())
		request := on(t, drivertest.Unsent{T: t}).Inspect(&http.Response{StatusCode: status, Header: http.Header{}}, []byte(body), held())
		for i, err := range []error{login, refresh, request} {
			if got := failure(t, err); got.Kind != want[i] || !got.Sent || got.HTTPStatus != status || got.Message == "" || got.Ambiguous {
				t.Errorf("%d, %d: %v, want %v", status, i, err, want[i])
			}
			if got, want := failure(t, err).NotJudged, i == 0 && (status == 422 || status == 503); got != want {
				t.Errorf("%d, %d: NotJudged is %t", status, i, got)
			}
			if text := err.Error(); containsCyrillic(text) {
				t.Errorf("%d: the PBX's own words: %s", status, text)
			}
		}
	}
}

func containsCyrillic(text string) bool {
	for _, r := range text {
		if r >= 0x400 && r < 0x500 {
			return true
		}
	}
	return false
}

func TestResponsesThatAreNotTheAPIs(t *testing.T) {
	const gate = "The user isn't authenticated."
	for name, tt := range map[string]struct {
		status         int
		body           string
		login, request error
		good           bool // to a request
	}{
		"a recording":             {200, "RIFF\x24\x08", pbx.ErrProtocol, nil, true},
		"another object":          {200, `{"status":"ok"}`, pbx.ErrProtocol, nil, true},
		"a result that is a text": {200, `{"result":"true"}`, pbx.ErrProtocol, nil, true},
		"nginx's refusal":         {403, gate, pbx.ErrConfig, pbx.ErrTokenRejected, false},
		"the same with blanks":    {403, "\r\n " + gate + "\n", pbx.ErrConfig, pbx.ErrTokenRejected, false},
		"the same under 401":      {401, gate, pbx.ErrConfig, pbx.ErrConfig, false},
		"a page under 403":        {403, pbxsim.HTMLPage, pbx.ErrConfig, pbx.ErrConfig, false},
		"a page under 400":        {400, pbxsim.HTMLPage, pbx.ErrProtocol, pbx.ErrProtocol, false},
		"nginx's rate limit":      {429, pbxsim.HTMLPage, pbx.ErrUnavailable, pbx.ErrUnavailable, false},
		"502":                     {502, pbxsim.HTMLPage, pbx.ErrUnavailable, pbx.ErrUnavailable, false},
	} {
		_, err := on(t, drivertest.Responses(drivertest.Response{Status: tt.status, Body: tt.body})).Login(t.Context())
		if got := failure(t, err); got.Kind != tt.login {
			t.Errorf("%s: a login: %v", name, err)
		}
		err = on(t, drivertest.Unsent{T: t}).Inspect(&http.Response{StatusCode: tt.status, Header: http.Header{}}, []byte(tt.body), held())
		if tt.good {
			if err != nil {
				t.Errorf("%s: a request: %v", name, err)
			}
		} else if got := failure(t, err); got.Kind != tt.request {
			t.Errorf("%s: a request: %v", name, err)
		}
	}
}

func TestASuccessIsProven(t *testing.T) {
	for name, tt := range map[string]struct {
		body          string
		tokens, plain bool // proves a login or a refresh, a ping or a logout
	}{
		"as the source has it":      {accepted, true, true},
		"no token":                  {`{"result":true,"data":{}}`, false, true},
		"a token that is null":      {`{"result":true,"data":{"accessToken":null}}`, false, true},
		"a token with a blank":      {`{"result":true,"data":{"accessToken":"a b"}}`, false, true},
		"data that is a list":       {`{"result":true,"data":[]}`, false, true},
		"no result":                 {`{"data":{"accessToken":"x"}}`, false, false},
		"result false":              {`{"result":false,"data":{"accessToken":"x"}}`, false, false},
		"result null":               {`{"result":null,"data":{"accessToken":"x"}}`, false, false},
		"a web page":                {pbxsim.HTMLPage, false, false},
		"a byte order mark, and so": {"\ufeff" + accepted + "\x00", true, true},
	} {
		_, err := on(t, drivertest.Bodies(tt.body)).Login(t.Context())
		if (err == nil) != tt.tokens {
			t.Errorf("%s: Login: %v", name, err)
		}
		_, err = on(t, drivertest.Bodies(tt.body)).KeepAlive(t.Context(), held())
		if (err == nil) != tt.tokens {
			t.Errorf("%s: KeepAlive: %v", name, err)
		}
		if err := on(t, drivertest.Bodies(tt.body)).Ping(t.Context(), held()); (err == nil) != tt.plain {
			t.Errorf("%s: Ping: %v", name, err)
		}
		if err := on(t, drivertest.Bodies(tt.body)).Logout(t.Context(), held()); (err == nil) != tt.plain {
			t.Errorf("%s: Logout: %v", name, err)
		}
	}
}

// A 400 on a login leaves open whether the PBX has judged the password: it is
// tried again, but slowly, and never as often as the PBX would lock for.
func TestAWorkerThatDoesNotRespondIsTriedAgainSlowly(t *testing.T) {
	simulate(t, mikopbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		body := []byte(`{"result":false,"data":[],"messages":{"error":["Request timeout or worker not responding"]}}`)
		s.Fault(pbxsim.Fault{On: pbxsim.Login, Status: 400, Body: body, Times: 2})
		kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		start := time.Now()
		for {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			_, err := kept.Token(ctx)
			cancel()
			if err == nil {
				break
			}
			if errors.Is(err, pbx.ErrInvalidCredentials) || time.Since(start) > 30*time.Minute {
				t.Fatalf("after %s: %v", time.Since(start), err)
			}
			time.Sleep(time.Second)
		}
		if got := s.Counts().Logins; got != 3 {
			t.Errorf("%d logins, want 3", got)
		}
		_, err := on(t, drivertest.Responses(drivertest.Response{Status: 400, Body: string(body)})).Login(t.Context())
		if got := failure(t, err); got.Kind != pbx.ErrUnavailable || !got.Sent {
			t.Errorf("%v, sent %v", err, got.Sent)
		}
	})
}

func TestADeadTokenIsNoticedWhateverRefusesIt(t *testing.T) {
	for _, settings := range []mikopbxsim.Options{{}, {Gate: true}, {Language: "ru"}} {
		simulate(t, settings, nil, func(t *testing.T, s simulation) {
			token := s.Login(t)
			if err := request(t, s, token); err != nil {
				t.Error(err)
			}
			s.Restart()
			if err := request(t, s, token); failure(t, err).Kind != pbx.ErrTokenRejected {
				t.Errorf("%+v: %v", settings, err)
			}
			if err := s.Driver.Ping(t.Context(), token); failure(t, err).Kind != pbx.ErrTokenRejected {
				t.Errorf("%+v: Ping: %v", settings, err)
			}
		})
	}
}

func TestAMissingRightIsNoDeadToken(t *testing.T) {
	simulate(t, mikopbxsim.Options{Denied: true}, nil, func(t *testing.T, s simulation) {
		token := s.Login(t)
		for _, err := range []error{request(t, s, token), s.Driver.Ping(t.Context(), token)} {
			if failure(t, err).Kind != pbx.ErrForbidden {
				t.Errorf("%v", err)
			}
		}
		if err := s.Driver.Logout(t.Context(), token); err != nil {
			t.Error(err)
		}
	})
}

// The response to HEAD has no body (haltWithStatus in AuthenticationMiddleware.php), so
// that the status has to do. A ping decides, because a proxy could have responded.
func TestADeadTokenIsNoticedWithoutABody(t *testing.T) {
	simulate(t, mikopbxsim.Options{}, nil, func(t *testing.T, s simulation) {
		kept := session.New(s.Driver, &session.Options{Guard: new(session.Guard)})
		defer kept.Close(context.Background())
		if status, err := send(t, kept, s, http.MethodGet); status != 200 {
			t.Fatalf("HTTP status %d, %v", status, err)
		}
		s.Restart()
		if status, err := send(t, kept, s, http.MethodHead); status == 401 || err != nil {
			t.Errorf("HTTP status %d, %v", status, err)
		}
		if counts := s.Counts(); counts.Logins != 2 {
			t.Errorf("%d logins, want 2", counts.Logins)
		}
	})
}

// To a role that knows nothing of the extensions their path does not exist. The token was
// looked at first.
func TestAPathThatTheRoleDoesNotKnowIsNoDeadToken(t *testing.T) {
	const body = `{"result":false,"data":[],"messages":{"error":["Endpoint not found."]}}`
	err := on(t, drivertest.Responses(drivertest.Response{Status: 404, Body: body})).Ping(t.Context(), held())
	if failure(t, err).Kind != pbx.ErrForbidden {
		t.Errorf("%v", err)
	}
}
