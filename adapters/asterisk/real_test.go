package asterisk_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/asterisk"
	"github.com/pbxauth/pbx/session"
)

// realURL is that of an Asterisk with the files of testdata/real, as in
// http://127.0.0.1:18088. Without one, what is said of the simulator in the other
// tests is not said of Asterisk itself.
func realURL(t *testing.T) string {
	url := os.Getenv("PBX_ASTERISK_URL")
	if url == "" {
		t.Skip("PBX_ASTERISK_URL names no Asterisk with the files of testdata/real")
	}
	return url
}

func openReal(t *testing.T, user, password string) *asterisk.PBX {
	t.Helper()
	driver, err := asterisk.New(asterisk.Config{Config: pbx.Config{URL: realURL(t), Username: user, Password: pbx.NewSecret(password)}})
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

func TestARealAsteriskIsLoggedInToAndLeft(t *testing.T) {
	for _, user := range []string{"crm", "CRM"} {
		driver := openReal(t, user, secret)
		token, err := driver.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if life := token.ExpiresAt.Sub(token.IssuedAt); life != 20*time.Second {
			t.Errorf("%s: a life of %s, want httptimeout", user, life)
		}
		if body, err := act(t, driver, token, "Action=ListCommands"); err != nil || !strings.Contains(body, "Ping: Keepalive command.") {
			t.Errorf("%s: %v: %s", user, err, body)
		}
		kept, err := driver.KeepAlive(t.Context(), token)
		if err != nil || !kept.Value.Equal(token.Value) || !kept.ExpiresAt.After(token.ExpiresAt) {
			t.Errorf("%s: kept alive: %v, %v", user, kept, err)
		}
		if _, err := act(t, driver, token, "Action=Command&Command=core+show+version"); !errors.Is(err, pbx.ErrForbidden) {
			t.Errorf("%s: an action that is not permitted: %v", user, err)
		}
		if _, err := act(t, driver, token, "Action=Nonsense"); failure(t, err).Kind != nil {
			t.Errorf("%s: an action that does not exist: %v", user, err)
		}
		for range 2 {
			if err := driver.Logout(t.Context(), token); err != nil {
				t.Errorf("%s: logout: %v", user, err)
			}
		}
		if _, err := act(t, driver, token, "Action=ListCommands"); !errors.Is(err, pbx.ErrTokenRejected) {
			t.Errorf("%s: a call after the logout: %v", user, err)
		}
		if _, err := driver.KeepAlive(t.Context(), token); !errors.Is(err, pbx.ErrTokenRejected) {
			t.Errorf("%s: a keep-alive after the logout: %v", user, err)
		}
	}
}

func TestARealAsteriskRefuses(t *testing.T) {
	for _, tt := range []struct{ user, secret string }{
		{"crm", "S3cret pässword"}, {"crm", secret + " "}, {"nobody", secret}, {"denied", secret},
	} {
		token, err := openReal(t, tt.user, tt.secret).Login(t.Context())
		if token != nil || !errors.Is(err, pbx.ErrInvalidCredentials) {
			t.Errorf("%s %q: %v, %v", tt.user, tt.secret, token, err)
		}
	}
	wrong, err := asterisk.New(asterisk.Config{Prefix: "asterisk", Config: pbx.Config{URL: realURL(t), Username: "crm", Password: pbx.NewSecret(secret)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Login(t.Context()); !errors.Is(err, pbx.ErrConfig) || !strings.Contains(err.Error(), "webenabled") {
		t.Errorf("a wrong prefix: %v", err)
	}
}

func TestARealAsteriskAllowsOneSession(t *testing.T) {
	driver := openReal(t, "single", secret)
	token, err := driver.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = openReal(t, "single", "wrong").Login(t.Context())
	var failure *pbx.Error
	if !errors.As(err, &failure) || failure.Kind != pbx.ErrTooManySessions || failure.RetryAfter != 27*time.Second {
		t.Errorf("a second session: %v", err)
	}
	if err := driver.Logout(t.Context(), token); err != nil {
		t.Error(err)
	}
	again, err := driver.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	driver.Logout(t.Context(), again)
}

func TestARealAsteriskForgetsAndTheApplicationDoesNotNotice(t *testing.T) {
	driver := openReal(t, "crm", secret)
	s := session.New(driver, nil)
	defer s.Close(context.Background())
	call := func() {
		t.Helper()
		resp, err := s.Client().Post(driver.Traits().URL+"/rawman", "application/x-www-form-urlencoded", strings.NewReader("Action=CoreStatus"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if !strings.HasPrefix(string(body), "Response: Success\r\n") {
			t.Errorf("%s", body)
		}
	}
	call()
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.Logout(t.Context(), token); err != nil { // as a restart would
		t.Fatal(err)
	}
	call()
}
