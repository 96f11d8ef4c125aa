package runtel_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/runtel"
)

// What goes over the wire in secret, with signs that encodings spell anew.
const (
	canaryPassword = `canary-pass<&>"\/пароль+ word`
	canaryToken    = `J.canary-token/+=~<&>"\W`
	canaryKey      = `K.canary-key/+=~<&>"\Z`
)

// spellings are the ways in which a server may repeat a secret, as JSON texts
// without their quotes.
func spellings(secret string) []string {
	quoted := func(s string) string {
		text, _ := json.Marshal(s)
		return string(text[1 : len(text)-1])
	}
	var escaped strings.Builder // as Python escapes, and all of it
	for _, r := range secret {
		fmt.Fprintf(&escaped, `\u%04x`, r)
	}
	return []string{
		quoted(secret), escaped.String(), quoted(strings.ToUpper(secret)), quoted(quoted(secret)),
		quoted(html.EscapeString(secret)), quoted(url.QueryEscape(secret)), quoted(url.PathEscape(secret)),
	}
}

// scan fails the test if a secret shows in text, or after text was read as JSON,
// HTML or a part of a URL.
func scan(t *testing.T, where, text string) {
	t.Helper()
	readings := []string{text, html.UnescapeString(text)}
	for _, unescape := range []func(string) (string, error){url.QueryUnescape, url.PathUnescape} {
		if s, err := unescape(text); err == nil {
			readings = append(readings, s)
		}
	}
	unquoted := text
	for range 3 {
		var s string
		if json.Unmarshal([]byte(`"`+strings.ReplaceAll(unquoted, `"`, "\u2033")+`"`), &s) != nil {
			break
		}
		readings = append(readings, s)
		unquoted = s
	}
	for _, reading := range readings {
		for name, begin := range map[string]string{"password": "canary-pass", "token": "canary-token", "key": "canary-key"} {
			if strings.Contains(strings.ToLower(reading), begin) {
				t.Errorf("%s shows the %s: %s", where, name, text)
				return
			}
		}
		for _, secret := range []string{canaryPassword, canaryToken, canaryKey} {
			if strings.Contains(reading, base64.StdEncoding.EncodeToString([]byte(secret))) {
				t.Errorf("%s shows a secret in base64: %s", where, text)
				return
			}
		}
	}
}

// scanValue scans all that v prints as.
func scanValue(t *testing.T, where string, v any) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		scan(t, where+" under "+verb, fmt.Sprintf(verb, v))
	}
	if text, err := json.Marshal(v); err == nil {
		scan(t, where+" in JSON", string(text))
	}
	if err, ok := v.(error); ok {
		if inner := errors.Unwrap(err); inner != nil {
			scanValue(t, where+", unwrapped", inner)
		}
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			for _, inner := range many.Unwrap() {
				scanValue(t, where+", unwrapped", inner)
			}
		}
	}
}

