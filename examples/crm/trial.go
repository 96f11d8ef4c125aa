package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
)

// step is one step of a connection test.
type step struct {
	Name  string `json:"name"`
	State string `json:"state"` // todo, running, done, failed, skipped, decide
	Text  string `json:"text,omitempty"`
	MS    int64  `json:"ms"`
}

// certificate is a key that a person has to decide about.
type certificate struct {
	Fingerprint string `json:"fingerprint"` // SHA-256 of the certificate, as browsers show it
	Name        string `json:"name"`
	Valid       string `json:"valid"`
	Pin         string `json:"pin"`
	Trusted     string `json:"trusted,omitempty"` // the pin until now; empty: none
}

// PinGroups are four characters each.
func (c certificate) PinGroups() []string { return inFours(c.Pin) }

// TrustedGroups are those of the pin until now.
func (c certificate) TrustedGroups() []string { return inFours(c.Trusted) }

func inFours(pin string) []string {
	var groups []string
	for pin = strings.TrimPrefix(pin, "sha256/"); len(pin) > 4; pin = pin[4:] {
		groups = append(groups, pin[:4])
	}
	return append(groups, pin)
}

// trial is one connection test. It saves nothing.
type trial struct {
	fleet  *Fleet
	driver string
	cfg    pbx.Config
	report func(step)

	steps []step
	cert  *certificate // to be decided about
	err   error        // of the step that failed
}

const (
	stepSettings  = "Settings"
	stepAddress   = "Address responds"
	stepCert      = "Certificate"
	stepLogin     = "Login"
	stepHarmless  = "Harmless request"
	stepKeepAlive = "Keep-alive"
	stepLogout    = "Logout"
	stepDead      = "Token no longer works"
)

// plannedSteps are what a test will do.
func plannedSteps() []step {
	var steps []step
	for _, name := range []string{stepSettings, stepAddress, stepCert, stepLogin, stepHarmless, stepKeepAlive, stepLogout, stepDead} {
		steps = append(steps, step{Name: name, State: "todo"})
	}
	return steps
}

var errSkipped = errors.New("skipped")

func skipped(why string) error { return fmt.Errorf("%w: %s", errSkipped, why) }

// run takes the steps until one fails.
func (t *trial) run(ctx context.Context) {
	auth := t.lookAtCertificate(ctx)
	var token, last *pbx.Token
	key := "test " + rand.Text()
	defer t.fleet.Disconnect(context.WithoutCancel(ctx), key)
	t.step(3, func() (text string, err error) {
		if _, err = t.fleet.sessions.Add(key, auth); err != nil {
			return "", err
		}
		s, _ := t.fleet.sessions.Session(key)
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		token, err = s.Token(ctx)
		last = token
		return "", err
	})
	t.step(4, func() (string, error) {
		pinger, ok := pbx.As[pbx.Pinger](auth)
		if !ok {
			return "", skipped("the brand has none")
		}
		return "", pinger.Ping(ctx, token)
	})
	t.step(5, func() (string, error) {
		kept, err := auth.KeepAlive(ctx, token)
		if err == nil {
			last = kept
		}
		return "", err
	})
	t.step(6, func() (string, error) {
		if d, ok := pbx.As[pbx.Describer](auth); ok && d.Traits().Logout == pbx.LogoutNone {
			return "", skipped("the brand has none")
		}
		return "", auth.Logout(ctx, last)
	})
	t.step(7, func() (string, error) {
		pinger, ok := pbx.As[pbx.Pinger](auth)
		if d, known := pbx.As[pbx.Describer](auth); !ok || known && d.Traits().Logout != pbx.LogoutToken {
			return "", skipped("the brand has no request to find out")
		}
		switch err := pinger.Ping(ctx, last); {
		case errors.Is(err, pbx.ErrTokenRejected):
			return "", nil
		case err == nil:
			return "", &pbx.Error{Kind: pbx.ErrProtocol, Message: "the PBX still accepts the token after the logout: its sessions end by expiry only"}
		default:
			return "", err
		}
	})
}

