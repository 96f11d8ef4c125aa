package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim/simulators"
)

// quickstart runs the command and returns its exit status and what it printed.
func quickstart(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(t.Context(), args, &o, &e)
	if strings.Contains(o.String()+e.String(), password) {
		t.Errorf("the password was printed:\n%s%s", &o, &e)
	}
	return status, o.String(), e.String()
}

func TestOneBrandIsShownStepByStep(t *testing.T) {
	status, out, errs := quickstart(t, "-driver", "asterisk")
	if status != 0 || errs != "" {
		t.Fatalf("status %d:\n%s%s", status, out, errs)
	}
	for _, step := range []string{"open", "login", "request", "stay logged in", "PBX restarts", "wrong password", "logout"} {
		if !strings.Contains(out, "asterisk          ok      "+step) {
			t.Errorf("%q is not shown:\n%s", step, out)
		}
	}
	if strings.Contains(out, "yeastar") || !strings.Contains(out, "as promised") {
		t.Errorf("output:\n%s", out)
	}
}

func TestEveryDriverHasATour(t *testing.T) {
	for _, d := range pbx.Drivers() {
		if len(simulators.Of(d.Name)) == 0 {
			t.Errorf("%s has no simulator", d.Name)
		}
	}
}

func TestWrongUseIsReportedInOneLine(t *testing.T) {
	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{"yeastar"}, "use -driver NAME"},
		{[]string{"-driver", "yeaster"}, `no simulator for a driver "yeaster": there are 3cx, asterisk, `},
	} {
		status, out, errs := quickstart(t, row.args...)
		if status != 2 || out != "" || !strings.Contains(errs, row.says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: status %d, %q, %q", row.args, status, out, errs)
		}
	}
	if status, _, _ := quickstart(t, "-url", "https://pbx.example.com"); status != 2 {
		t.Errorf("a real PBX: status %d", status)
	}
}

func TestAStepThatFailsEndsWithStatusOne(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if status := run(ctx, []string{"-driver", "asterisk"}, &out, &errs); status != 1 || !strings.Contains(out.String(), "FAILED  ") || !strings.Contains(out.String(), "DIFFERS") {
		t.Errorf("status %d:\n%s%s", status, &out, &errs)
	}
}
