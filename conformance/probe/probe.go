package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/adapters/wire"
	"github.com/pbxauth/pbx/session/lockout"
)

const (
	// patience is how long a step may take. A refused login takes some PBXs a
	// second on purpose.
	patience = 30 * time.Second
	// grace is how long a request goes on after the context has ended: its
	// response may bring a token, which has to be logged out.
	grace = 5 * time.Second
)

// Options say which PBX to check and how. Driver and Config must be set.
type Options struct {
	Driver string
	Config pbx.Config

	// Registry is where the driver is registered. nil: the default one.
	Registry *pbx.Registry

	// Login sends the login. nil: [Within] the budget of wrong logins that all
	// sessions of the process share. A program whose sessions have a Guard of
	// their own sets Within or [Forced] of that Guard.
	Login func(ctx context.Context, auth pbx.Authenticator) (*pbx.Token, error)

	// MayUseDeadToken is asked before a token that may be dead is sent to a PBX that may
	// count that as a wrong login. If it returns an error, the step is left out, with the
	// error as its reason, which must hold no secret. A program that sets it has to
	// remember how often it has said yes. nil: the step is left out. If the driver says
	// whether dead tokens count, MayUseDeadToken is not asked.
	MayUseDeadToken func() error

	// OnStep is called when a step begins and when it ends. nil: not at all.
	OnStep func(Step)
}

// test is one run.
type test struct {
	options Options
	driver  pbx.Driver // zero if it is not registered
	auth    pbx.Authenticator
	traits  pbx.Traits // zero if the driver does not say
	secrets []pbx.Secret
	report  Report

	token    *pbx.Token // the newest, until it is logged out
	dead     *pbx.Token // the same, after that
	replaced *pbx.Token // the one that the keep-alive has replaced, until it is logged out

	mayAsked bool // MayUseDeadToken was
	may      error

	interrupted bool // and a step has noticed it
}

// Run tests a PBX.
func Run(ctx context.Context, options Options) *Report {
	t := &test{options: options, report: Report{Schema: Schema, Driver: options.Driver, Host: host(options.Config.URL), OK: true}}
	if options.Registry != nil {
		t.driver, _ = options.Registry.Lookup(options.Driver)
	} else {
		t.driver, _ = pbx.Lookup(options.Driver)
	}
	t.secrets = append(t.secrets, options.Config.Password)
	for _, secret := range options.Config.Secrets {
		t.secrets = append(t.secrets, secret)
	}

	if t.step(Settings, t.open) && t.connect(ctx) && t.step(Login, func() (string, error) { return t.login(ctx) }) || t.token != nil {
		t.afterLogin(ctx)
	}
	t.report.Left = t.token != nil || t.replaced != nil
	return &t.report
}

// afterLogin does what follows a login. Whatever fails, the token is logged out.
func (t *test) afterLogin(ctx context.Context) {
	t.unlessInterrupted(ctx, HarmlessRequest, t.request)
	t.unlessInterrupted(ctx, KeepAlive, t.keepAlive)
	t.step(Logout, func() (string, error) { return t.logout(ctx) })
	t.unlessInterrupted(ctx, DeadToken, t.useDeadToken)
}

// unlessInterrupted takes a step that is not needed once the context has ended.
// The first one that notices it fails, and the others are left out.
func (t *test) unlessInterrupted(ctx context.Context, name Name, do func(context.Context) (string, error)) {
	if t.interrupted {
		return
	}
	t.step(name, func() (message string, err error) {
		if ctx.Err() == nil {
			message, err = do(ctx)
			if err == nil || ctx.Err() == nil {
				return message, err
			}
		}
		t.interrupted = true
		return "", errInterrupted
	})
}

