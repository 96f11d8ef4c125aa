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
	"github.com/pbxauth/pbx/conformance/probe"
)

// check is one run: the steps of package probe, with a memory of wrong logins.
type check struct {
	driver string
	cfg    pbx.Config
	traits pbx.Traits
	memory memory
	window time.Duration // of the PBX's lockout

	out    io.Writer // for lines
	aside  io.Writer // for advice
	margin string    // before it
}

func newCheck(driver string, cfg pbx.Config, auth pbx.Authenticator, m memory) *check {
	c := &check{driver: driver, cfg: cfg, memory: m, window: assumedWindow}
	if d, ok := pbx.As[pbx.Describer](auth); ok {
		c.traits = d.Traits()
	}
	if c.traits.Lockout.Window > 0 {
		c.window = c.traits.Lockout.Window
	}
	return c
}

// address is the PBX's, as far as it is known.
func (c *check) address() *url.URL {
	for _, text := range []string{c.traits.URL, c.cfg.URL, "https://" + c.cfg.URL} {
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			return u
		}
	}
	return &url.URL{}
}

// host is the key of the memory.
func (c *check) host() string { return strings.ToLower(c.address().Hostname()) }

// force removes what the memory holds against a login, if a person confirms it.
func (c *check) force(ctx context.Context, people console, reason string) error {
	held, err := c.memory.recall(wrongLogin, c.host())
	if err != nil || held == nil {
		return err
	}
	yes, err := people.Confirm(ctx, fmt.Sprintf("An earlier login to %s may have counted as a wrong one (%s). Another one may lock this machine out. Log in now, because %q?",
		c.host(), held.Why, reason))
	switch {
	case err != nil:
		return err
	case !yes:
		return errors.New("not confirmed: nothing was sent")
	}
	return c.memory.forget(wrongLogin, c.host())
}

// run takes the steps and prints a line on each.
func (c *check) run(ctx context.Context) *probe.Report {
	if c.cfg.Username == "" {
		fmt.Fprintf(c.out, "%s at %s\n", c.driver, c.address().Host)
	} else {
		fmt.Fprintf(c.out, "%s at %s, as %s\n", c.driver, c.address().Host, c.cfg.Username)
	}
	report := probe.Run(ctx, probe.Options{
		Driver: c.driver, Config: c.cfg, Login: c.login, MayUseDeadToken: c.mayUseDeadToken, OnStep: c.print,
	})
	c.conclude(report)
	return report
}

var marks = map[probe.State]string{
	probe.Done: "ok", probe.Failed: "FAILED", probe.Decide: "DECIDE", probe.Skipped: "skipped", probe.NotChecked: "unknown",
}

func (c *check) print(s probe.Step) {
	if s.State == probe.Running {
		return
	}
	fmt.Fprintf(c.out, "  %-7s  %-16s  %5d ms  %s\n", marks[s.State], s.Name, s.MS, s.Message)
	text := s.Advice
	if s.Err != nil {
		if flags := flagsFor(s.Err); flags != "" {
			text = strings.TrimSpace(text + " Here, " + flags + ".")
		}
	}
	var held *remembered
	if errors.As(s.Err, &held) {
		text = "" // the last lines say what to do
	}
	if text != "" {
		fmt.Fprintf(c.aside, "%s%s\n", c.margin, text)
	}
}

// login sends the login if the memory permits it, and remembers what became of
// it. It is noted before it is sent, so that a killed run counts too.
func (c *check) login(ctx context.Context, auth pbx.Authenticator) (*pbx.Token, error) {
	if err := c.memory.reserve(c.host(), c.window); err != nil {
		var held *remembered
		if errors.As(err, &held) {
			return nil, &pbx.Error{Driver: c.driver, Op: pbx.OpLogin, Kind: pbx.ErrLocked, Err: err}
		}
		return nil, &pbx.Error{Driver: c.driver, Op: pbx.OpLogin, Kind: pbx.ErrConfig, Err: err,
			Message: "no login was sent: it cannot be remembered: name a directory that can be written to with -memory or PBXPROBE_MEMORY"}
	}
	token, err := auth.Login(ctx)
	var noted error
	if wait := waitAfter(err, c.window); err != nil && wait > 0 {
		noted = c.memory.keep(wrongLogin, c.host(), wait, why(err))
	} else {
		noted = c.memory.forget(wrongLogin, c.host())
	}
	if noted != nil {
		fmt.Fprintln(c.aside, "the memory cannot be written:", noted)
	}
	return token, err
}

