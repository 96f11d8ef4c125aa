package session

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/session/lockout"
	"github.com/rs/zerolog"
)

// driver is a pbx.Authenticator that is other people's code: every operation
// ends in time, and a panic becomes an error.
type driver struct {
	name   string // of its session
	auth   pbx.Authenticator
	traits traits
	*family
}

// describe asks for the traits. The error says that the driver panicked.
func (d *driver) describe() error {
	var stated pbx.Traits
	err := d.contain(pbx.OpOpen, func() error { stated = statedBy(d.auth); return nil })
	d.traits = keep(stated)
	return err
}

// hasOneToken reports whether a login ends the token that the account has.
func (d *driver) hasOneToken() bool {
	b := d.traits.brand()
	return b.MaxTokens == 1 && b.NewestWins
}

// rules are what a machine has to know. many: the session is one of many.
func (d *driver) rules(many bool) rules {
	_, prints := pbx.As[pbx.Fingerprinter](d.auth)
	_, pings := pbx.As[pbx.Pinger](d.auth)
	brand := d.traits.brand()
	return rules{
		lifetime: brand.Lifetime, refreshes: brand.KeepAlive == pbx.KeepAliveRefresh, noBeat: brand.KeepAlive == pbx.KeepAliveNone,
		prints: prints, pings: pings, many: many, shares: d.store != nil, one: d.store != nil && d.hasOneToken(),
	}
}

// result is what an operation brought.
type result struct {
	sent  time.Time // when it began
	token *pbx.Token
	print fingerprint
	page  lockout.Page // of a check
	err   error
}

// perform runs one operation with a token, or without one, within ctx, which has
// its deadline.
func (d *driver) perform(ctx context.Context, op pbx.Op, t *pbx.Token, key []byte) result {
	if err := d.hangs(op); err != nil {
		return result{sent: time.Now(), err: err}
	}
	return d.within(ctx, op, func(ctx context.Context) (r result) {
		switch op {
		case opLook:
			f, _ := pbx.As[pbx.Fingerprinter](d.auth)
			var print []byte
			print, r.err = f.Fingerprint(ctx, key)
			copy(r.print[:], print)
		case pbx.OpPing:
			p, _ := pbx.As[pbx.Pinger](d.auth)
			r.err = p.Ping(ctx, t)
		case pbx.OpKeepAlive:
			r.token, r.err = d.auth.KeepAlive(ctx, t)
		default:
			r.token, r.err = d.auth.Login(ctx)
		}
		return r
	})
}

// hangs returns an error while the driver has not returned from an earlier
// operation: no second goroutine hangs in it.
func (d *driver) hangs(op pbx.Op) error {
	if !d.isAstray(d) {
		return nil
	}
	return &pbx.Error{Op: op, Kind: pbx.ErrUnavailable, Message: "not sent: the driver has not returned from an earlier request"}
}

func (d *driver) logout(ctx context.Context, t *pbx.Token) error {
	return d.bounded(ctx, pbx.OpLogout, func(ctx context.Context) result {
		return result{err: d.auth.Logout(ctx, t)}
	}).err
}

// loginTimeout bounds a login, because others wait for its outcome, and a
// keep-alive, because a PBX that restarts may never respond to it.
const loginTimeout = 10 * time.Second

// limit is how long an operation may take.
func (d *driver) limit(op pbx.Op) time.Duration {
	if op == pbx.OpLogin || op == pbx.OpKeepAlive {
		return min(d.timeout, loginTimeout)
	}
	return d.timeout
}

// grace is how long a driver may take to return after its context has ended.
const grace = time.Second

// bounded runs an operation within the timeout.
func (d *driver) bounded(ctx context.Context, op pbx.Op, fn func(context.Context) result) result {
	ctx, cancel := context.WithTimeout(ctx, d.limit(op))
	defer cancel()
	return d.within(ctx, op, fn)
}

// within runs fn within ctx. A driver that ignores its context is left behind, and
// what a late login brings is logged out.
func (d *driver) within(ctx context.Context, op pbx.Op, fn func(context.Context) result) result {
	o := &operation{done: make(chan struct{})}
	started := time.Now()
	go d.run(ctx, op, fn, o)
	select {
	case <-o.done:
		return d.judged(op, started, o.result)
	case <-ctx.Done():
	}
	last := time.NewTimer(grace)
	defer last.Stop()
	select {
	case <-o.done:
		return d.judged(op, started, o.result)
	case <-last.C:
	}
	d.stray(d, 1)
	if !o.fate.CompareAndSwap(underWay, leftBehind) {
		d.stray(d, -1)
		<-o.done
		return d.judged(op, started, o.result)
	}
	return d.judged(op, started, result{err: &pbx.Error{Op: op, Kind: pbx.ErrUnavailable, Sent: true,
		Message: "the driver does not return though its context has ended", Err: ctx.Err()}})
}

