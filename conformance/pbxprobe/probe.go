package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
)

const (
	// patience is how long a step may take. A refused login takes some PBXs a
	// second on purpose.
	patience = 30 * time.Second
	// grace is what a request gets after an interrupt, for its answer may be the
	// token that has to be given back, and what that gets then.
	grace = 5 * time.Second
)

// probe is one run.
type probe struct {
	driver  string
	brand   brand
	cfg     pbx.Config
	auth    pbx.Authenticator
	traits  pbx.Traits // zero where the driver does not tell
	memory  memory
	window  time.Duration // of the PBX's lockout
	opened  time.Duration // how long opening took
	secrets []pbx.Secret

	out    io.Writer // for lines
	aside  io.Writer // for advice
	margin string    // before it
	report report

	token    *pbx.Token // the newest, until it is given back
	dead     *pbx.Token // it, when it was
	replaced *pbx.Token // the one that the keep-alive has replaced, until it is given back too
	refused  bool       // the PBX has refused the dead token

	asked bool  // spareDead was
	spare error // what it said

	interrupted bool // and a step has met it
}

func newProbe(driver string, cfg pbx.Config, auth pbx.Authenticator, m memory, secrets []pbx.Secret) *probe {
	p := &probe{driver: driver, brand: brands[driver], cfg: cfg, auth: auth, memory: m, window: assumedWindow, secrets: secrets}
	if d, ok := auth.(pbx.Describer); ok {
		p.traits = d.Traits()
	}
	if p.traits.Lockout.Window > 0 {
		p.window = p.traits.Lockout.Window
	}
	p.report = report{Driver: driver, Host: p.address().Host, OK: true}
	return p
}

// address is the PBX's, as far as it can be told.
func (p *probe) address() *url.URL {
	for _, text := range []string{p.traits.URL, p.cfg.URL, "https://" + p.cfg.URL} {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			return u
		}
	}
	return &url.URL{}
}

// host is what the memory goes by.
func (p *probe) host() string { return strings.ToLower(p.address().Hostname()) }

// keyed is true for a driver that was given a key in place of an account.
func (p *probe) keyed() bool { return p.cfg.Username == "" }

// run takes the steps and reports on them.
func (p *probe) run(ctx context.Context) {
	if p.keyed() {
		fmt.Fprintf(p.out, "%s at %s, by a key\n", p.driver, p.report.Host)
	} else {
		fmt.Fprintf(p.out, "%s at %s, as %s\n", p.driver, p.report.Host, p.cfg.Username)
	}
	p.step("configuration", p.configuration)
	if p.step("memory", p.remember) {
		p.step("login", func() (string, error) { return p.login(ctx) })
	}
	if p.token != nil {
		p.session(ctx)
	}
	p.conclude()
}

// session is what follows a login. Whatever fails, the token is given back.
func (p *probe) session(ctx context.Context) {
	p.unlessInterrupted(ctx, "call", p.call)
	p.unlessInterrupted(ctx, "keep-alive", p.keepAlive)
	p.step("logout", func() (string, error) { return p.logout(ctx) })
	p.unlessInterrupted(ctx, "dead-call", p.deadCall)
	if p.replaced != nil {
		p.step("dead-logout", func() (string, error) { return p.returnReplaced(ctx) })
		return
	}
	p.unlessInterrupted(ctx, "dead-logout", p.deadLogout)
}

// unlessInterrupted takes a step that an interrupt makes needless. The first
// one that meets it fails, and the others are not there.
func (p *probe) unlessInterrupted(ctx context.Context, name string, do func(context.Context) (string, error)) {
	if p.interrupted {
		return
	}
	p.step(name, func() (told string, err error) {
		if ctx.Err() == nil {
			told, err = do(ctx)
			if err == nil || ctx.Err() == nil {
				return told, err
			}
			err = fmt.Errorf("%w: %s", errInterrupted, p.text(err))
		} else {
			err = errInterrupted
		}
		p.interrupted = true
		return "", err
	})
}

