package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/session"
)

// These rules are about the driver and a session together: what a session
// promises depends on what the driver reports.
var sessionRules = []Rule{
	{
		ID:    "SESSION-01",
		Says:  "Ten late reports of one dead token cause one login.",
		Why:   "Everyone who had sent a request when the PBX restarted reports it, one after the other.",
		check: lateReports,
	},
	{
		ID:    "SESSION-02",
		Says:  "A hundred goroutines that ask for a second with a wrong password cause one login.",
		Why:   "The PBX locks after a few, and each of them would have been one.",
		needs: []precondition{proves},
		check: impatientGoroutines,
	},
	{
		ID:    "SESSION-03",
		Says:  "A restart of the PBX costs a user of Session.Client no error, and the PBX one login.",
		Why:   "PBXs forget their tokens at every update. The application should not have to know.",
		needs: []precondition{requester},
		check: restart,
	},
	{
		ID:    "SESSION-04",
		Says:  "A session that is left alone for a day (300 lifetimes of a token, if that is less) has a valid token at every minute, sends no more keep-alives or logins than two per lifetime, and has no token refused.",
		Why:   "Heartbeats every five seconds wear PBXs down, and late ones lose the session.",
		check: quietDay,
	},
	{
		ID:    "SESSION-05",
		Says:  "Closing a session logs out.",
		Why:   "A deployment a day would leave as many valid tokens behind, and some PBXs have room for eight.",
		needs: []precondition{logout},
		check: closedSession,
	},
	{
		ID:    "SESSION-07",
		Says:  "In a day (300 lifetimes of a token, if that is less) with six requests in each lifetime of a token, five minutes apart at most, no token is refused and no keep-alive is sent, if Traits says Sliding.",
		Why:   "If requests do not extend the token, the session has believed it until the first token was dead.",
		needs: []precondition{requester, slides},
		check: busyDay,
	},
	{
		ID:    "SESSION-08",
		Says:  "A session waits for the end of a lockout, sends a login every five minutes at most, and is logged in within ten minutes after it.",
		Why:   "Nobody can unlock a cloud PBX by hand, and some count what is tried under the lockout.",
		needs: []precondition{locks, lockShows, applies("LOCKOUT-02")},
		check: waitedOut,
	},
	{
		ID:    "SESSION-09",
		Says:  "A session with a wrong password sends it once, and within five minutes logs in with the next one that the Credentials func returns.",
		Why:   "Passwords are changed in the PBX first and in the vault an hour later, and nobody restarts the process for it.",
		needs: []precondition{proves, fingerprinter, credentials, secondLogin, applies("LOCKOUT-01")},
		check: changedPassword,
	},
	{
		ID:    "SESSION-10",
		Says:  "In a week in which the PBX restarts every night (a day, if a token is valid for less than 20 minutes), each hour's request succeeds. If the brand has a keep-alive, there is no login but the first and one per restart, and never more than two valid tokens.",
		Why:   "It is an ordinary week. Each token too many takes one of the few places that some PBXs have.",
		needs: []precondition{requester},
		check: ordinaryWeek,
	},
	{
		ID:    "SESSION-11",
		Says:  "A user of Session.Client gets no error for a dead token, whatever the type of the refusal, and also if it is compressed.",
		Why:   "If a refusal is not read, the session keeps a dead token, and believes that requests extend it.",
		needs: []precondition{requester},
		check: unreadRefusals,
	},
	{
		ID:    "SESSION-12",
		Says:  "After ten minutes in which something in front of the PBX asks for a password, forbids or redirects everything, or responds with a web page or with JSON of its own, a session is back within ten minutes, by itself.",
		Why:   "It says nothing about the PBX's password, and nobody should have to press a button.",
		check: doorkeeper,
	},
	{
		ID:    "SESSION-13",
		Says:  "After an hour of HTTP 503 a session is back within a minute, by itself. Meanwhile it has sent at most thirty logins and keep-alives, and whatever else it sent carries no credentials.",
		Why:   "Updates and power cuts take that long, and nobody visits the offices afterwards to press a button.",
		check: outage,
	},
}

