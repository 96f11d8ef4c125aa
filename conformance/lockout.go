package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

var lockoutRules = []Rule{
	{
		ID:    "LOCKOUT-01",
		Says:  "A wrong password is ErrInvalidCredentials, and is sent once.",
		Why:   "PBXs lock the client's address after a few, and with it every other account of the same server.",
		needs: []precondition{proves},
		check: wrongPassword,
	},
	{
		ID:    "LOCKOUT-02",
		Says:  "A login under a lockout is ErrLocked, or ErrUnavailable if the PBX does not respond. It is never ErrInvalidCredentials.",
		Why:   "A lockout ends by itself. If it looks like a wrong password, people change a password that was right.",
		needs: []precondition{locks, lockDiffers},
		check: lockedClient,
	},
	{
		ID:    "LOCKOUT-03",
		Says:  "A login under a lockout is sent at most once, and is an error.",
		Why:   "No vendor says whether an attempt under the lockout prolongs it.",
		needs: []precondition{locks},
		check: loginUnderLock,
	},
	{
		ID:    "LOCKOUT-04",
		Says:  "The PBX does not lock before the number of wrong logins in Traits.Lockout.Attempts, and not at all if Traits says None. Requests with a dead token do not lock if DeadTokens says that they are ignored.",
		Why:   "Sessions share that number as their budget. A number too high locks all of them out.",
		needs: []precondition{lockoutLimit},
		check: lockoutTraits,
	},
	{
		ID:    "LOCKOUT-05",
		Says:  "The PBX forgets a wrong login after Traits.Lockout.Memory, and after a successful login as Reset says.",
		Why:   "Sessions send wrong logins again when they believe the earlier ones forgotten. What is stated too early causes a lockout.",
		needs: []precondition{locks, lockoutLimit, forgets},
		check: forgottenWrongLogins,
	},
	{
		ID:    "LOCKOUT-06",
		Says:  "A lock has ended after Traits.Lockout.Window, if that is set.",
		Why:   "A session waits for that time if the PBX does not state one. A login sent too early may prolong the lock.",
		needs: []precondition{locks, lockWindow},
		check: lockEnds,
	},
	{
		ID:    "LOCKOUT-07",
		Says:  "NotJudged is not set on a wrong password, under a lockout, on a refusal with an unknown code, on a response that was lost or is not the brand's, or outside of a login.",
		Why:   "A session repeats a login that is marked so, and does not count it. Set it only on codes that the vendor documents.",
		check: notJudged,
	},
	{
		ID:    "LOCKOUT-08",
		Says:  "If Traits.Lockout says CoversRequests, a lock stops a request with a valid token.",
		Why:   "A session holds its valid tokens back for as long as the lock lasts.",
		needs: []precondition{locks, covers, requester},
		check: lockCovers,
	},
	{
		ID:    "LOCKOUT-09",
		Says:  "If Traits.Lockout says LooksWrong, a login under a lockout is not ErrLocked, except with HTTP 429.",
		Why:   "A session sends a refused password once more if it may have been a lockout.",
		needs: []precondition{locks, looksWrong},
		check: unrecognisedLock,
	},
}

func looksWrong(t *testbed) string {
	if !t.auth.Traits().Lockout.LooksWrong {
		return "the driver does not say that a lockout looks like a wrong password (Traits.Lockout.LooksWrong)"
	}
	return ""
}

func unrecognisedLock(t *testbed) error {
	t.sim.Lock(clientAddress)
	err := noToken(t.auth.Login(context.Background()))
	var failure *pbx.Error
	if errors.As(err, &failure) && failure.Kind == pbx.ErrLocked && failure.HTTPStatus != http.StatusTooManyRequests {
		return fmt.Errorf("the driver recognises the lockout, Traits.Lockout says LooksWrong: %w", err)
	}
	return nil
}

func covers(t *testbed) string {
	if !t.auth.Traits().Lockout.CoversRequests {
		return "the driver does not say that a lock stops requests (Traits.Lockout.CoversRequests)"
	}
	return ""
}

func lockCovers(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	t.sim.Lock(clientAddress)
	ctx, cancel := context.WithTimeout(context.Background(), contextEnd) // the PBX may not respond
	defer cancel()
	t.callIn(ctx, token)
	if t.sim.Counts().AppRequests > 0 {
		return errors.New("the PBX serves a request under the lock, Traits.Lockout says CoversRequests")
	}
	return nil
}

