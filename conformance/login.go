package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var loginRules = []Rule{
	{
		ID:    "LOGIN-01",
		Says:  "A good login is one login request, and returns the token that the PBX issued.",
		Why:   "Every other rule rests on it.",
		check: goodLogin,
	},
	{
		ID:      "LOGIN-02",
		Says:    "Two logins return two tokens, and both are valid.",
		Why:     "A driver that keeps a token hands out one that the session has just reported dead.",
		needs:   []precondition{severalTokens},
		options: roomForAll,
		check:   twoLogins,
	},
	{
		ID:    "LOGIN-03",
		Says:  "The brand's refusal under HTTP 200 is not success.",
		Why:   "Most PBXs respond 200 whatever happened. Clients that looked no further have kept an empty token as their session.",
		needs: []precondition{proves},
		check: refusalUnder200,
	},
	{
		ID:      "LOGIN-04",
		Says:    "A success without a token is ErrProtocol.",
		Why:     "An empty token is refused by the next request, which causes a login, which brings an empty token.",
		options: func(o *pbxsim.Options) { o.NewToken = func() string { return "" } },
		check:   emptyToken,
	},
	{
		ID:    "LOGIN-05",
		Says:  "A login that reached the PBX is not sent again, whatever came of it. If its first request gets HTTP 503, nothing else is sent.",
		Why:   "It may have counted as a wrong one. Retry libraries repeat a POST after a 5xx or a lost response, and real clients have gone on until their address was locked.",
		check: loginSentOnce,
	},
	{
		ID:      "LOGIN-06",
		Says:    "A user name and a password of any characters arrive unchanged. With blanks at the ends of either, or a password that is not UTF-8, it may be ErrConfig instead, before anything is sent.",
		Why:     "Requests put together with Sprintf break at the first quote, and then the right password is a wrong one.",
		options: roomForAll,
		check:   awkwardPassword,
	},
	{
		ID:    "LOGIN-07",
		Says:  "A login for which the PBX has no room is ErrTooManySessions, is sent once, and ends no other token.",
		Why:   "The password is right. A session that takes this for a wrong password stops for good, and a driver that makes room by itself logs somebody else out.",
		needs: []precondition{tokenLimit},
		check: noRoom,
	},
}

func goodLogin(t *testbed) error {
	token, err := t.login()
	switch {
	case err != nil:
		return err
	case t.count(pbxsim.Login) != 1:
		return fmt.Errorf("%d login requests arrive at the PBX, want 1", t.count(pbxsim.Login))
	case !t.alive(token):
		return errors.New("the token is not one that the PBX issued")
	}
	return nil
}

func twoLogins(t *testbed) error {
	first, err := t.login()
	if err != nil {
		return err
	}
	second, err := t.login()
	switch {
	case err != nil:
		return err
	case first.Value.Equal(second.Value):
		return errors.New("both logins return the same token")
	case !t.alive(first), !t.alive(second):
		return errors.New("a login ends the token of the other: " + statesLimit)
	case t.count(pbxsim.Login) != 2:
		return fmt.Errorf("%d login requests arrive at the PBX, want 2", t.count(pbxsim.Login))
	}
	return nil
}

func refusalUnder200(t *testbed) error {
	t.sim.SetPassword(account, "another")
	t.transport.rewrite(func(resp *http.Response, body []byte) []byte {
		resp.StatusCode, resp.Status = http.StatusOK, "200 OK"
		return body
	})
	return ofKind(noToken(t.auth.Login(context.Background())))
}

func emptyToken(t *testbed) error {
	return ofKind(noToken(t.auth.Login(context.Background())), pbx.ErrProtocol)
}