func unreadRefusals(t *testbed) error {
	s := t.session()
	for _, contentType := range []string{"application/json", "application/octet-stream", "audio/wav", "text/html", ""} {
		for _, gzip := range []bool{false, true} {
			if err := sessionCall(t, s); err != nil {
				return err
			}
			before := t.count(pbxsim.Login)
			t.sim.Restart()
			// The harmless request may be the brand's keep-alive.
			t.sim.Fault(pbxsim.Fault{Header: http.Header{"Content-Type": {contentType}}, Gzip: gzip})
			where := fmt.Sprintf("a refusal with the Content-Type %q, compressed: %t", contentType, gzip)
			if err := sessionCallAccepting(t, s, "gzip"); err != nil {
				return at(where, err)
			}
			if n := t.count(pbxsim.Login) - before; n != 1 {
				return fmt.Errorf("%s: %d logins, want 1", where, n)
			}
			time.Sleep(time.Hour)
		}
	}
	return nil
}

func doorkeeper(t *testbed) error {
	outages, err := t.inFront()
	if err != nil {
		return err
	}
	for _, o := range append(outages, pbxsim.Redirecting, pbxsim.Starting, pbxsim.Maintaining, pbxsim.NoRoute) {
		s := t.session()
		if _, err := sessionToken(t, s); err != nil {
			return err
		}
		t.sim.Restart()
		t.sim.Down(o)
		for range 10 {
			if token, err := sessionToken(t, s); err == nil {
				s.Invalidate(token)
			}
			time.Sleep(time.Minute)
		}
		t.sim.Up()
		if err := comesBack(t, s, 10*time.Minute); err != nil {
			return at("what is in front "+o.String(), errors.Join(err, refusedProbe(t)))
		}
		s.Close(context.Background()) // the next session may have the same account
	}
	return nil
}

// refusedProbe explains why a session may take long to come back: the PBX itself
// refuses its checks, and it cannot know that nothing is in front any more.
func refusedProbe(t *testbed) error {
	traits := t.auth.Traits()
	probe := cmp.Or(traits.Probe, traits.URL)
	if probe == "" {
		return errors.New("Traits.URL and Traits.Probe are empty, so the session cannot check whether the PBX responds")
	}
	r, err := http.NewRequest(http.MethodGet, probe, nil)
	if err != nil {
		return nil
	}
	var transport http.RoundTripper = t.transport
	if requester(t) == "" {
		transport = t.auth.Transport()
	}
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("Traits.Probe: %s does not respond", probe)
	}
	resp.Body.Close()
	switch status := resp.StatusCode; {
	case status/100 == 3, status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return fmt.Errorf("Traits.Probe: the PBX itself responds with HTTP status %d to GET %s, as something in front of it would: choose a URL that it serves without credentials", status, probe)
	}
	return nil
}

// sessionToken asks a session as an application does.
func sessionToken(t *testbed, s *session.Session) (*pbx.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	token, err := s.Token(ctx)
	t.observe("an error of Session.Token", err)
	return token, err
}

// sessionCall sends the harmless request as an application does.
func sessionCall(t *testbed, s *session.Session) error { return sessionCallAccepting(t, s, "") }

