package drivertest

import (
	"context"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
)

// Misconfigured checks that a driver was not opened, because of a setting that cannot
// work: the error is a configuration error, is one line, has the setting's name, and
// has the texts in its message. An empty setting is not checked.
func Misconfigured(t testing.TB, driver string, opened bool, err error, setting string, says ...string) {
	t.Helper()
	if opened {
		t.Fatal("opened")
	}
	got := Failure(t, driver, err)
	if got.Op != pbx.OpOpen || got.Kind != pbx.ErrConfig || got.Sent {
		t.Errorf("%v, want %v while opening, nothing sent", err, pbx.ErrConfig)
	}
	if setting != "" && got.Setting != setting {
		t.Errorf("%v: setting %q, want %q", err, got.Setting, setting)
	}
	for _, text := range says {
		if !strings.Contains(got.Message, text) {
			t.Errorf("%q does not say %q", got.Message, text)
		}
	}
	Safe(t, driver, err)
}

// Impossible checks that an account that cannot be right is refused: on opening,
// and before anything is sent where a Credentials func returned it. cfg is a good one
// with a transport, as [Unsent].
func Impossible(t testing.TB, driver string, open func(pbx.Config) (pbx.Authenticator, error), cfg pbx.Config, account pbx.Credentials, setting string, says ...string) {
	t.Helper()
	cfg.Username, cfg.Password = account.Username, account.Password
	_, err := open(cfg)
	Misconfigured(t, driver, err == nil, err, setting, says...)

	cfg.Username, cfg.Password = "", pbx.Secret{}
	cfg.Credentials = func(context.Context) (pbx.Credentials, error) { return account, nil }
	opened, err := open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = opened.Login(t.Context())
	got := Failure(t, driver, err)
	if got.Op != pbx.OpLogin || got.Kind != pbx.ErrConfig || got.Setting != setting || got.Sent {
		t.Errorf("%v, setting %q, sent %t; want %v at %s, nothing sent", err, got.Setting, got.Sent, pbx.ErrConfig, setting)
	}
	for _, text := range append(says, "nothing was sent") {
		if !strings.Contains(got.Message, text) {
			t.Errorf("%q does not say %q", got.Message, text)
		}
	}
	Safe(t, driver, err, account.Password.Reveal())
}

// Addresses opens a driver with each URL, and compares the URL that it uses.
func Addresses(t testing.TB, open func(url string) (pbx.Authenticator, error), rows map[string]string) {
	t.Helper()
	for url, want := range rows {
		driver, err := open(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := driver.(pbx.Describer).Traits().URL; got != want {
			t.Errorf("%s is read as %s, want %s", url, got, want)
		}
	}
}