func loginSentOnce(t *testbed) error {
	for _, failure := range []struct {
		name  string
		fault pbxsim.Fault
	}{
		{"HTTP 500", pbxsim.Fault{Status: 500}},
		{"HTTP 502", pbxsim.Fault{Status: 502}},
		{"HTTP 503", pbxsim.Fault{Status: 503}},
		{"HTTP 503 with Retry-After", pbxsim.Fault{Status: 503, Header: http.Header{"Retry-After": {"1"}}}},
		{"HTTP 429 with Retry-After", pbxsim.Fault{Status: 429, Header: http.Header{"Retry-After": {"1"}}}},
		{"HTTP 408", pbxsim.Fault{Status: 408}},
		{"a web page", pbxsim.Fault{Status: 200, Body: []byte(pbxsim.HTMLPage)}},
		{"an empty response", pbxsim.Fault{Status: 200}},
		{"a redirect to itself", pbxsim.Fault{Status: 307, Header: http.Header{"Location": {"?again"}}}},
		{"half a response", pbxsim.Fault{Truncate: true}},
		{"no response", pbxsim.Fault{Drop: pbxsim.DropBefore}},
		{"no response, though the login succeeded", pbxsim.Fault{Drop: pbxsim.DropAfter}},
	} {
		before := t.count(pbxsim.Login)
		failure.fault.On = pbxsim.Login
		t.sim.Fault(failure.fault)
		err := noToken(t.auth.Login(context.Background()))
		if n := t.count(pbxsim.Login) - before; n != 1 {
			return fmt.Errorf("%s: the login is sent %d times", failure.name, n)
		}
		if wrong := ofKind(err); wrong != nil {
			return at(failure.name, wrong)
		}
	}
	requests := t.transport.requests.Load()
	t.sim.Down(pbxsim.Unavailable)
	err := noToken(t.auth.Login(context.Background()))
	t.sim.Up()
	if n := t.transport.requests.Load() - requests; n != 1 {
		return fmt.Errorf("HTTP 503 to everything: a login sends %d requests, want 1", n)
	}
	if wrong := ofKind(err); wrong != nil {
		return at("HTTP 503 to everything", wrong)
	}
	before := t.count(pbxsim.Login)
	return t.unheardOf(func(where string, refused error) error {
		if n := t.count(pbxsim.Login) - before; n != 1 {
			return fmt.Errorf("%s: the login is sent %d times", where, n)
		}
		before++
		return at(where, ofKind(refused))
	})
}

const (
	awkward     = `canary "q" \b\ {j} 'a' &=+%41?#/;<x>:@ é漢🙂 END`
	awkwardUser = `O'Brien "crm" \ &=+%40 é@office.example`
)

func awkwardPassword(t *testbed) error {
	user := awkwardUser
	if t.config(nil).Username == "" {
		user = account // only the PBX knows it
	}
	if err := t.arrives(user, awkward, false); err != nil {
		return err
	}
	if err := t.arrives(user, " "+awkward+" ", true); err != nil {
		return at("a password with a blank at each end", err)
	}
	if user != account {
		t.sim.Unlock(clientAddress)
		if err := t.arrives(" "+user+" ", awkward, true); err != nil {
			return at("a user name with a blank at each end", err)
		}
	}
	return at("a password that is not UTF-8", t.arrives(user, "canary-caf\xe9-2mKq9", true))
}

// arrives returns an error unless a login with that account succeeds. If the brand
// has no such passwords, the driver may also refuse it, before anything is sent.
func (t *testbed) arrives(user, password string, mayRefuse bool) error {
	t.leaks.Plant("password", password)
	t.sim.SetPassword(user, password)
	auth, err := t.open(func(c *pbx.Config) { c.Username, c.Password = user, pbx.NewSecret(password) })
	if err != nil && mayRefuse {
		return ofKind(err, pbx.ErrConfig)
	}
	if err != nil {
		return fmt.Errorf("it cannot be opened: %w", err)
	}
	before := t.count(pbxsim.Login)
	token, err := auth.Login(context.Background())
	switch {
	case err != nil && mayRefuse && t.count(pbxsim.Login) == before:
		return ofKind(err, pbx.ErrConfig)
	case err != nil:
		return fmt.Errorf("the login fails: %w", err)
	case token == nil || !slices.Contains(t.sim.Tokens(user), token.Value.Reveal()):
		return errors.New("the PBX has not issued the token")
	}
	return nil
}

func noRoom(t *testbed) error {
	room := t.auth.Traits().MaxTokens
	tokens, err := loginAll(t, room)
	if err != nil {
		return err
	}
	err = noToken(t.auth.Login(context.Background()))
	if wrong := errors.Join(ofKind(err, pbx.ErrTooManySessions), sent(err, true)); wrong != nil {
		return fmt.Errorf("login %d: %w", room+1, wrong)
	}
	if n := t.count(pbxsim.Login); n != room+1 {
		return fmt.Errorf("%d login requests arrive at the PBX, want %d", n, room+1)
	}
	for _, token := range tokens {
		if !t.alive(token) {
			return errors.New("an earlier token is revoked")
		}
	}
	return nil
}
