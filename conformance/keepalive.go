package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var keepAliveRules = []Rule{
	{
		ID:    "KEEPALIVE-01",
		Says:  "KeepAlive returns a token that is valid past the first one's expiry, with its new expiry, and with the time of the keep-alive as IssuedAt.",
		Why:   "That is what keep-alives are for. One with the token in the wrong place has kept nothing alive. A session takes ExpiresAt - IssuedAt for the lifetime of a token that requests extend.",
		needs: []precondition{keepAlive},
		check: prolongs,
	},
	{
		ID:    "KEEPALIVE-02",
		Says:  "A keep-alive that failed, or whose response is not the brand's success, is an error and returns no token.",
		Why:   "Clients that never read the response have extended a dead token again and again.",
		needs: []precondition{keepAlive},
		check: failedKeepAlive,
	},
	{
		ID:    "KEEPALIVE-03",
		Says:  "KeepAlive of a token that the PBX no longer knows is ErrTokenRejected.",
		Why:   "Only a login helps. Any other kind makes the session try the keep-alive again.",
		needs: []precondition{keepAlive},
		check: deadKeepAlive,
	},
	{
		ID:    "KEEPALIVE-04",
		Says:  "If the brand has no keep-alive, KeepAlive is ErrNotSupported, and nothing is sent.",
		Why:   "A session then logs in before the expiry. An invented request may be an error on some firmware.",
		needs: []precondition{noKeepAlive},
		check: unsupportedKeepAlive,
	},
	{
		ID:    "KEEPALIVE-05",
		Says:  "The expiry of a kept token is not after the PBX's own, however late the response.",
		Why:   "A PBX under load responds late. A session that trusts an expiry counted from the response renews too late.",
		needs: []precondition{keepAlive},
		check: lateKeepAlive,
	},
	{
		ID:    "KEEPALIVE-06",
		Says:  "A refresh sends the newest refresh token, and sends each once, even if the response is lost.",
		Why:   "A refresh token works once. Some vendors take the second use for theft and end every session of the account.",
		needs: []precondition{refresh},
		check: rotation,
	},
	{
		ID:      "KEEPALIVE-07",
		Says:    "A refresh whose response lacks one of the two tokens is ErrProtocol, and the given pair is unchanged.",
		Why:     "Half a pair cannot be refreshed again, and the old pair may still work.",
		needs:   []precondition{refresh},
		options: roomForAll,
		check:   halfAPair,
	},
	{
		ID:    "KEEPALIVE-08",
		Says:  "A refresh works hours after the access token has expired.",
		Why:   "A machine wakes up from sleep. Each login that it can avoid is one that cannot go wrong.",
		needs: []precondition{refresh},
		check: lateRefresh,
	},
}

func prolongs(t *testbed) error {
	first, err := t.login()
	if err != nil {
		return err
	}
	time.Sleep(t.tokenLifetime() * 2 / 3)
	start := time.Now()
	second, err := t.auth.KeepAlive(context.Background(), first)
	switch {
	case err != nil:
		return fmt.Errorf("a good keep-alive fails: %w", err)
	case second == nil || second.Value.IsZero():
		return errors.New("a good keep-alive returns no token")
	case !first.ExpiresAt.IsZero() && !second.ExpiresAt.After(first.ExpiresAt):
		return fmt.Errorf("the expiry of the token is not extended: %s, then %s", first.ExpiresAt, second.ExpiresAt)
	case second.ExpiresAt.After(start.Add(t.tokenLifetime())):
		return fmt.Errorf("ExpiresAt is %s, and the token expires at %s", second.ExpiresAt, start.Add(t.tokenLifetime()))
	case !second.IssuedAt.IsZero() && second.IssuedAt.Before(start):
		return fmt.Errorf("IssuedAt is %s before the keep-alive: set it to the time just before the keep-alive was sent", start.Sub(second.IssuedAt))
	}
	time.Sleep(t.tokenLifetime() * 2 / 3)
	if !t.alive(second) {
		return errors.New("the token expires no later than without the keep-alive")
	}
	if t.count(pbxsim.Login) != 1 {
		return errors.New("a keep-alive logs in")
	}
	return nil
}

func failedKeepAlive(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	failures, err := t.failuresOf(pbxsim.KeepAlive)
	if err != nil {
		return err
	}
	for _, failure := range failures {
		t.sim.Fault(failure.fault)
		err := ofKind(noToken(t.auth.KeepAlive(context.Background(), token)))
		t.sim.ClearFaults()
		if err != nil {
			return at(failure.name, err)
		}
	}
	return nil
}

// failure is a response that proves no success, whatever was requested.
type failure struct {
	name  string
	fault pbxsim.Fault
	empty bool // or may be a success if the brand's own response is empty
}

