package drivertest

import (
	"errors"
	"testing"

	"github.com/pbxauth/pbx"
)

func TestASettingThatIsNotRefusedWellIsReported(t *testing.T) {
	good := pbx.Error{Driver: "brand", Op: pbx.OpOpen, Kind: pbx.ErrConfig, Setting: "URL", Message: "URL is empty"}
	for name, tt := range map[string]struct {
		change func(*pbx.Error)
		says   string
	}{
		"refused well":      {func(*pbx.Error) {}, ""},
		"another operation": {func(e *pbx.Error) { e.Op = pbx.OpLogin }, "brand: login: configuration: URL is empty, want configuration while"},
		"another kind":      {func(e *pbx.Error) { e.Kind = pbx.ErrProtocol }, "brand: open: unexpected response: URL is empty, want"},
		"sent":              {func(e *pbx.Error) { e.Sent = true }, "brand: open: configuration: URL is empty, want"},
		"another setting":   {func(e *pbx.Error) { e.Setting = "Username" }, `brand: open: configuration: URL is empty: setting "Username", want "URL"`},
		"other words":       {func(e *pbx.Error) { e.Message = "URL is missing" }, `"URL is missing" does not say "empty"`},
		"two lines":         {func(e *pbx.Error) { e.Message = "URL\nis empty" }, "the error is not one line: "},
	} {
		err := good
		tt.change(&err)
		want(t, name, tt.says, complaints(t, func(t testing.TB) { Misconfigured(t, "brand", false, &err, "URL", "URL", "empty") }))
	}
	want(t, "opened", "opened", complaints(t, func(t testing.TB) { Misconfigured(t, "brand", true, nil, "URL") }))
	want(t, "any setting", "", complaints(t, func(t testing.TB) { Misconfigured(t, "brand", false, &good, "") }))
}

func TestAnAddressThatIsReadOtherwiseIsReported(t *testing.T) {
	open := func(url string) (pbx.Authenticator, error) {
		if url == "" {
			return nil, errors.New("no URL")
		}
		return described{&leaky{}, url + "/"}, nil
	}
	for url, says := range map[string]string{"a": "", "b": "b is read as b/, want a/", "": ": no URL"} {
		want(t, url, says, complaints(t, func(t testing.TB) { Addresses(t, open, map[string]string{url: "a/"}) }))
	}
}

// described is a driver that says its URL.
type described struct {
	*leaky
	url string
}

func (d described) Traits() pbx.Traits { return pbx.Traits{URL: d.url} }