// step takes one step and returns whether the next one may follow. do returns
// what there is to say, or why the step failed or was left out.
func (t *test) step(name Name, do func() (message string, err error)) bool {
	t.tell(Step{Name: name, State: Running})
	start := time.Now()
	message, err := do()
	s := Step{Name: name, State: Done, MS: time.Since(start).Milliseconds(), Message: message}
	var reason leftOut
	switch {
	case errors.As(err, &reason):
		s.State, s.Message = reason.state, reason.reason
		if s.State == Decide {
			s.Advice = "Compare the fingerprint with the one that a browser shows in the PBX's own network. If it is the same, trust this key."
			s.Kind, s.Setting = pbx.ErrConfig.Error(), "TLS.PinSHA256"
		}
	case err != nil:
		s.State, s.Message, s.Kind, s.Err = Failed, t.text(err), kindOf(err), err
		if _, clean := err.(*pbx.Error); !clean && !errors.Is(err, errInterrupted) {
			s.Err = errors.New(s.Message)
		}
		s.Advice = advice(name, err, t.driver)
		var failure *pbx.Error
		if errors.As(err, &failure) {
			s.Setting = failure.Setting
		}
	}
	if s.State == Failed || s.State == Decide {
		t.report.OK = false
	}
	t.report.Steps = append(t.report.Steps, s)
	t.tell(s)
	return s.State != Failed && s.State != Decide
}

func (t *test) tell(s Step) {
	if t.options.OnStep != nil {
		t.options.OnStep(s)
	}
}

// text is an error for a person. Errors of drivers hold no secret by contract.
// Any other may quote the request.
func (t *test) text(err error) string {
	if failure, ok := err.(*pbx.Error); ok {
		return failure.Error()
	}
	return wire.Clean(err.Error(), t.secrets...)
}

// failure is one that the test finds, not the driver.
func (t *test) failure(op pbx.Op, kind error, message string) error {
	return &pbx.Error{Driver: t.options.Driver, Op: op, Kind: kind, Sent: true, Message: message}
}

// patient returns a context for a request that leaves something at the PBX. It
// goes on for the grace after ctx has ended, so that this can be undone.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() { stop(); cancel() }
}

func (t *test) open() (message string, err error) {
	if t.options.Registry != nil {
		t.auth, err = t.options.Registry.Open(t.options.Driver, t.options.Config)
	} else {
		t.auth, err = pbx.Open(t.options.Driver, t.options.Config)
	}
	if err != nil {
		return "", err
	}
	if d, ok := pbx.As[pbx.Describer](t.auth); ok {
		t.traits = d.Traits()
	}
	if t.traits.URL == "" {
		return "they fit the driver", nil
	}
	t.report.Host = host(t.traits.URL)
	return t.traits.URL, nil
}

// connect sends a GET without credentials, and reports two steps on it.
func (t *test) connect(ctx context.Context) bool {
	requester, ok := pbx.As[pbx.Requester](t.auth)
	if !ok || t.traits.URL == "" {
		const reason = "the driver does not show its connections"
		t.step(Address, func() (string, error) { return "", skipped(reason) })
		t.step(CertificateStep, func() (string, error) { return "", skipped(reason) })
		return true
	}
	var status int
	var seen *tls.ConnectionState
	var untrusted error
	reached := t.step(Address, func() (string, error) {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		var err error
		status, seen, err = t.get(ctx, requester.Transport())
		switch {
		case ctx.Err() == context.Canceled:
			return "", errInterrupted
		case err == nil:
			return fmt.Sprintf("HTTP %d", status), nil
		}
		if failure := (*pbx.Error)(nil); errors.As(err, &failure) {
			return "", failure
		}
		if cert := t.shown(ctx); cert != nil && !t.trusts(cert, err) {
			t.report.Certificate, untrusted = cert, err
			return "TLS", nil
		}
		return "", t.unreached(err)
	})
	if !reached {
		return false
	}
	return t.step(CertificateStep, func() (string, error) {
		settings := t.options.Config.TLS
		switch {
		case untrusted != nil && settings.PinSHA256 != "":
			return "", &pbx.Error{Driver: t.options.Driver, Op: pbx.OpLogin, Kind: pbx.ErrConfig, Setting: "TLS.PinSHA256",
				Message: "the PBX's key is not the pinned one: it shows " + t.report.Certificate.Pin + ", and the pin is " + t.report.Certificate.Trusted + ": nothing was sent"}
		case untrusted != nil:
			what := "is not trusted"
			if t.report.Certificate.SelfSigned {
				what = "is self-signed"
			}
			return "", leftOut{Decide, "the certificate " + what + ": nothing was sent yet"}
		case seen == nil && strings.HasPrefix(t.traits.URL, "http://"):
			return "", skipped("plain http: anyone on the path reads the password")
		case seen == nil || len(seen.PeerCertificates) == 0:
			return "", notChecked("the transport does not show it")
		}
		t.report.Certificate = certificate(seen.PeerCertificates[0], settings.PinSHA256)
		if settings.InsecureSkipVerify {
			return "not verified: anyone on the path can read the password", nil
		}
		return "trusted, valid until " + t.report.Certificate.NotAfter.UTC().Format("2006-01-02"), nil
	})
}

