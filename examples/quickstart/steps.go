package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// tokenLifetime is that of the simulated PBXs. Real ones have half an hour.
const tokenLifetime = 3 * time.Second

const user, password = "api", "Correct-Horse-7"

// run takes all steps with one simulated PBX, and returns the PBX's own counts.
func (t *tour) run(ctx context.Context) pbxsim.Counts {
	sim := t.sim.New(&pbxsim.Options{Accounts: map[string]string{user: password}, Lifetime: tokenLifetime})
	server := pbxsim.Listen(sim)
	defer server.Close()
	driver, _ := pbx.Lookup(t.sim.Driver)
	open := func(secret string) (pbx.Authenticator, error) {
		options := maps.Clone(t.sim.Options)
		if options == nil {
			options = map[string]string{}
		}
		// Where the PBX does not say how long a token is valid, the settings do.
		if slices.ContainsFunc(driver.Options, func(o pbx.Option) bool { return o.Name == "token_ttl" }) {
			options["token_ttl"] = tokenLifetime.String()
		}
		return pbx.Open(t.sim.Driver, pbx.Config{URL: server.URL, Username: user, Password: pbx.NewSecret(secret), Options: options})
	}
	// Sessions share one lockout budget per host. Here each PBX has its own.
	opts := &session.Options{Guard: &session.Guard{}}

	var auth pbx.Authenticator
	var s *session.Session
	var believed time.Duration // how long the session takes its token to be valid
	t.step("open", func() (message string, err error) {
		auth, err = open(password)
		if err != nil {
			return "", err
		}
		s = session.New(auth, opts)
		return driver.Title + " at " + server.URL + ": nothing is sent yet", nil
	})
	if t.failed != nil {
		return sim.Counts()
	}
	defer s.Close(context.WithoutCancel(ctx))

	t.step("login", func() (string, error) {
		token, err := s.Token(ctx)
		if err != nil {
			return "", err
		}
		if valid := sim.Tokens(user); len(valid) != 1 || valid[0] != token.Value.Reveal() {
			return "", fmt.Errorf("the PBX has %d valid tokens", len(valid))
		}
		believed = time.Until(s.Status().ExpiresAt)
		return fmt.Sprintf("a token, which prints as %v", token.Value), nil
	})
	t.step("request", func() (string, error) {
		if err := t.request(ctx, s.Client(), auth, server.URL); err != nil {
			return "", err
		}
		if n := sim.Counts().AppRequests; n != 1 {
			return "", fmt.Errorf("the PBX got %d requests", n)
		}
		return "the session's http.Client puts the token in", nil
	})
	t.step("stay logged in", func() (string, error) {
		before := sim.Counts()
		start := time.Now()
		select {
		case <-time.After(tokenLifetime * 8 / 5):
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if err := t.request(ctx, s.Client(), auth, server.URL); err != nil {
			return "", err
		}
		after := sim.Counts()
		keepAlives, logins := after.KeepAlives-before.KeepAlives, after.Logins-before.Logins
		switch {
		case after.RefusedTokens == 1 && logins+keepAlives == 1 && believed > tokenLifetime:
			// The brand's tokens have a fixed lifetime, and no response states it.
			return fmt.Sprintf("a request %.1f s later works too: the PBX refused the token too early, and the session replaced it at once", time.Since(start).Seconds()), nil
		case after.RefusedTokens > 0:
			return "", errors.New("the PBX refused a token")
		case keepAlives+logins == 0:
			return "", errors.New("nothing kept the token valid")
		}
		return fmt.Sprintf("a request %.1f s later works too: %d keep-alives, %d logins, no token refused", time.Since(start).Seconds(), keepAlives, logins), nil
	})
	t.step("PBX restarts", func() (string, error) {
		before := sim.Counts()
		sim.Restart()
		if err := t.request(ctx, s.Client(), auth, server.URL); err != nil {
			return "", err
		}
		after := sim.Counts()
		refused, logins := after.RefusedTokens-before.RefusedTokens, after.Logins-before.Logins
		if logins != 1 || refused < 1 {
			return "", fmt.Errorf("%d tokens refused, %d logins", refused, logins)
		}
		return "its tokens are gone: the request succeeds after one more login", nil
	})
	t.step("wrong password", func() (string, error) {
		before := sim.Counts()
		wrong, err := open("Wrong-" + password)
		if err != nil {
			return "", err
		}
		s := session.New(wrong, opts)
		defer s.Close(context.WithoutCancel(ctx))
		asked, err := ask(ctx, s, 100, time.Second)
		if err != nil {
			return "", err
		}
		if sent := sim.Counts().WrongLogins - before.WrongLogins; sent != 1 {
			return "", fmt.Errorf("%d wrong logins were sent", sent)
		}
		return fmt.Sprintf("100 goroutines ask %d times in a second: one login is sent", asked), nil
	})
	t.step("logout", func() (string, error) {
		token, err := s.Token(ctx)
		if err != nil {
			return "", err
		}
		if err := s.Close(ctx); err != nil {
			return "", err
		}
		if d, ok := pbx.As[pbx.Describer](auth); ok && d.Traits().Logout != pbx.LogoutToken {
			return "the brand cannot end a token: it stays valid until it expires", nil
		}
		return "the PBX refuses the token now", t.isDead(ctx, auth, server.URL, token)
	})
	return sim.Counts()
}

// ask lets goroutines ask a session for its token every 20 ms. It returns an
// error unless each gets the error of the wrong credentials each time.
func ask(ctx context.Context, s *session.Session, goroutines int, during time.Duration) (asked int, err error) {
	var mu sync.Mutex // guards asked and err
	var group sync.WaitGroup
	for range goroutines {
		group.Go(func() {
			for range during / (20 * time.Millisecond) {
				_, tokenErr := s.Token(ctx)
				mu.Lock()
				asked++
				if !errors.Is(tokenErr, pbx.ErrInvalidCredentials) && err == nil {
					err = fmt.Errorf("a goroutine got %v", tokenErr)
				}
				mu.Unlock()
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	group.Wait()
	return asked, err
}