// why is what a note says about a failed login: never the PBX's words.
func why(err error) string {
	var failure *pbx.Error
	if errors.As(err, &failure) && failure.Kind != nil {
		return failure.Kind.Error()
	}
	return "unknown"
}

// mayUseDeadToken permits a dead token once per host and window.
func (c *check) mayUseDeadToken() error {
	held, err := c.memory.recall(deadToken, c.host())
	if err == nil && held == nil {
		err = c.memory.keep(deadToken, c.host(), c.window, "a dead token was used")
	}
	switch {
	case err != nil:
		return fmt.Errorf("it cannot be remembered: %w", err)
	case held != nil:
		return errors.New("done by an earlier run, and a dead token may count as a wrong login: again after " + clock(held.Until))
	}
	return nil
}

// conclude prints the result in one sentence.
func (c *check) conclude(report *probe.Report) {
	failed, checked := 0, true
	for _, s := range report.Steps {
		switch s.State {
		case probe.Failed:
			failed++
		case probe.NotChecked, probe.Skipped:
			checked = checked && s.Name != probe.DeadToken
		case probe.Decide:
			fmt.Fprintf(c.aside, "Fingerprint: %s\n", report.Certificate.SHA256)
			fmt.Fprintf(c.aside, "Run it again with -tls-pin %s\n", report.Certificate.Pin)
			return
		}
	}
	switch {
	case report.Token == nil:
		held, err := c.memory.recall(wrongLogin, c.host())
		if err != nil || held == nil {
			fmt.Fprintln(c.aside, "Failed. There was no wrong login: fix this, and run it again.")
			return
		}
		fmt.Fprintf(c.aside, "Failed. No login is sent to %s before %s, so that the PBX does not lock this machine out.\n", c.host(), clock(held.Until))
		fmt.Fprintln(c.aside, `If you are sure that it does not, use -force "reason".`)
	case failed > 0 && report.Left:
		fmt.Fprintf(c.aside, "Failed: %d of %d steps. A token may be left behind. If so, it %s.\n", failed, len(report.Steps), report.Token)
	case failed > 0:
		fmt.Fprintf(c.aside, "Failed: %d of %d steps. No token is left behind.\n", failed, len(report.Steps))
	case checked:
		fmt.Fprintln(c.out, "Fine: everything works, and no token is left behind.")
	default:
		fmt.Fprintln(c.out, "Fine: everything that was tried works. Whether the token is dead was not checked.")
	}
}

// flags maps the settings to the flags that set them here.
var flags = []struct{ setting, flag string }{
	{"AllowPlainHTTP", "-allow-plain-http"},
	{"CAFile", "-tls-ca"},
	{"PinSHA256", "-tls-pin"},
	{"InsecureSkipVerify", "-insecure-skip-verify"},
	{"Username", "-user"},
	{"Password", "PBX_PASSWORD"},
}

// flagsFor names the flags for the settings that an error names.
func flagsFor(err error) string {
	var failure *pbx.Error
	if !errors.As(err, &failure) || failure.Kind != pbx.ErrConfig {
		return ""
	}
	var all []string
	for _, f := range flags {
		if strings.Contains(failure.Message, f.setting) || strings.HasSuffix(failure.Setting, f.setting) {
			all = append(all, f.setting+" is "+f.flag)
		}
	}
	return strings.Join(all, ", ")
}