func (t *test) get(ctx context.Context, transport http.RoundTripper) (int, *tls.ConnectionState, error) {
	target := t.traits.Probe
	if target == "" {
		target = t.traits.URL
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, nil, err
	}
	r.Close, r.Body = true, io.NopCloser(http.NoBody) // a GET without a body is repeated over HTTP/2
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, wire.MaxBody) // the status is enough
	if !lockout.Responds(resp.StatusCode) && t.traits.Probe != "" {
		return 0, nil, &pbx.Error{Driver: t.options.Driver, Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, HTTPStatus: resp.StatusCode, Sent: true,
			Message: fmt.Sprintf("HTTP status %d: nothing but this check was sent", resp.StatusCode)}
	}
	return resp.StatusCode, resp.TLS, nil
}

// shown fetches the certificate of a PBX that could not be connected to. Nothing
// is sent but a TLS handshake. nil: there is none, or a transport of the
// application's decides.
func (t *test) shown(ctx context.Context) *Certificate {
	u, err := url.Parse(t.traits.URL)
	if err != nil || u.Scheme != "https" || t.options.Config.Transport != nil {
		return nil
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	settings := t.options.Config.TLS
	name := settings.ServerName
	if name == "" {
		name = u.Hostname()
	}
	// Whether to trust it is not decided here.
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, ServerName: name, MinVersion: settings.MinVersion}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil
	}
	defer conn.Close()
	return certificate(conn.(*tls.Conn).ConnectionState().PeerCertificates[0], settings.PinSHA256)
}

// trusts reports whether a failed connection to a PBX with this certificate
// failed for another reason than the certificate.
func (t *test) trusts(shown *Certificate, err error) bool {
	if pin := t.options.Config.TLS.PinSHA256; pin != "" && strings.TrimPrefix(pin, "sha256/") != strings.TrimPrefix(shown.Pin, "sha256/") {
		return false
	}
	var unverified *tls.CertificateVerificationError
	return !errors.As(err, &unverified)
}

// unreached is the error of a PBX that could not be connected to.
func (t *test) unreached(err error) error {
	failure := &pbx.Error{Driver: t.options.Driver, Op: pbx.OpLogin, Kind: pbx.ErrUnavailable, Message: "no connection to " + t.report.Host}
	if setting, what, ok := wire.Misconfiguration(err); ok {
		failure.Kind, failure.Setting, failure.Message = pbx.ErrConfig, setting, what
		return failure
	}
	var dial *net.OpError
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		failure.Err = context.DeadlineExceeded
	case errors.As(err, &dns):
		failure.Setting, failure.Err = "URL", dns
	case errors.As(err, &dial):
		failure.Err = dial
	default:
		failure.Message += ": " + wire.Clean(err.Error(), t.secrets...)
	}
	return failure
}

func (t *test) login(ctx context.Context) (string, error) {
	if ctx.Err() != nil {
		return "", errInterrupted
	}
	longer, cancel := patient(ctx)
	defer cancel()
	login := t.options.Login
	if login == nil {
		login = Within(nil)
	}
	token, err := login(longer, t.auth)
	switch {
	case err != nil:
		return "", err
	case token == nil || token.Value.IsZero():
		return "", t.failure(pbx.OpLogin, pbx.ErrProtocol, "the driver reports success and returns no token")
	}
	t.hold(token)
	t.report.Token = lifetime(token, t.auth)
	if !token.ExpiresAt.IsZero() && !token.ExpiresAt.After(token.IssuedAt) {
		return "", t.failure(pbx.OpLogin, pbx.ErrProtocol, "the token has already expired: compare this machine's clock with the PBX's")
	}
	message := "the token " + t.report.Token.String()
	if t.traits.Unproven {
		message += "; the secret was not proven: a wrong one may be accepted here"
	}
	return message, nil
}

// hold keeps a token that has to be logged out.
func (t *test) hold(token *pbx.Token) {
	t.token = token
	t.secrets = append(t.secrets, token.Value, token.Refresh)
}

const noPing = "the driver knows no request that is documented and surely harmless"

