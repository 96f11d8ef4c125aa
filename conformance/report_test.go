package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pbxauth/pbx"
)

// Verify rests on what package testing does not promise, so it is tried where
// there is no test: in a program that is built here.
func TestVerifyWorksInAnOrdinaryProgram(t *testing.T) {
	program := filepath.Join(t.TempDir(), "verify")
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/verify").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(program)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if stderr.Len() > 0 {
		t.Errorf("it says on standard error:\n%s", stderr.String())
	}
	var report Report
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatalf("%v in\n%s", err, stdout.String())
	}
	if !report.OK() {
		t.Errorf("failed: %v", report.Failed)
	}
	var skipped []string
	for _, f := range report.Skipped {
		skipped = append(skipped, f.Rule)
	}
	if diff := cmp.Diff([]string{"LOGIN-01", "KEEPALIVE-04", "LOGOUT-05", "LOCKOUT-05", "LOCKOUT-08", "LOCKOUT-09", "SESSION-07"}, skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	if len(report.Passed)+len(report.Skipped) != len(rules) {
		t.Errorf("%d passed and %d skipped of %d", len(report.Passed), len(report.Skipped), len(rules))
	}
	if report.Driver != "acme" || report.Go != runtime.Version() || !strings.HasPrefix(report.Module, "github.com/pbxauth/pbx") {
		t.Errorf("driver %q, Go %q, module %q", report.Driver, report.Go, report.Module)
	}
}

func TestVerifyReportsWhatRunFails(t *testing.T) {
	report := Verify(withLoginErrors(func(e *pbx.Error) { e.Kind = pbx.ErrUnavailable }))
	if report.OK() {
		t.Error("it is OK")
	}
	if got := reason(report.Failed, "LOCKOUT-01"); !strings.Contains(got, `want an error of kind "invalid credentials"`) {
		t.Errorf("LOCKOUT-01 fails for the reason %q", got)
	}
	if got := reason(report.Skipped, "KEEPALIVE-04"); got != "the brand has a keep-alive" {
		t.Errorf("KEEPALIVE-04 is skipped for the reason %q", got)
	}
	if !slices.Contains(report.Passed, "LOGIN-01") || slices.Contains(report.Passed, "LOCKOUT-01") || slices.Contains(report.Passed, "KEEPALIVE-04") {
		t.Errorf("passed: %v", report.Passed)
	}
}

func TestVerifyPanicsOnAHarnessThatIsNotUsable(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it does not")
		}
	}()
	Verify(Harness{})
}

var sample = Report{
	Driver:  "acme",
	Options: map[string]string{"tenant": "3", "region": "eu"},
	Module:  "github.com/pbxauth/pbx v1.2.3",
	Go:      "go1.26.0",
	Passed:  []string{"CONFIG-01", "LOGIN-01"},
	Failed:  []Finding{{"LOGIN-02", "both logins return the same token\nthe token shows in the log"}},
	Skipped: []Finding{{"LOGIN-03", "no reason"}},
}

func TestAReportReadsAsATable(t *testing.T) {
	want := `acme region=eu tenant=3: 2 passed, 1 failed, 1 skipped
github.com/pbxauth/pbx v1.2.3, go1.26.0

CONFIG-01      passed  Opening sends nothing.

LOGIN-01       passed  A good login is one login request, and returns the token that the PBX issued.
LOGIN-02       FAILED  Two logins return two tokens, and both are valid.
                       both logins return the same token
                       the token shows in the log
LOGIN-03       skipped no reason
`
	if diff := cmp.Diff(want, sample.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var out strings.Builder
	if n, err := sample.WriteTo(&out); err != nil || n != int64(len(want)) || out.String() != want {
		t.Errorf("WriteTo: %d, %v:\n%s", n, err, out.String())
	}
}

func TestAReportIsJSON(t *testing.T) {
	want := `{"driver":"acme","options":{"region":"eu","tenant":"3"},"module":"github.com/pbxauth/pbx v1.2.3","go":"go1.26.0",` +
		`"passed":["CONFIG-01","LOGIN-01"],` +
		`"failed":[{"rule":"LOGIN-02","reason":"both logins return the same token\nthe token shows in the log"}],` +
		`"skipped":[{"rule":"LOGIN-03","reason":"no reason"}]}`
	got, err := json.Marshal(sample)
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if got, _ := json.Marshal(newReport(Harness{Driver: "acme"})); !strings.Contains(string(got), `"passed":[],"failed":[],"skipped":[]`) {
		t.Errorf("an empty report is %s", got)
	}
}

// Virtual time stands still while anyone waits for a sync.Mutex, so this is
// found out in real time.
func TestADriverThatLogsInUnderALockFailsAndDoesNotHangTheSuite(t *testing.T) {
	defer func(d time.Duration) { stuckAfter = d }(stuckAfter)
	stuckAfter = time.Second / 2
	h := mutate(func(m *mutant) {
		var mu sync.Mutex
		m.login = func(ctx context.Context) (*pbx.Token, error) {
			mu.Lock()
			defer mu.Unlock()
			return m.fullDriver.Login(ctx)
		}
	})
	if got := ruleOf(t, "CONCURRENCY-03").try(t, h); got.err == nil || !strings.Contains(got.err.Error(), "after 500ms nothing moves") {
		t.Errorf("%+v", got)
	}
}

func TestAReportHasTheOptionsAndNotTheSecretOnes(t *testing.T) {
	var registry pbx.Registry
	registry.Register(pbx.Driver{
		Name: "x",
		Options: []pbx.Option{
			{Name: "region", Kind: pbx.OptionString},
			{Name: "key", Kind: pbx.OptionSecret},
		},
		Open: func(pbx.Config) (pbx.Authenticator, error) { return nil, nil },
	})
	got := newReport(Harness{Driver: "x", Registry: &registry, Options: map[string]string{"region": "eu", "key": "secret"}}).Options
	if diff := cmp.Diff(map[string]string{"region": "eu"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