// lockDiffers is for brands whose response to a locked client is not that to a wrong
// password, whatever the driver says.
func lockDiffers(t *testbed) string {
	if !t.auth.Traits().Lockout.LooksWrong {
		return ""
	}
	wrong, err := t.refusal(wrongPasswordAt)
	if err != nil {
		return ""
	}
	locked, err := t.refusal(func(sim *pbxsim.PBX) { sim.Lock(clientAddress) })
	if err == nil && wrong.Status == locked.Status && bytes.Equal(wrong.Reply, locked.Reply) {
		return "a lockout looks like a wrong password (Traits.Lockout)"
	}
	return ""
}

func notJudged(t *testbed) error {
	token, err := t.login()
	if err != nil {
		return err
	}
	judge := func(where string, err error) error {
		var failure *pbx.Error
		if errors.As(err, &failure) && failure.NotJudged {
			return fmt.Errorf("%s: NotJudged is set: %w", where, err)
		}
		return nil
	}
	login := func() error { return noToken(t.auth.Login(context.Background())) }
	page := func(status int, body string) pbxsim.Fault {
		return pbxsim.Fault{On: pbxsim.Login, Status: status, Body: []byte(body)}
	}
	for _, row := range []struct {
		where string
		fault pbxsim.Fault
	}{
		{"no response", pbxsim.Fault{On: pbxsim.Login, Drop: pbxsim.DropAfter}},
		{"an empty response", page(200, "")},
		{"a web page", page(200, pbxsim.HTMLPage)},
		{"an empty object", page(200, "{}")},
		{"HTTP 401", page(401, pbxsim.HTMLPage)},
		{"HTTP 403", page(403, pbxsim.HTMLPage)},
		{"HTTP 404", page(404, pbxsim.HTMLPage)},
		{"HTTP 500", page(500, pbxsim.HTMLPage)},
		{"HTTP 503", page(503, pbxsim.HTMLPage)},
	} {
		t.sim.Fault(row.fault)
		if err := judge(row.where, login()); err != nil {
			return err
		}
	}
	t.sim.Restart()
	for _, op := range t.operations(token)[1:] {
		if err := judge("a dead token, "+op.name, op.run(context.Background())); err != nil {
			return err
		}
	}
	t.sim.SetPassword(account, "another")
	if err := judge("a wrong password", login()); err != nil {
		return err
	}
	if err := t.unheardOf(func(where string, refused error) error { return judge(where, refused) }); err != nil {
		return err
	}
	t.sim.Lock(clientAddress)
	return judge("a lockout", login())
}

// words are the parts of a refusal of which one may be its code.
var words = regexp.MustCompile(`-?[0-9]+|[A-Za-z][A-Za-z0-9_.-]*`)

// unheardOf logs in with a wrong password once for each word of the brand's refusal,
// which the PBX replaces by one that no vendor documents. check is given the error.
func (t *testbed) unheardOf(check func(where string, refused error) error) error {
	if proves(t) != "" {
		return nil
	}
	own, err := t.refusal(wrongPasswordAt)
	if err != nil {
		return err
	}
	places := words.FindAllIndex(own.Reply, -1)
	for _, place := range places[:min(len(places), 50)] {
		word, other := string(own.Reply[place[0]:place[1]]), "UnheardOf"
		if _, err := strconv.Atoi(word); err == nil {
			other = "987654"
		}
		t.sim.SetPassword(account, "another")
		t.sim.Unlock(clientAddress)
		t.sim.UnlockAccount(account)
		t.sim.Fault(pbxsim.Fault{On: pbxsim.Login, Times: -1, Edit: func(_ *pbxsim.Request, r *pbxsim.Reply) {
			// The length of this refusal may differ from that of own.
			if len(r.Body) >= place[1] && string(r.Body[place[0]:place[1]]) == word {
				r.Body = slices.Concat(r.Body[:place[0]], []byte(other), r.Body[place[1]:])
			}
		}})
		refused := noToken(t.auth.Login(context.Background()))
		t.sim.ClearFaults()
		if err := check(fmt.Sprintf("a wrong password, refused with %s for %s", other, word), refused); err != nil {
			return err
		}
	}
	return nil
}

// forgets is for drivers that say when the PBX forgets wrong logins.
func forgets(t *testbed) string {
	l := t.auth.Traits().Lockout
	if (l.Memory == 0 || l.Memory == pbx.Forever) && l.Reset == pbx.ResetNothing {
		return "the driver does not say when the PBX forgets a wrong login (Traits.Lockout: Memory, Reset)"
	}
	return ""
}

func lockWindow(t *testbed) string {
	if t.auth.Traits().Lockout.Window == 0 {
		return "the driver does not say how long a lock lasts (Traits.Lockout.Window)"
	}
	return ""
}

