package pbx_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
)

func TestAConfigPrintsNoOptionsValue(t *testing.T) {
	cfg := pbx.Config{
		URL: "https://pbx.example.com:8088/base", Username: "api", Password: pbx.NewSecret("hunter2"),
		Options: map[string]string{"token_ttl": "4h", "key": "hunter2"},
	}
	want := `pbx.Config{URL: "https://pbx.example.com:8088/base", Username: "api", Options: ["key" "token_ttl"]}`
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, v := range []any{cfg, &cfg} {
			if got := fmt.Sprintf(verb, v); got != want {
				t.Errorf("%s of %T = %s, want %s", verb, v, got, want)
			}
		}
	}
}

func TestAMisspeltSettingInJSONCanBeFound(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"url": "pbx.example.com", "username": "api", "password": "secret", "allowplainhttp": true, "tls": {"pinsha256": "x"}, "options": {"a": "b"}}`: true,
		`{"url": "pbx.example.com", "tls": {"pin_sha256": "x"}}`: false,
	} {
		d := json.NewDecoder(strings.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(new(pbx.Config)); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAConfigPrintsTheAddressInItsURLOnly(t *testing.T) {
	for url, want := range map[string]string{
		"":                                     "",
		"pbx.example.com":                      "pbx.example.com",
		"https://[2001:db8::7]:8088/base":      "https://[2001:db8::7]:8088/base",
		"?token=x":                             "",
		"#token=x":                             "",
		"@pbx.example.com":                     "[redacted]@pbx.example.com",
		"https://pbx.example.com/?token=x":     "https://pbx.example.com/",
		"https://pbx.example.com/#token=x":     "https://pbx.example.com/",
		"https://api:x@pbx.example.com/base":   "[redacted]@pbx.example.com/base",
		"api:x@pbx.example.com":                "[redacted]@pbx.example.com",
		"https://api:x@y@pbx.example.com?t=x":  "[redacted]@pbx.example.com",
		"https://api:x/y@pbx.example.com":      "[redacted]@pbx.example.com",
		"https://api:x#y@pbx.example.com":      "[redacted]",
		"https://api:x?y@pbx.example.com":      "[redacted]",
		"https://api:x@y#z@pbx.example.com":    "[redacted]",
		"https://pbx.example.com/?mail=a@b&t=": "[redacted]",
		"https://pbx.example.com/%zz?token=x":  "https://pbx.example.com/%zz",
	} {
		if got, want := fmt.Sprint(pbx.Config{URL: url}), fmt.Sprintf(`pbx.Config{URL: %q, Username: "", Options: []}`, want); got != want {
			t.Errorf("%s prints as %s, want %s", url, got, want)
		}
	}
}
