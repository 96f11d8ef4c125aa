package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/freepbx/freepbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
)

// The tests in this file play the end of tokens at a PBX whose vendor does not say
// whether a dead token counts as a wrong login. The PBX here counts them, and forgets
// nothing.

// unsaid states what a driver states whose vendor says least.
func unsaid(l *pbx.Lockout) { l.DeadTokens, l.Memory, l.Reset = pbx.DeadTokensUnknown, pbx.Forever, 0 }

// countsDeadTokens is a PBX that locks after five wrong logins or dead tokens.
func countsDeadTokens() pbxsim.Options {
	return pbxsim.Options{Lockout: pbxsim.Lockout{After: 5, Memory: pbxsim.Forever, Reset: pbxsim.Nothing, DeadTokens: true}}
}

// deadBrands have a heartbeat, a login alone, and a refresh.
var deadBrands = []string{"yeastar", "grandstream", "mikopbx"}

// eachDead runs a test with n live accounts, and one more that has no session.
func eachDead(t *testing.T, n int, test func(t *testing.T, o *office)) {
	for _, brand := range brands() {
		if !slices.Contains(deadBrands, brand.Driver) {
			continue
		}
		t.Run(fmt.Sprint(brand.Name(), " ", n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOffice(t, brand, n+1, countsDeadTokens())
				defer o.close()
				for i := range n {
					o.addUnsaid(i)
				}
				time.Sleep(time.Minute)
				o.wantAll()
				test(t, o)
			})
		})
	}
}

func (o *office) addUnsaid(i int) {
	mustToken(o.t, o.addAs(fmt.Sprint("user-", i), fmt.Sprint("secret-", i), unsaid))
	time.Sleep(time.Second)
}

// wantRecovered checks how many dead tokens and logins there were since before.
func (o *office) wantRecovered(before pbxsim.Counts, dead, logins int) {
	o.t.Helper()
	o.wantAll()
	now := o.sim.Counts()
	if n := now.RefusedTokens - before.RefusedTokens; n > dead {
		o.t.Errorf("%d dead tokens were sent, want at most %d", n, dead)
	}
	if n := now.Logins - before.Logins; n != logins {
		o.t.Errorf("%d logins, want %d", n, logins)
	}
}

// deadOf is how many dead tokens a restart may cost: two, and the refresh token of
// the first.
func deadOf(brand simulators.Simulator) int {
	if brand.Driver == "mikopbx" {
		return 3
	}
	return 2
}

func TestAccountsThatFollowOneAnotherSendTwoDeadTokens(t *testing.T) {
	for _, n := range []int{2, 4, 8} {
		eachDead(t, n, func(t *testing.T, o *office) {
			before := o.sim.Counts()
			o.sim.Restart()
			for _, s := range o.sessions {
				if err := o.works(s); err != nil {
					t.Errorf("%v: %v", s.Status(), err)
				}
				time.Sleep(time.Second)
			}
			o.wantRecovered(before, deadOf(o.brand), n)
		})
	}
}

func TestARestartAndAWrongPasswordDoNotLockThePBX(t *testing.T) {
	eachDead(t, 8, func(t *testing.T, o *office) {
		o.sim.Restart()
		for _, s := range o.sessions {
			o.works(s)
			time.Sleep(time.Second)
		}
		o.addAs("user-0", "wrong", unsaid)
		time.Sleep(time.Minute)
		if n := o.sim.Counts().WrongLogins; n != 1 {
			t.Errorf("%d wrong logins", n)
		}
		for _, s := range o.sessions[:8] {
			if err := o.works(s); err != nil {
				t.Errorf("%v: %v", s.Status(), err)
			}
		}
		o.wantNoLock()
	})
}

func TestAnAccountThatLoggedInAfterTheRestartHidesNoDeadTokens(t *testing.T) {
	eachDead(t, 8, func(t *testing.T, o *office) {
		before := o.sim.Counts()
		o.sim.Restart()
		time.Sleep(time.Second)
		newest := o.addAs("user-8", "secret-8", unsaid) // before the first dead token is sent
		mustToken(t, newest)
		time.Sleep(time.Millisecond) // a renewal could find a dead token meanwhile
		o.sessions = o.sessions[:8]
		for _, s := range o.sessions {
			if err := o.works(s); err != nil {
				t.Errorf("%v: %v", s.Status(), err)
			}
			time.Sleep(time.Millisecond)
			o.works(newest)
			time.Sleep(time.Second)
		}
		o.wantRecovered(before, deadOf(o.brand), 9)
	})
}

func TestAfterOneRefusalTheRequestsOfOthersWaitForEachOther(t *testing.T) {
	eachDead(t, 8, func(t *testing.T, o *office) {
		before := o.sim.Counts()
		o.sim.Restart()
		o.works(o.sessions[0])
		var all sync.WaitGroup
		for _, s := range o.sessions {
			for range 4 {
				all.Go(func() { o.works(s) })
			}
		}
		all.Wait()
		time.Sleep(10 * time.Second)
		o.wantRecovered(before, deadOf(o.brand), 8)
	})
}