// failuresOf returns the failures of an action.
func (t *testbed) failuresOf(action pbxsim.Action) ([]failure, error) {
	emptyIsGood, err := t.emptyResponse(action)
	if err != nil {
		return nil, err
	}
	var all []failure
	for _, f := range []failure{
		{"HTTP 500", pbxsim.Fault{Status: 500}, false},
		{"HTTP 503", pbxsim.Fault{Status: 503}, false},
		{"a web page", pbxsim.Fault{Status: 200, Body: []byte(pbxsim.HTMLPage)}, false},
		{"an empty response", pbxsim.Fault{Status: 200}, true},
		{"{}", pbxsim.Fault{Status: 200, Body: []byte("{}")}, false},
		{"half a response", pbxsim.Fault{Truncate: true}, true},
		{"no response", pbxsim.Fault{Drop: pbxsim.DropBefore}, false},
	} {
		if f.empty && emptyIsGood {
			continue
		}
		f.fault.On = action
		all = append(all, f)
	}
	return all, nil
}

func deadKeepAlive(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	if t.auth.keepAlive() != pbx.KeepAliveRefresh { // which revives an expired token
		time.Sleep(t.tokenLifetime() + time.Second)
		if err := ofKind(noToken(t.auth.KeepAlive(context.Background(), token)), pbx.ErrTokenRejected); err != nil {
			return at("after its expiry (if it is exchanged for a refresh token, set Traits.KeepAlive to KeepAliveRefresh)", err)
		}
		if token, err = t.login(); err != nil {
			return err
		}
	}
	t.sim.Restart()
	return at("after a restart", ofKind(noToken(t.auth.KeepAlive(context.Background(), token)), pbx.ErrTokenRejected))
}

func unsupportedKeepAlive(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	before := t.transport.requests.Load()
	err = noToken(t.auth.KeepAlive(context.Background(), token))
	if t.transport.requests.Load() != before {
		return errors.New("a request is sent")
	}
	return errors.Join(ofKind(err, pbx.ErrNotSupported), sent(err, false))
}

func lateKeepAlive(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	t.sim.Fault(pbxsim.Fault{On: pbxsim.KeepAlive, Delay: 20 * time.Second})
	kept, err := t.refreshed(token)
	if err != nil {
		return err
	}
	log := t.sim.Log()
	if end := log[len(log)-1].At.Add(t.tokenLifetime()); kept.ExpiresAt.After(end) {
		return fmt.Errorf("ExpiresAt is %s after the PBX's own expiry", kept.ExpiresAt.Sub(end))
	}
	return nil
}

// refreshed keeps a token alive, and returns an error unless that succeeds.
func (t *testbed) refreshed(token *pbx.Token) (*pbx.Token, error) {
	next, err := t.auth.KeepAlive(context.Background(), token)
	switch {
	case err != nil:
		return nil, fmt.Errorf("a good keep-alive fails: %w", err)
	case next == nil || next.Value.IsZero():
		return nil, errors.New("a good keep-alive returns no token")
	}
	return next, nil
}

func rotation(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	for i := range 3 {
		next, err := t.refreshed(token)
		if err != nil {
			return fmt.Errorf("refresh %d: %w", i+1, err)
		}
		if next.Refresh.Equal(token.Refresh) {
			return fmt.Errorf("refresh %d returns the refresh token that it has used", i+1)
		}
		token = next
	}
	for _, drop := range []pbxsim.DropMode{pbxsim.DropBefore, pbxsim.DropAfter} {
		before := t.count(pbxsim.KeepAlive)
		t.sim.Fault(pbxsim.Fault{On: pbxsim.KeepAlive, Drop: drop})
		err := noToken(t.auth.KeepAlive(context.Background(), token))
		if n := t.count(pbxsim.KeepAlive) - before; n != 1 {
			return fmt.Errorf("a lost response: the refresh is sent %d times", n)
		}
		if err := ofKind(err, pbx.ErrUnavailable); err != nil {
			return at("a lost response", err)
		}
	}
	return nil
}

func halfAPair(t *testbed) error {
	for back, lost := range []string{"refresh token", "token"} {
		token, err := t.login()
		if err != nil {
			return err
		}
		before := *token
		t.transport.rewrite(func(_ *http.Response, body []byte) []byte {
			return bytes.ReplaceAll(body, []byte(t.newest(back)), nil)
		})
		err = ofKind(noToken(t.auth.KeepAlive(context.Background(), token)), pbx.ErrProtocol)
		t.transport.rewrite(nil)
		if err != nil {
			return at("without a "+lost, err)
		}
		if !reflect.DeepEqual(*token, before) {
			return fmt.Errorf("without a %s: the pair that was given is changed", lost)
		}
	}
	return nil
}

func lateRefresh(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	asleep := max(t.tokenLifetime()+time.Second, t.refreshTokenLifetime()/2)
	time.Sleep(asleep)
	next, err := t.refreshed(token)
	if err != nil {
		return at("after "+asleep.String(), err)
	}
	if !t.alive(next) {
		return errors.New("the refreshed token is dead")
	}
	return nil
}
