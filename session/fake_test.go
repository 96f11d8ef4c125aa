package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session"
)

// fake is a driver whose PBX is a few lines of this struct: what it does is set
// by a test, and what was asked of it is counted.
type fake struct {
	mu       sync.Mutex
	traits   pbx.Traits
	life     time.Duration // of a token; 0: without an end
	serial   int
	logins   int
	beats    int
	logouts  int
	takes    time.Duration // a call's time
	checks   int           // requests without credentials
	down     bool          // they get no response
	login    func(ctx context.Context) (*pbx.Token, error)
	beat     func(ctx context.Context, t *pbx.Token) (*pbx.Token, error)
	logout   func(ctx context.Context, t *pbx.Token) error
	flying   int
	together int // the most calls at one time
}

func (f *fake) enter(count *int) func() {
	f.mu.Lock()
	*count++
	f.flying++
	f.together = max(f.together, f.flying)
	takes := f.takes
	f.mu.Unlock()
	time.Sleep(takes)
	return func() {
		f.mu.Lock()
		f.flying--
		f.mu.Unlock()
	}
}

func (f *fake) Login(ctx context.Context) (*pbx.Token, error) {
	defer f.enter(&f.logins)()
	f.mu.Lock()
	login := f.login
	f.mu.Unlock()
	if login != nil {
		return login(ctx)
	}
	return f.token(), nil
}

// token issues a new one.
func (f *fake) token() *pbx.Token {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.serial++
	return f.dated(fmt.Sprintf("token-%d", f.serial))
}

func (f *fake) dated(value string) *pbx.Token {
	t := &pbx.Token{Value: pbx.NewSecret(value), IssuedAt: time.Now()}
	if f.life > 0 {
		t.ExpiresAt = t.IssuedAt.Add(f.life)
	}
	return t
}

func (f *fake) KeepAlive(ctx context.Context, t *pbx.Token) (*pbx.Token, error) {
	defer f.enter(&f.beats)()
	f.mu.Lock()
	beat := f.beat
	f.mu.Unlock()
	if beat != nil {
		return beat(ctx, t)
	}
	return f.dated(t.Value.Reveal()), nil
}

func (f *fake) Logout(ctx context.Context, t *pbx.Token) error {
	defer f.enter(&f.logouts)()
	f.mu.Lock()
	logout := f.logout
	f.mu.Unlock()
	if logout != nil {
		return logout(ctx, t)
	}
	return nil
}

func (f *fake) Authorize(r *http.Request, t *pbx.Token) error {
	r.Header.Set("Authorization", "Bearer "+t.Value.Reveal())
	return nil
}

func (f *fake) Inspect(r *http.Response, _ []byte, _ *pbx.Token) error {
	if r.StatusCode == http.StatusUnauthorized {
		return told(pbx.OpRequest, pbx.ErrTokenRejected, true)
	}
	return nil
}

// Transport serves the checks without credentials: the fake's PBX is up unless a
// test says otherwise.
func (f *fake) Transport() http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		f.mu.Lock()
		f.checks++
		down := f.down
		f.mu.Unlock()
		if down {
			return nil, errors.New("connection refused")
		}
		return answer(r, http.StatusNotFound, ""), nil
	})
}

func (f *fake) Traits() pbx.Traits { return f.traits }

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) counts() (logins, beats, logouts int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logins, f.beats, f.logouts
}

func fails(kind error, sent bool) func(context.Context) (*pbx.Token, error) {
	return func(context.Context) (*pbx.Token, error) {
		return nil, &pbx.Error{Driver: "fake", Op: pbx.OpLogin, Kind: kind, Sent: sent, Message: "as told"}
	}
}

func mustToken(t *testing.T, s *session.Session) *pbx.Token {
	t.Helper()
	token, err := s.Token(t.Context())
	if err != nil {
		t.Fatalf("Token: %v", err)
	}
	return token
}

func wantState(t *testing.T, s *session.Session, want session.State) {
	t.Helper()
	if got := s.Status(); got.State != want {
		t.Fatalf("state is %s (%v), want %s", got.State, got.Err, want)
	}
}

func wantCounts(t *testing.T, f *fake, logins, beats, logouts int) {
	t.Helper()
	if l, b, o := f.counts(); l != logins || b != beats || o != logouts {
		t.Fatalf("%d logins, %d keep-alives, %d logouts; want %d, %d, %d", l, b, o, logins, beats, logouts)
	}
}

func wantKind(t *testing.T, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v is not of kind %v", err, kind)
	}
}

// during runs a test under virtual time, with a session over auth that is
// closed at its end.
func during(t *testing.T, auth pbx.Authenticator, test func(t *testing.T, s *session.Session)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := session.New(auth, &session.Options{Guard: &session.Guard{}})
		defer s.Close(context.Background())
		test(t, s)
	})
}

// keeping sets what the keep-alive does, and returns f.
func (f *fake) keeping(beat func(ctx context.Context, t *pbx.Token) (*pbx.Token, error)) *fake {
	f.set(func() { f.beat = beat })
	return f
}

// looking is a fake whose credentials a test watches.
type looking struct {
	*fake
	asked atomic.Int32
	looks atomic.Int32                                     // after the first login
	look  func(ctx context.Context, n int32) (bool, error) // the nth: whether they have changed
}

func (l *looking) Fingerprint(ctx context.Context, _ []byte) ([]byte, error) {
	if l.asked.Add(1) == 1 {
		return []byte("first"), nil
	}
	return fingerprint(l.look(ctx, l.looks.Add(1)))
}

// slowVault is a fake that can ask for its credentials once. After that a look
// at them takes until its context ends.
func slowVault(f *fake) *looking {
	return &looking{fake: f, look: func(ctx context.Context, _ int32) (bool, error) {
		<-ctx.Done()
		return false, ctx.Err()
	}}
}

// fingerprint is that of the first credentials, or of others.
func fingerprint(changed bool, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if changed {
		return []byte("changed"), nil
	}
	return []byte("first"), nil
}

func told(op pbx.Op, kind error, sent bool) error {
	return &pbx.Error{Driver: "fake", Op: op, Kind: kind, Sent: sent, Message: "as told"}
}

// on makes a session that is closed at the end of the test's bubble.
func on(guard *session.Guard, auth pbx.Authenticator) (*session.Session, func()) {
	s := session.New(auth, &session.Options{Guard: guard})
	return s, func() { s.Close(context.Background()) }
}

func untilNext(s *session.Session) time.Duration { return time.Until(s.Status().Next) }

func wantWait(t *testing.T, got, want time.Duration) {
	t.Helper()
	if got < want*9/10 || got > want*11/10 {
		t.Fatalf("the wait is %s, want %s", got, want)
	}
}
