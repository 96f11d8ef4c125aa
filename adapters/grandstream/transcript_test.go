package grandstream_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/grandstream"
	"github.com/pbxauth/pbx/conformance/golden"
)

// replayed opens the driver on the samples of testdata/golden.
func replayed(t *testing.T, secret string, names ...string) *grandstream.PBX {
	t.Helper()
	for i := range names {
		names[i] = "testdata/golden/" + names[i] + ".http"
	}
	driver, err := grandstream.New(grandstream.Config{Config: pbx.Config{
		URL: "https://192.168.124.160", Username: user, Password: pbx.NewSecret(secret), Transport: golden.Transport(t, names...),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

func sampleToken() *pbx.Token {
	return &pbx.Token{Value: pbx.NewSecret(cookie), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(10 * time.Minute)}
}

func TestTheSamplesLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, err := replayed(t, password, "login-1-challenge", "login-2-login").Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sampleToken(), got); diff != "" {
			t.Errorf("token (-want +got):\n%s", diff)
		}
	})
}

func TestTheSamplesRefusals(t *testing.T) {
	login := func(d *grandstream.PBX) error { _, err := d.Login(t.Context()); return err }
	keepAlive := func(d *grandstream.PBX) error { _, err := d.KeepAlive(t.Context(), sampleToken()); return err }
	for _, tt := range []struct {
		secret string
		files  []string
		do     func(*grandstream.PBX) error
		kind   error
		code   string
	}{
		{"wrong", []string{"login-1-challenge", "wrong-2-login"}, login, pbx.ErrInvalidCredentials, "-37"},
		{password, []string{"login-1-challenge", "banned-2-login"}, login, pbx.ErrLocked, "-68"},
		{password, []string{"cookie-error"}, keepAlive, pbx.ErrTokenRejected, "-6"},
	} {
		if got := failure(t, tt.do(replayed(t, tt.secret, tt.files...))); got.Kind != tt.kind || got.Code != tt.code {
			t.Errorf("%v, want %v and the code %s", got, tt.kind, tt.code)
		}
	}
}

func TestTheSamplesKeepAliveRequestAndLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := replayed(t, password, "keepalive", "call", "logout")
		old := sampleToken()
		time.Sleep(6 * time.Minute)
		got, err := driver.KeepAlive(t.Context(), old)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sampleToken(), got); diff != "" {
			t.Errorf("token (-want +got):\n%s", diff)
		}
		r, err := http.NewRequest("POST", driver.Traits().URL+"/api", strings.NewReader(harmless))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if err := driver.Authorize(r, got); err != nil {
			t.Fatal(err)
		}
		resp, err := driver.Transport().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if err := driver.Logout(t.Context(), got); err != nil {
			t.Error(err)
		}
	})
}