// lookAtCertificate takes the steps that send nothing to the PBX, and returns
// the driver.
func (t *trial) lookAtCertificate(ctx context.Context) (auth pbx.Authenticator) {
	t.steps = plannedSteps()
	t.step(0, func() (text string, err error) {
		auth, err = pbx.Open(t.driver, t.cfg)
		return "", err
	})
	address := t.cfg.URL
	if d, ok := pbx.As[pbx.Describer](auth); ok && auth != nil && d.Traits().URL != "" {
		address = d.Traits().URL
	}
	u, err := url.Parse(address)
	if err != nil {
		u = &url.URL{}
	}
	var conn net.Conn
	t.step(1, func() (text string, err error) {
		conn, err = (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", dialAddress(u))
		if err != nil {
			return "", &pbx.Error{Kind: pbx.ErrUnavailable, Setting: "URL", Message: "the PBX does not respond: " + inWords(nil, err) + " at " + u.Host + ": check the address and the port", Err: nil}
		}
		return "", nil
	})
	if conn != nil {
		defer conn.Close()
	}
	t.step(2, func() (string, error) { return t.certificate(ctx, u, conn) })
	return auth
}

// step takes one step, unless an earlier one has failed.
func (t *trial) step(i int, do func() (string, error)) {
	if t.err != nil || t.cert != nil {
		return
	}
	s := &t.steps[i]
	s.State = "running"
	t.report(*s)
	start := time.Now()
	text, err := do()
	s.MS, s.State, s.Text = time.Since(start).Milliseconds(), "done", text
	switch {
	case errors.Is(err, errSkipped):
		s.State, s.Text = "skipped", err.Error()
	case errors.Is(err, pbx.ErrNotSupported):
		s.State, s.Text = "skipped", "skipped: the brand has none"
	case t.cert != nil:
		s.State = "decide"
	case err != nil:
		s.State, s.Text, t.err = "failed", explain(err), err
	}
	t.report(*s)
}

// certificate looks at the PBX's key before anything is sent.
func (t *trial) certificate(ctx context.Context, u *url.URL, conn net.Conn) (string, error) {
	if u.Scheme != "https" {
		return "", skipped("the address is plain http")
	}
	var leaf *x509.Certificate
	var untrusted error
	client := tls.Client(conn, &tls.Config{
		ServerName:         u.Hostname(),
		InsecureSkipVerify: true, // looked at below: nothing is sent over this connection
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf = state.PeerCertificates[0]
			pool := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				pool.AddCert(c)
			}
			_, untrusted = leaf.Verify(x509.VerifyOptions{DNSName: u.Hostname(), Intermediates: pool})
			return nil
		},
	})
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := client.HandshakeContext(ctx); err != nil || leaf == nil {
		return "", &pbx.Error{Kind: pbx.ErrConfig, Setting: "URL", Message: "this port does not speak https: check the address and the port"}
	}
	pin := pbx.Pin(leaf)
	switch {
	case t.cfg.TLS.PinSHA256 == pin:
		return "Trusted by its pin.", nil
	case t.cfg.TLS.PinSHA256 == "" && untrusted == nil:
		return "Trusted by this system.", nil
	}
	t.cert = describe(leaf, t.cfg.TLS.PinSHA256)
	return "", nil
}

// describe writes a certificate for a person to compare.
func describe(leaf *x509.Certificate, trusted string) *certificate {
	sum := sha256.Sum256(leaf.Raw)
	var hex []string
	for _, b := range sum {
		hex = append(hex, fmt.Sprintf("%02X", b))
	}
	return &certificate{
		Fingerprint: strings.Join(hex, ":"),
		Name:        leaf.Subject.CommonName,
		Valid:       leaf.NotBefore.Format("2 Jan 2006") + " to " + leaf.NotAfter.Format("2 Jan 2006"),
		Pin:         pbx.Pin(leaf),
		Trusted:     trusted,
	}
}

func dialAddress(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// problem is what a failed test has to say beside a field.
func (t *trial) problem(d pbx.Driver, s Settings) []problem {
	var failure *pbx.Error
	switch {
	case t.err == nil:
		return nil
	case errors.Is(t.err, pbx.ErrInvalidCredentials):
		return []problem{{passwordField(s, d), "The PBX refused this password. It is not sent again until you change it."}}
	case errors.As(t.err, &failure):
		return []problem{{fieldOf(failure, d), explain(t.err)}}
	}
	return []problem{{"", explain(t.err)}}
}

// explain is what a failed step says.
func explain(err error) string {
	var failure *pbx.Error
	if !errors.As(err, &failure) {
		return sentence(err.Error())
	}
	text := sentence(failure.Message)
	if failure.Code != "" {
		text = strings.TrimSuffix(text, ".") + " (code " + failure.Code + ")."
	}
	if text == "" && failure.Kind != nil {
		text = sentence(failure.Kind.Error())
	}
	return text
}