// The error of a request that has waited in vain for another one says so.
func TestARequestThatWaitsForAnotherTokenSaysSo(t *testing.T) {
	eachDead(t, 3, func(t *testing.T, o *office) {
		o.sim.Restart()
		o.works(o.sessions[0])
		request := func(s *session.Session, lasts time.Duration) error {
			ctx, cancel := context.WithTimeout(context.Background(), lasts)
			defer cancel()
			resp, err := s.Do(o.brand.Harmless.At(s.URL()).WithContext(ctx))
			if err == nil {
				resp.Body.Close()
			}
			return err
		}
		o.sim.Fault(pbxsim.Fault{Hang: true})
		var first sync.WaitGroup
		first.Go(func() { request(o.sessions[1], 5*time.Second) })
		synctest.Wait()
		if err := request(o.sessions[2], time.Second); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not sent: after a refused token") {
			t.Errorf("the request fails with: %v", err)
		}
		first.Wait()
	})
}

func TestKeepAlivesSendTwoDeadTokens(t *testing.T) {
	eachDead(t, 8, func(t *testing.T, o *office) {
		before := o.sim.Counts()
		o.sim.Restart()
		time.Sleep(2 * time.Hour)
		o.wantAll()
		now := o.sim.Counts()
		if n := now.RefusedTokens - before.RefusedTokens; n > deadOf(o.brand) {
			t.Errorf("%d dead tokens were sent", n)
		}
	})
}

func TestARevokedTokenHasNoOtherAccountLogIn(t *testing.T) {
	for _, which := range []int{0, 3, 7} { // of the tokens by age
		eachDead(t, 8, func(t *testing.T, o *office) {
			before := o.sim.Counts()
			o.sim.Revoke(mustToken(t, o.sessions[which]).Value.Reveal())
			if err := o.works(o.sessions[which]); err != nil {
				t.Error(err)
			}
			for range 3 {
				for _, s := range o.sessions {
					if err := o.works(s); err != nil {
						t.Errorf("%v: %v", s.Status(), err)
					}
				}
				time.Sleep(10 * time.Second)
			}
			logins := 1
			if o.brand.Driver == "mikopbx" && o.sim.Counts().Logins == before.Logins {
				logins = 0 // its refresh token is good
			}
			o.wantRecovered(before, 2, logins)
		})
	}
}

func TestTwoProgramsThatFightOverAnAccountHaveNoOtherAccountLogIn(t *testing.T) {
	eachDead(t, 4, func(t *testing.T, o *office) {
		before := o.sim.Counts()
		const rounds = 4
		for range rounds {
			o.sim.Revoke(mustToken(t, o.sessions[1]).Value.Reveal())
			o.works(o.sessions[1])
			o.sim.Unlock("127.0.0.1") // it is about logins alone
			for _, s := range o.sessions {
				time.Sleep(time.Minute)
				o.works(s)
			}
		}
		if n := o.sim.Counts().Logins - before.Logins; n > rounds {
			t.Errorf("%d logins", n)
		}
	})
}

func TestSessionsThatEndEachOthersTokensHaveNoOtherAccountLogIn(t *testing.T) {
	for _, brand := range brands() {
		if brand.Driver != "3cx" {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			o := newOffice(t, brand, 4, pbxsim.Options{})
			defer o.close()
			o.addAll(4)
			for range 3 {
				o.add("user-0", "secret-0")
			}
			time.Sleep(time.Minute)
			for range 4 {
				for _, s := range o.sessions {
					o.works(s)
					time.Sleep(time.Second)
				}
			}
			for _, user := range []string{"user-1", "user-2", "user-3"} {
				if n := o.sim.CountsOf(user).GoodLogins; n != 1 {
					t.Errorf("%s has logged in %d times", user, n)
				}
			}
		})
	}
}

func TestACloseAfterARestartSendsTwoDeadTokens(t *testing.T) {
	for _, noticed := range []bool{false, true} {
		for _, brand := range brands() {
			if !slices.Contains(deadBrands, brand.Driver) {
				continue
			}
			t.Run(fmt.Sprint(brand.Name(), " ", noticed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := newOffice(t, brand, 8, countsDeadTokens())
					for i := range 8 {
						o.addUnsaid(i)
					}
					before := o.sim.Counts()
					o.sim.Restart()
					if noticed {
						o.works(o.sessions[0])
					}
					o.close()
					if n := o.sim.Counts().RefusedTokens - before.RefusedTokens; n > deadOf(brand) {
						t.Errorf("%d dead tokens were sent", n)
					}
					o.wantNoLock()
				})
			})
		}
	}
}

