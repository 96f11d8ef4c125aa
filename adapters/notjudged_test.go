package adapters_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
	"github.com/pbxauth/pbx/internal/thorough"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/lockout"
)

// inARow is a driver that says of its PBX that it counts five wrong logins in a row
// and forgets none.
type inARow struct{ pbx.Authenticator }

func (a inARow) Unwrap() pbx.Authenticator { return a.Authenticator }

func (a inARow) Traits() pbx.Traits {
	d, _ := pbx.As[pbx.Describer](a.Authenticator)
	traits := d.Traits()
	traits.Lockout = pbx.Lockout{Attempts: rowLocks, Window: 10 * time.Minute, Memory: pbx.Forever, DeadTokens: pbx.DeadTokensIgnored}
	return traits
}

const rowLocks = 5

// atARow runs play at a PBX that locks the address after five wrong logins in a row,
// which no success resets.
func atARow(t *testing.T, s simulators.Simulator, password string, play func(*tableSession)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := s.New(&pbxsim.Options{
			Accounts: map[string]string{tableUser: tablePassword},
			Lockout:  pbxsim.Lockout{After: rowLocks, For: 10 * time.Minute, Memory: pbxsim.Forever, Reset: pbxsim.Nothing, Weight: 1},
		})
		server := pbxsim.ListenMemory(sim)
		defer server.Close()
		auth, err := pbx.Open(s.Driver, pbx.Config{
			URL: server.URL, Username: tableUser, Password: pbx.NewSecret(password), Options: s.Options,
			Transport: server.Client().Transport,
		})
		if err != nil {
			t.Fatal(err)
		}
		ts := &tableSession{sim: sim, auth: inARow{auth}, server: server, guard: new(session.Guard)}
		ts.begin()
		defer func() { ts.Close(context.Background()) }()
		play(ts)
	})
}

// loseToken restarts the PBX, and lets the session know that its token is dead.
func (s *tableSession) loseToken(t *testing.T) {
	t.Helper()
	if !s.good() {
		t.Fatalf("no login: %v", s.Status())
	}
	s.sim.Restart()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if token, err := s.Token(ctx); err == nil {
		s.Invalidate(token)
	}
}

// booked is how many places of the budget are in use.
func (s *tableSession) booked() (n int) {
	for _, h := range s.guard.Hosts() {
		n += len(h.Bookings)
	}
	return n
}

// waitsForAPerson reports whether nothing happens at the session by itself.
func (s *tableSession) waitsForAPerson() bool {
	status := s.Status()
	return status.State == session.Rejected || status.State == session.Locked && status.Next.IsZero()
}

// looks is all that a session without a token gets to see of a PBX at which each login,
// with a wrong password, meets a fault: the kind of the error, what follows for the
// lockout, which the session leaves to [lockout.Classify], and the Traits that are not
// about tokens. The text, the code and the HTTP status are for people. What looks the
// same makes no difference to a session, however long it lasts, so that an hour of it
// is enough, and two days of it once.
func looks(t *testing.T, s simulators.Simulator, fault pbxsim.Fault) (all string) {
	t.Helper()
	atARow(t, s, tablePassword, func(ts *tableSession) {
		ts.Close(context.Background())
		ts.sim.SetPassword(tableUser, "another")
		ts.sim.Fault(fault)
		before, begun := ts.sim.Counts(), time.Now()
		_, err := ts.auth.Login(context.Background())
		after, e := ts.sim.Counts(), new(pbx.Error)
		errors.As(err, &e)
		traits := ts.auth.(inARow).Traits()
		_, requests := pbx.As[pbx.Requester](ts.auth)
		all = fmt.Sprintf("%+v, unproven %t, probed %t, requests %t: %v %+v sent %t, not judged %t, ambiguous %t, retry after %v, setting %q, cause %v; %d requests, %d logins in %v",
			traits.Lockout, traits.Unproven, traits.Probe != "", requests,
			e.Kind, lockout.Classify(err), e.Sent, e.NotJudged, e.Ambiguous, e.RetryAfter, e.Setting, e.Err,
			after.Requests-before.Requests, after.Logins-before.Logins, time.Since(begun))
		all = strings.ReplaceAll(all, ts.server.URL, "") // each server has an address of its own
	})
	return all
}

