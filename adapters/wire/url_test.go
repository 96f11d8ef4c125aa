package wire_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

func TestAURLIsTakenAsPeopleWriteIt(t *testing.T) {
	for raw, want := range map[string]string{
		"pbx.example.com":                                 "https://pbx.example.com:8088",
		"  pbx.example.com\n":                             "https://pbx.example.com:8088",
		"https://pbx.example.com":                         "https://pbx.example.com:8088",
		"https://pbx.example.com:":                        "https://pbx.example.com:8088",
		"https://pbx.example.com/":                        "https://pbx.example.com:8088",
		"https://pbx.example.com///":                      "https://pbx.example.com:8088",
		"https://pbx.example.com:443":                     "https://pbx.example.com:443",
		"pbx.example.com:9011":                            "https://pbx.example.com:9011",
		"HTTPS://PBX.Example.COM:9011/Base":               "https://pbx.example.com:9011/Base",
		"https://pbx.example.com/api/v1.1.0/login?token=": "https://pbx.example.com:8088", // a request as it was pasted
		"https://gw.example/api/pbx-7":                    "https://gw.example:8088/api/pbx-7",
		"https://gw.example/api/pbx-7/api":                "https://gw.example:8088/api/pbx-7",
		"https://gw.example/api/api/":                     "https://gw.example:8088/api",
		"https://gw.example/myapi":                        "https://gw.example:8088/myapi",
		"https://gw.example/api/v9/login":                 "https://gw.example:8088/api/v9/login",
		"https://pbx.example.com/api":                     "https://pbx.example.com:8088",
		"https://pbx.example.com/api/":                    "https://pbx.example.com:8088",
		"https://pbx.example.com/apis/x":                  "https://pbx.example.com:8088/apis/x",
		"https://reseller.example/tenant7/":               "https://reseller.example:8088/tenant7",
		"https://reseller.example/tenant7/api/v2.0.0":     "https://reseller.example:8088/tenant7",
		"https://reseller.example/caf%C3%A9%20/x":         "https://reseller.example:8088/caf%C3%A9%20/x",
		"https://gw.example/pbx%2F7":                      "https://gw.example:8088/pbx%2F7", // another path than pbx/7
		"https://gw.example/pbx%2F7/api/":                 "https://gw.example:8088/pbx%2F7",
		"192.0.2.7":                                       "https://192.0.2.7:8088",
		"https://7.pbx.1":                                 "https://7.pbx.1:8088",
		"[2001:DB8::7]":                                   "https://[2001:db8::7]:8088",
		"[2001:db8::7]:9011/base":                         "https://[2001:db8::7]:9011/base",
		"2001:db8::7":                                     "https://[2001:db8::7]:8088",
		"https://[fe80::1%25eth0]/":                       "https://[fe80::1%25eth0]:8088",
		"https://[fe80::1%eth0]:443/":                     "https://[fe80::1%25eth0]:443",
		"fe80::1%eth0":                                    "https://[fe80::1%25eth0]:8088",
		"FE80::1%enP2p1s0":                                "https://[fe80::1%25enP2p1s0]:8088", // the name of an interface
		"http://localhost":                                "http://localhost",
		"http://LOCALHOST:8080/":                          "http://localhost:8080",
		"http://127.9.8.7:8080/api/":                      "http://127.9.8.7:8080",
		"http://[::1]:8080":                               "http://[::1]:8080",
		"https://pbx_7.example.com.":                      "https://pbx_7.example.com.:8088",
		"https://телефония.example":                       "https://%D1%82%D0%B5%D0%BB%D0%B5%D1%84%D0%BE%D0%BD%D0%B8%D1%8F.example:8088",
		"https://हिन्दी.example":                          "https://%E0%A4%B9%E0%A4%BF%E0%A4%A8%E0%A5%8D%E0%A4%A6%E0%A5%80.example:8088", // letters and marks

		"https://pbx.example.com/" + strings.Repeat("x", 2048-24): "https://pbx.example.com:8088/" + strings.Repeat("x", 2048-24), // the longest
	} {
		c, err := wire.New(brand, settings(raw))
		if err != nil {
			t.Errorf("%q: %v", raw, err)
			continue
		}
		if got := c.URL(); got != want {
			t.Errorf("%q is taken as %s, want %s", raw, got, want)
		}
	}
}