// step takes one step, prints a line on it, and returns whether it is fine. do
// returns what there is to tell, or a leftOut.
func (p *probe) step(name string, do func() (told string, err error)) bool {
	start := time.Now()
	told, err := do()
	took := time.Since(start)
	if name == "configuration" {
		took += p.opened
	}
	s := step{Name: name, OK: err == nil, MS: took.Milliseconds(), Kind: kindOf(err), Error: p.text(err)}
	mark := "ok"
	switch {
	case s.Kind == "skipped":
		s.OK, mark, told = true, "skipped", s.Error
	case err != nil:
		mark, told = "FAILED", s.Error
		p.report.OK = false
	}
	p.report.Steps = append(p.report.Steps, s)
	fmt.Fprintf(p.out, "  %-7s  %-13s  %5d ms  %s\n", mark, name, s.MS, told)
	if advice := p.advice(name, err); !s.OK && advice != "" {
		fmt.Fprintf(p.aside, "%s%s\n", p.margin, advice)
	}
	return s.OK
}

// text is what is shown of an error. Errors of drivers are clean by contract;
// anybody else's may quote the request.
func (p *probe) text(err error) string {
	switch err := err.(type) {
	case nil:
		return ""
	case *pbx.Error, *remembered, leftOut:
		return err.Error()
	}
	if errors.Is(err, errInterrupted) {
		return err.Error()
	}
	return wire.Clean(err.Error(), p.secrets...)
}

// patient returns a context for a request that leaves something on the PBX:
// after ctx has ended it goes on for a grace, so that it can be undone.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() { stop(); cancel() }
}

func (p *probe) configuration() (string, error) {
	told := "nothing is wrong with the settings"
	if p.traits.URL != "" {
		told = p.traits.URL
	}
	switch {
	case p.address().Scheme == "http":
		told += ", in clear: anyone on the path reads the password"
	case p.cfg.TLS.InsecureSkipVerify:
		told += ", its certificate not looked at: anyone on the path may read the password"
	}
	return told, nil
}

// remember makes sure that a login is allowed, and notes that there is one.
func (p *probe) remember() (string, error) {
	if err := p.memory.reserve(p.host(), p.window); err != nil {
		return "", err
	}
	return fmt.Sprintf("no login to this host is known to have failed in the last %s", p.window), nil
}

func (p *probe) login(ctx context.Context) (string, error) {
	if ctx.Err() != nil {
		return "", errors.Join(errInterrupted, p.memory.forget(wrongLogin, p.host()))
	}
	longer, cancel := patient(ctx)
	defer cancel()
	t, err := p.auth.Login(longer)
	if err != nil {
		wait := verdict(err, p.window)
		if wait == 0 {
			return "", p.noted(err, p.memory.forget(wrongLogin, p.host()))
		}
		return "", p.noted(err, p.memory.keep(wrongLogin, p.host(), wait, kindOf(err)))
	}
	if t == nil || t.Value.IsZero() {
		err = &pbx.Error{Driver: p.driver, Op: pbx.OpLogin, Kind: pbx.ErrProtocol, Sent: true,
			Message: "the driver reports success and returns no token"}
		return "", p.noted(err, p.memory.forget(wrongLogin, p.host()))
	}
	p.hold(t)
	p.report.Token = lifeOf(t, p.auth)
	if err := p.memory.forget(wrongLogin, p.host()); err != nil {
		return "", err
	}
	if !t.ExpiresAt.IsZero() && !t.ExpiresAt.After(t.IssuedAt) {
		return "", &pbx.Error{Driver: p.driver, Op: pbx.OpLogin, Kind: pbx.ErrProtocol, Sent: true,
			Message: "the token has expired already: compare this machine's clock with the PBX's"}
	}
	return "a token that " + p.report.Token.String(), nil
}

// noted returns the error of a login, and prints that of the memory, if any.
func (p *probe) noted(err, memory error) error {
	if memory != nil {
		fmt.Fprintln(p.aside, "the memory cannot be written:", memory)
	}
	return err
}