// sessionCallAccepting is sessionCall of an application that unpacks responses
// itself.
func sessionCallAccepting(t *testbed, s *session.Session, encoding string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r := t.harness.Call(t.server.URL).WithContext(ctx)
	if encoding != "" {
		r.Header.Set("Accept-Encoding", encoding)
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return t.auth.Inspect(resp, body, &pbx.Token{})
}

func lateReports(t *testbed) error {
	s := t.session()
	dead, err := sessionToken(t, s)
	if err != nil {
		return err
	}
	t.sim.Restart()
	for range 10 {
		s.Invalidate(dead)
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

func impatientGoroutines(t *testbed) error {
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
		t.observe("an error of Session.Token", err)
		if !errors.Is(err, pbx.ErrInvalidCredentials) {
			return fmt.Errorf("a goroutine does not get the error of the wrong password: %v", err)
		}
	}
	return nil
}

func restart(t *testbed) error {
	s := t.session()
	if err := sessionCall(t, s); err != nil {
		return at("the request before the restart", err)
	}
	t.sim.Restart()
	if err := sessionCall(t, s); err != nil {
		return at("the request after the restart", err)
	}
	if n := t.count(pbxsim.Login); n != 2 {
		return fmt.Errorf("%d logins, want 2: the first, and one for the restart", n)
	}
	return nil
}

const day = 24 * time.Hour

func quietDay(t *testbed) error {
	s := t.session()
	first, err := sessionToken(t, s)
	if err != nil {
		return err
	}
	most := t.watched()
	for start := time.Now(); time.Since(start) < most; time.Sleep(time.Minute) {
		token, err := sessionToken(t, s)
		switch {
		case err != nil:
			return at("after "+time.Since(start).String(), err)
		case !t.alive(token):
			return fmt.Errorf("after %s, the session hands out a dead token", time.Since(start))
		}
		if err := t.storm(time.Since(start)); err != nil {
			return err
		}
	}

	lifetime := first.ExpiresAt.Sub(first.IssuedAt) // as far as the driver knows
	if first.ExpiresAt.IsZero() {
		lifetime = t.tokenLifetime()
	}
	counts := t.sim.Counts()
	if n := int(2*most/lifetime) + 1; counts.Logins+counts.KeepAlives > n {
		return fmt.Errorf("%d logins and %d keep-alives, want %d together at most", counts.Logins, counts.KeepAlives, n)
	}
	if t.auth.keepAlive() != pbx.KeepAliveNone && counts.Logins != 1 {
		return fmt.Errorf("%d logins, want 1, because the brand has a keep-alive", counts.Logins)
	}
	if counts.RefusedTokens != 0 {
		return fmt.Errorf("%d tokens are refused", counts.RefusedTokens)
	}
	return nil
}

// watched is how long a session is watched.
func (t *testbed) watched() time.Duration { return min(day, 300*t.tokenLifetime()) }

// storm ends a rule early if the session does nothing but renew.
func (t *testbed) storm(after time.Duration) error {
	counts := t.sim.Counts()
	if n := counts.Logins + counts.KeepAlives; n > 100+10*int(after/t.tokenLifetime()) {
		return fmt.Errorf("%d logins and %d keep-alives in %s, for tokens that are valid for %s", counts.Logins, counts.KeepAlives, after, t.tokenLifetime())
	}
	return nil
}

func closedSession(t *testbed) error {
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
	return t.ended(token)
}

func outage(t *testbed) error {
	s := t.session()
	if _, err := sessionToken(t, s); err != nil {
		return err
	}
	t.sim.Restart()
	t.sim.Fault(pbxsim.Fault{Status: 503, Times: -1})
	before := len(t.sim.Log())
	for range 60 { // goroutines ask meanwhile
		time.Sleep(time.Minute)
		if token, err := sessionToken(t, s); err == nil {
			s.Invalidate(token) // as a request would have found out
		}
	}
	proofs := 0
	for _, r := range t.sim.Log()[before:] {
		switch r.Action {
		case pbxsim.Login, pbxsim.KeepAlive:
			proofs++
		default:
			if len(t.leaks.Among(fmt.Sprintf("%s\n%v\n%s", r.RawQuery, r.Header, r.Body))) > 0 {
				return fmt.Errorf("%s %s carries credentials", r.Method, r.Path)
			}
		}
	}
	if proofs > 30 {
		return fmt.Errorf("%d logins and keep-alives in an hour", proofs)
	}
	t.sim.ClearFaults()
	if err := comesBack(t, s, time.Minute); err != nil {
		return errors.Join(err, refusedProbe(t))
	}
	return nil
}

// comesBack waits for a valid token.
func comesBack(t *testbed, s *session.Session, most time.Duration) error {
	var last error
	for start := time.Now(); time.Since(start) <= most; time.Sleep(10 * time.Second) {
		token, err := sessionToken(t, s)
		if err == nil && t.alive(token) {
			return nil
		}
		last = err
	}
	return fmt.Errorf("%s later the session has no valid token: %v", most, last)
}

func busyDay(t *testbed) error {
	pause := min(5*time.Minute, t.tokenLifetime()/6)
	s := t.session()
	most := t.watched()
	for start := time.Now(); time.Since(start) < most; time.Sleep(pause) {
		if err := sessionCall(t, s); err != nil {
			return at("the request after "+time.Since(start).String(), err)
		}
	}
	counts := t.sim.Counts()
	switch {
	case counts.RefusedTokens != 0:
		return fmt.Errorf("%d tokens are refused", counts.RefusedTokens)
	case counts.KeepAlives != 0:
		return fmt.Errorf("%d keep-alives are made", counts.KeepAlives)
	case counts.Logins != 1:
		return fmt.Errorf("%d logins, want 1", counts.Logins)
	}
	return nil
}

func waitedOut(t *testbed) error {
	t.sim.Lock(clientAddress)
	start := time.Now()
	s := t.session()
	until, locked := t.sim.Locked(clientAddress)
	if !locked {
		return errors.New("the simulated PBX does not lock")
	}
	for time.Now().Before(until) {
		sessionToken(t, s)
		time.Sleep(min(20*time.Second, time.Until(until)))
	}
	lasted := until.Sub(start)
	if n, most := t.count(pbxsim.Login), 1+int(lasted/(5*time.Minute)); n > most {
		return fmt.Errorf("%d logins under a lock of %s, want %d at most", n, lasted, most)
	}
	return comesBack(t, s, 10*time.Minute)
}

func changedPassword(t *testbed) error {
	auth, vault, err := t.withVault()
	if err != nil {
		return err
	}
	t.auth = auth
	t.sim.SetPassword(account, rotated)
	s := t.session()
	for range 60 {
		_, err := sessionToken(t, s)
		if n := t.count(pbxsim.Login); n != 1 {
			return fmt.Errorf("the wrong password is sent %d times", n)
		}
		if !errors.Is(err, pbx.ErrInvalidCredentials) {
			return fmt.Errorf("a goroutine does not get the error of the wrong password: %v", err)
		}
		time.Sleep(time.Minute)
	}
	vault.put(rotated, nil)
	time.Sleep(5 * time.Minute)
	token, err := sessionToken(t, s)
	switch {
	case err != nil:
		return at("five minutes after the password was changed", err)
	case !t.alive(token):
		return errors.New("the session hands out a dead token")
	case t.count(pbxsim.Login) != 2:
		return fmt.Errorf("%d logins, want 2: one with each password", t.count(pbxsim.Login))
	}
	return nil
}

func ordinaryWeek(t *testbed) error {
	days := 7
	if t.tokenLifetime() < 20*time.Minute { // which is thousands of keep-alives a week
		days = 1
	}
	kept := t.auth.keepAlive() != pbx.KeepAliveNone
	s := t.session()
	for hour := range days * 24 {
		if hour%24 == 3 {
			t.sim.Restart()
		}
		if err := sessionCall(t, s); err != nil {
			return fmt.Errorf("the request of hour %d: %w", hour, err)
		}
		if n := len(t.sim.Tokens(account)); kept && n > 2 {
			return fmt.Errorf("in hour %d, %d tokens are valid", hour, n)
		}
		if err := t.storm(time.Duration(hour) * time.Hour); err != nil {
			return err
		}
		time.Sleep(time.Hour)
	}
	if n := t.count(pbxsim.Login); kept && n > 1+days {
		return fmt.Errorf("%d logins, want %d at most: the first, and one for each restart", n, 1+days)
	}
	return nil
}
