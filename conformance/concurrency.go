package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var concurrencyRules = []Rule{
	{
		ID:      "CONCURRENCY-01",
		Says:    "Fifty concurrent logins on one Authenticator return fifty tokens, with one request each.",
		Why:     "An Authenticator keeps no state, so there is nothing to share and nothing to mix up.",
		options: roomForAll,
		check:   manyLogins,
	},
	{
		ID:      "CONCURRENCY-02",
		Says:    "Concurrent keep-alives of many tokens each return their own token, extended.",
		Why:     "A token that comes back to another holder is another user's login.",
		needs:   []precondition{keepAlive},
		options: roomForAll,
		check:   manyKeepAlives,
	},
	{
		ID:      "CONCURRENCY-03",
		Says:    "Cancelling one login does not cancel the others.",
		Why:     "Sharing one login is the session's task, not the driver's.",
		options: roomForAll,
		check:   oneCancelled,
	},
	{
		ID:   "CONCURRENCY-04",
		Says: "Concurrent requests, pings and logouts of many tokens each use their own token. Fingerprints can be made meanwhile.",
		Why:  "A session uses its driver from many goroutines. A token that gets into another request is reported as dead, or ends with the wrong logout.",
		options: func(o *pbxsim.Options) {
			roomForAll(o)
			o.Lockout.After = -1 // dead tokens may count
		},
		check: manyUses,
	},
}

// crowd is how many at once: fifty, or as many as leave each other valid. Where a
// login beyond the limit is refused, the rules use roomForAll.
func crowd(t *testbed) int {
	if traits := t.auth.Traits(); traits.NewestWins && traits.MaxTokens > 0 {
		return min(50, traits.MaxTokens)
	}
	return 50
}

// statesLimit is what to do if a login ends the token of another.
const statesLimit = "if a login ends earlier tokens, state Traits.MaxTokens and Traits.NewestWins"

// loginAll logs in n times at once.
func loginAll(t *testbed, n int) ([]*pbx.Token, error) {
	tokens, errs := make([]*pbx.Token, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { tokens[i], errs[i] = t.login() })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, token := range tokens {
		if seen[token.Value.Reveal()] {
			return nil, errors.New("two logins return the same token")
		}
		seen[token.Value.Reveal()] = true
	}
	for _, token := range tokens {
		if !t.alive(token) {
			return nil, fmt.Errorf("after %d logins a token is not valid: %s", n, statesLimit)
		}
	}
	return tokens, nil
}

func manyLogins(t *testbed) error {
	n := crowd(t)
	if _, err := loginAll(t, n); err != nil {
		return err
	}
	if got := t.count(pbxsim.Login); got != n {
		return fmt.Errorf("%d login requests arrive at the PBX, want %d", got, n)
	}
	return nil
}

func manyKeepAlives(t *testbed) error {
	before, err := loginAll(t, crowd(t))
	if err != nil {
		return err
	}
	time.Sleep(t.tokenLifetime() / 2)
	after, errs := make([]*pbx.Token, len(before)), make([]error, len(before))
	var all sync.WaitGroup
	for i := range before {
		all.Go(func() { after[i], errs[i] = t.auth.KeepAlive(context.Background(), before[i]) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, token := range after {
		value := token.Value.Reveal()
		if seen[value] {
			return errors.New("two keep-alives return the same token")
		}
		seen[value] = true
		for j, other := range before {
			if j != i && token.Value.Equal(other.Value) {
				return errors.New("a keep-alive returns another's token")
			}
		}
		if !t.alive(token) {
			return errors.New("a keep-alive returns a token that is dead")
		}
	}
	return nil
}

func manyUses(t *testbed) error {
	tokens := make([]*pbx.Token, crowd(t))
	for i := range tokens {
		token, err := t.login() // which may end the tokens before it, or return the same
		if err != nil {
			return err
		}
		tokens[i] = token
	}
	for i, token := range tokens {
		if (len(tokens)-1-i)%2 == 1 { // never the last one
			t.sim.Revoke(token.Value.Reveal())
		}
	}
	canCall, canPing, hasPrint := requester(t) == "", pinger(t) == "", fingerprinter(t) == ""
	use := func(token *pbx.Token) error {
		alive := t.alive(token)
		// verdict is what is wrong with the outcome of using token.
		verdict := func(what string, err error) error {
			switch {
			case alive:
				return at(what+" with a good token, beside others", err)
			case err == nil:
				return errors.New(what + " with a dead token, beside others, succeeds")
			}
			return nil
		}
		if hasPrint {
			if _, err := t.auth.Fingerprint(context.Background(), []byte("a key of 32 bytes for this rule.")); err != nil {
				return at("Fingerprint", err)
			}
		}
		if canCall {
			if err := verdict("a request", t.call(token)); err != nil {
				return err
			}
		}
		if canPing {
			return verdict("Ping", t.auth.Ping(context.Background(), token))
		}
		return nil
	}
	if err := together(tokens, use); err != nil {
		return err
	}
	ends, err := endsItsToken(t)
	if err != nil || !ends {
		return err
	}
	err = together(tokens, func(token *pbx.Token) error {
		return at("Logout, beside others", t.auth.Logout(context.Background(), token))
	})
	if n := len(t.sim.Tokens(account)); err == nil && n > 0 {
		return fmt.Errorf("after the logouts of all tokens %d are valid", n)
	}
	return err
}

// together does something with each token, at the same time. It returns one of the
// errors.
func together(tokens []*pbx.Token, do func(*pbx.Token) error) error {
	errs := make([]error, len(tokens))
	var all sync.WaitGroup
	for i, token := range tokens {
		all.Go(func() { errs[i] = do(token) })
	}
	all.Wait()
	return cmp.Or(errs...)
}

// endsItsToken reports whether a logout ends its token, at a PBX of its own.
func endsItsToken(t *testbed) (bool, error) {
	other, err := newTestbed(t.harness, Rule{})
	if err != nil {
		return false, err
	}
	defer other.end()
	token, err := other.login()
	if err != nil {
		return false, err
	}
	return other.auth.Logout(context.Background(), token) == nil && !other.alive(token), nil
}

func oneCancelled(t *testbed) error {
	t.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Delay: 10 * time.Second, Times: -1})
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var first, second error
	var both sync.WaitGroup
	both.Go(func() { first = noToken(t.auth.Login(ctx)) })
	time.Sleep(time.Millisecond) // the one to be cancelled goes first
	both.Go(func() { _, second = t.login() })
	both.Wait()
	if first == nil {
		return errors.New("the login succeeds though its context ended first")
	}
	return at("the other login", second)
}