// different notes what was played for two days.
type different struct {
	mu   sync.Mutex // guards seen
	seen map[string]bool
}

// lasts is how long to play what looks like this: two days if it is new, or with
// PBX_TESTS=all, and otherwise an hour.
func (d *different) lasts(looks string, proven bool) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		d.seen = map[string]bool{}
	}
	key := fmt.Sprint(looks, proven)
	known := d.seen[key]
	d.seen[key] = true
	if known && !thorough.Tests() {
		return time.Hour
	}
	return 48 * time.Hour
}

func (d *different) log(t *testing.T) {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.Logf("%d rows look different, and last for two days", len(d.seen))
}

// TestNoErrorThatIsNoVerdictMakesAGoodSessionWaitForAPerson plays each error of a
// login that the vendor documents as something else than a wrong password, for an
// hour, and for two days each that looks different. With -v, it prints a table.
func TestNoErrorThatIsNoVerdictMakesAGoodSessionWaitForAPerson(t *testing.T) {
	rows, rest := 0, new(different)
	t.Cleanup(func() { rest.log(t) })
	for _, s := range simulators.All() {
		all, names := errorsOf(s)
		for _, name := range names {
			i := slices.IndexFunc(all, func(e documentedError) bool { return e.name == name })
			if i < 0 {
				t.Errorf("%s: no documented error %q", s.Name(), name)
				continue
			}
			rows++
			e := all[i]
			t.Run(s.Name()+", "+name, func(t *testing.T) {
				t.Parallel()
				row := tableRow{s, e, response{status: max(e.status, http.StatusOK)}}
				lengths := []time.Duration{time.Hour}
				if rest.lasts(looks(t, s, row.fault(pbxsim.Login, -1)), true) > time.Hour {
					lengths = append(lengths, 48*time.Hour)
				}
				for _, length := range lengths {
					atARow(t, s, tablePassword, func(ts *tableSession) {
						ts.loseToken(t)
						before := ts.sim.Counts().Logins
						ts.sim.Fault(row.fault(pbxsim.Login, -1))
						time.Sleep(length)
						sent, booked, waits, status := ts.sim.Counts().Logins-before, ts.booked(), ts.waitsForAPerson(), ts.Status()
						ts.sim.ClearFaults()
						most := 15*time.Second + min(length/100, 5*time.Minute)
						for _, slow := range []error{pbx.ErrConfig, pbx.ErrForbidden, pbx.ErrTooManySessions} { // not fixed in a second
							if errors.Is(status.Err, slow) {
								most = 15*time.Second + 330*time.Second
							}
						}
						time.Sleep(most)
						good := ts.good()
						person := "never"
						if waits || !good {
							person = "YES"
						}
						t.Logf("%-16s %-26s for %-8v %4d logins, %d places used, waits for a person: %s", s.Name(), name, length, sent, booked, person)
						if sent == 0 || booked != 0 || person != "never" || sent > 1200 {
							t.Errorf("during it: %v; after it: %v", status, ts.Status())
						}
					})
				}
			})
		}
	}
	if rows < 60 {
		t.Errorf("%d rows", rows)
	}
}

