package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/pbxauth/pbx/session/store/enginetest"
)

func TestMain(m *testing.M) {
	if os.Getenv(asReplica) != "" {
		os.Exit(replica(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestReplicasShareLoginsOverEachStore(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		start      func(t *testing.T) (url string)
	}{
		{"files", "a directory of this machine", func(*testing.T) string { return "files" }},
		{"redis", "Redis", func(t *testing.T) string { return enginetest.StartRedis(t).URL() }},
		{"postgres", "PostgreSQL", func(t *testing.T) string { return enginetest.StartPostgres(t).URL() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			if status := run(t.Context(), []string{"-store", c.start(t)}, &out, &errs); status != 0 {
				t.Fatalf("status %d: %s\n%s", status, &errs, &out)
			}
			told := out.String()
			for _, want := range []string{
				"The store is " + c.kind + ".\n",
				"Three replicas start with the same account.\n",
				"In all 3 good logins, 1 wrong ones, 0 locks.\n",
			} {
				if !strings.Contains(told, want) {
					t.Errorf("not said: %s", want)
				}
			}
			for text, times := range map[string]int{
				"  logged in\n": 3, "  sent the old password: yeastar: login: invalid credentials": 1, "  sent nothing: login: invalid credentials: not sent": 2,
				"  took the token from the store\n": 9, "  the PBX    1 good logins, 0 wrong\n": 3, "  the PBX    0 good logins, 0 wrong\n": 1, "  the PBX    0 good logins, 1 wrong\n": 1,
			} {
				if n := strings.Count(told, text); n != times {
					t.Errorf("%d times, want %d: %s", n, times, text)
				}
			}
			if t.Failed() {
				t.Log(told)
			}
		})
	}
}

// Nothing is started, and no password is shown.
func TestWrongUseIsReportedInOneLine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().String()
	l.Close()
	const secret = "canary-5e77"
	for _, c := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"redis"}, 2, `unknown argument "redis": the only option is -store`},
		{[]string{"-store", "memory"}, 1, "-store: use files, redis://"},
		{[]string{"-store", "redis://:" + secret + "#@host"}, 1, "redis://user:password@host:port/database"},
		{[]string{"-store", "postgres://user:" + secret + "%zz@host/app"}, 1, "postgres://user:password@host/database"},
		{[]string{"-store", fmt.Sprintf("redis://:%s@%s", secret, free)}, 1, "connection refused"},
		{[]string{"-store", fmt.Sprintf("postgres://user:%s@%s/app", secret, free)}, 1, "connection refused"},
	} {
		var out, errs bytes.Buffer
		status := run(t.Context(), c.args, &out, &errs)
		if status != c.status || out.Len() > 0 || !strings.Contains(errs.String(), c.says) || strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("%v: status %d, %s%s", c.args, status, &out, &errs)
		}
		if strings.Contains(errs.String(), secret) {
			t.Errorf("%s", &errs)
		}
	}
}
