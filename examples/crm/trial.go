package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/probe"
	"github.com/pbxauth/pbx/session/lockout"
)

// step is one step of a connection test.
type step struct {
	Name  string
	State string // todo, running, done, failed, skipped, decide
	Text  string
	MS    int64
}

// certificate is a key that a person has to decide about.
type certificate struct {
	Fingerprint string // SHA-256 of the certificate, as browsers show it
	Name        string
	Valid       string
	Pin         string
	Trusted     string // the pin until now; empty: none
	TrustedOn   string // the day on which a person trusted it; empty: unknown
}

// FingerprintPairs are where it may be broken into lines.
func (c certificate) FingerprintPairs() []string { return strings.SplitAfter(c.Fingerprint, ":") }

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
	since  string // the day on which its key was trusted; empty: unknown
	report func(step)

	steps []step
	cert  *certificate // to be decided about
	err   error        // of the step that failed
}

// plannedSteps are what a test will do.
func plannedSteps() []step {
	var steps []step
	for _, name := range probe.Names() {
		steps = append(steps, step{Name: name.Title(), State: "todo"})
	}
	return steps
}

// run takes the steps until one fails.
func (t *trial) run(ctx context.Context) {
	t.steps = plannedSteps()
	t.decide(t.fleet.Test(ctx, t.driver, t.cfg, t.take))
}

// lookAtCertificate takes the steps that send no password.
func (t *trial) lookAtCertificate(ctx context.Context) {
	t.steps = plannedSteps()
	report := t.fleet.Look(ctx, t.driver, t.cfg)
	for _, s := range report.Steps {
		if s.Name == probe.Login {
			break
		}
		t.take(s)
	}
	t.decide(report)
}

// take shows a step that has begun or ended.
func (t *trial) take(s probe.Step) {
	i := slices.Index(probe.Names(), s.Name)
	t.steps[i] = step{Name: s.Name.Title(), State: string(s.State), MS: s.MS}
	shown := &t.steps[i]
	switch s.State {
	case probe.Done:
		shown.Text = s.Message
		if s.Name == probe.CertificateStep && t.cfg.TLS.PinSHA256 != "" {
			shown.Text = "Trusted by its pin."
		}
	case probe.Decide:
		shown.Text = "Self-signed: your decision."
	case probe.Skipped, probe.NotChecked:
		shown.State, shown.Text = "skipped", "skipped: "+s.Message
	case probe.Failed:
		t.err = s.Err
		if s.Name == probe.Address {
			t.err = t.unreached(s.Err)
		}
		shown.Text = explain(t.err) + t.used(s)
		if isPinned(s) {
			shown.State, shown.Text, t.err = "decide", "Another key than the trusted one: your decision.", nil // a person decides about the new key
		}
	}
	t.report(*shown)
}

// used says how much of the host's budget is used after a login that the PBX refused.
func (t *trial) used(s probe.Step) string {
	var failure *pbx.Error
	if !errors.Is(s.Err, pbx.ErrInvalidCredentials) || !errors.As(s.Err, &failure) || !failure.Sent {
		return ""
	}
	auth, err := pbx.Open(t.driver, t.cfg)
	if err != nil {
		return ""
	}
	of, ok := pbx.As[pbx.Describer](auth)
	if !ok || of.Traits().Lockout.None {
		return ""
	}
	traits := of.Traits()
	used, most := spent(t.fleet.Hosts(), traits)
	return fmt.Sprintf(" %s; the PBX locks at %d.", ofBudget(used, most), lockout.Resolve(traits.Lockout, 0).Attempts)
}

// unreached says of a PBX that did not respond what a person can do. Other errors
// it leaves as they are.
func (t *trial) unreached(err error) error {
	var failure *pbx.Error
	if !errors.As(err, &failure) || !errors.Is(err, pbx.ErrUnavailable) || failure.HTTPStatus != 0 {
		return err
	}
	host := Settings{URL: t.cfg.URL}.host()
	return &pbx.Error{Kind: pbx.ErrUnavailable, Setting: "URL", Message: "the PBX does not respond: " + inWords(failure, err) + " at " + host + ". Check the address and the port"}
}

// isPinned reports whether the PBX showed another key than the pinned one.
func isPinned(s probe.Step) bool {
	return s.Name == probe.CertificateStep && s.Setting == "TLS.PinSHA256"
}

// decide shows the certificate that a person has to decide about, if there is one.
func (t *trial) decide(report *probe.Report) {
	last := report.Steps[len(report.Steps)-1]
	if c := report.Certificate; c != nil && (last.State == probe.Decide || isPinned(last)) {
		t.cert = describe(*c)
		t.cert.TrustedOn = t.since
	}
}

// describe writes a certificate for a person to compare.
func describe(c probe.Certificate) *certificate {
	name, _ := strings.CutPrefix(c.Subject, "CN=")
	return &certificate{
		Fingerprint: inPairs(c.SHA256), Name: name, Pin: c.Pin, Trusted: c.Trusted,
		Valid: c.NotBefore.Format("2 Jan 2006") + " to " + c.NotAfter.Format("2 Jan 2006"),
	}
}

// inPairs writes a fingerprint as browsers do: "AB:CD".
func inPairs(hex string) string {
	var pairs []string
	for ; len(hex) > 2; hex = hex[2:] {
		pairs = append(pairs, hex[:2])
	}
	return strings.Join(append(pairs, hex), ":")
}

// problem is what a failed test has to say beside a field.
func (t *trial) problem(d pbx.Driver, s Settings) []problem {
	var failure *pbx.Error
	switch {
	case t.err == nil:
		return nil
	case errors.As(t.err, &failure) && errors.Is(t.err, pbx.ErrInvalidCredentials) && !failure.Sent:
		return []problem{{passwordField(s, d), "Not sent: the PBX refused exactly this password " + refusedWhen(failure, time.Now()) + ". Change it."}}
	case errors.Is(t.err, pbx.ErrInvalidCredentials):
		return []problem{{passwordField(s, d), "The PBX refused this password. It is not sent again until you change it."}}
	case errors.As(t.err, &failure):
		return []problem{{fieldOf(failure, d), explain(t.err)}}
	}
	return []problem{{"", explain(t.err)}}
}

var dateTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)`)

// refusedWhen is when the PBX refused a password that was therefore not sent: the
// session's error says it.
func refusedWhen(failure *pbx.Error, now time.Time) string {
	if at, err := time.Parse(time.RFC3339, dateTime.FindString(failure.Message)); err == nil {
		return moment(at, now)
	}
	return "before"
}

// inBrief is explain for the story of a PBX. What a person can do about it stands above
// the story, and the driver's own words in the details.
func inBrief(err error) string {
	var failure *pbx.Error
	switch {
	case !errors.As(err, &failure):
	case aboutCertificate(failure) && !failure.Sent:
		return "The PBX’s key is not trusted. Nothing was sent."
	case errors.Is(err, pbx.ErrUnavailable) && failure.HTTPStatus >= 500:
		return gateway(failure.HTTPStatus)
	}
	return explain(err)
}

// gateway says that something in front of a PBX responds for it.
func gateway(status int) string {
	return fmt.Sprintf("%d %s: the PBX does not respond.", status, http.StatusText(status))
}

// explain is what a failed step says.
func explain(err error) string {
	var failure *pbx.Error
	if errors.As(err, &failure) && !failure.Sent && errors.Is(err, pbx.ErrLocked) {
		return heldBackText
	}
	if !errors.As(err, &failure) {
		var network *net.OpError
		if errors.As(err, &network) {
			return sentence("the PBX does not respond: " + inWords(nil, err))
		}
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
