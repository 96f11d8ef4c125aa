package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
)

// attempt is one call of the driver that is under way.
type attempt struct {
	op      pbx.Op
	token   *pbx.Token // to keep alive; nil: a login
	cancel  context.CancelFunc
	settled chan struct{} // closed when its outcome is in the session's state
}

// run makes one attempt: whatever is due, once. The Manager may call it again
// meanwhile, as after a Reject; that does nothing while an attempt is under way.
func (s *Session) run() {
	ctx, a := s.begin()
	if a == nil {
		s.m.guard.pass(s)
		return
	}
	defer a.cancel()
	var sent []byte // the fingerprint of the credentials that went out
	got, err := s.call(pbx.WithAttempt(ctx), a.op, func(ctx context.Context) (t *pbx.Token, err error) {
		if a.op == pbx.OpLogin {
			if f, ok := pbx.As[pbx.Fingerprinter](s.auth); ok {
				if sent, err = f.Fingerprint(ctx, s.m.key[:]); err != nil {
					return nil, err
				}
			}
			return s.auth.Login(ctx)
		}
		return s.auth.KeepAlive(ctx, a.token)
	})
	if err == nil {
		if err = sound(a.op, got); err == nil {
			s.announce(ctx, got)
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempt = nil
	refused := s.refused
	s.refused = nil
	if a.op == pbx.OpLogin {
		s.sent = sent
	}
	if err == nil && a.op == pbx.OpKeepAlive && refused != nil && got.Value.Equal(refused.Value) {
		err = &pbx.Error{Op: a.op, Kind: pbx.ErrTokenRejected, Sent: true, Message: "refused while it was being renewed"}
	}
	if err == nil {
		s.adopt(a.op, got)
	} else {
		s.failed(a.op, err)
	}
	s.m.guard.leave(s, a.op, err) // now, for others are let in: a lock is noted
	s.m.count(a.op, err)
	close(a.settled)
}

// begin finds out what is due and whether it may be sent now; nil: nothing. What
// comes next is then planned.
func (s *Session) begin() (context.Context, *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.attempt != nil {
		return nil, nil
	}
	s.inLine = false
	if s.state == Rejected && !s.credentialsChanged() {
		return nil, nil
	}
	op, t := s.due()
	if op == "" {
		return nil, nil
	}
	if s.stray.Load() > 0 { // one hung call is enough
		s.failed(op, &pbx.Error{Op: op, Kind: pbx.ErrUnavailable, Message: "not sent: the driver has not returned from an earlier call"})
		return nil, nil
	}
	if !s.permitted(op) {
		return nil, nil
	}
	if l := s.current.Load(); l != nil {
		s.become(Renewing, s.err)
	} else {
		s.become(Connecting, s.err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.attempt = &attempt{op: op, token: t, cancel: cancel, settled: make(chan struct{})}
	return ctx, s.attempt
}

// sound says what is wrong with a token that a driver returned.
func sound(op pbx.Op, t *pbx.Token) error {
	fault := func(message string) error {
		return &pbx.Error{Op: op, Kind: pbx.ErrProtocol, Sent: true, Message: message}
	}
	switch {
	case t == nil || t.Value.IsZero():
		return fault("the driver reports success and returns no token")
	case !t.ExpiresAt.IsZero() && time.Until(t.ExpiresAt) <= 0:
		return fault("the driver returned a token that has expired already: compare this machine's clock with the PBX's")
	}
	return nil
}

// announce calls the application's hook, bounded like a driver's call.
func (s *Session) announce(ctx context.Context, t *pbx.Token) {
	if s.m.opts.OnToken == nil {
		return
	}
	s.call(ctx, "OnToken", func(context.Context) (*pbx.Token, error) {
		s.m.opts.OnToken(s, t)
		return nil, nil
	})
}

// credentialsChanged asks the driver of a rejected session whether it would now
// log in with others, and plans the next look if not. s.mu is held, and let go
// in between.
func (s *Session) credentialsChanged() bool {
	f, ok := pbx.As[pbx.Fingerprinter](s.auth)
	if !ok || s.sent == nil {
		return false
	}
	if s.stray.Load() > 0 || s.cancelLook != nil { // one look at a time
		s.m.schedule(s, s.nextLook())
		return false
	}
	since, sent := s.since, s.sent
	ctx, cancel := context.WithCancel(context.Background())
	s.cancelLook = cancel
	s.mu.Unlock()
	changed := false
	_, err := s.call(ctx, pbx.OpOpen, func(ctx context.Context) (t *pbx.Token, err error) {
		now, err := f.Fingerprint(ctx, s.m.key[:])
		changed = err == nil && !bytes.Equal(now, sent)
		return nil, err
	})
	cancel()
	s.mu.Lock()
	s.cancelLook = nil
	if s.closing || s.state != Rejected || s.since != since { // Retry was quicker
		return false
	}
	if err == nil && changed {
		return true
	}
	s.m.schedule(s, s.nextLook())
	return false
}

// nextLook is when a rejected session looks for new credentials; zero: never.
func (s *Session) nextLook() time.Time {
	if _, ok := pbx.As[pbx.Fingerprinter](s.auth); !ok || s.sent == nil {
		return time.Time{}
	}
	return time.Now().Add(spread(credentialLook))
}

// permitted asks whether op may be sent now, and plans the next attempt if not.
// s.mu is held.
func (s *Session) permitted(op pbx.Op) bool {
	l := s.current.Load()
	if op == pbx.OpLogin && l == nil {
		if at := s.m.admission(s); !at.IsZero() { // the fleet is starting
			s.become(Connecting, s.err)
			s.m.schedule(s, at)
			return false
		}
	}
	verdict, until, cause := s.m.guard.enter(s, op)
	switch verdict {
	case guardOpen:
		s.slot = time.Time{}
		return true
	case guardBusy: // run again when another call to this host is through, and perhaps planned so already
		s.inLine = true
		if l == nil {
			s.become(Connecting, s.err)
		}
	case guardLocked:
		if l != nil && l.alive() && l.end().Before(until) {
			until = l.end()
		}
		s.become(s.blocked(), cause)
		s.m.schedule(s, until)
	}
	return false
}

// blocked is the state while the host must be left alone.
func (s *Session) blocked() State {
	if l := s.current.Load(); l != nil && l.alive() {
		return Renewing
	}
	return Locked
}

// due decides what to do now; "" if it is not time yet. s.mu is held.
func (s *Session) due() (pbx.Op, *pbx.Token) {
	l := s.current.Load()
	if l != nil && l.alive() {
		if at := l.renewal(); time.Until(at) > 0 && s.state == Live { // traffic slid it
			s.m.schedule(s, at)
			return "", nil
		}
		if s.noBeat {
			return pbx.OpLogin, nil
		}
		return pbx.OpKeepAlive, l.token
	}
	s.current.Store(nil)
	// A refresh token may outlive the token that it came with.
	if t := s.old; t != nil && !s.noBeat && s.traits.KeepAlive == pbx.KeepAliveRefresh && !t.Refresh.IsZero() &&
		(t.RefreshExpiresAt.IsZero() || time.Until(t.RefreshExpiresAt) > 0) {
		return pbx.OpKeepAlive, t
	}
	return pbx.OpLogin, nil
}

// failed decides what follows from a failed attempt. s.mu is held.
func (s *Session) failed(op pbx.Op, err error) {
	var failure *pbx.Error
	errors.As(err, &failure)
	var pause time.Duration
	if failure != nil {
		pause = min(failure.RetryAfter, longestPause)
	}
	l := s.current.Load()
	alive := l != nil && l.alive()

	switch {
	case op == pbx.OpKeepAlive && errors.Is(err, pbx.ErrNotSupported):
		s.noBeat = true
		s.m.schedule(s, time.Now())
		return

	case op == pbx.OpKeepAlive && (errors.Is(err, pbx.ErrTokenRejected) || errors.Is(err, pbx.ErrInvalidCredentials)):
		// The token is dead, or the refresh token is: log in.
		s.current.Store(nil)
		s.old = nil
		s.become(Connecting, err)
		s.m.schedule(s, time.Now())
		return

	case errors.Is(err, pbx.ErrLocked):
		if pause > 0 {
			pause = max(pause, backoff(s.fails))
		}
		s.setFails(s.fails + 1)
		until := s.m.guard.lock(s, pause, err)
		if alive && l.end().Before(until) {
			until = l.end()
		}
		s.become(s.blocked(), err)
		s.m.schedule(s, until)
		return

	case op == pbx.OpLogin && (errors.Is(err, pbx.ErrInvalidCredentials) || errors.Is(err, pbx.ErrForbidden)):
		s.setFails(s.fails + 1) // a look at the settings may take its time, too
		s.become(Rejected, err)
		s.m.schedule(s, s.nextLook())
		return
	}

	if op == pbx.OpKeepAlive && !alive && s.old != nil {
		down := failure != nil && (!failure.Sent || errors.Is(err, pbx.ErrUnavailable) && time.Since(s.old.ExpiresAt) < refreshPatience)
		if !down { // only a login is left
			s.old = nil
		}
	}
	wait := backoff(s.fails)
	if op == pbx.OpLogin && mayHaveCounted(err) {
		wait = backoff(s.fails + 3) // 8 s at first: the budget is small
	}
	s.setFails(s.fails + 1)
	if errors.Is(err, pbx.ErrConfig) || errors.Is(err, pbx.ErrTooManySessions) || errors.Is(err, pbx.ErrNotSupported) {
		wait = max(wait, spread(slowBackoff)) // not mended in a second
	}
	if alive { // try again before it is too late
		wait = min(wait, max(time.Until(l.end())/2, firstBackoff))
	}
	at := time.Now().Add(max(wait, pause))
	if alive {
		if end := l.end(); at.After(end) {
			at = end // then it takes a login
		}
		s.become(Renewing, err)
	} else {
		s.become(Unavailable, err)
	}
	s.m.schedule(s, at)
}

// grace is what a driver gets to return after its context has ended.
const grace = time.Second

// call runs one call of the driver, bounded by the call timeout and whatever it
// does: a panic becomes an error, and a driver that ignores its context is left
// behind.
func (s *Session) call(ctx context.Context, op pbx.Op, fn func(context.Context) (*pbx.Token, error)) (*pbx.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, s.m.opts.timeout())
	defer cancel()
	type outcome struct {
		token *pbx.Token
		err   error
	}
	const (
		finished = iota + 1
		leftBehind
	)
	var fate atomic.Int32
	result := make(chan outcome, 1)
	go func() {
		out := outcome{err: &pbx.Error{Op: op, Kind: pbx.ErrUnavailable, Sent: true, Message: "the driver ended its goroutine"}}
		defer func() {
			if fate.CompareAndSwap(0, finished) {
				result <- out
				return
			}
			s.stray.Add(-1)
			if op == pbx.OpLogin && out.err == nil && out.token != nil { // nobody wants it any more
				ctx, cancel := context.WithTimeout(context.Background(), s.m.opts.timeout())
				defer cancel()
				s.guarded(ctx, pbx.OpLogout, func(ctx context.Context) (*pbx.Token, error) { return nil, s.auth.Logout(ctx, out.token) })
			}
		}()
		out.token, out.err = s.guarded(ctx, op, fn)
	}()
	select {
	case out := <-result:
		return out.token, out.err
	case <-ctx.Done():
	}
	last := time.NewTimer(grace)
	defer last.Stop()
	select {
	case out := <-result:
		return out.token, out.err
	case <-last.C:
	}
	s.stray.Add(1)
	if !fate.CompareAndSwap(0, leftBehind) {
		s.stray.Add(-1)
		out := <-result
		return out.token, out.err
	}
	return nil, &pbx.Error{Op: op, Kind: pbx.ErrUnavailable, Sent: true,
		Message: "the driver does not return though its context has ended", Err: ctx.Err()}
}

// guarded turns a panic of the driver into an error.
func (s *Session) guarded(ctx context.Context, op pbx.Op, fn func(context.Context) (*pbx.Token, error)) (t *pbx.Token, err error) {
	defer func() {
		if v := recover(); v != nil {
			t, err = nil, s.panicked(op, v)
		}
	}()
	return fn(ctx)
}

// panicked makes an error of a panic. Its value is not shown unless it is the
// runtime's own: anybody else's may hold a secret.
func (s *Session) panicked(op pbx.Op, v any) error {
	what := fmt.Sprintf("a %T", v)
	if r, ok := v.(runtime.Error); ok {
		what = r.Error()
	}
	s.m.opts.Logger.Error().Str("session", s.name).Str("op", string(op)).Str("panic", what).
		Bytes("stack", debug.Stack()).Msg("panic in a driver or hook")
	return &pbx.Error{Op: op, Kind: pbx.ErrUnavailable, Sent: true, Message: "the driver panicked: " + what}
}