func TestACloseLogsOutAndAsksForFewTokens(t *testing.T) {
	for _, revoked := range []int{-1, 0, 3, 7} {
		for _, brand := range brands() {
			if !slices.Contains(deadBrands, brand.Driver) || brand.Driver == "mikopbx" { // whose logout ends refresh tokens alone
				continue
			}
			t.Run(fmt.Sprint(brand.Name(), " ", revoked), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := newOffice(t, brand, 8, countsDeadTokens())
					for i := range 8 {
						o.addUnsaid(i)
					}
					if revoked >= 0 {
						o.sim.Revoke(mustToken(t, o.sessions[revoked]).Value.Reveal())
						o.works(o.sessions[revoked])
					}
					time.Sleep(time.Second)
					before := o.sim.Counts()
					o.close()
					now := o.sim.Counts()
					for i := range 8 {
						if n := len(o.sim.Tokens(fmt.Sprint("user-", i))); n > 0 {
							t.Errorf("user-%d has %d tokens left", i, n)
						}
					}
					if n := now.Requests - before.Requests - 8; n > 7 || now.Logouts-before.Logouts != 8 { // the order is random
						t.Errorf("%d logouts and %d other requests", now.Logouts-before.Logouts, n)
					} else {
						t.Logf("%d requests more", n)
					}
				})
			})
		}
	}
}

// revoking is a transport that refuses some tokens, and is slow.
type revoking struct {
	mu       sync.Mutex
	revoked  map[string]bool
	takes    time.Duration
	flying   int
	together int
	dead     int
}

func (r *revoking) RoundTrip(request *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.flying++
	r.together = max(r.together, r.flying)
	takes := r.takes
	r.mu.Unlock()
	time.Sleep(takes)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flying--
	if r.revoked[request.Header.Get("Authorization")] {
		r.dead++
		return answer(request, http.StatusUnauthorized, ""), nil
	}
	return answer(request, http.StatusOK, ""), nil
}

func (r *revoking) take(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.takes = d
}

func (r *revoking) revoke(t *pbx.Token) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.revoked == nil {
		r.revoked = map[string]bool{}
	}
	r.revoked["Bearer "+t.Value.Reveal()] = true
}

func (r *revoking) most() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.together
	r.together = 0
	return n
}

// crowd are sessions at one PBX, made one after another, over a transport.
type crowd struct {
	t        *testing.T
	api      *revoking
	fakes    []*fake
	sessions []*session.Session
	clients  []*http.Client
}

func newCrowd(t *testing.T, m *session.Manager, n int) *crowd {
	c := &crowd{t: t, api: &revoking{takes: 100 * time.Millisecond}}
	for i := range n {
		f := &fake{traits: onHost("pbx.test"), takes: 50 * time.Millisecond}
		f.traits.Account = fmt.Sprint("account-", i)
		f.login = func(context.Context) (*pbx.Token, error) {
			t := f.token()
			t.Value = pbx.NewSecret(fmt.Sprint(i, "/", t.Value.Reveal()))
			return t, nil
		}
		s := mustAdd(t, m, f.traits.Account, f)
		mustToken(t, s)
		c.fakes, c.sessions = append(c.fakes, f), append(c.sessions, s)
		c.clients = append(c.clients, &http.Client{Transport: s.Transport(c.api)})
		time.Sleep(time.Second)
	}
	return c
}

func (c *crowd) get(i int) {
	c.t.Helper()
	resp, err := c.clients[i].Get("https://pbx.test/extensions")
	if err != nil {
		c.t.Error(err)
		return
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		c.t.Errorf("account %d: status %d", i, resp.StatusCode)
	}
}

func (c *crowd) getAll() {
	var all sync.WaitGroup
	for i := range c.clients {
		all.Go(func() { c.get(i) })
	}
	all.Wait()
}

func (c *crowd) logins() (all int) {
	for _, f := range c.fakes {
		n, _, _ := f.counts()
		all += n
	}
	return all
}

func TestRequestsRunSideBySideAgainAfterARevokedToken(t *testing.T) {
	for which := range 8 {
		synctest.Test(t, func(t *testing.T) {
			m := session.NewManager(&session.Options{Guard: &session.Guard{}})
			defer m.Close(context.Background())
			c := newCrowd(t, m, 8)
			c.api.revoke(mustToken(t, c.sessions[which]))
			c.get(which)
			c.getAll()
			c.api.most()
			c.getAll()
			if n := c.api.most(); n != 8 {
				t.Errorf("token %d of 8 was revoked: only %d requests run side by side", which, n)
			}
			if n := c.logins(); n != 9 {
				t.Errorf("token %d of 8 was revoked: %d logins", which, n)
			}
		})
	}
}

func TestNewTokensRunSideBySideWhileOlderOnesMayBeLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		c := newCrowd(t, m, 3)
		c.api.revoke(mustToken(t, c.sessions[2]))
		c.get(2)
		c.api.most()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { c.get(2) })
		}
		all.Wait()
		if n := c.api.most(); n != 10 {
			t.Errorf("only %d requests with the new token run side by side", n)
		}
		for range 10 {
			all.Go(func() { c.get(0) })
		}
		all.Wait()
		if c.api.most() == 10 {
			t.Error("ten requests with an older token run side by side")
		}
	})
}

