package session_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/store"
	"github.com/rs/zerolog"
)

var sealKey = bytes.Repeat([]byte{7}, 32)

// share makes a Shared as one process does.
func share(t *testing.T, s store.Store, process string) *session.Shared {
	t.Helper()
	shared, err := session.NewShared(session.SharedSettings{Store: s, Keys: [][]byte{sealKey}, Process: process})
	if err != nil {
		t.Fatal(err)
	}
	return shared
}

// shares makes the Manager of one process.
func shares(t *testing.T, s store.Store, process string) *session.Manager {
	t.Helper()
	return session.NewManager(&session.Options{Store: share(t, s, process)})
}

func mustAdd(t *testing.T, m *session.Manager, name string, auth pbx.Authenticator) *session.Session {
	t.Helper()
	s, err := m.Add(name, auth)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSettingsOfASharedStoreAreChecked(t *testing.T) {
	good := session.SharedSettings{Store: &store.Memory{}, Keys: [][]byte{sealKey}}
	for name, row := range map[string]struct {
		change func(*session.SharedSettings)
		want   string
	}{
		"no store":           {func(s *session.SharedSettings) { s.Store = nil }, "Store is nil"},
		"no key":             {func(s *session.SharedSettings) { s.Keys = nil }, "no key"},
		"a short key":        {func(s *session.SharedSettings) { s.Keys = [][]byte{sealKey[1:]} }, "31 bytes"},
		"the same key twice": {func(s *session.SharedSettings) { s.Keys = [][]byte{sealKey, sealKey} }, "the same"},
		"no random key":      {func(s *session.SharedSettings) { s.Keys = [][]byte{make([]byte, 32)} }, "all zeros"},
		"the store's key":    {func(s *session.SharedSettings) { s.Keys = [][]byte{s.Store.(*store.Memory).Key()} }, "Keys has the Key of the Store"},
		"a prefix":           {func(s *session.SharedSettings) { s.Prefix = "CRM/1" }, `Prefix "CRM/1"`},
		"an egress":          {func(s *session.SharedSettings) { s.Egress = "north east" }, `Egress "north east"`},
		"a process":          {func(s *session.SharedSettings) { s.Process = "Büro" }, "Process"},
		"a timeout":          {func(s *session.SharedSettings) { s.Timeout = -1 }, "Timeout"},
	} {
		settings := good
		row.change(&settings)
		_, err := session.NewShared(settings)
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), string(sealKey)) {
			t.Errorf("%s: the error shows a key", name)
		}
	}
	shared, err := session.NewShared(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range map[string]*session.Options{
		"Options.Guard and Options.Store": {Store: shared, Guard: &session.Guard{}},
		"must be below Options.Timeout":   {Store: shared, Timeout: time.Second},
		"Timeout, Workers":                {Timeout: -1},
		"PerHost and LoginRate":           {PerHost: -1},
		"cannot be negative":              {Workers: -1},
		"leave out what":                  {LoginRate: -1},
	} {
		m := session.NewManager(opts)
		if _, err := m.Add("7", &fake{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: Add returns %v", name, err)
		}
		m.Close(t.Context())
	}
	if said := panics(func() { session.New(&fake{}, &session.Options{Store: shared}) }); !strings.Contains(said, "needs a name") {
		t.Errorf("New says %q", said)
	}
	if said := panics(func() { session.New(&fake{}, &session.Options{Timeout: -1}) }); !strings.Contains(said, "cannot be negative") {
		t.Errorf("New says %q", said)
	}
}

func panics(f func()) (said string) {
	defer func() {
		if v := recover(); v != nil {
			said = fmt.Sprint(v)
		}
	}()
	f()
	return ""
}

// one is a PBX with one account that several drivers share.
func newShared(n int, life time.Duration) (pbxs *fake, drivers []pbx.Authenticator) {
	f := &fake{life: life, traits: onHost("pbx.test")}
	f.traits.Account = "sales"
	for range n {
		drivers = append(drivers, &printed{fake: f, print: "sales:right"})
	}
	return f, drivers
}

// printed is a driver of its own process, with credentials of its own.
type printed struct {
	*fake
	print string
	wrong bool
}

func (p *printed) Fingerprint(context.Context, []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return []byte(p.print), nil
}

func (p *printed) Login(ctx context.Context) (*pbx.Token, error) {
	p.mu.Lock()
	wrong := p.wrong
	p.mu.Unlock()
	if wrong {
		defer p.enter(&p.logins)()
		return nil, told(pbx.OpLogin, pbx.ErrInvalidCredentials, true)
	}
	return p.fake.Login(ctx)
}

func TestProcessesShareOneLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		f, drivers := newShared(4, 30*time.Minute)
		f.takes = time.Second
		var sessions []*session.Session
		var managers []*session.Manager
		for i, d := range drivers {
			m := shares(t, memory, fmt.Sprint("crm-", i))
			managers = append(managers, m)
			sessions = append(sessions, mustAdd(t, m, "7", d))
		}
		time.Sleep(10 * time.Second)
		first := mustToken(t, sessions[0])
		for _, s := range sessions {
			if got := mustToken(t, s); !got.Value.Equal(first.Value) {
				t.Errorf("another token")
			}
		}
		wantCounts(t, f, 1, 0, 0)
		time.Sleep(48 * time.Hour)
		_, beats, _ := f.counts()
		perHour := float64(beats) / 48
		t.Logf("4 processes send %.2f keep-alives per hour", perHour)
		if perHour < 3 || perHour > 3.3 {
			t.Errorf("4 processes send %.2f keep-alives per hour", perHour)
		}
		for _, m := range managers {
			if err := m.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		wantCounts(t, f, 1, beats, 0) // the token is left to the next start
		again := shares(t, memory, "crm-9")
		defer again.Close(context.Background())
		s := mustAdd(t, again, "7", drivers[0])
		if got := mustToken(t, s); !got.Value.Equal(first.Value) {
			t.Errorf("a restart logged in")
		}
		wantCounts(t, f, 1, beats, 0)
	})
}

