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
		Says:  "KeepAlive returns a token that lives past the end of the first one, with its new end.",
		Why:   "It is what keep-alives are for; one with the token in the wrong place has kept nothing alive.",
		needs: []need{keepAlive},
		check: prolongs,
	},
	{
		ID:    "KEEPALIVE-02",
		Says:  "A keep-alive that failed, or whose answer is not the brand's success, is an error and returns no token.",
		Why:   "Clients that never read the answer have moved the end of a dead token on and on.",
		needs: []need{keepAlive},
		check: failedKeepAlive,
	},
	{
		ID:    "KEEPALIVE-03",
		Says:  "KeepAlive of a token that the PBX no longer knows is ErrTokenRejected.",
		Why:   "Only a login mends it, and any other kind makes the session try the keep-alive again.",
		needs: []need{keepAlive},
		check: deadKeepAlive,
	},
	{
		ID:    "KEEPALIVE-04",
		Says:  "Where the brand has no keep-alive, KeepAlive is ErrNotSupported, and nothing is sent.",
		Why:   "A session then logs in ahead of time; a call made up for the purpose would be a wrong one at some firmware.",
		needs: []need{noKeepAlive},
		check: unsupportedKeepAlive,
	},
	{
		ID:    "KEEPALIVE-05",
		Says:  "The end of a kept token is not after the PBX's own, however late the answer.",
		Why:   "A PBX under load answers late, and a session that trusts an end counted from then is late too.",
		needs: []need{keepAlive},
		check: lateKeepAlive,
	},
	{
		ID:    "KEEPALIVE-06",
		Says:  "A refresh sends the newest refresh token, and each of them once, also when its answer is lost.",
		Why:   "A refresh token works once; some vendors take the second use for theft and end every session of the account.",
		needs: []need{refresh},
		check: rotation,
	},
	{
		ID:    "KEEPALIVE-07",
		Says:  "A refresh whose answer lacks one of the two tokens is ErrProtocol, and the pair that was given stays as it is.",
		Why:   "Half a pair cannot be refreshed again, and the old one may still work.",
		needs: []need{refresh},
		check: halfAPair,
	},
	{
		ID:    "KEEPALIVE-08",
		Says:  "A refresh works hours after the access token has run out.",
		Why:   "A machine wakes up from its sleep; each login it can do without is one that cannot go wrong.",
		needs: []need{refresh},
		check: lateRefresh,
	},
}

func prolongs(t *trial) error {
	first, err := t.login()
	if err != nil {
		return err
	}
	time.Sleep(t.life() * 2 / 3)
	start := time.Now()
	second, err := t.auth.KeepAlive(context.Background(), first)
	switch {
	case err != nil:
		return fmt.Errorf("a good keep-alive fails: %w", err)
	case second == nil || second.Value.IsZero():
		return errors.New("a good keep-alive returns no token")
	case !first.ExpiresAt.IsZero() && !second.ExpiresAt.After(first.ExpiresAt):
		return fmt.Errorf("the end of the token is not moved on: %s, then %s", first.ExpiresAt, second.ExpiresAt)
	case second.ExpiresAt.After(start.Add(t.life())):
		return fmt.Errorf("the token is said to end at %s, and ends at %s", second.ExpiresAt, start.Add(t.life()))
	}
	time.Sleep(t.life() * 2 / 3)
	if !t.alive(second) {
		return errors.New("the token ends no later than without the keep-alive")
	}
	if t.count(pbxsim.Login) != 1 {
		return errors.New("a keep-alive logs in")
	}
	return nil
}

func failedKeepAlive(t *trial) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	for _, trouble := range unproven {
		trouble.fault.On = pbxsim.KeepAlive
		t.sim.Fault(trouble.fault)
		err := ofKind(noToken(t.auth.KeepAlive(context.Background(), token)))
		t.sim.ClearFaults()
		if err != nil {
			return at(trouble.name, err)
		}
	}
	return nil
}

