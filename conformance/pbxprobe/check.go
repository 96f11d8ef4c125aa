package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/probe"
	"github.com/pbxauth/pbx/session"
	"github.com/pbxauth/pbx/session/lockout"
	"github.com/pbxauth/pbx/session/store"
)

// check is one run: the steps of package probe, with a ledger of wrong logins.
type check struct {
	driver string
	cfg    pbx.Config
	traits pbx.Traits
	ledger *ledger

	out    io.Writer // for lines
	aside  io.Writer // for advice
	margin string    // before it
}

// ledger is what pbxprobe knows from earlier runs, and from other programs with
// the same directory.
type ledger struct {
	store store.Store
	guard *session.Guard
}

// openLedger opens the ledger in a directory, which is made if there is none.
func openLedger(dir string) (*ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	files, err := store.Files(dir)
	if err != nil {
		return nil, err
	}
	guard, err := session.NewGuard(files)
	if err != nil {
		return nil, err
	}
	return &ledger{files, guard}, nil
}

func newCheck(driver string, cfg pbx.Config, auth pbx.Authenticator, l *ledger) *check {
	c := &check{driver: driver, cfg: cfg, ledger: l}
	if d, ok := pbx.As[pbx.Describer](auth); ok {
		c.traits = d.Traits()
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

// run takes the steps and prints a line on each.
func (c *check) run(ctx context.Context, login func(context.Context, pbx.Authenticator) (*pbx.Token, error)) *probe.Report {
	if c.cfg.Username == "" {
		fmt.Fprintf(c.out, "%s at %s\n", c.driver, c.address().Host)
	} else {
		fmt.Fprintf(c.out, "%s at %s, as %s\n", c.driver, c.address().Host, c.cfg.Username)
	}
	dead := deadTokens{c.ledger.store, strings.ToLower(c.address().Hostname()), cmp.Or(c.traits.Lockout.Window, assumedWindow)}
	report := probe.Run(ctx, probe.Options{
		Driver: c.driver, Config: c.cfg, OnStep: c.print,
		Login: func(ctx context.Context, auth pbx.Authenticator) (*pbx.Token, error) {
			token, err := login(ctx, auth)
			return token, forOperators(err)
		},
		MayUseDeadToken: func() error { return dead.may(ctx) },
	})
	c.conclude(report)
	return report
}

// hints maps what errors advise programmers to do to what does the same here.
var hints = []struct {
	programmers *regexp.Regexp
	here        string
}{
	{regexp.MustCompile(`retry if they are right by now \(Session\.Retry\)`), `use -force "reason" if they are right by now`},
	{regexp.MustCompile(`call Guard\.Forgive\(".*?"\)`), `use -force "reason"`},
	{regexp.MustCompile(`is an import missing\?`), "see -list"},
}

// forOperators replaces the hints in the message of an error.
func forOperators(err error) error {
	var failure *pbx.Error
	if !errors.As(err, &failure) {
		return err
	}
	f := *failure
	for _, h := range hints {
		f.Message = h.programmers.ReplaceAllLiteralString(f.Message, h.here)
	}
	return &f
}

// assumedWindow is how long a lockout lasts if the driver does not say: as long as
// with the brands that document it.
const assumedWindow = 10 * time.Minute

// forced asks a person and runs again, if the ledger has held the login back.
func (c *check) forced(ctx context.Context, people console, reason string, report *probe.Report) (*probe.Report, error) {
	last := report.Steps[len(report.Steps)-1]
	if last.Name != probe.Login || !probe.HeldBack(last.Err) {
		return report, nil
	}
	yes, err := people.Confirm(ctx, fmt.Sprintf("%s\nAnother wrong login may lock this machine out. Log in now, because %q?", last.Message, reason))
	switch {
	case err != nil:
		return report, err
	case !yes:
		return report, errors.New("not confirmed: no login was sent")
	}
	return c.run(ctx, probe.Forced(c.ledger.guard)), nil
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
	if probe.HeldBack(s.Err) {
		text = "" // the message and the last line say what to do
	}
	if text != "" {
		fmt.Fprintf(c.aside, "%s%s\n", c.margin, text)
	}
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
	last := report.Steps[len(report.Steps)-1]
	switch {
	case report.Token == nil && probe.HeldBack(last.Err):
		fmt.Fprintln(c.aside, `Failed. No login was sent. If you are sure that the PBX does not lock this machine out, use -force "reason".`)
	case report.Token == nil && last.Name == probe.Login && counts(last.Err):
		fmt.Fprintln(c.aside, "Failed. The login may count as a wrong one at the PBX, and is remembered.")
	case report.Token == nil:
		fmt.Fprintln(c.aside, "Failed. There was no wrong login: fix this, and run it again.")
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

// counts reports whether the PBX may have counted a failed login as a wrong one.
func counts(err error) bool {
	kind := lockout.Classify(err).Kind
	return kind == lockout.Refused || kind == lockout.Unclear || kind == lockout.Locked
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