func TestARefusedTokenIsReplacedOnceInAllProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		f, drivers := newShared(4, time.Hour)
		f.takes = 500 * time.Millisecond
		var sessions []*session.Session
		for i, d := range drivers {
			m := shares(t, memory, fmt.Sprint("crm-", i))
			defer m.Close(context.Background())
			sessions = append(sessions, mustAdd(t, m, "7", d))
		}
		time.Sleep(10 * time.Second)
		for _, s := range sessions {
			token := mustToken(t, s)
			for range 10 {
				go s.Invalidate(token)
			}
		}
		time.Sleep(10 * time.Second)
		wantCounts(t, f, 2, 0, 0)
		want := mustToken(t, sessions[0]).Value
		for _, s := range sessions {
			if !mustToken(t, s).Value.Equal(want) {
				t.Errorf("the processes have different tokens")
			}
		}
	})
}

// A heartbeat of another process extends the token. It is the same token.
func TestARefusedTokenIsNotTakenFromTheStoreAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := struct{ store.Store }{&store.Memory{}} // without notices
		f, drivers := newShared(2, 30*time.Minute)
		var sessions []*session.Session
		for i, d := range drivers {
			m := shares(t, memory, fmt.Sprint("crm-", i))
			defer m.Close(context.Background())
			sessions = append(sessions, mustAdd(t, m, "7", d))
		}
		time.Sleep(time.Second)
		for _, beats, _ := f.counts(); beats == 0; _, beats, _ = f.counts() {
			time.Sleep(time.Second)
		}
		extended, other := sessions[0], sessions[1]
		if mustToken(t, extended).IssuedAt.Before(mustToken(t, other).IssuedAt) {
			extended, other = other, extended
		}
		refused := mustToken(t, other)
		other.Invalidate(refused)
		if mustToken(t, other).Value.Equal(refused.Value) {
			t.Error("the token that the PBX refused is in use again")
		}
		wantCounts(t, f, 2, 1, 0)
		extended.Invalidate(mustToken(t, extended))
		if !mustToken(t, extended).Value.Equal(mustToken(t, other).Value) {
			t.Error("the processes have different tokens")
		}
		wantCounts(t, f, 2, 1, 0)
	})
}

func TestAStatusNamesTheProcessThatBroughtTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		f, drivers := newShared(2, 30*time.Minute)
		f.takes = 50 * time.Millisecond // or there may be a token before the first look
		one, two := shares(t, memory, "one"), shares(t, memory, "two")
		defer two.Close(context.Background())
		first := mustAdd(t, one, "7", drivers[0])
		if got := first.Status().Process; got != "" {
			t.Errorf("before there is a token: %q", got)
		}
		mustToken(t, first)
		second := mustAdd(t, two, "7", drivers[1])
		mustToken(t, second)
		for _, s := range []*session.Session{first, second} {
			status := s.Status()
			if !strings.HasPrefix(status.Process, "one-") || !strings.Contains(status.String(), ", token from process one-") || !strings.Contains(status.LogValue().String(), "process=one-") {
				t.Errorf("%q: %s", status.Process, status)
			}
		}
		if err := one.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := first.Status().Process; got != "" {
			t.Errorf("after the end: %q", got)
		}
		time.Sleep(time.Hour)
		mustToken(t, second)
		if got := second.Status().Process; !strings.HasPrefix(got, "two-") {
			t.Errorf("after a keep-alive of the other process: %q", got)
		}
	})
}

func TestRemoveEndsTheSessionInAllProcesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		f, drivers := newShared(2, 30*time.Minute)
		one, two := shares(t, memory, "one"), shares(t, memory, "two")
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		mustToken(t, mustAdd(t, one, "7", drivers[0]))
		other := mustAdd(t, two, "7", drivers[1])
		mustToken(t, other)
		if err := one.Remove(t.Context(), "7"); err != nil {
			t.Fatal(err)
		}
		wantCounts(t, f, 1, 0, 1)
		time.Sleep(time.Hour)
		if _, err := other.Token(t.Context()); !errors.Is(err, session.ErrClosed) {
			t.Errorf("the other process: %v", err)
		}
		wantCounts(t, f, 1, 0, 1)
		s := mustAdd(t, one, "7", drivers[0]) // it is added anew
		mustToken(t, s)
		wantCounts(t, f, 2, 0, 1)
	})
}

func TestAProcessWithAStalePasswordServesTheGoodToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		f, drivers := newShared(2, time.Hour)
		stale := drivers[0].(*printed)
		stale.print, stale.wrong = "sales:old", true
		one, two := shares(t, memory, "one"), shares(t, memory, "two")
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		s := mustAdd(t, one, "7", stale)
		time.Sleep(time.Minute)
		wantState(t, s, session.Rejected)
		mustToken(t, mustAdd(t, two, "7", drivers[1]))
		time.Sleep(2 * time.Minute)
		mustToken(t, s)
		wantCounts(t, f, 2, 0, 0)
	})
}

// A keep-alive brings the news that the token is dead. Why no login follows is news too.
func TestASessionWhoseTokenIsDeadSaysThatTheStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		guard, err := session.NewGuard(faults.Process("one"))
		if err != nil {
			t.Fatal(err)
		}
		f, drivers := newShared(1, time.Hour)
		f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
			return nil, told(pbx.OpKeepAlive, pbx.ErrTokenRejected, true)
		}
		m := session.NewManager(&session.Options{Guard: guard})
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		mustToken(t, s)
		faults.Cut("one")
		time.Sleep(time.Hour)
		wantState(t, s, session.Unavailable)
		if err := s.Status().Err; err == nil || !strings.Contains(err.Error(), "because the store does not respond") {
			t.Errorf("the session says: %v", err)
		}
	})
}

