package conformance

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var expiryRules = []Rule{
	{
		ID:      "EXPIRY-01",
		Says:    "IssuedAt is not after the login's arrival at the PBX, and ExpiresAt, if set, is not after the PBX's own expiry, however late the response.",
		Why:     "Sessions renew by these times. An expiry counted from the response is later than the PBX's.",
		options: roomForAll,
		check:   tokenTimes,
	},
	{
		ID:    "EXPIRY-02",
		Says:  "If a request carries an expired token, Inspect returns ErrTokenRejected.",
		Why:   "Clocks differ and PBXs change their minds, so the refusal is what counts.",
		needs: []precondition{requester},
		check: expiredRequest,
	},
	{
		ID:    "EXPIRY-03",
		Says:  "Traits.Lifetime, if set, is not longer than the PBX's own lifetime of a token.",
		Why:   "A session uses it if the login's response names no expiry.",
		check: lifetimeTraits,
	},
	{
		ID:    "EXPIRY-04",
		Says:  "A token that expired two days ago is ErrTokenRejected as well, by a request and by a keep-alive.",
		Why:   "PBXs forget expired tokens and then have another code for them, which clients did not know on Monday morning.",
		needs: []precondition{requester},
		check: longExpired,
	},
	{
		ID:    "EXPIRY-05",
		Says:  "RefreshExpiresAt, if set, is not after the PBX's own expiry of the refresh token, however late the response. The same holds for a refreshed pair.",
		Why:   "A session uses it to decide between a refresh and a login.",
		needs: []precondition{refresh},
		check: refreshTimes,
	},
	{
		ID:    "EXPIRY-06",
		Says:  "KeepAlive with an expired refresh token is ErrTokenRejected.",
		Why:   "Only a login helps. Any other kind makes the session try the refresh again, without end.",
		needs: []precondition{refresh},
		check: expiredRefresh,
	},
	{
		ID:    "EXPIRY-07",
		Says:  "ExpiresAt and RefreshExpiresAt, if set, leave at least a tenth of the lifetime that the PBX gives.",
		Why:   "A lifetime that is read in the wrong unit has a session renew its token all day.",
		check: wholeLifetime,
	},
	{
		ID:      "EXPIRY-08",
		Says:    "If the PBX's clock is wrong by an hour, ExpiresAt and RefreshExpiresAt are right by this machine's.",
		Why:     "The clock of a PBX without a time server is wrong. The Date of the same response is wrong by as much, and so is the time of issue, if there is one.",
		needs:   []precondition{opaqueToken},
		options: roomForAll,
		check:   wrongClock,
	},
	{
		ID:    "EXPIRY-09",
		Says:  "If the login's response says how long the token is valid, ExpiresAt is that.",
		Why:   "Administrators shorten the lifetime. A driver that keeps to the documented one has the session use a dead token.",
		needs: []precondition{saysLifetime},
		check: shorterLifetime,
	},
}

func wholeLifetime(t *testbed) error {
	return t.eachNewToken(func(token *pbx.Token) error {
		return t.eachExpiry(token, func(name string, left, lasts time.Duration) error {
			if left < lasts/10 {
				return fmt.Errorf("%s is in %s, and the PBX gives %s", name, left, lasts)
			}
			return nil
		})
	})
}

// eachNewToken checks the token of a login, and that of a keep-alive.
func (t *testbed) eachNewToken(check func(*pbx.Token) error) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	if err := check(token); err != nil || t.auth.keepAlive() == pbx.KeepAliveNone {
		return at("after the login", err)
	}
	if token, err = t.refreshed(token); err != nil {
		return err
	}
	return at("after a keep-alive", check(token))
}

// eachExpiry checks the times of a new token that are set, by how long it is until
// then, and how long the PBX gives.
func (t *testbed) eachExpiry(token *pbx.Token, check func(name string, left, lasts time.Duration) error) error {
	for _, row := range []struct {
		name  string
		ends  time.Time
		lasts time.Duration
	}{
		{"ExpiresAt", token.ExpiresAt, t.tokenLifetime()},
		{"RefreshExpiresAt", token.RefreshExpiresAt, t.refreshTokenLifetime()},
	} {
		if row.ends.IsZero() {
			continue
		}
		if err := check(row.name, time.Until(row.ends), row.lasts); err != nil {
			return err
		}
	}
	return nil
}

