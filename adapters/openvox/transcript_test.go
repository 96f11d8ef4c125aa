package openvox_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/openvox"
	"github.com/pbxauth/pbx/conformance/golden"
)

// sample opens the driver as the author of the vendor's samples did: the port
// 9011 is not given, for it is the brand's own.
func sample(t *testing.T, settings openvox.Config, file string) *openvox.PBX {
	t.Helper()
	settings.URL, settings.Password = "https://172.16.6.150", pbx.NewSecret(samplePassword)
	settings.Transport = golden.Transport(t, "testdata/golden/"+file)
	driver, err := openvox.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	return driver
}

var sampleEvents = openvox.Events{Port: 8260, Version: "0.0.1", URL: "172.16.6.150:8260", URLTag: "1"}

func TestTheVendorsLogins(t *testing.T) {
	for format, user := range map[openvox.Format]string{openvox.JSON: "xiaoshao", openvox.XML: "api"} {
		synctest.Test(t, func(t *testing.T) {
			settings := openvox.Config{Format: format, APIVersion: "v1.1.0", Events: sampleEvents}
			settings.Username = user
			got, err := sample(t, settings, "login-"+string(format)+".http").Login(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			want := &pbx.Token{Value: pbx.NewSecret(sampleToken), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(30 * time.Minute)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: token (-want +got):\n%s", format, diff)
			}
		})
	}
}

func TestTheVendorsFailedLogin(t *testing.T) {
	settings := openvox.Config{APIVersion: "v1.1.0", Events: sampleEvents}
	settings.Username = "xiaoshao"
	token, err := sample(t, settings, "login-failed.http").Login(t.Context())
	if got := failure(t, err); token != nil || got.Kind != pbx.ErrUnavailable || got.Code != "30003" || !got.Sent {
		t.Errorf("%v, %v; want %v with the code 30003", token, err, pbx.ErrUnavailable)
	}
}

// A heartbeat has no type, so that its format is the sample's whatever that of
// the others.
func TestTheVendorsHeartbeat(t *testing.T) {
	for _, format := range formats {
		synctest.Test(t, func(t *testing.T) {
			settings := openvox.Config{Format: format, Events: openvox.Events{IPAddr: "172.16.6.150", Port: 8280, URL: "172.16.6.150:8280", URLTag: "1"}}
			settings.Username = sampleUser
			got, err := sample(t, settings, "heartbeat.http").KeepAlive(t.Context(), &pbx.Token{Value: pbx.NewSecret(sampleToken)})
			if err != nil {
				t.Fatal(err)
			}
			want := &pbx.Token{Value: pbx.NewSecret(sampleToken), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(30 * time.Minute)}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: token (-want +got):\n%s", format, diff)
			}
		})
	}
}

func TestTheVendorsResponseToARequestInXML(t *testing.T) {
	settings := openvox.Config{Format: openvox.XML}
	settings.Username = sampleUser
	driver := sample(t, settings, "call-xml.http")
	req := drivertest.NewRequest(t, "POST", driver.Traits().URL+"/api/v0.0.1/extension/list", "", "<xml></xml>")
	resp, body := drivertest.RoundTrip(t, driver, req, &pbx.Token{Value: pbx.NewSecret(sampleToken)})
	if err := driver.Inspect(resp, body, new(pbx.Token)); err != nil {
		t.Errorf("%v: the status of an extension is none of the answer's", err)
	}
}
