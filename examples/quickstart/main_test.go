package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/pbxauth/pbx"
	"github.com/pbxauth/pbx/conformance/pbxsim"
)

const secret = "canary-Horse-9"

// quickstart runs the command and returns its exit status and what it printed.
func quickstart(t *testing.T, args ...string) (status int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	status = run(t.Context(), args, &o, &e, func(context.Context) (pbx.Secret, error) { return pbx.NewSecret(secret), nil })
	if strings.Contains(o.String()+e.String(), secret) {
		t.Errorf("the password was printed:\n%s%s", &o, &e)
	}
	return status, o.String(), e.String()
}

func TestARealPBXGetsOneLoginOneCallOneKeepAliveAndOneLogout(t *testing.T) {
	for _, b := range brands {
		t.Run(b.name(), func(t *testing.T) {
			sim := b.simulate(&pbxsim.Options{Accounts: map[string]string{"api": secret}})
			server := pbxsim.Listen(sim)
			defer server.Close()
			args := []string{"-driver", b.driver, "-url", server.URL, "-user", "api"}
			for name, value := range b.options {
				args = append(args, "-option", name+"="+value)
			}
			status, out, errs := quickstart(t, args...)
			if status != 0 {
				t.Fatalf("status %d:\n%s%s", status, out, errs)
			}
			c := sim.Counts()
			if c.Logins != 1 || c.Logouts != 1 || c.KeepAlives > 1 || c.WrongLogins != 0 || (c.AppRequests != 0) != b.call.forReal {
				t.Errorf("%+v\n%s", c, out)
			}
			if left := sim.Tokens("api"); len(left) != 0 {
				t.Errorf("%d tokens are left behind", len(left))
			}
		})
	}
}

func TestAWrongPasswordForARealPBXIsSentOnce(t *testing.T) {
	sim := brands[0].simulate(&pbxsim.Options{Accounts: map[string]string{"api": "another"}})
	server := pbxsim.Listen(sim)
	defer server.Close()
	status, out, _ := quickstart(t, "-driver", brands[0].driver, "-url", server.URL, "-user", "api")
	if status != 1 || !strings.Contains(out, "invalid credentials") || sim.Counts().Logins != 1 {
		t.Errorf("status %d after %d logins:\n%s", status, sim.Counts().Logins, out)
	}
}

func TestWrongUseIsToldInOneLine(t *testing.T) {
	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{"yeastar"}, "all settings are flags"},
		{[]string{"-url", "https://pbx.test"}, "needs -driver, -url and -user"},
		{[]string{"-driver", "yeaster", "-url", "https://pbx.test", "-user", "api"}, `unknown driver "yeaster": registered are`},
		{[]string{"-driver", "yeastar", "-user", "api"}, "URL is empty"},
		{[]string{"-driver", "yeastar", "-url", "https://pbx.test", "-user", "api", "-option", "nonsense=1"}, "the options are "},
		{[]string{"-driver", "yeastar", "-url", "http://pbx.test", "-user", "api"}, "plain http"},
		{[]string{"-driver", "runtel", "-url", "https://pbx.test", "-user", "api", "-option", "key=" + secret}, "the option key is secret"},
	} {
		status, _, errs := quickstart(t, row.args...)
		if status != 2 || !strings.Contains(errs, row.says) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: status %d, %q", row.args, status, errs)
		}
	}
}

func TestWithoutAPasswordNothingIsSent(t *testing.T) {
	var out, errs bytes.Buffer
	status := run(t.Context(), []string{"-driver", "yeastar", "-url", "https://pbx.test", "-user", "api"}, &out, &errs,
		func(context.Context) (pbx.Secret, error) { return pbx.Secret{}, errors.New("there is no password") })
	if status != 2 || out.Len() != 0 {
		t.Errorf("status %d: %s", status, &out)
	}
}

func TestTheListNamesEveryDriverAndOption(t *testing.T) {
	status, out, _ := quickstart(t, "-list")
	if status != 0 {
		t.Fatalf("status %d", status)
	}
	for _, d := range pbx.Drivers() {
		if !strings.Contains(out, d.Title) {
			t.Errorf("%s is missing", d.Name)
		}
		for _, o := range d.Options {
			if !strings.Contains(out, o.Name) {
				t.Errorf("%s's %s is missing", d.Name, o.Name)
			}
		}
	}
}