func TestARequestWithANewTokenAsksNobodyWhileOlderOnesMayBeLost(t *testing.T) {
	m := session.NewManager(&session.Options{Guard: &session.Guard{}})
	defer m.Close(context.Background())
	c := &crowd{t: t, api: &revoking{}}
	for i := range 2 {
		f := &fake{traits: onHost("pbx.test")}
		f.traits.Account = fmt.Sprint("account-", i)
		s := mustAdd(t, m, f.traits.Account, f)
		mustToken(t, s)
		c.sessions, c.clients = append(c.sessions, s), append(c.clients, &http.Client{Transport: s.Transport(c.api)})
		time.Sleep(5 * time.Millisecond)
	}
	c.sessions[0].Invalidate(mustToken(t, c.sessions[0]))
	mustToken(t, c.sessions[0])
	c.get(0)
	done := make(chan struct{})
	c.sessions[0].WhileItsHostIsLocked(func() {
		go func() {
			c.get(0)
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("a request with the new token waits for the host's lock")
		}
	})
	<-done
}

func TestOneAccountAloneAtItsHostHasNothingToRemember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		c := newCrowd(t, m, 1)
		c.api.revoke(mustToken(t, c.sessions[0]))
		c.get(0)
		time.Sleep(time.Minute)
		c.get(0)
		if c.sessions[0].HasBooks() {
			t.Error("the host remembers more than that the account works")
		}
	})
}

func TestTheDoubtAboutOlderTokensEndsWhenAWrongLoginIsForgotten(t *testing.T) {
	for memory, ends := range map[time.Duration]time.Duration{10 * time.Minute: 10 * time.Minute, 0: 24 * time.Hour, pbx.Forever: 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			m := session.NewManager(&session.Options{Guard: &session.Guard{}})
			defer m.Close(context.Background())
			c := newCrowd(t, m, 0)
			for i := range 3 {
				f := &fake{traits: onHost("pbx.test")}
				f.traits.Lockout.Memory = memory
				s := mustAdd(t, m, fmt.Sprint(i), f)
				mustToken(t, s)
				c.clients = append(c.clients, &http.Client{Transport: s.Transport(c.api)})
				c.sessions = append(c.sessions, s)
				time.Sleep(time.Second)
			}
			token := mustToken(t, c.sessions[2])
			time.Sleep(time.Minute)
			c.sessions[2].Invalidate(token)
			together := func() int {
				var all sync.WaitGroup
				for range 10 {
					all.Go(func() {
						r, _ := http.NewRequest(http.MethodHead, "https://pbx.test/extensions", nil) // no evidence
						resp, err := c.clients[0].Do(r)
						if err != nil {
							t.Error(err)
							return
						}
						resp.Body.Close()
					})
				}
				all.Wait()
				return c.api.most()
			}
			if n := together(); n != 1 {
				t.Errorf("%d requests at a time", n)
			}
			time.Sleep(ends - time.Minute)
			if n := together(); n != 1 {
				t.Errorf("Memory %v: %d requests at a time after %v", memory, n, ends-time.Minute)
			}
			time.Sleep(2 * time.Minute)
			if n := together(); n != 10 {
				t.Errorf("Memory %v: %d requests at a time after %v", memory, n, ends+time.Minute)
			}
		})
	}
}

func TestADriverThatDoesNotDateItsTokensIsNotInDoubtForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		c := newCrowd(t, m, 0)
		for i := range 4 {
			f := &fake{traits: onHost("pbx.test"), takes: 50 * time.Millisecond}
			var serial atomic.Int32
			f.login = func(context.Context) (*pbx.Token, error) {
				return &pbx.Token{Value: pbx.NewSecret(fmt.Sprint(i, "/", serial.Add(1)))}, nil
			}
			s := mustAdd(t, m, fmt.Sprint(i), f)
			c.fakes, c.sessions = append(c.fakes, f), append(c.sessions, s)
			c.clients = append(c.clients, &http.Client{Transport: s.Transport(c.api)})
			time.Sleep(time.Second)
		}
		for _, s := range c.sessions { // the PBX restarts
			c.api.revoke(mustToken(t, s))
		}
		for i := range c.clients {
			c.get(i)
			time.Sleep(time.Second)
		}
		if c.api.dead > 2 || c.logins() != 8 {
			t.Errorf("%d dead tokens, %d logins", c.api.dead, c.logins())
		}
	})
}

func TestATokenOfTheFutureWasIssuedNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		c := newCrowd(t, m, 0)
		for i := range 8 {
			f := &fake{traits: onHost("pbx.test"), takes: 50 * time.Millisecond}
			var n atomic.Int32
			f.login = func(context.Context) (*pbx.Token, error) {
				token := f.dated(fmt.Sprint(i, "/", n.Add(1)))
				token.IssuedAt = token.IssuedAt.Add(time.Hour) // by the PBX's clock
				return token, nil
			}
			s := mustAdd(t, m, fmt.Sprint(i), f)
			mustToken(t, s)
			c.fakes, c.sessions = append(c.fakes, f), append(c.sessions, s)
			c.clients = append(c.clients, &http.Client{Transport: s.Transport(c.api)})
			time.Sleep(time.Second)
		}
		c.restart()
		for i := range c.clients {
			c.get(i)
			time.Sleep(time.Second)
		}
		if c.api.dead > 2 || c.logins() != 16 {
			t.Errorf("%d dead tokens, %d logins", c.api.dead, c.logins())
		}
	})
}

