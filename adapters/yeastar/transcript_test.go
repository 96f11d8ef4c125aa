package yeastar_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/yeastar"
	"github.com/pbxauth/pbx/conformance/golden"
)

// sample opens the driver as whoever made the vendor's samples did: the port
// 8088 is not given, for it is the brand's own.
func sample(t *testing.T, settings yeastar.Config, client *http.Client) *yeastar.PBX {
	t.Helper()
	settings.Config = pbx.Config{
		URL: "https://192.168.5.150", Username: sampleUser, Password: pbx.NewSecret(samplePassword), HTTPClient: client,
	}
	driver, err := yeastar.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

func TestTheVendorsLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := sample(t, yeastar.Config{EventPort: 8260, EventVersion: "1.0.2", EventURL: "110.22.2.3:8260/report", EventURLTag: "1"},
			golden.Client(t, "testdata/golden/login.http"))
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
	driver := sample(t, yeastar.Config{EventPort: 8260, EventVersion: "1.0.2", EventURL: "110.22.2.3:8260/report", EventURLTag: "1"},
		golden.Client(t, "testdata/golden/login-failed.http"))
	token, err := driver.Login(t.Context())
	if token != nil {
		t.Errorf("a token: %v", token)
	}
	want := &pbx.Error{
		Driver: "yeastar", Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Code: "30003", HTTPStatus: 200,
		Message: "the PBX's API process is not running", Sent: true,
	}
	if diff := cmp.Diff(want, failure(t, err)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTheVendorsHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		driver := sample(t, yeastar.Config{EventURL: "192.168.5.122:8260/report", EventURLTag: "1"},
			golden.Client(t, "testdata/golden/heartbeat.http"))
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
	driver := sample(t, yeastar.Config{}, golden.Client(t, "testdata/golden/logout.http"))
	if err := driver.Logout(t.Context(), &pbx.Token{Value: pbx.NewSecret("277ac400357b509b4a587ff2157f7ad5")}); err != nil {
		t.Error(err)
	}
}