// The store is away from the login that the PBX refuses, or from a minute later. A
// session without a store of tokens, and one without fingerprints, ask it as well.
func TestARejectedSessionStaysSoWhileTheStoreIsAway(t *testing.T) {
	for _, atOnce := range []bool{false, true} {
		for _, prints := range []bool{false, true} {
			for _, tokens := range []bool{false, true} {
				t.Run(fmt.Sprintf("at once: %v, fingerprints: %v, tokens: %v", atOnce, prints, tokens), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						faults := (&store.Memory{}).Faults()
						options := &session.Options{}
						if tokens {
							options.Store = share(t, faults.Process("one"), "one")
						} else {
							guard, err := session.NewGuard(faults.Process("one"))
							if err != nil {
								t.Fatal(err)
							}
							options.Guard = guard
						}
						m := session.NewManager(options)
						defer m.Close(context.Background())
						f, drivers := newShared(1, 10*time.Hour)
						f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
							return nil, told(pbx.OpKeepAlive, pbx.ErrNotSupported, false)
						}
						if !prints {
							drivers[0] = f
						}
						s := mustAdd(t, m, "7", drivers[0])
						token := mustToken(t, s)
						f.set(func() {
							f.login = func(context.Context) (*pbx.Token, error) {
								if atOnce {
									faults.Cut("one")
								}
								return nil, told(pbx.OpLogin, pbx.ErrInvalidCredentials, true)
							}
						})
						for logins := 1; logins < 2; logins, _, _ = f.counts() {
							time.Sleep(time.Minute)
						}
						time.Sleep(time.Minute)
						faults.Cut("one")
						before := s.Status()
						for range 100 {
							wantState(t, s, session.Rejected)
							time.Sleep(time.Second)
						}
						if mustToken(t, s) != token {
							t.Error("the token is not handed out until it expires")
						}
						time.Sleep(10 * time.Hour)
						if s := s.Status(); s.State != session.Rejected || !s.Since.Equal(before.Since) || s.Err != before.Err {
							t.Errorf("status is %v, and was %v", s, before)
						}
						faults.Rejoin("one")
						time.Sleep(time.Hour)
						wantState(t, s, session.Rejected)
						wantCounts(t, f, 2, 1, 0)
					})
				})
			}
		}
	}
}

func TestWhileTheStoreIsAwayNothingLogsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		faults := memory.Faults()
		f, drivers := newShared(2, 30*time.Minute)
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		mustToken(t, s)
		faults.Cut("one")
		time.Sleep(2 * time.Hour) // heartbeats go on
		mustToken(t, s)
		_, beats, _ := f.counts()
		if beats < 4 {
			t.Errorf("%d keep-alives in two hours", beats)
		}
		s.Invalidate(mustToken(t, s))
		time.Sleep(time.Hour)
		if logins, _, _ := f.counts(); logins != 1 {
			t.Fatalf("%d logins while the store is away", logins)
		}
		_, err := s.Token(t.Context())
		if !errors.Is(err, pbx.ErrUnavailable) || !strings.Contains(err.Error(), "the store") {
			t.Errorf("error is %v", err)
		}
		faults.Rejoin("one")
		time.Sleep(12 * time.Second)
		if s.Status().State != session.Live {
			t.Errorf("12 s after the store is back: %v", s.Status())
		}
	})
}

// A store that was away says nothing about the PBX, which is therefore not
// checked, and whose first failure is followed by the shortest pause.
func TestWhileTheStoreIsAwayThePBXIsNotInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		f, drivers := newShared(2, 30*time.Minute)
		f.traits.KeepAlive = pbx.KeepAliveRefresh
		one := shares(t, faults.Process("one"), "one")
		mustToken(t, mustAdd(t, one, "7", drivers[0]))
		two := shares(t, faults.Process("two"), "two")
		defer two.Close(context.Background())
		s := mustAdd(t, two, "7", drivers[1])
		mustToken(t, s)
		if err := one.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		faults.Cut("two") // only the process that brought a token refreshes it then
		time.Sleep(25 * time.Minute)
		if got := s.Status(); got.State != session.Renewing || !strings.Contains(got.Err.Error(), "the store") {
			t.Fatalf("without the store: %v", got)
		}
		var failed []time.Time
		f.set(func() {
			f.beat = func(context.Context, *pbx.Token) (*pbx.Token, error) {
				failed = append(failed, time.Now())
				if len(failed) == 1 {
					return nil, told(pbx.OpKeepAlive, pbx.ErrUnavailable, true)
				}
				return f.dated("renewed"), nil
			}
		})
		faults.Rejoin("two")
		time.Sleep(15 * time.Second)
		if got := s.Status(); got.State != session.Live {
			t.Errorf("15 s after the store is back: %v", got)
		}
		if len(failed) != 2 || failed[1].Sub(failed[0]) > 2*time.Second {
			t.Errorf("renewals at %v", failed)
		}
		if f.checks > 1 { // one follows the failure
			t.Errorf("%d checks of the PBX", f.checks)
		}
	})
}