// hold takes a token that is to be given back.
func (p *probe) hold(t *pbx.Token) {
	p.token = t
	p.secrets = append(p.secrets, t.Value, t.Refresh)
}

func (p *probe) call(ctx context.Context) (string, error) {
	if reason := p.uncallable(); reason != "" {
		return "", reason
	}
	asked, err := p.send(ctx, p.token)
	if err != nil {
		return "", err
	}
	return asked + " is answered", nil
}

// uncallable says why no request can be made; "" if one can.
func (p *probe) uncallable() leftOut {
	_, sends := pbx.As[pbx.Requester](p.auth)
	switch {
	case p.brand.call == nil:
		return "for this driver no call is known that is documented and surely harmless"
	case !sends || p.traits.URL == "":
		return "the driver sends no requests but its own"
	}
	return ""
}

// send makes the harmless call with a token, and returns what it asked for. It
// succeeds only by the PBX's own words.
func (p *probe) send(ctx context.Context, t *pbx.Token) (asked string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := p.brand.call.request(p.traits.URL, p.cfg.Options)
	if err != nil {
		return "", err
	}
	r = r.WithContext(ctx)
	asked = r.Method + " " + r.URL.Path // while there is no token in it
	requester, _ := pbx.As[pbx.Requester](p.auth)
	if err := requester.Authorize(r, t); err != nil {
		return "", err
	}
	failed := func(kind error, status int, message string) (string, error) {
		return "", &pbx.Error{Driver: p.driver, Op: pbx.OpRequest, Kind: kind, HTTPStatus: status, Message: message, Sent: true}
	}
	// The RoundTripper itself: an http.Client would follow redirects, and quote
	// the URL in its errors, with the token in it.
	resp, err := requester.Transport().RoundTrip(r)
	if err != nil {
		return failed(pbx.ErrUnavailable, 0, "no answer: "+wire.Clean(err.Error(), p.secrets...))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, wire.MaxBody))
	if err != nil {
		return failed(pbx.ErrUnavailable, resp.StatusCode, "the answer broke off")
	}
	resp.Request = r
	if err := requester.Inspect(resp, body, t); err != nil {
		return "", err
	}
	if kind := wire.StatusKind(pbx.OpRequest, resp.StatusCode); kind != nil {
		return failed(kind, resp.StatusCode, fmt.Sprintf("HTTP status %d", resp.StatusCode))
	}
	return asked, nil
}

func (p *probe) keepAlive(ctx context.Context) (string, error) {
	if p.traits.KeepAlive == pbx.KeepAliveRefresh {
		// The replaced token will be logged out too, and may be dead by then.
		if err := p.spareDead(); err != nil {
			return "", err
		}
	}
	longer, cancel := patient(ctx)
	defer cancel()
	kept, err := p.auth.KeepAlive(longer, p.token)
	switch {
	case errors.Is(err, pbx.ErrNotSupported):
		return "", leftOut("the brand has none: a session logs in again ahead of the token's end")
	case err != nil:
		return "", err
	case kept == nil || kept.Value.IsZero():
		return "", &pbx.Error{Driver: p.driver, Op: pbx.OpKeepAlive, Kind: pbx.ErrProtocol, Sent: true,
			Message: "the driver reports success and returns no token"}
	case kept.Value.Equal(p.token.Value):
		p.hold(kept)
		return "the token is prolonged: it " + lifeOf(kept, p.auth).String(), nil
	}
	p.replaced = p.token
	p.hold(kept)
	return "the token is replaced by another, which " + lifeOf(kept, p.auth).String(), nil
}

func (p *probe) logout(ctx context.Context) (string, error) {
	if p.keyed() {
		return "", leftOut("a key is not given back")
	}
	longer, cancel := patient(ctx)
	defer cancel()
	if err := p.auth.Logout(longer, p.token); err != nil {
		return "", err
	}
	p.token, p.dead = nil, p.token
	return "the token is given back", nil
}