// unproven are answers that are no success, whatever was asked.
var unproven = []struct {
	name  string
	fault pbxsim.Fault
}{
	{"HTTP 500", pbxsim.Fault{Status: 500}},
	{"HTTP 503", pbxsim.Fault{Status: 503}},
	{"a web page", pbxsim.Fault{Status: 200, Body: []byte(pbxsim.HTMLPage)}},
	{"an empty answer", pbxsim.Fault{Status: 200}},
	{"{}", pbxsim.Fault{Status: 200, Body: []byte("{}")}},
	{"half an answer", pbxsim.Fault{Truncate: true}},
	{"no answer", pbxsim.Fault{Drop: pbxsim.DropBefore}},
}

func deadKeepAlive(t *trial) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	if t.auth.keepAlive() != pbx.KeepAliveRefresh { // which revives a token that has run out
		time.Sleep(t.life() + time.Second)
		if err := ofKind(noToken(t.auth.KeepAlive(context.Background(), token)), pbx.ErrTokenRejected); err != nil {
			return at("after its life", err)
		}
		if token, err = t.login(); err != nil {
			return err
		}
	}
	t.sim.Restart()
	return at("after a restart", ofKind(noToken(t.auth.KeepAlive(context.Background(), token)), pbx.ErrTokenRejected))
}

func unsupportedKeepAlive(t *trial) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	before := t.tap.trips.Load()
	err = noToken(t.auth.KeepAlive(context.Background(), token))
	if t.tap.trips.Load() != before {
		return errors.New("a request is sent")
	}
	return errors.Join(ofKind(err, pbx.ErrNotSupported), sent(err, false))
}

func lateKeepAlive(t *trial) error {
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
	if end := log[len(log)-1].At.Add(t.life()); kept.ExpiresAt.After(end) {
		return fmt.Errorf("ExpiresAt is %s after the PBX's own end of the token", kept.ExpiresAt.Sub(end))
	}
	return nil
}

// refreshed keeps a token alive where no more is expected than success.
func (t *trial) refreshed(token *pbx.Token) (*pbx.Token, error) {
	next, err := t.auth.KeepAlive(context.Background(), token)
	switch {
	case err != nil:
		return nil, fmt.Errorf("a good keep-alive fails: %w", err)
	case next == nil || next.Value.IsZero():
		return nil, errors.New("a good keep-alive returns no token")
	}
	return next, nil
}

func rotation(t *trial) error {
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
			return fmt.Errorf("refresh %d returns the refresh token that it has used up", i+1)
		}
		token = next
	}
	for _, drop := range []pbxsim.DropMode{pbxsim.DropBefore, pbxsim.DropAfter} {
		before := t.count(pbxsim.KeepAlive)
		t.sim.Fault(pbxsim.Fault{On: pbxsim.KeepAlive, Drop: drop})
		err := noToken(t.auth.KeepAlive(context.Background(), token))
		if n := t.count(pbxsim.KeepAlive) - before; n != 1 {
			return fmt.Errorf("a lost answer: the refresh is sent %d times", n)
		}
		if err := ofKind(err, pbx.ErrUnavailable); err != nil {
			return at("a lost answer", err)
		}
	}
	return nil
}

func halfAPair(t *trial) error {
	for back, lost := range []string{"refresh token", "token"} {
		token, err := t.login()
		if err != nil {
			return err
		}
		before := *token
		t.tap.alter(func(_ *http.Response, body []byte) []byte {
			return bytes.ReplaceAll(body, []byte(t.newest(back)), nil)
		})
		err = ofKind(noToken(t.auth.KeepAlive(context.Background(), token)), pbx.ErrProtocol)
		t.tap.alter(nil)
		if err != nil {
			return at("without a "+lost, err)
		}
		if !reflect.DeepEqual(*token, before) {
			return fmt.Errorf("without a %s: the pair that was given is changed", lost)
		}
	}
	return nil
}

func lateRefresh(t *trial) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	asleep := max(t.life()+time.Second, t.refreshLife()/2)
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