func TestALiveTokenCostsNoOperationOfTheStoreAlsoWhileItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		_, drivers := newShared(1, 30*time.Minute)
		m := shares(t, memory.Faults().Process("one"), "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		mustToken(t, s)
		for _, stopped := range []bool{false, true} {
			if stopped {
				memory.Faults().Cut("one")
			}
			time.Sleep(time.Minute)
			before, ctx := m.Stats().Store, t.Context()
			allocs := testing.AllocsPerRun(1000, func() {
				if _, err := s.Token(ctx); err != nil {
					t.Fatal(err)
				}
			})
			if after := m.Stats().Store; allocs != 0 || after != before {
				t.Errorf("stopped: %v: %.0f allocations, %+v before and %+v after", stopped, allocs, before, after)
			}
		}
	})
}

// hanging is a store that does not respond.
type hanging struct{ store.Store }

func (hanging) Load(ctx context.Context, _ string) (store.Entry, error) {
	<-ctx.Done()
	return store.Entry{}, ctx.Err()
}

func TestRemoveObeysItsContextWhileTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, drivers := newShared(1, 30*time.Minute)
		m := shares(t, hanging{&store.Memory{}}, "one")
		defer m.Close(context.Background())
		mustAdd(t, m, "7", drivers[0])
		time.Sleep(time.Second) // its first look at the store hangs
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := m.Remove(ctx, "7")
		if took := time.Since(start); err == nil || took > 100*time.Millisecond {
			t.Errorf("Remove returned %v after %v", err, took)
		}
	})
}

func TestARemoveThatTheStoreMissedSaysSoAndCanBeRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		_, drivers := newShared(2, 30*time.Minute)
		one, two := shares(t, memory.Faults().Process("one"), "one"), shares(t, memory.Faults().Process("two"), "two")
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		mustToken(t, mustAdd(t, one, "7", drivers[0]))
		other := mustAdd(t, two, "7", drivers[1])
		mustToken(t, other)
		memory.Faults().Cut("one")
		time.Sleep(time.Minute)
		err := one.Remove(t.Context(), "7")
		if err == nil || !strings.Contains(err.Error(), `session: "7" may go on in other processes and after a restart, because it is not removed from the store: `) {
			t.Errorf("Remove returned %v", err)
		}
		memory.Faults().Rejoin("one")
		time.Sleep(time.Minute)
		if other.Status().State == session.Closed {
			t.Fatal("the other process knows")
		}
		mustToken(t, mustAdd(t, one, "7", drivers[0]))
		if err := one.Remove(t.Context(), "7"); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		wantState(t, other, session.Closed)
	})
}

func TestACellThatCannotBeReadIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		f, drivers := newShared(2, 30*time.Minute)
		m := shares(t, memory, "one")
		mustToken(t, mustAdd(t, m, "7", drivers[0]))
		m.Close(t.Context())
		other, err := session.NewShared(session.SharedSettings{Store: memory, Keys: [][]byte{bytes.Repeat([]byte{8}, 32)}})
		if err != nil {
			t.Fatal(err)
		}
		m = session.NewManager(&session.Options{Store: other})
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[1])
		time.Sleep(time.Hour)
		_, err = s.Token(t.Context())
		if !errors.Is(err, pbx.ErrUnavailable) || !strings.Contains(err.Error(), "which this process does not have") || strings.Contains(err.Error(), "does not respond") {
			t.Errorf("error is %v", err)
		}
		wantCounts(t, f, 1, 0, 0)
	})
}

func TestAKeyIsReplacedWithoutALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		old, fresh := sealKey, bytes.Repeat([]byte{8}, 32)
		f, drivers := newShared(1, 30*time.Minute)
		for _, keys := range [][][]byte{{old}, {old, fresh}, {fresh, old}, {fresh}} {
			shared, err := session.NewShared(session.SharedSettings{Store: memory, Keys: keys})
			if err != nil {
				t.Fatal(err)
			}
			m := session.NewManager(&session.Options{Store: shared})
			mustToken(t, mustAdd(t, m, "7", drivers[0]))
			time.Sleep(time.Hour) // it is renewed with the first key
			m.Close(t.Context())
		}
		if logins, _, _ := f.counts(); logins != 1 {
			t.Errorf("%d logins", logins)
		}
	})
}

func TestOneNameAtTwoPBXsIsTwoSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		one, two := shares(t, memory, "one"), shares(t, memory, "two")
		defer one.Close(context.Background())
		defer two.Close(context.Background())
		here := &fake{life: time.Hour, traits: onHost("here.test")}
		there := &fake{life: time.Hour, traits: onHost("there.test")}
		mustToken(t, mustAdd(t, one, "7", here))
		mustToken(t, mustAdd(t, two, "7", there))
		wantCounts(t, here, 1, 0, 0)
		wantCounts(t, there, 1, 0, 0)
	})
}

func TestARenewalCostsTwoSwaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		faults := memory.Faults()
		f, drivers := newShared(1, 30*time.Minute)
		f.takes = 100 * time.Millisecond // longer than a notice
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		s := mustAdd(t, m, "7", drivers[0])
		mustToken(t, s)
		time.Sleep(2 * time.Second) // the store's first notice leads to a look
		var loads, swaps atomic.Int32
		faults.Intercept(func(op store.Op) store.Fault {
			if op.Swap {
				swaps.Add(1)
			} else {
				loads.Add(1)
			}
			return store.Fault{}
		})
		time.Sleep(10 * time.Hour)
		_, beats, _ := f.counts()
		if beats < 20 || int(swaps.Load()) != 2*beats || loads.Load() != 0 {
			t.Errorf("%d keep-alives, %d swaps, %d loads", beats, swaps.Load(), loads.Load())
		}
		before := swaps.Load()
		mustToken(t, s)
		if swaps.Load() != before || loads.Load() != 0 {
			t.Errorf("Token uses the store")
		}
	})
}

func TestSixteenProcessesSendOneWrongPasswordOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		f, drivers := newShared(16, time.Hour)
		f.takes = time.Second
		for i, d := range drivers {
			d.(*printed).wrong = true
			m := shares(t, memory, fmt.Sprint("crm-", i))
			defer m.Close(context.Background())
			mustAdd(t, m, "7", d)
		}
		time.Sleep(aDay())
		wantCounts(t, f, 1, 0, 0)
	})
}

func TestFourProcessesLogFiftyAccountsInOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		var pbxs []*fake
		var drivers [][]pbx.Authenticator
		for i := range 50 {
			f, four := newShared(4, time.Hour)
			f.traits.URL, f.traits.Account = fmt.Sprintf("https://pbx%d.test", i/10), fmt.Sprint("user-", i)
			pbxs, drivers = append(pbxs, f), append(drivers, four)
		}
		for round := range 2 { // the second is after a restart of all
			var managers []*session.Manager
			var sessions []*session.Session
			for p := range 4 {
				m := shares(t, memory, fmt.Sprintf("crm-%d-%d", round, p))
				managers = append(managers, m)
				for i := range pbxs {
					sessions = append(sessions, mustAdd(t, m, fmt.Sprint("customer-", i), drivers[i][p]))
				}
			}
			time.Sleep(time.Minute)
			for _, s := range sessions {
				mustToken(t, s)
			}
			for i, f := range pbxs {
				if logins, _, _ := f.counts(); logins != 1 {
					t.Errorf("account %d: %d logins", i, logins)
				}
			}
			for _, m := range managers {
				m.Close(t.Context())
			}
		}
	})
}

// distant is a store whose operations take some time.
type distant struct{ *store.Memory }

func (d distant) Load(ctx context.Context, key string) (store.Entry, error) {
	time.Sleep(3 * time.Millisecond)
	return d.Memory.Load(ctx, key)
}

func (d distant) Swap(ctx context.Context, key string, rev uint64, value []byte, keep time.Duration) (store.Entry, bool, error) {
	time.Sleep(3 * time.Millisecond)
	return d.Memory.Swap(ctx, key, rev, value, keep)
}

func TestADeadTokenMakesOthersSuspectThoughTheStoreTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := session.NewManager(&session.Options{Store: share(t, distant{&store.Memory{}}, "one")})
		defer m.Close(context.Background())
		var sessions []*session.Session
		var old []*pbx.Token
		for _, name := range []string{"sales", "support"} {
			f := &fake{traits: onHost("pbx.test")}
			f.traits.Account, f.traits.Lockout.DeadTokens = name, pbx.DeadTokensCount
			s := mustAdd(t, m, name, &printed{fake: f, print: name + ":right"})
			sessions, old = append(sessions, s), append(old, mustToken(t, s))
		}
		time.Sleep(time.Minute)
		sessions[0].Invalidate(old[0])
		time.Sleep(time.Minute)
		for i, s := range sessions {
			if mustToken(t, s).Value.Equal(old[i].Value) {
				t.Errorf("%s has its old token", s.Name())
			}
		}
	})
}

