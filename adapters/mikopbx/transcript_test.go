package mikopbx_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/mikopbx"
	"github.com/pbxauth/pbx/conformance/golden"
)

const (
	firstJWT     = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJhZG1pbiIsInJvbGUiOiJhZG1pbnMiLCJsYW5ndWFnZSI6ImVuIiwiaWF0IjoxNzc2MDc0NzAwLCJleHAiOjE3NzYwNzU2MDAsIm5iZiI6MTc3NjA3NDcwMH0.a1jBlgzdQpwiEWRW3K7dgJPZDYXsdPTv-dD0xM5BMZU"
	secondJWT    = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJ1c2VySWQiOiJhZG1pbiIsInJvbGUiOiJhZG1pbnMiLCJsYW5ndWFnZSI6ImVuIiwiaWF0IjoxNzc2MDc1MzAwLCJleHAiOjE3NzYwNzYyMDAsIm5iZiI6MTc3NjA3NTMwMH0.r_bGk7oPoudPt7k-yme-IDZWII4jSzXQVsjs8CCAdh4"
	sampleCookie = "af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf"
)

// replayed opens the driver on the samples of testdata/golden.
func replayed(t *testing.T, secret string, names ...string) *mikopbx.PBX {
	t.Helper()
	for i := range names {
		names[i] = "testdata/golden/" + names[i] + ".http"
	}
	driver, err := mikopbx.New(mikopbx.Config{Config: pbx.Config{
		URL: "https://pbx.example.com", Username: user, Password: pbx.NewSecret(secret), Transport: golden.Transport(t, names...),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

func TestTheSamplesLoginRefreshPingAndLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := replayed(t, password, "login", "refresh", "extensions", "logout")
		first, err := driver.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := &pbx.Token{
			Value: pbx.NewSecret(firstJWT), Refresh: pbx.NewSecret(sampleCookie),
			IssuedAt: time.Now(), ExpiresAt: time.Now().Add(15 * time.Minute), RefreshExpiresAt: time.Now().Add(30 * 24 * time.Hour),
			Details: []byte(`{"expiresIn":900,"login":"admin","tokenType":"Bearer"}`),
		}
		if diff := cmp.Diff(want, first); diff != "" {
			t.Errorf("token (-want +got):\n%s", diff)
		}
		time.Sleep(10 * time.Minute)
		second, err := driver.KeepAlive(t.Context(), first)
		if err != nil {
			t.Fatal(err)
		}
		want.Value, want.IssuedAt, want.ExpiresAt = pbx.NewSecret(secondJWT), time.Now(), time.Now().Add(15*time.Minute)
		if diff := cmp.Diff(want, second); diff != "" {
			t.Errorf("the second token (-want +got):\n%s", diff)
		}
		if err := driver.Ping(t.Context(), second); err != nil {
			t.Error(err)
		}
		if err := driver.Logout(t.Context(), second); err != nil {
			t.Error(err)
		}
	})
}

func TestTheSamplesRefusals(t *testing.T) {
	token := &pbx.Token{Value: pbx.NewSecret(secondJWT), Refresh: pbx.NewSecret(sampleCookie)}
	login := func(d *mikopbx.PBX) error { _, err := d.Login(t.Context()); return err }
	refresh := func(d *mikopbx.PBX) error { _, err := d.KeepAlive(t.Context(), token); return err }
	ping := func(d *mikopbx.PBX) error { return d.Ping(t.Context(), token) }
	for _, tt := range []struct {
		secret, file string
		do           func(*mikopbx.PBX) error
		kind         error
		wait         time.Duration
	}{
		{"wrong", "wrong-password", login, pbx.ErrInvalidCredentials, 0},
		{password, "locked", login, pbx.ErrLocked, 101 * time.Second},
		{password, "refresh-expired", refresh, pbx.ErrTokenRejected, 0},
		{password, "dead-token", ping, pbx.ErrTokenRejected, 0},
	} {
		if got := failure(t, tt.do(replayed(t, tt.secret, tt.file))); got.Kind != tt.kind || got.RetryAfter != tt.wait {
			t.Errorf("%s: %v, retry after %s", tt.file, got, got.RetryAfter)
		}
	}
}