// A PBX that restarts may lose access tokens and keep refresh tokens.
func TestARefreshShowsNothingOfTheTokensOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		c := newCrowd(t, m, 0)
		for i := range 8 {
			f := &fake{traits: onHost("pbx.test"), takes: 50 * time.Millisecond, life: time.Hour}
			f.traits.KeepAlive = pbx.KeepAliveRefresh
			issue := func() *pbx.Token {
				f.serial++
				t := f.dated(fmt.Sprint(i, "/", f.serial))
				t.Refresh = pbx.NewSecret("refresh")
				return t
			}
			f.login = func(context.Context) (*pbx.Token, error) { return issue(), nil }
			beats := 0
			f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
				if beats++; beats%2 == 1 { // it is just starting
					return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, true)
				}
				return issue(), nil
			}
			c.sessions = append(c.sessions, mustAdd(t, m, fmt.Sprint(i), f))
			mustToken(t, c.sessions[i])
			c.clients = append(c.clients, &http.Client{Transport: c.sessions[i].Transport(c.api)})
			time.Sleep(time.Second)
		}
		for _, s := range c.sessions {
			c.api.revoke(mustToken(t, s))
		}
		for i := range c.clients {
			if resp, err := c.clients[i].Get("https://pbx.test/extensions"); err == nil {
				resp.Body.Close()
			}
			time.Sleep(5 * time.Second)
		}
		if c.api.dead > 2 {
			t.Errorf("%d dead tokens were sent", c.api.dead)
		}
	})
}

// slowStore is a store that takes its time, and whose clock goes wrong.
type slowStore struct {
	store.Memory
	takes atomic.Int64 // nanoseconds of an operation
	ahead atomic.Int64 // nanoseconds of its clock
}

func (s *slowStore) Load(ctx context.Context, key string) (store.Entry, error) {
	s.wait()
	e, err := s.Memory.Load(ctx, key)
	return s.told(e), err
}

func (s *slowStore) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (store.Entry, bool, error) {
	s.wait()
	e, won, err := s.Memory.Swap(ctx, key, rev, value, keep)
	return s.told(e), won, err
}

func (s *slowStore) wait() {
	if d := time.Duration(s.takes.Load()); d > 0 {
		time.Sleep(d)
	}
}

func (s *slowStore) told(e store.Entry) store.Entry {
	if !e.Now.IsZero() {
		e.Now = e.Now.Add(time.Duration(s.ahead.Load()))
	}
	return e
}

var serial atomic.Int64 // of the tokens of stored crowds

// storedCrowd are 8 sessions whose tokens are in a store.
func storedCrowd(t *testing.T, m *session.Manager, dead pbx.DeadTokens) *crowd {
	c := newCrowd(t, m, 0)
	c.api.takes = 10 * time.Millisecond
	for i := range 8 {
		f := &fake{traits: onHost("pbx.test"), takes: 50 * time.Millisecond}
		f.traits.Account = fmt.Sprint("account-", i)
		f.traits.Lockout.DeadTokens = dead
		f.login = func(context.Context) (*pbx.Token, error) { return f.dated(fmt.Sprint(serial.Add(1))), nil }
		s := mustAdd(t, m, f.traits.Account, &printed{fake: f, print: f.traits.Account})
		mustToken(t, s)
		c.fakes, c.sessions = append(c.fakes, f), append(c.sessions, s)
		c.clients = append(c.clients, &http.Client{Transport: s.Transport(c.api)})
		time.Sleep(time.Second)
	}
	time.Sleep(time.Minute)
	return c
}

// restart ends all tokens.
func (c *crowd) restart() {
	for _, s := range c.sessions {
		c.api.revoke(mustToken(c.t, s))
	}
}

func TestADeadTokenIsKnownBeforeASlowStoreKnowsIt(t *testing.T) {
	for _, dead := range []pbx.DeadTokens{pbx.DeadTokensUnknown, pbx.DeadTokensCount} {
		synctest.Test(t, func(t *testing.T) {
			slow := &slowStore{}
			m := shares(t, slow, "p")
			defer m.Close(context.Background())
			c := storedCrowd(t, m, dead)
			c.restart()
			slow.takes.Store(int64(1500 * time.Millisecond))
			for i := range c.clients {
				go c.get(i)
				time.Sleep(100 * time.Millisecond)
			}
			slow.takes.Store(0)
			time.Sleep(time.Minute)
			c.getAll()
			if most := 2 - int(dead); c.api.dead > most || c.logins() != 16 {
				t.Errorf("%d dead tokens were sent, want at most %d; %d logins", c.api.dead, most, c.logins())
			}
		})
	}
}