// spareDead says why this run is not to show the PBX a dead token, which it may
// count as a wrong login; nil if it may, and then that is noted.
func (p *probe) spareDead() error {
	if p.asked {
		return p.spare
	}
	p.asked = true
	held, err := p.memory.recall(deadToken, p.host())
	if err == nil && held == nil {
		err = p.memory.keep(deadToken, p.host(), p.window, "a dead token was used")
	}
	switch {
	case err != nil:
		p.spare = leftOut("it could not be remembered: " + p.text(err))
	case held != nil:
		p.spare = leftOut("done by an earlier run, and a dead token may count as a wrong login: again after " + clock(held.Until))
	}
	return p.spare
}

// noDead is why there is nothing to show.
const noDead = leftOut("there is no dead token")

// deadCall lets the PBX refuse the dead token.
func (p *probe) deadCall(ctx context.Context) (string, error) {
	if p.dead == nil {
		return "", noDead
	}
	if err := p.spareDead(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	switch reason := p.uncallable(); {
	case reason == "":
		_, err = p.send(ctx, p.dead)
	case p.traits.KeepAlive == pbx.KeepAliveHeartbeat: // whereas a refresh could bring a new token
		var kept *pbx.Token
		if kept, err = p.auth.KeepAlive(ctx, p.dead); err == nil && kept != nil {
			p.dead = kept
		}
	default:
		return "", reason
	}
	switch {
	case errors.Is(err, pbx.ErrTokenRejected):
		p.refused = true
		return "the PBX refuses the token now", nil
	case err != nil:
		return "", err
	}
	p.token = p.dead // for it lives
	return "", &pbx.Error{Driver: p.driver, Op: pbx.OpRequest, Sent: true, Message: "the PBX still takes the token after the logout"}
}

// deadLogout sees whether the driver takes the PBX's answer to a logout of a
// dead token for what it is: no error.
func (p *probe) deadLogout(ctx context.Context) (string, error) {
	if p.dead == nil {
		return "", noDead
	}
	if err := p.spareDead(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := p.auth.Logout(ctx, p.dead); err != nil {
		return "", err
	}
	return "to log the dead token out again is no error", nil
}

// returnReplaced logs the token out that the keep-alive has replaced: whether it
// died by that is not known.
func (p *probe) returnReplaced(ctx context.Context) (string, error) {
	longer, cancel := patient(ctx)
	defer cancel()
	if err := p.auth.Logout(longer, p.replaced); err != nil {
		return "", err
	}
	p.replaced = nil
	return "to log the replaced token out as well is no error", nil
}

// conclude says in a sentence what all this comes to.
func (p *probe) conclude() {
	failed := 0
	for _, s := range p.report.Steps {
		if !s.OK {
			failed++
		}
	}
	left := p.token != nil || p.replaced != nil
	switch {
	case p.report.Token == nil:
		held, err := p.memory.recall(wrongLogin, p.host())
		if err != nil || held == nil {
			fmt.Fprintln(p.aside, "Not fine. There was no wrong login: mend this, and run it again.")
			return
		}
		fmt.Fprintf(p.aside, "Not fine. No login is sent to %s before %s, lest the PBX lock this machine out.\n", p.host(), clock(held.Until))
		fmt.Fprintf(p.aside, "Who is sure that it does not, deletes %s\n", held.file)
	case p.keyed() && failed == 0:
		fmt.Fprintln(p.out, "A key is used as it is: only a call can tell whether the PBX takes it.")
	case failed > 0 && left:
		fmt.Fprintf(p.aside, "Not fine: %d of %d steps failed. A token may be left behind; if so, it %s.\n", failed, len(p.report.Steps), p.report.Token)
	case failed > 0:
		fmt.Fprintf(p.aside, "Not fine: %d of %d steps failed. No token is left behind.\n", failed, len(p.report.Steps))
	case p.refused:
		fmt.Fprintln(p.out, "Fine: all of it works, and no token is left behind.")
	default:
		fmt.Fprintln(p.out, "Fine: all that was tried works, and the token is given back; whether it is dead was not to be seen.")
	}
}
