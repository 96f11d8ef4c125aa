// Package statickey is what drivers share whose brand has a static key: one that a
// person makes in the PBX's interface, and that goes where a token goes. There is
// no login, no renewal and no logout, and a refused key is final, because a login
// could only bring the same key again.
package statickey

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

// Option is the name of the option that holds the key.
const Option = "key"

// Refused is what to do about a refused key.
const Refused = "the key is refused: make another one in the PBX's interface"

// Key is a static key. The zero Key is none: the driver logs in with an account.
type Key struct{ value pbx.Secret }

// New returns a driver's key. An empty value is no key. cfg must have no account
// beside a key. Errors are of kind [pbx.ErrConfig].
func New(driver string, value pbx.Secret, cfg pbx.Config) (Key, error) {
	switch {
	case value.IsZero():
		return Key{}, nil
	case cfg.Username != "" || !cfg.Password.IsZero() || cfg.Credentials != nil:
		return Key{}, wire.Misconfigured(driver, Option, "set either Key (key) or an account, not both: a key needs no user name and no password")
	case !wire.FitsHeader(value.Reveal()):
		return Key{}, wire.Misconfigured(driver, Option, `Key (key) holds blanks, line breaks or other characters that no key has: give the key alone, without "Bearer"`)
	}
	return Key{value}, nil
}

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.value.IsZero() }

// Token is the key in the form of a token, without an expiry and details.
func (k Key) Token() *pbx.Token {
	return &pbx.Token{Value: k.value, IssuedAt: time.Now()}
}

// Login returns the key as a token if prove, which sends the brand's harmless
// request, does not fail. If the brand has none, prove returns
// [pbx.ErrNotSupported], and the key is believed. An error is that of prove, as one
// of a login.
func (k Key) Login(ctx context.Context, prove func(context.Context, *pbx.Token) error) (*pbx.Token, error) {
	t := k.Token()
	err := prove(ctx, t)
	if err == nil || errors.Is(err, pbx.ErrNotSupported) {
		return t, nil
	}
	var failure *pbx.Error
	if !errors.As(err, &failure) {
		return nil, err
	}
	ofLogin := *failure
	ofLogin.Op = pbx.OpLogin
	return nil, &ofLogin
}

// Judge makes the refusal of a token that of the key, and final. Without a key it
// changes nothing.
func (k Key) Judge(failure *pbx.Error) {
	if k.IsZero() || failure.Kind != pbx.ErrTokenRejected {
		return
	}
	failure.Kind, failure.Setting, failure.Ambiguous = pbx.ErrInvalidCredentials, Option, false
	failure.Message = strings.TrimSuffix(Refused+"; "+failure.Message, "; ")
}

// Fingerprint implements [pbx.Fingerprinter]: that of the key, or of the account of
// w if there is no key.
func (k Key) Fingerprint(ctx context.Context, w *wire.Client, key []byte) ([]byte, error) {
	if k.IsZero() {
		return w.Fingerprint(ctx, key)
	}
	return wire.Fingerprint(key, "", k.value), nil
}

// Inspect is that of w. The key is cut out too of texts that are taken from the
// response.
func (k Key) Inspect(w *wire.Client, r *http.Response, body []byte, t *pbx.Token) *wire.Exchange {
	x := w.Inspect(r, body, t)
	x.Hide(k.value)
	return x
}

// Apply makes the traits of an account those of the key.
func (k Key) Apply(traits *pbx.Traits) {
	if !k.IsZero() {
		traits.Lifetime, traits.KeepAlive, traits.Logout = 0, pbx.KeepAliveNone, pbx.LogoutNone
	}
}