// The same, where a keep-alive finds the first dead token.
func TestADeadTokenOfAKeepAliveIsKnownBeforeASlowStoreKnowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowStore{}
		m := shares(t, slow, "p")
		defer m.Close(context.Background())
		c := storedCrowd(t, m, pbx.DeadTokensCount)
		refused := make(chan struct{})
		f := &fake{traits: onHost("pbx.test"), life: time.Hour}
		f.traits.Account, f.traits.Lockout.DeadTokens = "beating", pbx.DeadTokensCount
		f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
			slow.takes.Store(int64(1500 * time.Millisecond))
			close(refused)
			return nil, told(pbx.OpKeepAlive, pbx.ErrTokenRejected, true)
		}
		mustToken(t, mustAdd(t, m, "beating", &printed{fake: f, print: "beating"}))
		c.restart()
		<-refused
		for i := range c.clients {
			time.Sleep(100 * time.Millisecond)
			go c.get(i)
		}
		time.Sleep(10 * time.Second)
		slow.takes.Store(0)
		time.Sleep(time.Minute)
		c.getAll()
		if c.api.dead > 0 || c.logins() != 16 {
			t.Errorf("%d more dead tokens were sent, %d logins", c.api.dead, c.logins())
		}
	})
}

// Only the budget is in a store here, and each process has tokens of its own.
func TestADeadTokenIsKnownBeforeASlowStoreOfTheBudgetKnowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowStore{}
		guard, err := session.NewGuard(slow)
		if err != nil {
			t.Fatal(err)
		}
		m := session.NewManager(&session.Options{Guard: guard})
		defer m.Close(context.Background())
		c := storedCrowd(t, m, pbx.DeadTokensCount)
		c.restart()
		slow.takes.Store(int64(1500 * time.Millisecond))
		for i := range c.clients {
			go c.get(i)
			time.Sleep(100 * time.Millisecond)
		}
		slow.takes.Store(0)
		time.Sleep(time.Minute)
		c.getAll()
		if c.api.dead > 1 || c.logins() != 16 {
			t.Errorf("%d dead tokens were sent, %d logins", c.api.dead, c.logins())
		}
	})
}

func TestTheClockOfAStoreHidesNoDeadTokens(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Hour, time.Hour} {
		for _, first := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				off := &slowStore{}
				if first {
					off.ahead.Store(int64(ahead))
				}
				m := shares(t, off, "p")
				defer m.Close(context.Background())
				c := storedCrowd(t, m, pbx.DeadTokensUnknown)
				c.restart()
				c.api.takes = 0
				off.takes.Store(int64(200 * time.Millisecond))
				for i := range c.clients {
					go c.get(i)
					time.Sleep(time.Millisecond)
					off.ahead.Store(int64(ahead))
					time.Sleep(time.Second)
				}
				time.Sleep(time.Minute)
				c.getAll()
				if c.api.dead > 2 || c.logins() != 16 {
					t.Errorf("%v, from the beginning: %v: %d dead tokens were sent, %d logins", ahead, first, c.api.dead, c.logins())
				}
			})
		}
	}
}

// A process may have an older token than the store, which the PBX has lost as well.
func TestATokenOfTheStoreMayBeDeadToo(t *testing.T) {
	for _, deadTokens := range []pbx.DeadTokens{pbx.DeadTokensUnknown, pbx.DeadTokensCount} {
		for _, beat := range []pbx.KeepAliveKind{pbx.KeepAliveNone, pbx.KeepAliveRefresh} {
			synctest.Test(t, func(t *testing.T) {
				shared := struct{ store.Store }{&store.Memory{}} // without notices
				var crowds []*crowd
				const accounts = 8
				var dead [2]atomic.Int32
				var logins atomic.Int32
				var epoch atomic.Int32
				for p := range 2 {
					api := roundTrip(func(r *http.Request) (*http.Response, error) {
						time.Sleep(20 * time.Millisecond)
						var of int32
						fmt.Sscanf(r.Header.Get("Authorization"), "Bearer %d/", &of)
						if of != epoch.Load() {
							dead[p].Add(1)
							return answer(r, http.StatusUnauthorized, ""), nil
						}
						return answer(r, http.StatusOK, ""), nil
					})
					m := shares(t, shared, fmt.Sprint("p", p))
					defer m.Close(context.Background())
					c := &crowd{t: t}
					for i := range accounts {
						f := &fake{traits: onHost("pbx.test"), takes: 50 * time.Millisecond, life: time.Hour}
						f.traits.Account = fmt.Sprint("account-", i)
						f.traits.KeepAlive = beat
						f.traits.Lockout.DeadTokens = deadTokens
						issue := func() *pbx.Token {
							t := f.dated(fmt.Sprint(epoch.Load(), "/", logins.Add(1)))
							if beat == pbx.KeepAliveRefresh {
								t.Refresh = pbx.NewSecret(fmt.Sprint(epoch.Load()))
							}
							return t
						}
						f.login = func(context.Context) (*pbx.Token, error) { return issue(), nil }
						f.beat = func(_ context.Context, old *pbx.Token) (*pbx.Token, error) {
							if old.Refresh.Reveal() != fmt.Sprint(epoch.Load()) {
								dead[p].Add(1)
								return nil, told(pbx.OpKeepAlive, pbx.ErrTokenRejected, true)
							}
							return issue(), nil
						}
						s := mustAdd(t, m, f.traits.Account, &printed{fake: f, print: f.traits.Account})
						mustToken(t, s)
						c.sessions, c.clients = append(c.sessions, s), append(c.clients, &http.Client{Transport: s.Transport(api)})
						time.Sleep(time.Second)
					}
					crowds = append(crowds, c)
				}
				time.Sleep(25 * time.Minute) // until each process has renewed some
				before := logins.Load()
				epoch.Add(1) // the PBX restarts
				for i := range accounts {
					for _, c := range crowds {
						if resp, err := c.clients[i].Get("https://pbx.test/extensions"); err == nil {
							resp.Body.Close()
						}
						time.Sleep(time.Second)
					}
				}
				time.Sleep(time.Minute)
				for _, c := range crowds {
					for i := range accounts {
						c.get(i)
					}
				}
				most := int32(1)
				if deadTokens == pbx.DeadTokensUnknown {
					most++
					if beat == pbx.KeepAliveRefresh {
						most++
					}
				}
				if a, b, n := dead[0].Load(), dead[1].Load(), logins.Load()-before; a > most || b > most || n > 2*accounts {
					t.Errorf("dead tokens %v, keep-alive %v: %d and %d dead tokens, want at most %d each; %d logins", deadTokens, beat, a, b, most, n)
				} else {
					t.Log(deadTokens, beat, a, b, n)
				}
			})
		}
	}
}