// loginFor logs in at a PBX whose tokens are valid for so long, and returns the response
// too, without its tokens and its Date.
func (t *testbed) loginFor(lifetime time.Duration) (token *pbx.Token, response string, err error) {
	other, err := newTestbed(t.harness, Rule{options: func(o *pbxsim.Options) { o.Lifetime = lifetime }})
	if err != nil {
		return nil, "", err
	}
	defer other.end()
	var last atomic.Pointer[string]
	other.transport.rewrite(func(resp *http.Response, body []byte) []byte {
		header := resp.Header.Clone()
		header.Del("Date")
		text := fmt.Sprintf("%v %s", header, body)
		last.Store(&text)
		return body
	})
	if token, err = other.login(); err != nil {
		return nil, "", err
	}
	response = *last.Load()
	other.mu.Lock()
	defer other.mu.Unlock()
	for _, issued := range other.issued {
		response = strings.ReplaceAll(response, issued, "")
	}
	return token, response, nil
}

// saysLifetime finds out whether a login's response depends on the lifetime, and on
// nothing else.
func saysLifetime(t *testbed) string {
	_, first, err1 := t.loginFor(t.tokenLifetime())
	_, second, err2 := t.loginFor(t.tokenLifetime())
	_, short, err3 := t.loginFor(t.tokenLifetime() / 2)
	switch {
	case err1 != nil || err2 != nil || err3 != nil:
		return ""
	case first != second:
		return "what the login's response says of the lifetime cannot be found out: no two are the same"
	case first == short:
		return "the login's response does not say how long the token is valid"
	}
	return ""
}

func shorterLifetime(t *testbed) error {
	half := t.tokenLifetime() / 2
	token, _, err := t.loginFor(half)
	if err != nil {
		return err
	}
	if token.ExpiresAt.IsZero() || time.Until(token.ExpiresAt) > half {
		return fmt.Errorf("the PBX gives %s instead of %s, and its response says so: ExpiresAt is %s", half, t.tokenLifetime(), token.ExpiresAt)
	}
	return nil
}

// opaqueToken: a JWT has times of its own, and a PBX would not know it with others.
func opaqueToken(t *testbed) string {
	if strings.HasPrefix(t.sim.Dialect().NewToken(), "eyJ") {
		return "the token is a JWT, whose own times cannot be changed"
	}
	return ""
}

func wrongClock(t *testbed) error {
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		for _, action := range []pbxsim.Action{pbxsim.Login, pbxsim.KeepAlive} {
			t.sim.Fault(pbxsim.Fault{On: action, Times: -1, Edit: func(_ *pbxsim.Request, r *pbxsim.Reply) { t.setClock(r, by) }})
		}
		err := t.eachNewToken(func(token *pbx.Token) error {
			return t.eachExpiry(token, func(name string, left, lasts time.Duration) error {
				if left > lasts || left < lasts/10 {
					return fmt.Errorf("%s is in %s, and the PBX gives %s: subtract the response's own time, or its Date", name, left, lasts)
				}
				return nil
			})
		})
		t.sim.ClearFaults()
		if err != nil {
			return at(fmt.Sprintf("the PBX's clock is wrong by %s", by), err)
		}
	}
	return nil
}

// setClock writes a response as a PBX does whose clock is wrong by so much: its Date,
// and the times in it that are not far from now. Tokens stay as they are.
func (t *testbed) setClock(r *pbxsim.Reply, by time.Duration) {
	now := time.Now()
	near := func(at time.Time) bool {
		ahead := at.Sub(now)
		return ahead >= -time.Minute && ahead <= time.Minute+max(t.tokenLifetime(), t.refreshTokenLifetime())
	}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Date", now.UTC().Format(http.TimeFormat))
	for form, layout := range writtenTimes {
		move := func(text string) string {
			n, _ := strconv.ParseInt(text, 10, 64) // 0 for a text that is no number
			at, err := time.Parse(layout, text)
			switch {
			case t.inToken(text):
			case layout == "" && near(time.Unix(n, 0)):
				return strconv.FormatInt(n+int64(by.Seconds()), 10)
			case layout == "" && near(time.UnixMilli(n)):
				return strconv.FormatInt(n+by.Milliseconds(), 10)
			case err == nil && near(at):
				return at.Add(by).Format(layout)
			}
			return text
		}
		r.Body = form.ReplaceAllFunc(r.Body, func(text []byte) []byte { return []byte(move(string(text))) })
		for _, values := range r.Header {
			for i := range values {
				values[i] = form.ReplaceAllStringFunc(values[i], move)
			}
		}
	}
}