func TestTheLogSaysThatAKeyIsMissingAndDoesNotBlameTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cells store.Memory
		first := shares(t, &cells, "crm-1")
		defer first.Close(context.Background())
		mustToken(t, mustAdd(t, first, "pbx", &fake{life: time.Hour, traits: onHost("pbx.test")}))

		var log bytes.Buffer
		shared, err := session.NewShared(session.SharedSettings{Store: &cells, Keys: [][]byte{bytes.Repeat([]byte{8}, 32)}})
		if err != nil {
			t.Fatal(err)
		}
		second := session.NewManager(&session.Options{Store: shared, Logger: zerolog.New(&log)})
		s := mustAdd(t, second, "pbx", &fake{life: time.Hour, traits: onHost("pbx.test")})
		_, err = s.Token(t.Context())
		if err == nil || !strings.Contains(err.Error(), "add it to Keys") {
			t.Errorf("the error is %v", err)
		}
		second.Close(t.Context())
		if got := log.String(); !strings.Contains(got, `"reason":"the token in the store cannot be read"`) {
			t.Error(got)
		}
	})
}

// What is known of credentials has to outlast a change of Keys: else refused passwords
// are sent again, and good accounts count as new ones, for which there is no place.
func TestAChangeOfKeysForgetsNeitherRefusedNorProvenCredentials(t *testing.T) {
	old, fresh := sealKey, bytes.Repeat([]byte{8}, 32)
	for name, s := range map[string]store.Store{"with a key": &store.Memory{}, "without a key": tacit{&store.Memory{}}} {
		synctest.Test(t, func(t *testing.T) {
			good, drivers := newShared(1, 30*time.Minute)
			good.traits.KeepAlive = pbx.KeepAliveNone
			var pbxs []*fake
			var wrong []pbx.Authenticator
			for _, account := range []string{"night", "day"} {
				f, d := newWrong(account)
				pbxs, wrong = append(pbxs, f), append(wrong, digesting{d.(*printed)})
			}
			process := func(keys [][]byte) {
				m := keyed(t, s, keys...)
				defer m.Close(context.Background())
				works := mustAdd(t, m, "sales", digesting{drivers[0].(*printed)})
				for i, d := range wrong {
					mustAdd(t, m, fmt.Sprint("wrong-", i), d)
				}
				time.Sleep(2 * time.Hour)
				wantState(t, works, session.Live)
			}
			process([][]byte{old})
			process([][]byte{old, fresh})
			process([][]byte{fresh, old})
			process([][]byte{fresh})
			for i, f := range pbxs {
				if logins, _, _ := f.counts(); logins != 1 {
					t.Errorf("a store %s: wrong password %d is sent %d times", name, i, logins)
				}
			}
		})
	}
}

// keyed makes the Manager of a process with these Keys.
func keyed(t *testing.T, s store.Store, keys ...[]byte) *session.Manager {
	t.Helper()
	shared, err := session.NewShared(session.SharedSettings{Store: s, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return session.NewManager(&session.Options{Store: shared})
}

// The keys were changed once, and the store loses everything. A process that starts has
// the fingerprints of those that run.
func TestTheKeyOfFingerprintsIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, fresh := sealKey, bytes.Repeat([]byte{8}, 32)
		faults := (&store.Memory{}).Faults()
		s := tacit{faults.Process("all")}
		f, d := newWrong("night")
		for _, keys := range [][][]byte{{old}, {fresh, old}, {fresh}} {
			m := keyed(t, s, keys...)
			defer m.Close(context.Background())
			mustAdd(t, m, "7", digesting{d.(*printed)})
			time.Sleep(5 * time.Minute)
			faults.ForgetAll()
			time.Sleep(5 * time.Minute)
		}
		wantCounts(t, f, 1, 0, 0)
	})
}