// FreePBX 17 reports a dead token of GraphQL as any failure, so that it takes a ping to
// find out.
func TestATokenThatMayBeLostNeedsNoPing(t *testing.T) {
	for _, brand := range brands() {
		if brand.Driver != "freepbx" {
			continue
		}
		brand.New = func(o *pbxsim.Options) *pbxsim.PBX { return freepbxsim.New(&freepbxsim.Options{Version: 17}, o) }
		synctest.Test(t, func(t *testing.T) {
			o := newOffice(t, brand, 9, countsDeadTokens())
			defer o.close()
			for i := range 8 {
				o.addUnsaid(i)
			}
			time.Sleep(time.Minute)
			o.wantAll()
			before := o.sim.Counts()
			o.sim.Restart()
			for _, s := range o.sessions {
				o.works(s) // or finds out
				time.Sleep(5 * time.Second)
			}
			o.wantRecovered(before, 4, 8)
		})
	}
}

func TestACloseAsksForNoTokenWhereThereIsNoLogout(t *testing.T) {
	for _, brand := range brands() {
		if brand.Driver != "freepbx" {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			o := newOffice(t, brand, 4, countsDeadTokens())
			for i := range 4 {
				o.addUnsaid(i)
			}
			before := o.sim.Counts().Requests
			o.sim.Restart()
			o.close()
			if n := o.sim.Counts().Requests - before; n > 0 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

// While a token is tried, another process may find it dead and bring the next one. The
// store does not say here what the other one has found.
func TestARefusalThatComesAfterTheNextTokenCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		faults.Intercept(func(op store.Op) (f store.Fault) {
			if strings.HasPrefix(op.Key, "t/") { // a host's refused tokens
				f.Before = errors.New("no such table")
			}
			return f
		})
		var crowds []*crowd
		for p := range 2 {
			name := fmt.Sprint("p", p)
			m := shares(t, faults.Process(name), name)
			defer m.Close(context.Background())
			crowds = append(crowds, storedCrowd(t, m, pbx.DeadTokensUnknown))
		}
		one, other := crowds[0], crowds[1]
		one.restart()
		other.restart()
		one.get(0)
		one.api.take(time.Second)
		go one.get(1)
		other.get(1)
		time.Sleep(2 * time.Second)
		one.api.take(10 * time.Millisecond)
		for i := range one.clients {
			one.get(i)
			time.Sleep(time.Second)
		}
		if one.api.dead != 2 {
			t.Errorf("%d dead tokens", one.api.dead)
		}
	})
}

// From the fourth restart on, a token may be refused because of the request. The session
// asks the PBX, and does not go on with a dead token.
func TestEachOfManyRestartsCostsFewDeadTokens(t *testing.T) {
	for _, brand := range brands() {
		if !slices.Contains(deadBrands, brand.Driver) {
			continue
		}
		for _, n := range []int{1, 4} {
			t.Run(fmt.Sprint(brand.Name(), " ", n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					o := newOffice(t, brand, n, pbxsim.Options{Lockout: pbxsim.Lockout{After: -1}})
					defer o.close()
					for i := range n {
						o.addUnsaid(i)
					}
					for range 6 {
						o.wantAll()
						before := o.sim.Counts()
						o.sim.Restart()
						for range 30 {
							for _, s := range o.sessions {
								o.works(s)
								synctest.Wait() // until the ping has shown what the refusal means
							}
							time.Sleep(time.Second)
						}
						o.wantRecovered(before, deadOf(brand)+1, n) // the ping as well
					}
				})
			})
		}
	}
}