func forgottenWrongLogins(t *testbed) error {
	l := t.auth.Traits().Lockout
	wrong := func(user string) (fail func() error, err error) {
		auth, err := t.open(func(c *pbx.Config) {
			c.Username = user
			c.Password = pbx.NewSecret("wrong-" + password)
		})
		return func() error {
			for range l.Attempts - 1 {
				auth.Login(context.Background())
			}
			if n := t.sim.Counts().Locks; n != 0 {
				return fmt.Errorf("the PBX locks after twice %d wrong logins", l.Attempts-1)
			}
			return nil
		}, err
	}
	user := account
	if l.Reset == pbx.ResetAddress {
		user = "another-" + account
	}
	fail, err := wrong(user)
	if err != nil {
		return err
	}
	if err := fail(); err != nil {
		return err
	}
	if l.Reset != pbx.ResetNothing {
		if _, err := t.login(); err != nil {
			return err
		}
		if err := fail(); err != nil {
			return at("Reset is stated, and a login succeeded in between", err)
		}
	}
	if l.Memory > 0 && l.Memory != pbx.Forever {
		time.Sleep(l.Memory + time.Second)
		if err := fail(); err != nil {
			return at("Memory is "+l.Memory.String()+", which passed in between", err)
		}
	}
	return nil
}

func lockEnds(t *testbed) error {
	t.sim.Lock(clientAddress)
	window := t.auth.Traits().Lockout.Window
	time.Sleep(window + time.Second)
	if until, locked := t.sim.Locked(clientAddress); locked {
		return fmt.Errorf("the window is %s, and the PBX's lock lasts %s longer", window, time.Until(until))
	}
	return nil
}

func wrongPassword(t *testbed) error {
	t.sim.SetPassword(account, "another")
	err := noToken(t.auth.Login(context.Background()))
	if err == nil {
		return errors.New("a login with a wrong password succeeds, and Traits.Unproven does not say so, or the PBX refused it")
	}
	if n := t.sim.Counts().WrongLogins; n != 1 {
		return fmt.Errorf("the wrong password is sent %d times", n)
	}
	return errors.Join(ofKind(err, pbx.ErrInvalidCredentials), sent(err, true))
}

func lockedClient(t *testbed) error {
	t.sim.Lock(clientAddress)
	err := noToken(t.auth.Login(context.Background()))
	var failure *pbx.Error
	if errors.As(err, &failure) && failure.HTTPStatus == 0 {
		return ofKind(err, pbx.ErrUnavailable)
	}
	return ofKind(err, pbx.ErrLocked)
}

func loginUnderLock(t *testbed) error {
	t.sim.Lock(clientAddress)
	err := noToken(t.auth.Login(context.Background()))
	if n := t.count(pbxsim.Login); n > 1 { // none where a challenge is refused first
		return fmt.Errorf("the login is sent %d times", n)
	}
	return ofKind(err)
}

func lockoutTraits(t *testbed) error {
	lockout := t.auth.Traits().Lockout
	if lockout.DeadTokens == pbx.DeadTokensIgnored && requester(t) == "" {
		token, err := t.login()
		if err != nil {
			return err
		}
		t.sim.Restart()
		for i := range 2 * max(lockout.Attempts, 5) {
			t.call(token)
			if t.sim.Counts().Locks > 0 {
				return fmt.Errorf("the PBX locks after %d requests with dead tokens, Traits.Lockout says DeadTokensIgnored", i+1)
			}
		}
	}
	t.sim.SetPassword(account, "another")
	most := lockout.Attempts - 1
	if lockout.None {
		most = 50 // which no PBX that locks tolerates
	}
	for i := range most {
		t.auth.Login(context.Background())
		if t.sim.Counts().Locks > 0 {
			return fmt.Errorf("the PBX locks after %d wrong logins, Traits.Lockout says %s", i+1, tolerated(lockout))
		}
	}
	if !lockout.PerAccount || t.config(nil).Username == "" {
		return nil
	}
	for _, user := range []string{"second-" + account, "third-" + account} {
		auth, err := t.open(func(c *pbx.Config) { c.Username = user })
		if err != nil {
			return err
		}
		for i := range most {
			auth.Login(context.Background())
			if t.sim.Counts().Locks > 0 {
				return fmt.Errorf("the PBX locks after %d wrong logins of the account %s, since it counts those of the others too: Traits.Lockout says %s, PerAccount", i+1, user, tolerated(lockout))
			}
		}
	}
	return nil
}

func tolerated(l pbx.Lockout) string {
	if l.None {
		return "None"
	}
	return fmt.Sprintf("%d", l.Attempts)
}