// A login's response may be larger than a cell of the store.
func TestATokenWhoseDetailsCannotBeStoredIsShared(t *testing.T) {
	for name, details := range map[string]string{
		"large":   fmt.Sprintf(`{"acl":%q}`, strings.Repeat("x", store.MaxValue)),
		"no JSON": "<html>",
	} {
		synctest.Test(t, func(t *testing.T) {
			memory := &store.Memory{}
			f, drivers := newShared(3, 30*time.Minute)
			f.login = func(context.Context) (*pbx.Token, error) {
				token := f.token()
				token.Details = []byte(details)
				return token, nil
			}
			p := &pair{}
			for i, d := range drivers {
				m := shares(t, memory, fmt.Sprint(i))
				defer m.Close(context.Background())
				p.sessions = append(p.sessions, mustAdd(t, m, "7", d))
				mustToken(t, p.sessions[i])
			}
			p.wantOneToken(t, "token-1")
			if got := string(p.sessions[0].Status().Details); got != details {
				t.Errorf("%s: the process that logged in has details of %d bytes, want %d", name, len(got), len(details))
			}
			wantCounts(t, f, 1, 0, 0)
		})
	}
}

// The store says so itself, as store.Files does of a damaged file.
func TestACellThatTheStoreCannotReadIsNotAStoreThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		faults.Intercept(func(op store.Op) store.Fault {
			if strings.HasPrefix(op.Key, "s/") {
				return store.Fault{Before: fmt.Errorf("%w: delete FILE to begin anew", store.ErrUnreadable)}
			}
			return store.Fault{}
		})
		_, drivers := newShared(1, time.Hour)
		m := shares(t, faults.Process("one"), "one")
		defer m.Close(context.Background())
		_, err := mustAdd(t, m, "7", drivers[0]).Token(t.Context())
		if err == nil || strings.Contains(err.Error(), "does not respond") || !strings.Contains(err.Error(), "delete FILE") {
			t.Error(err)
		}
	})
}

// UIS states when a token expires, if need be in the year 5138.
func TestATokenThatIsValidForCenturiesIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &store.Memory{}
		f, drivers := newShared(2, 0)
		f.login = func(context.Context) (*pbx.Token, error) {
			token := f.token()
			token.ExpiresAt = time.Date(5138, 11, 16, 0, 0, 0, 0, time.UTC)
			return token, nil
		}
		for i, d := range drivers {
			m := shares(t, memory, fmt.Sprint(i))
			mustToken(t, mustAdd(t, m, "7", d))
			m.Close(t.Context())
			time.Sleep(2 * time.Hour)
		}
		wantCounts(t, f, 1, 0, 0)
	})
}

func TestPrintingWhatHoldsAKeyShowsNoKey(t *testing.T) {
	memory := &store.Memory{}
	guard, err := session.NewGuard(memory)
	if err != nil {
		t.Fatal(err)
	}
	settings := session.SharedSettings{Store: memory, Keys: [][]byte{sealKey}}
	shared := share(t, memory, "one")
	for name, v := range map[string]any{"a Guard": guard, "that of a Shared": shared.Guard(), "options with a Guard": session.Options{Guard: guard},
		"a Shared": shared, "options": session.Options{Store: shared}, "settings": settings, "a pointer to settings": &settings, "a store": memory} {
		said, _ := json.Marshal(v)
		all := string(said)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			all += fmt.Sprintf(verb, v)
		}
		for _, key := range [][]byte{sealKey, memory.Key()} {
			for _, text := range []string{strings.Trim(fmt.Sprint(key), "[]"), fmt.Sprintf("%x", key), fmt.Sprintf("%X", key), string(key), base64.StdEncoding.EncodeToString(key)} {
				if strings.Contains(all, text) {
					t.Errorf("%s shows a key: %s", name, all)
				}
			}
		}
	}
}

func TestTheKeyOfFingerprintsIsReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		faults := (&store.Memory{}).Faults()
		var reads atomic.Int32
		faults.Intercept(func(op store.Op) store.Fault {
			if strings.HasPrefix(op.Key, "k/") && !op.Swap {
				reads.Add(1)
			}
			return store.Fault{}
		})
		m := keyed(t, tacit{faults.Process("one")}, sealKey)
		defer m.Close(context.Background())
		for i := range 20 {
			f, drivers := newShared(1, time.Hour)
			f.traits.URL = fmt.Sprintf("https://pbx-%d.test", i)
			mustToken(t, mustAdd(t, m, fmt.Sprint(i), digesting{drivers[0].(*printed)}))
		}
		if n := reads.Load(); n != 1 {
			t.Errorf("it is read %d times for 20 new hosts", n)
		}
	})
}
