package starface_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/starface"
	"github.com/pbxauth/pbx/conformance/golden"
)

// replayed opens the driver on the samples of testdata/golden.
func replayed(t *testing.T, secret string, names ...string) *starface.PBX {
	t.Helper()
	for i := range names {
		names[i] = "testdata/golden/" + names[i] + ".http"
	}
	driver, err := starface.New(pbx.Config{
		URL: "https://example.starface-cloud.com/rest/", Username: user, Password: pbx.NewSecret(secret), Transport: golden.Transport(t, names...),
	})
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

func sampleToken() *pbx.Token {
	return &pbx.Token{Value: pbx.NewSecret(token), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(4 * time.Hour)}
}

func TestTheSamplesLoginPingAndLogout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := replayed(t, password, "login-1-nonce", "login-2-login", "me", "logout")
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
	_, err := replayed(t, "wrong", "login-1-nonce", "wrong-2-login").Login(t.Context())
	if got := failure(t, err); got.Kind != pbx.ErrInvalidCredentials {
		t.Errorf("a wrong password: %v", err)
	}
	err = replayed(t, password, "me-dead-token").Ping(t.Context(), sampleToken())
	if got := failure(t, err); got.Kind != pbx.ErrTokenRejected || got.Ambiguous {
		t.Errorf("a dead token: %v", err)
	}

	driver := replayed(t, password, "users-forbidden")
	r, err := http.NewRequest(http.MethodGet, driver.Traits().URL+"/rest/users", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if err := driver.Authorize(r, sampleToken()); err != nil {
		t.Fatal(err)
	}
	resp, err := driver.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := failure(t, driver.Inspect(resp, body, sampleToken())); got.Kind != pbx.ErrTokenRejected || !got.Ambiguous {
		t.Errorf("a missing permission: %v, ambiguous %v", got, got.Ambiguous)
	}
}
