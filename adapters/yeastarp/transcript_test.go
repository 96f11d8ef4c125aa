package yeastarp_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastarp"
	"github.com/pbxauth/pbx/conformance/golden"
)

// sample opens the driver as the author of the vendor's samples did: the port
// 8088 is not given, for it is the brand's own.
func sample(t *testing.T, client http.RoundTripper) *yeastarp.PBX {
	t.Helper()
	driver, err := yeastarp.New(pbx.Config{
		URL: "https://192.168.5.150", Username: sampleID, Password: pbx.NewSecret(sampleSecret), Transport: client,
	})
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

func TestTheVendorsGetTokenAndRefreshToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := sample(t, golden.Transport(t, "testdata/golden/get-token.http", "testdata/golden/refresh-token.http"))
		want := func(access, refresh string) *pbx.Token {
			return &pbx.Token{
				Value: pbx.NewSecret(access), Refresh: pbx.NewSecret(refresh),
				IssuedAt: time.Now(), ExpiresAt: time.Now().Add(30 * time.Minute), RefreshExpiresAt: time.Now().Add(24 * time.Hour),
			}
		}
		token, err := driver.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want(sampleAccess, sampleFresh), token); diff != "" {
			t.Errorf("login (-want +got):\n%s", diff)
		}
		time.Sleep(20 * time.Minute)
		token, err = driver.KeepAlive(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want("0OPU6QwU1phKcYMzntmmLrn1SNvGeNJt", sampleAccess), token); diff != "" {
			t.Errorf("refresh (-want +got):\n%s", diff)
		}
	})
}

func TestTheVendorsWrongCredentials(t *testing.T) {
	token, err := sample(t, golden.Transport(t, "testdata/golden/get-token-failed.http")).Login(t.Context())
	if token != nil {
		t.Errorf("a token: %v", token)
	}
	want := &pbx.Error{
		Driver: "yeastar-p", Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials, Code: "-1", HTTPStatus: 200, Length: 105, Sent: true,
		Message: "wrong Client ID or Client Secret: check them in the PBX's web interface",
	}
	if diff := cmp.Diff(want, failure(t, err)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTheVendorsRevocation(t *testing.T) {
	driver := sample(t, golden.Transport(t, "testdata/golden/del-token.http"))
	if err := driver.Logout(t.Context(), &pbx.Token{Value: pbx.NewSecret("0OPU6QwU1phKcYMzntmmLrn1SNvGeNJt")}); err != nil {
		t.Error(err)
	}
}
