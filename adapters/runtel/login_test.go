package runtel_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/runtel"
)

func TestTheAccountGoesOverTheWireAsItIs(t *testing.T) {
	for _, account := range []pbx.Credentials{
		{Username: "a@office.example", Password: pbx.NewSecret("secret")},
		{Username: "A.B+c@sub.office.example", Password: pbx.NewSecret(`q"u\o&t<e>d`)},
		{Username: "мария@офис.example", Password: pbx.NewSecret("пароль \u2028\t")},
		{Username: "1001", Password: pbx.NewSecret(" ")},
	} {
		server := &platform{body: answered(`{"token":"J...W"}`)}
		cfg := runtel.Config{Config: pbx.Config{Username: account.Username, Password: account.Password}}
		if _, err := open(t, server.at(cfg)).Login(t.Context()); err != nil {
			t.Errorf("%s: %v", account.Username, err)
			continue
		}
		got := server.requests[0]
		delete(got.Envelope, "action_id")
		want := sent{URL: "https://office.example/api/", Envelope: map[string]any{
			"action": "auth", "obj": "User",
			"params": map[string]any{"login": account.Username, "password": account.Password.Reveal()},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", account.Username, diff)
		}
	}
}

func TestAnAccountThatJSONWouldChangeIsNotSent(t *testing.T) {
	open := func(cfg pbx.Config) (pbx.Authenticator, error) { return runtel.New(runtel.Config{Config: cfg}) }
	cfg := pbx.Config{URL: "https://office.example", Transport: drivertest.Unsent{T: t}}
	for setting, account := range map[string]pbx.Credentials{
		"Username": {Username: "a\xff", Password: pbx.NewSecret("secret")},
		"Password": {Username: "a", Password: pbx.NewSecret("secr\xe9t")},
	} {
		drivertest.Impossible(t, runtel.Name, open, cfg, account, setting, "not UTF-8")
	}
}

func TestTheVaultIsAskedBeforeEachLogin(t *testing.T) {
	server := &platform{body: answered(`{"token":"J...W"}`)}
	asked := 0
	cfg := server.at(runtel.Config{})
	cfg.Username, cfg.Password = "", pbx.Secret{}
	cfg.Credentials = func(context.Context) (pbx.Credentials, error) {
		if asked++; asked == 3 {
			return pbx.Credentials{}, errors.New("the vault is sealed")
		}
		return pbx.Credentials{Username: user, Password: pbx.NewSecret(password)}, nil
	}
	p := open(t, cfg)
	for range 2 {
		if _, err := p.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Login(t.Context()); !errors.Is(err, pbx.ErrUnavailable) || failure(t, err).Sent {
		t.Errorf("without the vault: error %v", err)
	}
	if asked != 3 || len(server.requests) != 2 {
		t.Errorf("%d questions to the vault, %d requests; want 3 and 2", asked, len(server.requests))
	}
}

func TestNoRequestProlongsAToken(t *testing.T) {
	server := &platform{}
	p := open(t, server.at(runtel.Config{}))
	token, err := p.KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret("J...W")})
	want := told{Op: pbx.OpKeepAlive, Kind: pbx.ErrNotSupported, RetryAfter: "0s"}
	if diff := cmp.Diff(want, tell(failure(t, err)), byIdentity); diff != "" || token != nil {
		t.Errorf("token %v, error %v (-want +got):\n%s", token, err, diff)
	}
	if len(server.requests) != 0 {
		t.Errorf("sent %+v", server.requests)
	}
}