func TestNoSecretShowsWhateverThePlatformRepeats(t *testing.T) {
	token, _ := json.Marshal(canaryToken)
	issued := `"token":` + string(token)

	// A driver can only know again what it has: in an answer to a login, the
	// password and the new token; in any other, the token or the key that was sent.
	type echo struct {
		secret, text string
	}
	var echoes []echo
	for _, secret := range []string{canaryPassword, canaryToken, canaryKey} {
		for _, text := range spellings(secret) {
			echoes = append(echoes, echo{secret, text})
		}
	}
	for _, e := range echoes {
		echo := e.text
		page := "<html><head><title>" + echo + "</title></head><body>" + echo + "</body></html>"
		answers := []platform{
			{body: `{"action_id":"{id}","code":200,"notifies":["` + echo + `"],"body":{` + issued + `,"user_name":"` + echo + `","` + echo + `":["` + echo + `",{"x":"` + echo + `"}],"exp":"` + echo + `","tz":"` + echo + `"}}`},
			{body: `{"action_id":"` + echo + `","code":200,"body":{` + issued + `}}`},
			{body: `{"action_id":"{id}","code":"` + echo + `","body":{` + issued + `}}`},
			{body: `{"action_id":"{id}","code":401,"notifies":["` + echo + `",{"text":"the password ` + echo + ` is wrong"}],"body":{` + issued + `}}`},
			{body: `{"action_id":"{id}","code":403,"notifies":{"` + echo + `":[["` + strings.Repeat(" ", 190) + echo + `"]]},"body":{` + issued + `}}`},
			{status: 401, body: page},
			{status: 500, body: page},
			{status: 200, body: page},
			{status: 200, body: echo},
			{status: 302, body: page, header: http.Header{"Location": {"https://office.example/login?u=" + url.QueryEscape(echo)}}},
			{status: 302, body: page, header: http.Header{"Location": {"https://" + url.PathEscape(e.secret) + "/"}}},
			{status: 429, body: page, header: http.Header{"Retry-After": {echo}, "Date": {echo}}},
		}
		if e.secret == canaryPassword { // a token that no field brings is none
			answers = append(answers, platform{body: `{"action_id":"{id}","code":200,"notifies":["` + echo + `"],"body":null}`})
		}
		for i := range answers {
			var log bytes.Buffer
			logger := zerolog.New(&log).Level(zerolog.TraceLevel)
			withKey := e.secret == canaryKey
			cfg := runtel.Config{Config: pbx.Config{Logger: logger}}
			if withKey {
				cfg.Key = pbx.NewSecret(canaryKey)
			} else {
				cfg.Username, cfg.Password = user, pbx.NewSecret(canaryPassword)
			}
			cfg.Classify = func(a runtel.Failure) error {
				scanValue(t, "Answer", a)
				panic(fmt.Sprint(echo))
			}
			p := open(t, answers[i].at(cfg))
			cfg = answers[i].at(cfg)
			scanValue(t, "Config", cfg)
			scanValue(t, "PBX", p)
			scanValue(t, "Traits", p.Traits())

			got, err := p.Login(t.Context())
			if err != nil {
				scanValue(t, "the login's error", err)
				logger.Err(err).Msg("login")
			}
			if got != nil {
				scanValue(t, "the token", got)
				scanValue(t, "the token's value", *got)
				scan(t, "Details", string(got.Details))
				info, _ := runtel.Account(got)
				scanValue(t, "AccountInfo", info)
				logger.Info().Interface("token", got).Interface("pbx", p).Msg("login")
			}
			held := &pbx.Token{Value: pbx.NewSecret(canaryToken)}
			if withKey {
				held.Value = pbx.NewSecret(canaryKey)
			}
			_, err = p.KeepAlive(t.Context(), held)
			scanValue(t, "the keep-alive's error", err)

			resp, body := response(t, p, &answers[i], held)
			requests := []*http.Request{nil} // then nothing tells the token
			if e.secret != canaryPassword {
				if err := p.Logout(t.Context(), held); err != nil {
					scanValue(t, "the logout's error", err)
					logger.Err(err).Msg("logout")
				}
				requests = append(requests, resp.Request)
			}
			for _, resp.Request = range requests {
				if err := p.Inspect(resp, body, new(pbx.Token)); err != nil {
					scanValue(t, "the call's error", err)
					logger.Err(err).Msg("call")
				}
			}
			scan(t, "the log", log.String())
		}
	}
}

func TestASecretInTheSettingsDoesNotShow(t *testing.T) {
	for _, cfg := range []runtel.Config{
		{Key: pbx.NewSecret(canaryKey + " ")},
		{Key: pbx.NewSecret(canaryKey), Config: pbx.Config{URL: "https://office.example", Password: pbx.NewSecret(canaryPassword)}},
		{Config: pbx.Config{URL: "https://a:canary-pass@office.example", Username: user, Password: pbx.NewSecret(canaryPassword)}},
		{Config: pbx.Config{Options: map[string]string{"key": canaryKey}}},
	} {
		_, err := runtel.New(cfg)
		if err == nil {
			t.Errorf("%v: opened", cfg)
			continue
		}
		scanValue(t, "New", err)
		scanValue(t, "Config", cfg)
	}
	for _, options := range []map[string]string{{"key": canaryKey}, {"key": canaryKey, "token_ttl": "1h"}, {"canary": canaryKey}} {
		auth, err := pbx.Open("runtel", pbx.Config{URL: "https://office.example", Username: user, Password: pbx.NewSecret(canaryPassword), Options: options})
		if err == nil {
			t.Errorf("%v: opened", auth)
		}
		scanValue(t, "Open", err)
	}
}

func TestAPBXPrintsAsItsAddress(t *testing.T) {
	p := open(t, (&platform{}).at(runtel.Config{}))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got, want := fmt.Sprintf(verb, p), "runtel at https://office.example"; got != want {
			t.Errorf("%s: %s, want %s", verb, got, want)
		}
	}
}
