package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// tokenLife is that of the simulated PBXs, where real ones have half an hour.
const tokenLife = 3 * time.Second

const user, password = "api", "Correct-Horse-7"

// simulated tours all brands at once, and prints their accounts one after the
// other.
func simulated(ctx context.Context, out io.Writer) int {
	fmt.Fprintf(out, "Simulated PBXs on loopback; their tokens live %s.\n", tokenLife)
	accounts := make([]bytes.Buffer, len(brands))
	counts := make([]pbxsim.Counts, len(brands))
	failures := make([]error, len(brands))
	var tours sync.WaitGroup
	for i, b := range brands {
		tours.Go(func() { counts[i], failures[i] = tourSimulated(ctx, &accounts[i], b) })
	}
	tours.Wait()

	for i := range brands {
		accounts[i].WriteTo(out)
	}
	fmt.Fprintln(out)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "DRIVER\tLOGINS\tWRONG\tKEEP-ALIVES\tCALLS\tREFUSED TOKENS\tLOGOUTS\tRESULT")
	status := 0
	for i, b := range brands {
		result := "as promised"
		if failures[i] != nil {
			result, status = "DIFFERS", 1
		}
		c := counts[i]
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", b.name(), c.Logins, c.WrongLogins, c.KeepAlives, c.AppRequests, c.RefusedTokens, c.Logouts, result)
	}
	table.Flush()
	return status
}

// tourSimulated does everything with one simulated PBX. What happened is told by
// the PBX's own counts.
func tourSimulated(ctx context.Context, out io.Writer, b brand) (pbxsim.Counts, error) {
	sim := b.simulate(&pbxsim.Options{Accounts: map[string]string{user: password}, Lifetime: tokenLife})
	server := pbxsim.Listen(sim)
	defer server.Close()
	driver, _ := pbx.Lookup(b.driver)
	fmt.Fprintf(out, "\n%s: %s, at %s\n", b.name(), driver.Title, server.URL)
	t := &tour{out: out}
	open := func(secret string) (pbx.Authenticator, error) {
		options := map[string]string{}
		maps.Copy(options, b.options)
		if b.ttl {
			options["token_ttl"] = tokenLife.String()
		}
		return pbx.Open(b.driver, pbx.Config{URL: server.URL, Username: user, Password: pbx.NewSecret(secret), Options: options})
	}
	// Real sessions share one lockout budget; here every PBX stands for a host
	// of its own.
	opts := &session.Options{Guard: &session.Guard{}}

	var auth pbx.Authenticator
	t.step("open", func() (told string, err error) {
		auth, err = open(password)
		return "by name; nothing is sent yet", err
	})
	if t.failed != nil {
		return sim.Counts(), t.failed
	}
	s := session.New(auth, opts)
	defer s.Close(context.WithoutCancel(ctx))

	t.step("login", func() (string, error) {
		token, err := s.Token(ctx)
		if err != nil {
			return "", err
		}
		if live := sim.Tokens(user); len(live) != 1 || live[0] != token.Value.Reveal() {
			return "", fmt.Errorf("the PBX has %d live tokens", len(live))
		}
		return fmt.Sprintf("a token, which prints as %v", token.Value), nil
	})
	t.step("call", func() (string, error) {
		if err := call(ctx, s.Client(), auth, b.call.request(server.URL)); err != nil {
			return "", err
		}
		if n := sim.Counts().AppRequests; n != 1 {
			return "", fmt.Errorf("the PBX answered %d calls", n)
		}
		return "authorized by the session's http.Client", nil
	})
	t.step("stay logged in", func() (string, error) {
		before := sim.Counts()
		start := time.Now()
		select {
		case <-time.After(tokenLife * 8 / 5):
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if err := call(ctx, s.Client(), auth, b.call.request(server.URL)); err != nil {
			return "", err
		}
		after := sim.Counts()
		beats, logins := after.KeepAlives-before.KeepAlives, after.Logins-before.Logins
		switch {
		case after.RefusedTokens > 0:
			return "", errors.New("the PBX refused a token")
		case beats+logins == 0:
			return "", errors.New("nothing kept the token alive")
		}
		return fmt.Sprintf("a call %.1f s later works too: %d keep-alives, %d logins, no token refused", time.Since(start).Seconds(), beats, logins), nil
	})
	t.step("PBX restarts", func() (string, error) {
		before := sim.Counts()
		sim.Restart()
		if err := call(ctx, s.Client(), auth, b.call.request(server.URL)); err != nil {
			return "", err
		}
		after := sim.Counts()
		refused, logins := after.RefusedTokens-before.RefusedTokens, after.Logins-before.Logins
		if logins != 1 || refused < 1 {
			return "", fmt.Errorf("%d tokens refused, %d logins", refused, logins)
		}
		return "all its tokens are gone; the caller gets its answer after one more login", nil
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
		return fmt.Sprintf("100 callers ask %d times in a second: one login is sent", asked), nil
	})
	t.step("logout", func() (string, error) {
		token, err := s.Token(ctx)
		if err != nil {
			return "", err
		}
		if err := s.Close(ctx); err != nil {
			return "", err
		}
		return "the PBX refuses the token now", isDead(ctx, auth, b.call.request(server.URL), token)
	})
	return sim.Counts(), t.failed
}

// ask lets many callers ask a session for its token every 20 ms, and returns an
// error unless each time they are told that the credentials are wrong.
func ask(ctx context.Context, s *session.Session, callers int, during time.Duration) (asked int, err error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for range during / (20 * time.Millisecond) {
				_, tokenErr := s.Token(ctx)
				mu.Lock()
				asked++
				if !errors.Is(tokenErr, pbx.ErrInvalidCredentials) && err == nil {
					err = fmt.Errorf("a caller was told %v", tokenErr)
				}
				mu.Unlock()
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	group.Wait()
	return asked, err
}
