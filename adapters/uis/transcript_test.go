package uis_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/uis"
	"github.com/pbxauth/pbx/conformance/golden"
)

// replayed opens the driver on the samples of testdata/golden.
func replayed(t *testing.T, secret string, names ...string) *uis.PBX {
	t.Helper()
	for i := range names {
		names[i] = "testdata/golden/" + names[i] + ".http"
	}
	driver, err := uis.New(uis.Config{
		Config:   pbx.Config{Username: user, Password: pbx.NewSecret(secret), Transport: golden.Transport(t, names...)},
		Platform: uis.UIS, PingMethod: "list.calls",
	})
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

func sampleToken() *pbx.Token {
	return &pbx.Token{Value: pbx.NewSecret(token), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour - time.Second)}
}

func TestTheSamplesLoginPingAndLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := replayed(t, password, "login", "list-calls", "logout")
		got, err := driver.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sampleToken(), got); diff != "" {
			t.Errorf("token (-want +got):\n%s", diff)
		}
		if err := driver.Ping(t.Context(), got); err != nil {
			t.Error(err)
		}
		if err := driver.Logout(t.Context(), got); err != nil {
			t.Error(err)
		}
	})
}

func TestTheSamplesRefusals(t *testing.T) {
	login := func(d *uis.PBX) error { _, err := d.Login(t.Context()); return err }
	ping := func(d *uis.PBX) error { return d.Ping(t.Context(), sampleToken()) }
	for _, tt := range []struct {
		secret, file string
		do           func(*uis.PBX) error
		kind         error
		code         string
		wait         time.Duration
	}{
		{"wrong_password", "wrong-password", login, pbx.ErrInvalidCredentials, "auth_error", 0},
		{password, "dead-token", ping, pbx.ErrTokenRejected, "access_token_invalid", 0},
		{password, "limit-exceeded", ping, pbx.ErrUnavailable, "limit_exceeded", 23 * time.Second},
	} {
		if got := failure(t, tt.do(replayed(t, tt.secret, tt.file))); got.Kind != tt.kind || got.Code != tt.code || got.RetryAfter != tt.wait {
			t.Errorf("%v, want %v and the code %s", got, tt.kind, tt.code)
		}
	}
}