func (t *test) request(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pinger, ok := pbx.As[pbx.Pinger](t.auth)
	if !ok {
		return "", skipped(noPing)
	}
	switch err := pinger.Ping(ctx, t.token); {
	case errors.Is(err, pbx.ErrNotSupported):
		return "", notChecked("this PBX does not have the request that the driver knows")
	case err != nil:
		return "", err
	}
	return "the PBX accepts the token", nil
}

func (t *test) keepAlive(ctx context.Context) (string, error) {
	switch t.traits.KeepAlive {
	case pbx.KeepAliveNone:
		return "", skipped("the brand has none: a session logs in again before the token expires")
	case pbx.KeepAliveRefresh:
		// The replaced token is logged out too, and may be dead by then.
		if err := t.mayUseDeadToken(); err != nil {
			return "", err
		}
	}
	longer, cancel := patient(ctx)
	defer cancel()
	kept, err := t.auth.KeepAlive(longer, t.token)
	switch {
	case errors.Is(err, pbx.ErrNotSupported):
		return "", skipped("the brand has none: a session logs in again before the token expires")
	case err != nil:
		return "", err
	case kept == nil || kept.Value.IsZero():
		return "", t.failure(pbx.OpKeepAlive, pbx.ErrProtocol, "the driver reports success and returns no token")
	case kept.Value.Equal(t.token.Value):
		t.hold(kept)
		return "the token is extended: it " + lifetime(kept, t.auth).String(), nil
	}
	t.replaced = t.token
	t.hold(kept)
	return "the token is replaced: the new one " + lifetime(kept, t.auth).String(), nil
}

func (t *test) logout(ctx context.Context) (string, error) {
	newest := t.end(ctx, &t.token)
	if newest == nil && t.replaced != nil {
		if err := t.end(ctx, &t.replaced); err != nil {
			return "", err
		}
	}
	switch {
	case newest != nil:
		return "", newest
	case t.traits.Logout == pbx.LogoutNone:
		return "", skipped("the brand has none: the token " + t.report.Token.String())
	}
	return "the token is logged out", nil
}

// end logs a token out.
func (t *test) end(ctx context.Context, token **pbx.Token) error {
	longer, cancel := patient(ctx)
	defer cancel()
	if err := t.auth.Logout(longer, *token); err != nil {
		return err
	}
	if t.dead == nil {
		t.dead = *token
	}
	*token = nil
	return nil
}

// mayUseDeadToken returns why a token that may be dead must not be sent.
func (t *test) mayUseDeadToken() error {
	if t.mayAsked {
		return t.may
	}
	t.mayAsked = true
	switch lockout := t.traits.Lockout; {
	case lockout.None, lockout.DeadTokens == pbx.DeadTokensIgnored:
	case lockout.DeadTokens == pbx.DeadTokensCount:
		t.may = notChecked("the PBX counts a dead token as a wrong login")
	case t.options.MayUseDeadToken == nil:
		t.may = notChecked("the vendor does not say whether a dead token counts as a wrong login")
	default:
		if err := t.options.MayUseDeadToken(); err != nil {
			t.may = notChecked(err.Error())
		}
	}
	return t.may
}

// useDeadToken lets the PBX refuse the token that was logged out.
func (t *test) useDeadToken(ctx context.Context) (string, error) {
	pinger, pings := pbx.As[pbx.Pinger](t.auth)
	switch {
	case t.dead == nil:
		return "", notChecked("there is no token that was logged out")
	case t.traits.Logout != pbx.LogoutToken:
		return "", skipped("a logout does not end the token: it is valid until it expires")
	case !pings && t.traits.KeepAlive != pbx.KeepAliveHeartbeat: // a refresh could bring a new token
		return "", notChecked(noPing)
	}
	if err := t.mayUseDeadToken(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var err error
	if pings {
		err = pinger.Ping(ctx, t.dead)
	} else {
		_, err = t.auth.KeepAlive(ctx, t.dead)
	}
	switch {
	case errors.Is(err, pbx.ErrTokenRejected):
		return "the PBX refuses the token now", nil
	case errors.Is(err, pbx.ErrNotSupported):
		return "", notChecked("this PBX does not have the request that the driver knows")
	case err != nil:
		return "", err
	}
	t.token = t.dead
	return "", t.failure(pbx.OpRequest, nil, "the PBX still accepts the token after the logout")
}