// operation is one that a driver is at.
type operation struct {
	fate   atomic.Int32
	done   chan struct{} // closed when it has returned and was not left behind
	result result
}

const (
	underWay = iota
	returned
	leftBehind
)

// run is the goroutine of an operation.
func (d *driver) run(ctx context.Context, op pbx.Op, fn func(context.Context) result, o *operation) {
	whole := false
	defer func() {
		if !whole {
			o.result = result{err: &pbx.Error{Op: op, Kind: pbx.ErrUnavailable, Sent: true, Message: "the driver ended its goroutine"}}
		}
		if o.fate.CompareAndSwap(underWay, returned) {
			close(o.done)
			return
		}
		d.stray(d, -1)
		if t := o.result.token; op == pbx.OpLogin && o.result.err == nil && t != nil { // nobody needs it any more
			ctx, cancel := context.WithTimeout(context.Background(), d.timeout)
			defer cancel()
			_ = d.contain(pbx.OpLogout, func() error { return d.auth.Logout(ctx, t) })
		}
	}()
	if err := d.contain(op, func() error { o.result = fn(ctx); tryOut(o.result.err); return nil }); err != nil {
		o.result = result{err: err}
	}
	whole = true
}

// judged checks what an operation brought, and counts it.
func (d *driver) judged(op pbx.Op, started time.Time, r result) result {
	r.sent = started
	took := time.Since(started)
	if r.err == nil && (op == pbx.OpLogin || op == pbx.OpKeepAlive) {
		now := started.Add(took)
		r.err = sound(op, r.token, now)
		if r.err == nil && (r.token.IssuedAt.IsZero() || r.token.IssuedAt.After(now)) { // no time, or another clock's
			dated := *r.token
			dated.IssuedAt = started
			r.token = &dated
		}
	}
	d.ended(op, took, r.err)
	if d.hook != nil {
		d.hook.infos.add(OpInfo{Session: d.name, Driver: d.traits.brand().Driver, URL: d.traits.URL, Op: op, Started: started, Took: took, Err: r.err})
	}
	return r
}

// tryOut calls the methods of a driver's error. Where one panics, as that of a nil pointer
// may, it does so here, where the panic is contained.
func tryOut(err error) {
	if err != nil {
		kindOf(err)
		_ = err.Error()
	}
}

// contain turns a panic of the driver into an error. The value is shown only if it
// is the runtime's own: any other may hold a secret.
func (d *driver) contain(op pbx.Op, fn func() error) (err error) {
	defer d.recovered(op, &err)
	return fn()
}

// recovered is to be deferred around a driver's code.
func (d *driver) recovered(op pbx.Op, err *error) {
	if v := recover(); v != nil {
		what := fmt.Sprintf("a %T", v)
		if r, ok := v.(runtime.Error); ok {
			what = r.Error()
		}
		stack := debug.Stack()
		d.journal.write(zerolog.ErrorLevel, "panic in a driver or hook", func(e *zerolog.Event) {
			e.Str("session", d.name).Str("op", string(op)).Str("panic", what).Bytes("stack", stack)
		})
		*err = &pbx.Error{Op: op, Kind: pbx.ErrUnavailable, Sent: true, Message: "the driver panicked: " + what}
	}
}

// probe asks the PBX for a page without credentials, and returns it; zero without a
// response within the timeout.
func (d *driver) probe(ctx context.Context, timeout time.Duration) lockout.Page {
	if d.hangs(opCheck) != nil { // one is enough
		return lockout.Page{}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r := d.bounded(ctx, opCheck, func(ctx context.Context) (r result) {
		requester, ok := pbx.As[pbx.Requester](d.auth)
		if !ok {
			return result{err: pbx.ErrNotSupported}
		}
		base := requester.Transport()
		if base == nil {
			base = http.DefaultTransport
		}
		address := statedBy(d.auth).Probe
		if address == "" {
			address = d.traits.URL
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return result{err: err}
		}
		request.Close, request.Body = true, io.NopCloser(http.NoBody) // a GET without a body is repeated over HTTP/2
		resp, err := base.RoundTrip(request)
		if err != nil {
			return result{err: unanswered(err)}
		}
		n, _ := io.CopyN(io.Discard, resp.Body, lockout.MaxPage)
		resp.Body.Close()
		r.page = lockout.Page{Status: resp.StatusCode, Length: int(n)}
		if !lockout.Responds(resp.StatusCode) {
			r.err = unanswered(nil)
		}
		return r
	})
	return r.page
}

// unanswered is the failure of a check.
func unanswered(err error) error {
	return &pbx.Error{Op: opCheck, Kind: pbx.ErrUnavailable, Err: err, Message: "the PBX does not respond"}
}
