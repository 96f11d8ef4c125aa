package acme_test

import (
	"testing"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance"
	"github.com/pbxauth/pbx/conformance/golden"
	acme "github.com/pbxauth/pbx/examples/newdriver"
	"github.com/pbxauth/pbx/examples/newdriver/acmesim"
)

// What every driver must do.
func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Harness{Driver: acme.Name, Simulator: acmesim.New})
}

// What only this one does: the vendor's own sample, to the byte.
func TestALoginIsThatOfTheVendorsSample(t *testing.T) {
	auth, err := pbx.Open(acme.Name, pbx.Config{
		URL: "https://pbx.example.com", Username: "crm", Password: pbx.NewSecret("Acme-2026"),
		Options:   map[string]string{"tenant": "3"},
		Transport: golden.Transport(t, "testdata/login.http"),
	})
	if err != nil {
		t.Fatal(err)
	}
	token, err := auth.Login(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := token.Value.Reveal(); got != "A-7f3a91" {
		t.Errorf("token %q", got)
	}
	if got := token.Refresh.Reveal(); got != "R-19c2d0" {
		t.Errorf("refresh token %q", got)
	}
	if got := token.ExpiresAt.Sub(token.IssuedAt); got != 15*time.Minute {
		t.Errorf("the token lives for %s", got)
	}
	if got := string(token.Details); got != `{"role":"operator"}` {
		t.Errorf("details %s", got)
	}
}
