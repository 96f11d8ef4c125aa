package statickey_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/internal/drivertest"
	"github.com/pbxauth/pbx/adapters/internal/statickey"
	"github.com/pbxauth/pbx/adapters/wire"
)

var secret = pbx.NewSecret("K-0123456789abcdef")

func made(t *testing.T) statickey.Key {
	t.Helper()
	k, err := statickey.New("acme", secret, pbx.Config{})
	if err != nil || k.IsZero() {
		t.Fatal(err)
	}
	return k
}

func TestAKeyReplacesAnAccount(t *testing.T) {
	ask := func(context.Context) (pbx.Credentials, error) { return pbx.Credentials{}, nil }
	for name, tt := range map[string]struct {
		value pbx.Secret
		cfg   pbx.Config
		says  string
	}{
		"a user name":        {secret, pbx.Config{Username: "api"}, "not both"},
		"a password":         {secret, pbx.Config{Password: secret}, "not both"},
		"a Credentials func": {secret, pbx.Config{Credentials: ask}, "not both"},
		"a scheme":           {pbx.NewSecret("Bearer x"), pbx.Config{}, `without "Bearer"`},
		"a line break":       {pbx.NewSecret("x\n"), pbx.Config{}, "line breaks"},
		"letters of its own": {pbx.NewSecret("ключ"), pbx.Config{}, "characters"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := statickey.New("acme", tt.value, tt.cfg)
			drivertest.Misconfigured(t, "acme", !k.IsZero(), err, statickey.Option, tt.says)
		})
	}
	if k, err := statickey.New("acme", pbx.Secret{}, pbx.Config{Username: "api"}); err != nil || !k.IsZero() {
		t.Errorf("no key: %v", err)
	}
}

func TestALoginIsWhatTheProofSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := made(t)
		refusal := &pbx.Error{Driver: "acme", Op: pbx.OpPing, Kind: pbx.ErrTokenRejected, Message: "no such token", Sent: true, Ambiguous: true}
		want := &pbx.Token{Value: secret, IssuedAt: time.Now()}
		for name, proof := range map[string]error{"good": nil, "no request for it": &pbx.Error{Op: pbx.OpPing, Kind: pbx.ErrNotSupported}} {
			got, err := k.Login(t.Context(), func(_ context.Context, t *pbx.Token) error {
				if !t.Value.Equal(secret) {
					return errors.New("another key")
				}
				return proof
			})
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
			}
		}
		k.Judge(refusal)
		got, err := k.Login(t.Context(), func(context.Context, *pbx.Token) error { return refusal })
		wantErr := &pbx.Error{Driver: "acme", Op: pbx.OpLogin, Kind: pbx.ErrInvalidCredentials, Setting: "key", Message: statickey.Refused + "; no such token", Sent: true}
		if diff := cmp.Diff(wantErr, err, cmp.Comparer(func(a, b error) bool {
			var x, y *pbx.Error
			if errors.As(a, &x) && errors.As(b, &y) {
				return *x == *y
			}
			return a == b
		})); diff != "" || got != nil {
			t.Errorf("token %v, error (-want +got):\n%s", got, diff)
		}
		if refusal.Op != pbx.OpPing {
			t.Error("the error of the proof is changed")
		}
		other := errors.New("not of a driver")
		if got, err := k.Login(t.Context(), func(context.Context, *pbx.Token) error { return other }); got != nil || err != other {
			t.Errorf("%v, %v, want %v", got, err, other)
		}
	})
}

func TestOnlyARefusedTokenIsARefusedKey(t *testing.T) {
	for _, kind := range []error{pbx.ErrForbidden, pbx.ErrUnavailable, pbx.ErrLocked, nil} {
		failure := &pbx.Error{Kind: kind, Message: "no"}
		made(t).Judge(failure)
		if failure.Kind != kind || failure.Message != "no" || failure.Setting != "" {
			t.Errorf("%v became %v", kind, failure)
		}
	}
	failure := &pbx.Error{Kind: pbx.ErrTokenRejected, Ambiguous: true}
	statickey.Key{}.Judge(failure)
	if failure.Kind != pbx.ErrTokenRejected || !failure.Ambiguous {
		t.Errorf("without a key: %v", failure)
	}
	made(t).Judge(failure)
	if failure.Message != statickey.Refused {
		t.Errorf("%q", failure.Message)
	}
}

func TestTheTraitsOfAKey(t *testing.T) {
	account := pbx.Traits{URL: "https://pbx.example.com", Lifetime: time.Hour, KeepAlive: pbx.KeepAliveRefresh, Logout: pbx.LogoutToken, Lockout: pbx.Lockout{Attempts: 5}}
	got := account
	statickey.Key{}.Apply(&got)
	if diff := cmp.Diff(account, got); diff != "" {
		t.Errorf("without a key (-want +got):\n%s", diff)
	}
	made(t).Apply(&got)
	want := pbx.Traits{URL: "https://pbx.example.com", KeepAlive: pbx.KeepAliveNone, Logout: pbx.LogoutNone, Lockout: pbx.Lockout{Attempts: 5}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("with a key (-want +got):\n%s", diff)
	}
}

// The key is cut out of the PBX's words, also if the response is to another token.
func TestAKeyIsNotQuoted(t *testing.T) {
	k := made(t)
	client, err := wire.New(wire.Endpoint{Driver: "acme", NoAccount: true}, pbx.Config{URL: "https://pbx.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	words := "no such key: " + secret.Reveal()
	failure := k.Inspect(client, &http.Response{StatusCode: 401}, []byte(words), new(pbx.Token)).Fail(pbx.ErrTokenRejected, "", "refused", words)
	if text := failure.Error(); strings.Contains(text, secret.Reveal()) || !strings.Contains(text, "refused") {
		t.Errorf("%s", text)
	}
}

// Without a key the fingerprint is the account's, and changes with it.
func TestTheFingerprintIsThatOfWhatLogsIn(t *testing.T) {
	prints := map[string]string{}
	for name, tt := range map[string]struct {
		key     pbx.Secret
		account pbx.Config
	}{
		"a key":            {key: secret},
		"another key":      {key: pbx.NewSecret("K-1")},
		"an account":       {account: pbx.Config{Username: "api", Password: secret}},
		"another password": {account: pbx.Config{Username: "api", Password: pbx.NewSecret("K-1")}},
	} {
		k, err := statickey.New("acme", tt.key, tt.account)
		if err != nil {
			t.Fatal(err)
		}
		tt.account.URL = "https://pbx.example.com"
		client, err := wire.New(wire.Endpoint{Driver: "acme", NoAccount: !k.IsZero()}, tt.account)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.Fingerprint(t.Context(), client, []byte("1"))
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := prints[string(got)]; taken {
			t.Errorf("%s and %s have one fingerprint", name, other)
		}
		prints[string(got)] = name
	}
}

func TestAKeyIsNotPrinted(t *testing.T) {
	k := made(t)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(verb, k); strings.Contains(text, "0123456789abcdef") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
	a, err := k.Fingerprint(t.Context(), nil, []byte("1"))
	b, _ := k.Fingerprint(t.Context(), nil, []byte("2"))
	if err != nil || string(a) == string(b) || len(a) == 0 {
		t.Errorf("the fingerprint does not depend on the key: %v", err)
	}
}