// TestAnErrorOfAnyCodeAddsUpToNoLockout: the PBX judges each login and counts the
// wrong ones, and its response says something else. Credentials that have never worked are not
// sent so often that it locks. Those that have worked are not either, unless the
// vendor documents that the code is no verdict: nobody could tell such a PBX from one
// that keeps its word.
func TestAnErrorOfAnyCodeAddsUpToNoLockout(t *testing.T) {
	rest := new(different)
	t.Cleanup(func() { rest.log(t) })
	for _, s := range simulators.All() {
		all, names := errorsOf(s)
		t.Run(s.Name(), func(t *testing.T) {
			t.Parallel()
			for i, e := range all {
				if i%everyRow != 0 || slices.Contains(refusesForAWhile[s.Name()], e.name) || slices.Contains(refusesForAWhile[s.Driver], e.name) {
					continue
				}
				row := tableRow{s, e, response{status: max(e.status, http.StatusOK)}}
				said := row.fault(pbxsim.Login, -1)
				lie := pbxsim.Fault{On: pbxsim.Login, Times: -1, Edit: func(r *pbxsim.Request, reply *pbxsim.Reply) {
					reply.Status, reply.Body = said.Status, slices.Clone(said.Body)
					reply.Header = said.Header.Clone()
					if said.Edit != nil {
						said.Edit(r, reply)
					}
				}}
				looks := looks(t, s, lie)
				for _, proven := range []bool{false, true} {
					if proven && slices.Contains(names, e.name) {
						continue
					}
					password := tablePassword
					if !proven {
						password = "wrong-" + tablePassword
					}
					atARow(t, s, password, func(ts *tableSession) {
						if proven {
							ts.loseToken(t)
							ts.sim.SetPassword(tableUser, "another")
						}
						ts.sim.Fault(lie)
						time.Sleep(rest.lasts(looks, proven))
						if n, locks := ts.sim.Counts().WrongLogins, ts.sim.Locks(); n == 0 && !isWithoutLogin(ts) || n >= rowLocks || len(locks) > 0 {
							t.Errorf("%s, proven %v: %d wrong logins, %d locks: %v", e.name, proven, n, len(locks), ts.Status())
						}
					})
				}
			}
		})
	}
}

// isWithoutLogin reports whether the session had nothing to send: its token lives on.
func isWithoutLogin(ts *tableSession) bool { return ts.Status().State == session.Live }

// TestAWrongPasswordThatIsRefusedByTheHTTPStatusAloneLocksNobodyOut: no vendor
// documents that, and firmware may do it. The session counts what it cannot rule out.
func TestAWrongPasswordThatIsRefusedByTheHTTPStatusAloneLocksNobodyOut(t *testing.T) {
	rest := new(different)
	t.Cleanup(func() { rest.log(t) })
	seen := map[string]bool{}
	for _, s := range simulators.All() {
		if seen[s.Driver] {
			continue
		}
		seen[s.Driver] = true
		for _, form := range []response{{status: 401}, {status: 401, challenge: true}, {status: 403}, {status: 407}} {
			t.Run(fmt.Sprintf("%s, %s", s.Name(), form), func(t *testing.T) {
				t.Parallel()
				refusal := pbxsim.Fault{On: pbxsim.Login, Times: -1, Edit: func(_ *pbxsim.Request, reply *pbxsim.Reply) {
					reply.Status, reply.Body, reply.Header = form.status, nil, http.Header{}
					if form.challenge {
						reply.Header.Set("WWW-Authenticate", `Basic realm="PBX"`)
					}
				}}
				looks := looks(t, s, refusal)
				for _, proven := range []bool{false, true} {
					password := tablePassword
					if !proven {
						password = "wrong-" + tablePassword
					}
					atARow(t, s, password, func(ts *tableSession) {
						if proven {
							ts.loseToken(t)
							ts.sim.SetPassword(tableUser, "another")
						}
						before := ts.sim.Counts().WrongLogins
						ts.sim.Fault(refusal)
						time.Sleep(rest.lasts(looks, proven))
						n := ts.sim.Counts().WrongLogins
						t.Logf("proven %v: %d wrong logins, %s", proven, n, strings.SplitN(ts.Status().String(), ",", 2)[0])
						if locks := ts.sim.Locks(); n-before >= rowLocks || n == 0 || len(locks) > 0 {
							t.Errorf("proven %v: %d wrong logins, %d locks: %v", proven, n, len(locks), ts.Status())
						}
					})
				}
			})
		}
	}
}
