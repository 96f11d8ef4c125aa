package session_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/adapters/yeastar/yeastarsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
	"github.com/rs/zerolog"
)

// TestNoSecretGetsOut plants a password and watches every token that the PBX
// issues, lets a session meet every trouble, and looks for them in all that is
// logged, returned or can be printed.
func TestNoSecretGetsOut(t *testing.T) {
	const password = "canary-Zq7!pass"
	var said, logged bytes.Buffer
	secrets := map[string]bool{password: true}
	tell := func(what any) {
		fmt.Fprintf(&said, "%v\n%+v\n%#v\n", what, what, what)
		text, err := json.Marshal(what)
		fmt.Fprintf(&said, "%s %v\n", text, err)
	}
	synctest.Test(t, func(t *testing.T) {
		sim := yeastarsim.New(nil, &pbxsim.Options{Accounts: map[string]string{"api": password}})
		server := pbxsim.ListenMemory(sim)
		defer server.Close()
		logger := zerolog.New(zerolog.SyncWriter(&logged)).Level(zerolog.TraceLevel)
		auth, err := yeastar.New(yeastar.Config{Config: pbx.Config{
			URL: server.URL, Username: "api", Password: pbx.NewSecret(password), Transport: server.Client().Transport, Logger: logger,
		}})
		if err != nil {
			t.Fatal(err)
		}
		m := session.NewManager(&session.Options{Guard: &session.Guard{}, Logger: logger, Timeout: 5 * time.Second})
		s, err := m.Add("crm-7", auth)
		if err != nil {
			t.Fatal(err)
		}
		call := func() {
			resp, err := s.Client().Post(server.URL+"/api/v1.1.0/deviceinfo/query?keep=1", "application/json", strings.NewReader("{}"))
			tell(err)
			if err == nil {
				resp.Body.Close()
				tell(resp)
				tell(resp.Request)
				tell(resp.Header)
			}
		}
		look := func() {
			token, err := s.Token(t.Context())
			for _, what := range []any{token, err, s, s.Status(), s.Status().Err, m, auth, s.Client(), s.Transport(nil)} {
				tell(what)
			}
			if token != nil {
				tell(*token)
			}
			for _, live := range sim.Tokens("api") {
				secrets[live] = true
			}
		}
		look()
		call()
		for _, trouble := range []pbxsim.Fault{
			{Drop: pbxsim.DropAfter}, {Truncate: true}, {Hang: true}, {Status: 500},
			{Status: 200, Body: []byte(pbxsim.HTMLPage)},
			{Status: 302, Header: http.Header{"Location": {"http://127.0.0.1:9/?token=gone"}}},
		} {
			trouble.Times = 2
			sim.Fault(trouble)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			r, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/api/v1.1.0/deviceinfo/query", nil)
			resp, err := s.Client().Do(r)
			tell(err)
			if err == nil {
				resp.Body.Close()
				tell(resp)
			}
			cancel()
			sim.Restart()
			call()
			look()
			sim.ClearFaults()
			time.Sleep(time.Hour)
			look()
		}
		for _, r := range sim.Log() { // the digests and tokens as they were on the wire
			var body struct{ Password string }
			if json.Unmarshal(r.Body, &body) == nil && body.Password != "" {
				secrets[body.Password] = true
			}
			if _, token, ok := strings.Cut(r.RawQuery, "token="); ok {
				secrets[token] = true
			}
		}
		sim.SetPassword("api", "another")
		sim.Restart()
		call()
		look()
		if _, err := s.Token(t.Context()); !errors.Is(err, pbx.ErrInvalidCredentials) {
			t.Errorf("Token: %v", err)
		}
		tell(m.Close(context.Background()))
	})
	if len(secrets) < 5 || said.Len() < 10_000 {
		t.Fatalf("only %d secrets and %d bytes: this test looks at nothing", len(secrets), said.Len())
	}
	said.Write(logged.Bytes())
	for secret := range secrets {
		if at := strings.Index(said.String(), secret); at >= 0 {
			t.Errorf("%s stands in %.200q", secret, said.String()[max(0, at-100):])
		}
	}
}