func TestAURLThatIsNoneIsRefusedAndNotQuoted(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                        "URL is empty",
		" \t":                                     "URL is empty",
		"https://":                                "not an address",
		"https:///canary":                         "not an address",
		"https:/canary":                           "not an address",
		"http:canary":                             "not an address",
		"//canary":                                "not an address",
		"/canary":                                 "not an address",
		"?token=canary":                           "not an address",
		"a canary":                                "not an address",
		"https://[canary":                         "not an address",
		"https://2001:db8::7":                     "not an address",
		"https://pbx.example.com:canary":          "not an address",
		"https://api:canary/x@pbx.example.com":    "not an address",
		"https://pbx.example.com/%zzcanary":       "not an address",
		"https://gw.example/://[::1%zzcanary]":    "not an address", // in a path
		`"canary.example"`:                        "not an address", // from a settings file
		"<canary>":                                "not an address",
		"https://*.canary":                        "not an address",
		"https://$canary":                         "not an address",
		"https://canary,pbx.example.com":          "not an address",
		"https://canary..example":                 "not an address",
		"https://192.168.1.300":                   "not an address", // mistyped
		"https://192.168.1":                       "not an address",
		"https://192.168.001.010":                 "not an address", // octal to some
		"https://2130706433":                      "not an address",
		"https://192.0.2.7.":                      "not an address",
		"https://.":                               "not an address",
		"https://canary\u200b.example":            "not an address", // from a web page
		"https://canary\xff":                      "not an address",
		"https://" + strings.Repeat("canary", 50): "not an address",
		"https://pbx.example.com/canary%00":       "not an address",
		"https://pbx.example.com/canary%0A":       "not an address",
		"https://[canary::1]":                     "not an address",
		"https://pbx.example.com/" + strings.Repeat("canary", 400): "longer than any address",
		"https://api:canary@pbx.example.com":                       "user name or password",
		"api:canary@pbx.example.com":                               "user name or password",
		"canary@pbx.example.com":                                   "user name or password",
		"https://api:12/canary@pbx.example":                        "user name or password",
		"https://pbx.example.com/?token=canary":                    "a query or a fragment",
		"https://pbx.example.com/#canary":                          "a query or a fragment",
		"https://gw.example/x?pbx=canary":                          "a query or a fragment",
		"https://pbx.example.com:0":                                "1 to 65535",
		"https://pbx.example.com:65536":                            "1 to 65535",
		"https://api:123456":                                       "1 to 65535", // half a user:password
		"ftp://canary.example":                                     "neither https:// nor http://",
		"canary://pbx.example.com":                                 "neither https:// nor http://",
		"http://canary.example":                                    "plain http",
		"http://192.0.2.7":                                         "plain http",
		"http://localhost.canary.example":                          "plain http",
		"http://127.0.0.1.canary.example":                          "plain http",
	} {
		_, err := wire.New(brand, settings(raw))
		text := wantFailure(t, err, pbx.ErrConfig, false, want).Error()
		if strings.Contains(text, "canary") || strings.Contains(text, "123456") || strings.Contains(text, "65536") {
			t.Errorf("%q is quoted: %s", raw, text)
		}
	}
}

// What is known of a PBX, as that it has refused a password, is known by its URL.
func TestOneAddressHasOneURL(t *testing.T) {
	usual := wire.Endpoint{Driver: "fake"} // the port is that of https
	for _, row := range []struct {
		endpoint  wire.Endpoint
		spellings []string
	}{
		{usual, []string{"https://pbx.example.com", "https://pbx.example.com:443", "pbx.example.com:443/", "https://PBX.example.com:0443"}},
		{usual, []string{"http://localhost", "http://localhost:80", "http://localhost:080/"}},
		{usual, []string{"https://[2001:db8::7]:8443", "https://[2001:DB8:0:0::7]:8443", "https://[2001:0db8::0007]:08443"}},
		{brand, []string{"https://pbx.example.com", "https://pbx.example.com:8088", "https://pbx.example.com:08088"}},
		{brand, []string{"http://127.0.0.1", "http://127.0.0.1:80"}},
		{usual, []string{"https://gw.example/café", "https://gw.example/caf%C3%A9", "https://gw.example/c%61f%c3%a9/"}},
		{usual, []string{"https://gw.example/pbx%2F7", "https://gw.example/pbx%2f7"}},
	} {
		want := ""
		for _, spelling := range row.spellings {
			c, err := wire.New(row.endpoint, settings(spelling))
			if err != nil {
				t.Fatal(spelling, err)
			}
			if want == "" {
				want = c.URL()
			}
			if got := c.URL(); got != want {
				t.Errorf("%s is taken as %s, want %s as for %s", spelling, got, want, row.spellings[0])
			}
		}
	}
}

func TestPlainHTTPIsForThoseWhoAskForIt(t *testing.T) {
	cfg := settings("http://pbx.example.com/api/")
	cfg.AllowPlainHTTP = true
	if got := open(t, cfg).URL(); got != "http://pbx.example.com" { // the brand's port is that of https
		t.Errorf("URL %s", got)
	}
}

func TestPlainHTTPIsReadByNobodyOnTheSameMachine(t *testing.T) {
	for address, want := range map[string]bool{
		"https://pbx.example.com": false, "https://127.0.0.1": false, "http://localhost": false, "http://127.0.0.1:8080": false, "http://[::1]": false,
		"http://pbx.example.com": true, "http://192.0.2.7": true,
	} {
		cfg := settings(address)
		cfg.AllowPlainHTTP = true
		if got := open(t, cfg).PlainHTTP(); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}

func TestABrandWithoutAPortUsesThatOfHTTPS(t *testing.T) {
	c, err := wire.New(wire.Endpoint{Driver: "fake"}, settings("pbx.example.com/api/login"))
	if err != nil || c.URL() != "https://pbx.example.com/api/login" {
		t.Errorf("%v, %v", c.URL(), err)
	}
}

// FuzzURL: whatever a person pastes, there is an address that reads the same
// when it is pasted again, or an error.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{"pbx.example.com", "HTTP://[::1]:80/a/api/b?c#d", "2001:db8::7", "https://h:/%2Fapi", "http://K.example/%40", "https://u:p@h", "a://b", "::%\xc1", "h/" + strings.Repeat("ü", 1000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		cfg := settings(raw)
		cfg.AllowPlainHTTP = true
		c, err := wire.New(brand, cfg)
		if err != nil {
			wantFailure(t, err, pbx.ErrConfig, false, "URL ")
			return
		}
		u, err := url.Parse(c.URL())
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(c.URL(), "/") {
			t.Errorf("%q is taken as %q, %v", raw, c.URL(), err)
		}
		if cfg.URL = c.URL() + "/api/"; len(cfg.URL) > 2048 { // of letters that have to be escaped
			return
		}
		// What is removed is what was added.
		if again := open(t, cfg).URL(); again != c.URL() {
			t.Errorf("%q is taken as %q, and that as %q", raw, c.URL(), again)
		}
	})
}
