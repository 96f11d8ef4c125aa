package exposure_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/exposure"
)

const secret = `canary"7Q /+ü`

// verdict is a testing.TB that only remembers.
type verdict struct {
	testing.TB
	failed []string
}

func (v *verdict) Helper() {}
func (v *verdict) Errorf(format string, args ...any) {
	v.failed = append(v.failed, fmt.Sprintf(format, args...))
}

func TestASecretIsFoundHoweverItShows(t *testing.T) {
	for name, show := range map[string]func(*exposure.Exposure){
		"as it is":       func(x *exposure.Exposure) { x.Show("token=" + secret) },
		"in capitals":    func(x *exposure.Exposure) { x.Show(strings.ToUpper(secret)) },
		"in JSON":        func(x *exposure.Exposure) { x.Print(map[string]string{"v": secret}) },
		"in a URL":       func(x *exposure.Exposure) { x.Show("?token=" + url.QueryEscape(secret)) },
		"in a path":      func(x *exposure.Exposure) { x.Show("/" + url.PathEscape(secret)) },
		"in hex":         func(x *exposure.Exposure) { x.Show(fmt.Sprintf("%x", secret)) },
		"in base64":      func(x *exposure.Exposure) { x.Show(base64.StdEncoding.EncodeToString([]byte(secret))) },
		"in a field":     func(x *exposure.Exposure) { x.Print(struct{ hidden string }{secret}) },
		"in an error":    func(x *exposure.Exposure) { x.Fail(errors.New(secret)) },
		"in its cause":   func(x *exposure.Exposure) { x.Fail(&pbx.Error{Err: errors.New(secret)}) },
		"deep in it":     func(x *exposure.Exposure) { x.Fail(&pbx.Error{Err: deep{errors.New(secret)}}) },
		"in the log":     func(x *exposure.Exposure) { l := x.Logger(); l.Debug().Msg(secret) },
		"not at all":     func(x *exposure.Exposure) { x.Print(pbx.NewSecret(secret)) },
		"nowhere either": func(x *exposure.Exposure) { x.Fail(&pbx.Error{Err: errors.New("canary")}) },
	} {
		v := &verdict{TB: t}
		x := exposure.New(v, map[string]string{"password": secret})
		for range 100 {
			x.Show("nothing")
		}
		logger := x.Logger()
		logger.Debug().Str("path", "/login").Msg("")
		show(x)
		x.Scan("/login")
		if hidden := strings.HasPrefix(name, "no"); hidden != (len(v.failed) == 0) {
			t.Errorf("%s: %q", name, v.failed)
		}
	}
}

// deep keeps an error to itself, as far as its text goes.
type deep struct{ error }

func (deep) Error() string   { return "deep" }
func (d deep) Unwrap() error { return d.error }

func TestAScanOfNothingProvesNothing(t *testing.T) {
	v := &verdict{TB: t}
	exposure.New(v, map[string]string{"password": secret}).Scan("/login")
	if len(v.failed) != 2 {
		t.Errorf("%q: want a word about the empty log, and one about the few texts", v.failed)
	}
}
