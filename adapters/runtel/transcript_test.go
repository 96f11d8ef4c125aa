package runtel_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/runtel"
	"github.com/pbxauth/pbx/conformance/golden"
)

const (
	loginSample  = "testdata/golden/login.http"
	logoutSample = "testdata/golden/logout.http"
)

// openSample opens the account of the vendor's samples, and plays these to it.
func openSample(t *testing.T, paths ...string) *runtel.PBX {
	t.Helper()
	return open(t, runtel.Config{Config: pbx.Config{
		URL:       "https://office.example",
		Username:  "a@office.runtel.org",
		Password:  pbx.NewSecret("secret"),
		Transport: golden.Transport(t, paths...),
	}})
}

func TestTheVendorsSamplesGoOverTheWire(t *testing.T) {
	p := openSample(t, loginSample, logoutSample)
	token, err := p.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := token.Value.Reveal(); got != "J...W" {
		t.Errorf("token %s, want J...W", got)
	}
	if got, want := token.ExpiresAt.Sub(token.IssuedAt).Round(time.Second), time.Hour; got != want {
		t.Errorf("life %v, want %v", got, want)
	}
	if err := p.Logout(t.Context(), token); err != nil {
		t.Error(err)
	}
}

func TestTheVendorsResponseIsKeptWhole(t *testing.T) {
	token, err := openSample(t, loginSample).Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sample, err := golden.Load(loginSample)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct{ Body map[string]any }
	if err := json.Unmarshal([]byte(sample.Response.Body), &answer); err != nil {
		t.Fatal(err)
	}
	want := answer.Body
	delete(want, "token")
	want["exp_assumed"] = map[string]any{
		"zone": "Europe/Moscow", "life": "1h0m0s", "unsure": true,
		"candidates": map[string]any{"UTC": "4h0m0s", "Europe/Prague": "2h0m0s", "Europe/Moscow": "1h0m0s"},
	}
	if diff := cmp.Diff(want, decoded(t, token.Details)); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
}

func TestTheVendorsAccountIsRead(t *testing.T) {
	token, err := openSample(t, loginSample).Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := runtel.Account(token)
	if err != nil {
		t.Fatal(err)
	}
	want := runtel.AccountInfo{
		UserID: 48, UserName: "Алексей", UserLogin: "a@office.runtel.org",
		DomainID: 34, DomainName: "office.runtel.org",
		RoleID: 2, RoleName: "PBX administrator", RoleType: 1,
		TimeZone: "Europe/Prague", Locale: "en_US", Software: "2.9.0",
		ExpZone: "Europe/Moscow", ExpUnsure: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
}

// decoded reads a JSON object, numbers as they are written.
func decoded(t *testing.T, text json.RawMessage) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}