// inToken reports whether a text is a part of a token that the PBX has issued.
func (t *testbed) inToken(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.issued, func(token string) bool { return strings.Contains(token, text) })
}

// writtenTimes are forms in which responses have times, with their layouts. Seconds and
// milliseconds since 1970 have none.
var writtenTimes = map[*regexp.Regexp]string{
	regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d`):                             "2006-01-02T15:04:05",
	regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`):                             time.DateTime,
	regexp.MustCompile(`[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT`): http.TimeFormat,
	regexp.MustCompile(`\b\d{9,13}\b`):                                               "",
}

func tokenTimes(t *testbed) error {
	for _, delay := range []time.Duration{0, 20 * time.Second} {
		t.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Delay: delay, Times: -1})
		token, err := t.login()
		t.sim.ClearFaults()
		if err != nil {
			return err
		}
		log := t.sim.Log()
		arrived := log[len(log)-1].At
		end := arrived.Add(t.tokenLifetime())
		where := fmt.Sprintf("with a response after %s", delay)
		switch {
		case token.IssuedAt.IsZero():
			return at(where, fmt.Errorf("IssuedAt is not set"))
		case token.IssuedAt.After(arrived):
			return at(where, fmt.Errorf("IssuedAt is %s after the login arrived at the PBX", token.IssuedAt.Sub(arrived)))
		case arrived.Sub(token.IssuedAt) > time.Minute:
			return at(where, fmt.Errorf("IssuedAt is %s before the login arrived at the PBX", arrived.Sub(token.IssuedAt)))
		case token.ExpiresAt.IsZero():
			continue
		case token.ExpiresAt.After(end):
			return at(where, fmt.Errorf("ExpiresAt is %s after the PBX's own expiry", token.ExpiresAt.Sub(end)))
		case !token.ExpiresAt.After(time.Now()):
			return at(where, fmt.Errorf("ExpiresAt is already past"))
		}
	}
	return nil
}

func expiredRequest(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	time.Sleep(t.tokenLifetime() + time.Second)
	if err := ofKind(t.call(token), pbx.ErrTokenRejected); err != nil {
		return err
	}
	return at("a login afterwards", noToken(t.auth.Login(context.Background())))
}

func lifetimeTraits(t *testbed) error {
	if claimed := t.auth.Traits().Lifetime; claimed > t.tokenLifetime() {
		return fmt.Errorf("Traits says that a token is valid for %s, and it is valid for %s", claimed, t.tokenLifetime())
	}
	return nil
}

func longExpired(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	time.Sleep(t.tokenLifetime() + 48*time.Hour)
	t.sim.Revoke(token.Value.Reveal()) // because the PBX has forgotten it by now
	if err := ofKind(t.call(token), pbx.ErrTokenRejected); err != nil {
		return at("a request", err)
	}
	if t.auth.keepAlive() == pbx.KeepAliveNone {
		return nil
	}
	return at("a keep-alive", ofKind(noToken(t.auth.KeepAlive(context.Background(), token)), pbx.ErrTokenRejected))
}

// refreshTokenLifetime is how long a refresh token is valid at the PBX.
func (t *testbed) refreshTokenLifetime() time.Duration {
	return t.sim.Dialect().Defaults().RefreshLifetime
}

func refreshTimes(t *testbed) error {
	check := func(token *pbx.Token) error {
		log := t.sim.Log()
		end := log[len(log)-1].At.Add(t.refreshTokenLifetime())
		if token.RefreshExpiresAt.After(end) {
			return fmt.Errorf("RefreshExpiresAt is %s after the PBX's own expiry", token.RefreshExpiresAt.Sub(end))
		}
		return nil
	}
	t.sim.Fault(pbxsim.Fault{Delay: 20 * time.Second, Times: -1})
	token, err := t.login()
	if err != nil {
		return err
	}
	if err := check(token); err != nil {
		return at("after the login", err)
	}
	if token, err = t.refreshed(token); err != nil {
		return err
	}
	return at("after a refresh", check(token))
}

func expiredRefresh(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	time.Sleep(t.refreshTokenLifetime() + time.Second)
	return ofKind(noToken(t.auth.KeepAlive(context.Background(), token)), pbx.ErrTokenRejected)
}
