package wire_test

import (
	"testing"

	"github.com/pbxauth/pbx/adapters/wire"
)

func TestABrandMayHaveAPortForEachScheme(t *testing.T) {
	twoPorts := wire.Endpoint{Driver: "fake", Port: 8089, PlainPort: 8088, APIPaths: []string{"/rawman"}}
	for raw, want := range map[string]string{
		"pbx.example.com":                "https://pbx.example.com:8089",
		"https://pbx.example.com/":       "https://pbx.example.com:8089",
		"http://pbx.example.com":         "http://pbx.example.com:8088",
		"http://pbx.example.com:/rawman": "http://pbx.example.com:8088",
		"http://pbx.example.com:80":      "http://pbx.example.com:80",
		"http://[::1]/asterisk/rawman":   "http://[::1]:8088/asterisk",
		"https://pbx.example.com:443":    "https://pbx.example.com:443",
	} {
		cfg := settings(raw)
		cfg.AllowPlainHTTP = true
		c, err := wire.New(twoPorts, cfg)
		if err != nil {
			t.Errorf("%q: %v", raw, err)
			continue
		}
		if got := c.URL(); got != want {
			t.Errorf("%q is taken as %s, want %s", raw, got, want)
		}
	}
}
