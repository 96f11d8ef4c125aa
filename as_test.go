package pbx_test

import (
	"context"
	"errors"
	"testing"

	"github.com/pbxauth/pbx"
)

// counting is a wrapper that says what it wraps.
type counting struct{ pbx.Authenticator }

func (c counting) Unwrap() pbx.Authenticator { return c.Authenticator }

type described struct{ nothing }

func (described) Traits() pbx.Traits { return pbx.Traits{URL: "https://pbx.example.com"} }

func TestAsLooksInsideWrappers(t *testing.T) {
	d, ok := pbx.As[pbx.Describer](counting{counting{described{}}})
	if !ok || d.Traits().URL != "https://pbx.example.com" {
		t.Errorf("found %v", ok)
	}
	if _, ok := pbx.As[pbx.Pinger](counting{described{}}); ok {
		t.Error("found an interface that nobody implements")
	}
	if _, ok := pbx.As[pbx.Describer](nil); ok {
		t.Error("found an interface in nil")
	}
	if _, ok := pbx.As[pbx.Describer](counting{}); ok {
		t.Error("found an interface in a wrapper of nothing")
	}
}

func TestAnAttemptAsksForCredentialsOnce(t *testing.T) {
	var asked int
	ask := func(context.Context) (pbx.Credentials, error) {
		if asked++; asked == 1 {
			return pbx.Credentials{}, errors.New("the vault is sealed")
		}
		return pbx.Credentials{Username: string(rune('a' + asked))}, nil
	}
	ctx := pbx.WithAttempt(t.Context())
	if _, err := pbx.AskCredentials(ctx, "client", ask); err == nil {
		t.Error("the error is lost")
	}
	first, _ := pbx.AskCredentials(ctx, "client", ask)
	again, _ := pbx.AskCredentials(ctx, "client", ask)
	if first != again || asked != 2 {
		t.Errorf("%v, then %v; asked %d times", first, again, asked)
	}
	if other, _ := pbx.AskCredentials(ctx, "another client", ask); other == first {
		t.Error("another source got the first one's credentials")
	}
	if again, _ := pbx.AskCredentials(ctx, "client", ask); again != first {
		t.Errorf("%v, and after another source's %v", first, again)
	}
	if next, _ := pbx.AskCredentials(pbx.WithAttempt(t.Context()), "client", ask); next == first {
		t.Error("another attempt got the first one's credentials")
	}
	if loose, _ := pbx.AskCredentials(t.Context(), "client", ask); loose == first {
		t.Error("a request outside of attempts got an attempt's credentials")
	}
}
