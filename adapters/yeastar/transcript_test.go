package yeastar_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/conformance/golden"
)

// sample opens the driver as the author of the vendor's samples did: the port
// 8088 is not given, for it is the brand's own.
func sample(t *testing.T, settings yeastar.Config, client http.RoundTripper) *yeastar.PBX {
	t.Helper()
	settings.Config = pbx.Config{
		URL: "https://192.168.5.150", Username: sampleUser, Password: pbx.NewSecret(samplePassword), Transport: client,
	}
	driver, err := yeastar.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

func TestTheVendorsLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := sample(t, yeastar.Config{Events: yeastar.Events{Port: 8260, Version: "1.0.2", URL: "110.22.2.3:8260/report", URLTag: "1"}},
			golden.Transport(t, "testdata/golden/login.http"))
		got, err := driver.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := &pbx.Token{
			Value:     pbx.NewSecret("48a7d7481a5355aa4fb5dc285edeb40e"),
			IssuedAt:  time.Now(),
			ExpiresAt: time.Now().Add(30 * time.Minute),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("token (-want +got):\n%s", diff)
		}
	})
}

func TestTheVendorsFailedLogin(t *testing.T) {
	driver := sample(t, yeastar.Config{Events: yeastar.Events{Port: 8260, Version: "1.0.2", URL: "110.22.2.3:8260/report", URLTag: "1"}},
		golden.Transport(t, "testdata/golden/login-failed.http"))
	token, err := driver.Login(t.Context())
	if token != nil {
		t.Errorf("a token: %v", token)
	}
	want := &pbx.Error{
		Driver: "yeastar", Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Code: "30003", HTTPStatus: 200, Length: 48,
		Message: "the PBX's API process is not running", Sent: true,
	}
	if diff := cmp.Diff(want, failure(t, err)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTheVendorsHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := sample(t, yeastar.Config{Events: yeastar.Events{URL: "192.168.5.122:8260/report", URLTag: "1"}},
			golden.Transport(t, "testdata/golden/heartbeat.http"))
		old := &pbx.Token{Value: pbx.NewSecret("277ac400357b509b4a587ff2157f7ad5"), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(30 * time.Minute)}
		time.Sleep(20 * time.Minute)
		got, err := driver.KeepAlive(t.Context(), old)
		if err != nil {
			t.Fatal(err)
		}
		want := &pbx.Token{Value: old.Value, IssuedAt: time.Now(), ExpiresAt: time.Now().Add(30 * time.Minute)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("token (-want +got):\n%s", diff)
		}
	})
}

func TestTheVendorsLogout(t *testing.T) {
	driver := sample(t, yeastar.Config{}, golden.Transport(t, "testdata/golden/logout.http"))
	if err := driver.Logout(t.Context(), &pbx.Token{Value: pbx.NewSecret("277ac400357b509b4a587ff2157f7ad5")}); err != nil {
		t.Error(err)
	}
}

func TestTheVendorsFailedCall(t *testing.T) {
	driver := sample(t, yeastar.Config{Family: yeastar.SV2}, golden.Transport(t, "testdata/golden/failed-call.http"))
	_, err := driver.KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret("277ac400357b509b4a587ff2157f7ad5")})
	if got := failure(t, err); got.Kind != pbx.ErrProtocol || got.Code != "10003" {
		t.Errorf("%v, want %v with the code 10003", err, pbx.ErrProtocol)
	}
}

// The samples of API v2 have another password, of which only the digest is
// printed.
func TestTheVendorsLoginOfAPIV2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver, err := yeastar.New(yeastar.Config{
			Config: pbx.Config{
				URL: "https://192.168.5.150", Username: sampleUser, Password: pbx.NewSecret("2d7257a528679d01a19c70e3fa773870"),
				Transport: golden.Transport(t, "testdata/golden/s-v2-login.http"),
			},
			Family: yeastar.SV2, PasswordIsMD5: true, Events: yeastar.Events{Port: 8260, Version: "2.0.0"},
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := driver.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := &pbx.Token{
			Value:     pbx.NewSecret("48a7d7481a5355aa4fb5dc285edeb40e"),
			IssuedAt:  time.Now(),
			ExpiresAt: time.Now().Add(30 * time.Minute),
			Details:   json.RawMessage(`{"transport":"TCP"}`),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("token (-want +got):\n%s", diff)
		}
	})
}

func TestTheVendorsHeartbeatOfAPIV2(t *testing.T) {
	driver := sample(t, yeastar.Config{Family: yeastar.SV2, Events: yeastar.Events{IPAddr: "192.168.6.24", Port: 8260, Version: "2.0.0"}},
		golden.Transport(t, "testdata/golden/s-v2-heartbeat.http"))
	old := &pbx.Token{Value: pbx.NewSecret("277ac400357b509b4a587ff2157f7ad5"), Details: json.RawMessage(`{"transport":"TCP"}`)}
	got, err := driver.KeepAlive(t.Context(), old)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Value.Equal(old.Value) || string(got.Details) != string(old.Details) {
		t.Errorf("the token became another one: %v", got)
	}
}

// onCloud opens the driver at the address that the Cloud PBX's samples have. The
// port 443 is not given, for it is the family's own.
func onCloud(t *testing.T, settings yeastar.Config, client http.RoundTripper) *yeastar.PBX {
	t.Helper()
	settings.Config = pbx.Config{
		URL: "https://api.yeastarcloud.com", Username: sampleUser, Password: pbx.NewSecret(samplePassword), Transport: client,
	}
	driver, err := yeastar.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

func TestTheVendorsLoginOfTheCloudPBXAndItsRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := onCloud(t, yeastar.Config{
			Family: yeastar.CloudV1,
			Events: yeastar.Events{Port: 8260, Version: "1.0.2", URL: "110.22.2.3:8260/report", URLTag: "1"},
		}, golden.Transport(t, "testdata/golden/cloud-v1-login.http", "testdata/golden/cloud-v1-refresh.http"))
		token, err := driver.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := &pbx.Token{
			Value:     pbx.NewSecret("48a7d7481a5355aa4fb5dc285edeb40e"),
			Refresh:   pbx.NewSecret("58f29c380365e5546cd3ac8c34edc88c"),
			IssuedAt:  time.Now(),
			ExpiresAt: time.Now().Add(30 * time.Minute),
		}
		if diff := cmp.Diff(want, token); diff != "" {
			t.Errorf("login (-want +got):\n%s", diff)
		}
		time.Sleep(20 * time.Minute)
		token, err = driver.KeepAlive(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(refreshed(), token); diff != "" {
			t.Errorf("refresh (-want +got):\n%s", diff)
		}
	})
}

func TestTheVendorsRefreshOfAPIV2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := onCloud(t, yeastar.Config{Family: yeastar.CloudV2}, golden.Transport(t, "testdata/golden/cloud-v2-refresh.http"))
		old := &pbx.Token{Value: pbx.NewSecret("any"), Refresh: pbx.NewSecret("58f29c380365e5546cd3ac8c34edc88c")}
		token, err := driver.KeepAlive(t.Context(), old)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(refreshed(), token); diff != "" {
			t.Errorf("refresh (-want +got):\n%s", diff)
		}
	})
}

// refreshed is the pair in the refresh's printed answer.
func refreshed() *pbx.Token {
	return &pbx.Token{
		Value:     pbx.NewSecret("1c0a3fd34ca5e5292042a77e4d9ff950"),
		Refresh:   pbx.NewSecret("4a1f20e901b45d4106e7aee076d22115"),
		IssuedAt:  time.Now(),
		ExpiresAt: time.Now().Add(30 * time.Minute),
	}
}
