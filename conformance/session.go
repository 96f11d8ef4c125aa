package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// What a session promises rests on what the driver tells it, so these look at
// both together.
var sessionRules = []Rule{
	{
		ID:    "SESSION-01",
		Says:  "Ten late reports of one dead token cause one login.",
		Why:   "All who were making a call when the PBX restarted report it, one after the other.",
		check: lateReports,
	},
	{
		ID:    "SESSION-02",
		Says:  "A hundred callers that ask for a second with a wrong password cause one login.",
		Why:   "The PBX locks after a few, and each of them would have been one.",
		check: impatientCallers,
	},
	{
		ID:    "SESSION-03",
		Says:  "A restart of the PBX costs a caller of Session.Client no error, and the PBX one login.",
		Why:   "PBXs forget their tokens at every update; the application should not have to know.",
		needs: []need{authorizer},
		check: restart,
	},
	{
		ID:    "SESSION-04",
		Says:  "Left alone for a day, a session has a living token at every minute, makes no more keep-alives or logins than twice a life, and has no token refused.",
		Why:   "Heartbeats every five seconds wear PBXs down, those that come late lose the session.",
		check: quietDay,
	},
	{
		ID:    "SESSION-05",
		Says:  "Closing a session logs out.",
		Why:   "A deployment a day would leave as many tokens alive, and some PBXs have room for eight.",
		check: closedSession,
	},
}

// sessionToken asks a session as an application does.
func sessionToken(t *trial, s *session.Session) (*pbx.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	token, err := s.Token(ctx)
	t.ear.hear("an error of Session.Token", err)
	return token, err
}

func lateReports(t *trial) error {
	s := t.session()
	dead, err := sessionToken(t, s)
	if err != nil {
		return err
	}
	t.sim.Restart()
	for range 10 {
		s.Reject(dead)
		fresh, err := sessionToken(t, s)
		if err != nil {
			return err
		}
		if !t.alive(fresh) {
			return errors.New("the session hands out a dead token")
		}
		time.Sleep(time.Second)
	}
	if n := t.count(pbxsim.Login); n != 2 {
		return fmt.Errorf("%d logins, want 2: the first, and one for the restart", n)
	}
	return nil
}

func impatientCallers(t *trial) error {
	t.sim.SetPassword(account, "another")
	s := t.session()
	errs := make([]error, 100)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			for range 50 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				_, errs[i] = s.Token(ctx)
				cancel()
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	all.Wait()
	if n := t.count(pbxsim.Login); n != 1 {
		return fmt.Errorf("%d logins are sent", n)
	}
	for _, err := range errs {
		t.ear.hear("an error of Session.Token", err)
		if !errors.Is(err, pbx.ErrInvalidCredentials) {
			return fmt.Errorf("a caller is not told of the wrong password: %v", err)
		}
	}
	return nil
}

func restart(t *trial) error {
	s := t.session()
	client := s.Client()
	call := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		resp, err := client.Do(t.harness.Call(t.server.URL).WithContext(ctx))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		return t.auth.Inspect(resp, body)
	}
	if err := call(); err != nil {
		return at("the call before the restart", err)
	}
	t.sim.Restart()
	if err := call(); err != nil {
		return at("the call after the restart", err)
	}
	if n := t.count(pbxsim.Login); n != 2 {
		return fmt.Errorf("%d logins, want 2: the first, and one for the restart", n)
	}
	return nil
}

func quietDay(t *trial) error {
	const day = 24 * time.Hour
	s := t.session()
	first, err := sessionToken(t, s)
	if err != nil {
		return err
	}
	for start := time.Now(); time.Since(start) < day; time.Sleep(time.Minute) {
		token, err := sessionToken(t, s)
		switch {
		case err != nil:
			return at("after "+time.Since(start).String(), err)
		case !t.alive(token):
			return fmt.Errorf("after %s, the session hands out a dead token", time.Since(start))
		}
	}

	life := first.ExpiresAt.Sub(first.IssuedAt) // as far as the driver knows
	if first.ExpiresAt.IsZero() {
		life = t.life()
	}
	most := int(2*day/life) + 1
	counts := t.sim.Counts()
	if counts.Logins+counts.KeepAlives > most {
		return fmt.Errorf("%d logins and %d keep-alives, want %d together at most", counts.Logins, counts.KeepAlives, most)
	}
	if t.auth.keepAlive() != pbx.KeepAliveNone && counts.Logins != 1 {
		return fmt.Errorf("%d logins, want 1, for the brand has a keep-alive", counts.Logins)
	}
	if counts.RefusedTokens != 0 {
		return fmt.Errorf("%d tokens are refused", counts.RefusedTokens)
	}
	return nil
}

func closedSession(t *trial) error {
	s := t.session()
	token, err := sessionToken(t, s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		return at("Close", err)
	}
	if t.alive(token) {
		return errors.New("the token lives on at the PBX")
	}
	return nil
}
