package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// tourReal does with a PBX of the user's what harms nobody: one login, one call, one
// keep-alive, one logout.
func tourReal(ctx context.Context, out, errs io.Writer, driver string, cfg pbx.Config) int {
	auth, err := pbx.Open(driver, cfg)
	if err != nil {
		fmt.Fprintln(errs, "quickstart:", err)
		return 2
	}
	fmt.Fprintf(out, "%s at %s, as %s\n", driver, cfg.URL, cfg.Username)
	t := &tour{out: out}
	s := session.New(auth, nil)
	defer s.Close(context.WithoutCancel(ctx))

	var token *pbx.Token
	t.step("login", func() (told string, err error) {
		token, err = s.Token(ctx)
		if err != nil {
			return "", err
		}
		status := s.Status()
		if status.ExpiresAt.IsZero() {
			return "a token without a known end", nil
		}
		return fmt.Sprintf("a token that lives %s, to be renewed in %s", time.Until(status.ExpiresAt).Round(time.Second), time.Until(status.Next).Round(time.Second)), nil
	})
	t.step("call", func() (string, error) {
		i := slices.IndexFunc(brands, func(b brand) bool { return b.driver == driver && b.call.forReal && b.asked(cfg.Options) })
		if i < 0 {
			return "left out: the vendor documents none that is surely harmless", nil
		}
		if err := call(ctx, s.Client(), auth, brands[i].call.request(s.URL())); err != nil {
			return "", err
		}
		return brands[i].call.Method + " " + brands[i].call.Path + " is answered", nil
	})
	t.step("keep-alive", func() (string, error) {
		kept, err := auth.KeepAlive(ctx, token)
		switch {
		case errors.Is(err, pbx.ErrNotSupported):
			return "left out: the brand has none, and the session would log in again", nil
		case err != nil:
			return "", err
		case kept.Value.Equal(token.Value):
			return "the PBX has prolonged the token", nil
		}
		s.Close(ctx) // its token is dead
		token = kept
		return "the PBX has replaced the token", nil
	})
	t.step("logout", func() (string, error) {
		if s.Status().State == session.Closed {
			return "the new token is given back", auth.Logout(ctx, token)
		}
		return "the token is given back", s.Close(ctx)
	})
	if t.failed != nil {
		return 1
	}
	return 0
}

// asked reports whether options ask for this row of the driver: the first one,
// if they do not say.
func (b brand) asked(options map[string]string) bool {
	for name, value := range b.options {
		if given := options[name]; given != "" && given != value {
			return false
		}
	}
	return options["api_version"] == "" // else the path is another
}