// Another process may have replaced the token of each session, and the PBX may have lost
// these tokens too.
func TestATokenOfTheStoreThatIsDeadTooIsSentOnceAtMost(t *testing.T) {
	for deadTokens, want := range map[pbx.DeadTokens]int{
		pbx.DeadTokensIgnored: 16, // the old token and the new one of each account
		pbx.DeadTokensUnknown: 3,  // an old one, after which the other process tells of its two; and two new ones
		pbx.DeadTokensCount:   1,
	} {
		synctest.Test(t, func(t *testing.T) {
			shared := tacit{&store.Memory{}}
			var crowds [2]*crowd
			for p := range crowds {
				m := shares(t, shared, fmt.Sprint("p", p))
				defer m.Close(context.Background())
				crowds[p] = storedCrowd(t, m, deadTokens)
			}
			one, other := crowds[0], crowds[1]
			other.restart()
			for i := range other.clients {
				other.get(i)
			}
			time.Sleep(time.Minute)
			one.restart()
			for _, s := range other.sessions {
				one.api.revoke(mustToken(t, s))
			}
			for i := range one.clients {
				if resp, err := one.clients[i].Get("https://pbx.test/extensions"); err == nil {
					resp.Body.Close()
				}
				time.Sleep(time.Second)
			}
			one.getAll()
			if one.api.dead != want {
				t.Errorf("dead tokens %v: %d were sent, want %d", deadTokens, one.api.dead, want)
			}
		})
	}
}

// Where an account has one token, a login ends the one that other processes use. If each
// process logged in whose token the PBX refused, they would end each other's tokens.
func TestProcessesDoNotEndTheOneTokenOfAnAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var valid atomic.Int32 // the number of the token
		var dead, logins atomic.Int32
		api := roundTrip(func(r *http.Request) (*http.Response, error) {
			time.Sleep(10 * time.Millisecond)
			if r.Header.Get("Authorization") != fmt.Sprint("Bearer ", valid.Load()) {
				dead.Add(1)
				return answer(r, http.StatusUnauthorized, ""), nil
			}
			return answer(r, http.StatusOK, ""), nil
		})
		shared := tacit{&store.Memory{}}
		c := &crowd{t: t}
		for p := range 2 {
			m := shares(t, shared, fmt.Sprint("p", p))
			defer m.Close(context.Background())
			f := &fake{traits: onHost("pbx.test"), takes: 50 * time.Millisecond}
			f.traits.Account, f.traits.MaxTokens, f.traits.NewestWins = "sales", 1, true
			f.traits.Lockout.DeadTokens = pbx.DeadTokensCount
			f.login = func(context.Context) (*pbx.Token, error) {
				valid.Store(logins.Add(1))
				return f.dated(fmt.Sprint(valid.Load())), nil
			}
			s := mustAdd(t, m, "sales", &printed{fake: f, print: "sales"})
			mustToken(t, s)
			c.clients = append(c.clients, &http.Client{Transport: s.Transport(api)})
		}
		time.Sleep(time.Minute)
		valid.Store(0) // the PBX has restarted
		for range 10 {
			for i := range c.clients {
				c.get(i)
				time.Sleep(time.Minute)
			}
		}
		if logins.Load() != 2 || dead.Load() != 2 {
			t.Errorf("%d logins, %d dead tokens", logins.Load(), dead.Load())
		}
	})
}

// A login may end the token before it, and with it the request that waits for events.
func TestATokenThatItsOwnSessionReplacedShowsNothingOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Guard: &session.Guard{}})
		defer m.Close(context.Background())
		c := newCrowd(t, m, 8)
		f := &fake{traits: onHost("pbx.test"), life: 10 * time.Minute}
		f.traits.KeepAlive = pbx.KeepAliveNone
		s := mustAdd(t, m, "renewed", f)
		first := mustToken(t, s)
		time.Sleep(time.Second)
		c.api.revoke(mustToken(t, c.sessions[0]))
		c.get(0) // the other tokens may be lost too
		sent := 0
		events := over(roundTrip(func(r *http.Request) (*http.Response, error) {
			if sent++; sent > 1 {
				return answer(r, http.StatusOK, ""), nil
			}
			for mustToken(t, s).Value.Equal(first.Value) {
				time.Sleep(time.Second)
			}
			return answer(r, http.StatusUnauthorized, ""), nil
		}), s)
		events.Timeout = time.Hour
		get(t, events, "https://pbx.test/events")
		time.Sleep(time.Second)
		if n := c.logins(); n != 9 || sent != 2 {
			t.Errorf("%d logins of the others, %d requests", n, sent)
		}
	})
}
